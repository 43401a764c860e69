"""Remembers runtimes that crashed or hung when they were started, so that the next start does not suffer it again."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from piaccel import files
from piaccel.version import __version__

if TYPE_CHECKING:
    from piaccel.backends import Availability, Backend

AGAIN = "try it again with: piaccel backends --again"


def keep(backend: Backend, found: Availability) -> Availability:
    """Remember what a probe suffered, for this version of the runtime, and return it."""
    place = _place(backend)
    if place is not None:
        at = time.strftime("%Y-%m-%d %H:%M")
        files.remember(place, {"reason": found.reason, "hint": found.hint, "at": at})
    return found


def recall(backend: Backend) -> Availability | None:
    """Return what this version of the runtime did when it was last started; None when it did no harm."""
    from piaccel.backends import Availability

    place = _place(backend)
    kept = files.recall(place) if place is not None else {}
    if not {"reason", "hint", "at"} <= kept.keys():
        return None
    return Availability(False, f"{kept['reason']}, seen {kept['at']}", f"{kept['hint']}; {AGAIN}")


def forget() -> None:
    """Drop what is remembered of every runtime, so that each is started again."""
    files.forget(_folder())


def _folder() -> Path:
    return files.cache() / "crashed"


def _place(backend: Backend) -> Path | None:
    stamp = backend.stamp()
    if stamp is None:
        return None
    key = hashlib.sha256(repr((__version__, backend.name, stamp)).encode(errors="replace")).hexdigest()[:16]
    return _folder() / f"{backend.name}-{key}.json"
