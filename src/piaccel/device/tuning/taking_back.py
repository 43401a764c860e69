"""Our part of a file that somebody else has changed since: taken out where that is clear, else left alone."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

_LINES, _WORDS = rb"[^\n]*\n|[^\n]+", rb"\s*\S+|\s+"
_PIECES = {"config.txt": _LINES, "dphys-swapfile": _LINES, "cmdline.txt": _WORDS}


def take_back(path: str, first: bytes | None, ours: bytes | None, current: bytes | None) -> bytes | None:
    """Return ``current`` without what made ``ours`` of ``first``.

    None when the lines that are ours are no longer there as we wrote them, and for a file whose parts do not stand for
    themselves, as the lines of config.txt and the words of cmdline.txt do. A line that was taken out meanwhile is none
    of ours any more.
    """
    name = path.rpartition("/")[2]
    if first is None or ours is None or current is None or name not in _PIECES:
        return None
    pattern = _PIECES[name]
    was, wrote, now = (re.findall(pattern, each) for each in (first, ours, current))
    where: dict[int, int] = {}
    for at, to, size in SequenceMatcher(None, wrote, now, autojunk=False).get_matching_blocks():
        where |= {at + step: to + step for step in range(size)}
    left = list(now)
    for kind, start, end, was_start, was_end in reversed(
        SequenceMatcher(None, wrote, was, autojunk=False).get_opcodes()
    ):
        if kind == "equal":
            continue
        place = _place(where, start, end, len(wrote), len(now))
        if place is None:
            if was_start == was_end and not any(each in where for each in range(start, end)):
                continue
            return None
        back = was[was_start:was_end]
        if name == "config.txt":
            back += _filters_in_use(left, place, place + end - start)
        left[place : place + end - start] = back
    return b"".join(_with_ends(left) if pattern is _LINES else left)


def _place(where: dict[int, int], start: int, end: int, wrote: int, now: int) -> int | None:
    """Where our pieces ``start`` to ``end`` stand now, all of them and side by side."""
    if start < end:
        places = [where.get(each) for each in range(start, end)]
        first = places[0]
        return first if first is not None and places == list(range(first, first + end - start)) else None
    before = where.get(start - 1) if start else -1
    after = where.get(start) if start < wrote else now
    return after if before is not None and after == before + 1 else None


def _filters_in_use(lines: list[bytes], start: int, end: int) -> list[bytes]:
    """The filters among our lines that still govern a line below them, written later by somebody else."""
    below = next((line for line in lines[end:] if line.strip()), b"[")
    if below.lstrip().startswith(b"["):
        return []
    return [line for line in lines[start:end] if line.lstrip().startswith(b"[")]


def _with_ends(lines: list[bytes]) -> list[bytes]:
    """A line that was the last and had no end needs one when it is not the last any more."""
    newline = b"\r\n" if any(line.endswith(b"\r\n") for line in lines) else b"\n"
    whole = [line if line.endswith(b"\n") else line + newline for line in lines[:-1]]
    return whole + lines[-1:]
