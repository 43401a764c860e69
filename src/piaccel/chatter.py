"""Keeps away from the terminal what does not belong there: native libraries' chatter, unless asked for with ``-v``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_verbose = os.environ.get("PIACCEL_VERBOSE", "") not in ("", "0")
_alone = False
_lock = Lock()
_depth = 0
_saved: list[tuple[int, int]] = []


def set_verbose(verbose: bool) -> None:
    """Let native chatter through (or not). Child processes inherit the choice through PIACCEL_VERBOSE."""
    global _verbose
    _verbose = verbose
    os.environ["PIACCEL_VERBOSE"] = "1" if verbose else "0"


def verbose() -> bool:
    return _verbose


def leave_alone() -> None:
    """Let ``quiet`` redirect nothing: this process' output goes to a file, whose end explains a crash."""
    global _alone
    _alone = True


@contextmanager
def quiet() -> Iterator[None]:
    """Send file descriptors 1 and 2 to /dev/null while a runtime loads; C libraries write there past sys.stderr.

    The redirection is the whole process's: keep the body short, and raise errors as exceptions. It may be nested and
    entered by several threads at once: the first redirects, the last restores.
    """
    if _verbose or _alone:
        yield
        return
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _depth
    with _lock:
        _depth += 1
        if _depth > 1:
            return
        _flush()
        null = os.open(os.devnull, os.O_WRONLY)
        for fd in (1, 2):
            try:
                _saved.append((fd, os.dup(fd)))
            except OSError:  # closed, as in some services: nothing can be printed there
                continue
            os.dup2(null, fd)
        os.close(null)


def _leave() -> None:
    global _depth
    with _lock:
        _depth -= 1
        if _depth:
            return
        _flush()
        while _saved:
            fd, copy = _saved.pop()
            os.dup2(copy, fd)
            os.close(copy)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()


def printable(text: str) -> str:
    """Return text from a file or a path in one line, without what a terminal would take as a command."""
    return "".join(each if each.isprintable() else "?" for each in text)
