"""Keeps what native libraries print to stderr and stdout away from the user, unless asked for with ``-v``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_verbose = os.environ.get("PIACCEL_VERBOSE", "") not in ("", "0")


def set_verbose(verbose: bool) -> None:
    """Let native chatter through (or not). Child processes inherit the choice through PIACCEL_VERBOSE."""
    global _verbose
    _verbose = verbose
    os.environ["PIACCEL_VERBOSE"] = "1" if verbose else "0"


def verbose() -> bool:
    return _verbose


@contextmanager
def quiet() -> Iterator[None]:
    """Send file descriptors 1 and 2 to /dev/null while a runtime loads; C libraries write there past sys.stderr.

    The redirection is the whole process's: keep the body short, and raise errors as exceptions.
    """
    if _verbose:
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [(fd, os.dup(fd)) for fd in (1, 2)]
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        for fd, _ in saved:
            os.dup2(null, fd)
        yield
    finally:
        for fd, copy in saved:
            os.dup2(copy, fd)
            os.close(copy)
        os.close(null)
