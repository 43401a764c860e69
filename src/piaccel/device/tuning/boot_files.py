"""Edits of ``config.txt`` and ``cmdline.txt`` that leave every other byte as it is.

A later line of config.txt wins over an earlier one, and a filter such as [pi4] lasts until the next one (RP docs,
config_txt.adoc): so a setting goes to the end, below [all]. cmdline.txt is one line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from piaccel.device import bootconfig
from piaccel.device.board import Board
from piaccel.device.findings import Subject
from piaccel.device.tuning.lever import Edit

_SPACE = " \t\r\v\f"


def setting(subject: Subject, line: str) -> Edit:
    """Have config.txt set ``key=value`` for this board."""
    return Edit(
        _path(subject, "config.txt"), partial(_unless_missing, partial(add_line, line=line, board=subject.board))
    )


def without(subject: Subject, wrong: Callable[[str, str], bool]) -> Edit:
    """Comment out the settings of config.txt that hold for this board and are ``wrong(key, value)``."""
    edit = partial(comment_out, wrong=wrong, board=subject.board)
    return Edit(_path(subject, "config.txt"), partial(_unless_missing, edit))


def words(subject: Subject, *given: str) -> Edit:
    """Have these words in the kernel's command line."""
    return Edit(_path(subject, "cmdline.txt"), partial(_unless_missing, partial(add_words, given=given)))


def missing(subject: Subject, name: str) -> str:
    """Why a boot file cannot be edited; '' when it can."""
    if subject.tree.exists(_path(subject, name)):
        return ""
    return f"there is no {subject.boot}/{name}: the boot partition is not mounted"


def add_line(data: bytes, line: str, board: Board) -> bytes:
    """Return config.txt with ``key=value`` in force for this board; the same bytes where it is already."""
    text = _decode(data)
    if in_force(text, line, board):
        return data
    newline = _newline(text)
    if text and not text.endswith("\n"):
        text += newline
    filters = [each for each in bootconfig.lines(text) if each.startswith("[")]
    if filters and filters[-1].strip("[]").lower() != "all":
        text += f"[all]{newline}"
    return _encode(f"{text}{line}{newline}")


def in_force(text: str, line: str, board: Board) -> bool:
    """Whether config.txt sets ``key=value`` for this board, and nothing after it overrides that."""
    key, _, value = line.partition("=")
    values = [found for each, found in bootconfig.settings(text, board) if each == key]
    if key == "dtoverlay":
        return value in values
    if key == "dtparam":
        name, _, wanted = value.partition("=")
        parts = [part.partition("=") for found in values for part in found.split(",")]
        return [found for each, _, found in parts if each == name][-1:] == [wanted]
    return values[-1:] == [value]


def comment_out(data: bytes, wrong: Callable[[str, str], bool], board: Board) -> bytes:
    """Return config.txt with a ``#`` before each line that sets what is wrong for this board."""
    kept, governing = [], ""
    for line in _decode(data).split("\n"):
        found = bootconfig.settings(f"{governing}\n{line}", board)
        kept.append(f"#{line}" if any(wrong(key, value) for key, value in found) else line)
        if any(each.startswith("[") for each in bootconfig.lines(line)):
            governing = line
    return _encode("\n".join(kept))


def add_words(data: bytes, given: tuple[str, ...]) -> bytes:
    """Return cmdline.txt with these words in its line; ``key=value`` takes the place of another value of the key.

    ``cgroup_enable`` may stand there several times, each with a name of its own.
    """
    first, end, rest = _decode(data).partition("\n")
    for word in given:
        key, pieces = word.partition("=")[0], re.findall(rf"[{_SPACE}]+|[^{_SPACE}]+", first)
        if word in pieces:
            continue
        others = [each for each in pieces if each.partition("=")[0] == key and key != "cgroup_enable"]
        if others:
            first = "".join(word if each in others else each for each in pieces)
        else:
            line = first.rstrip(_SPACE)
            first = f"{line}{' ' if line else ''}{word}{first[len(line) :]}"
    return _encode(f"{first}{end}{rest}")


def _unless_missing(edit: Callable[[bytes], bytes], data: bytes | None) -> bytes | None:
    return None if data is None else edit(data)


def _path(subject: Subject, name: str) -> str:
    return f"{subject.boot.lstrip('/')}/{name}"


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _decode(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def _encode(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
