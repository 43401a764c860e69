"""Remembers runtimes that crashed or hung when they were started, so that the next start does not suffer it again."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from piaccel import files
from piaccel.errors import WriteError
from piaccel.version import __version__

if TYPE_CHECKING:
    from piaccel.backends import Availability, Backend

AGAIN = "try it again with: piaccel backends --again"


def keep(backend: Backend, found: Availability) -> Availability:
    """Remember what a probe suffered, for this version of the runtime, and return it."""
    place = _place(backend)
    if place is None:
        return found
    document = {"reason": found.reason, "hint": found.hint, "at": time.strftime("%Y-%m-%d %H:%M")}
    try:
        files.write_atomic(place, json.dumps(document))
    except WriteError:  # a read-only or full disk: the next start suffers it again
        return found
    return found


def recall(backend: Backend) -> Availability | None:
    """Return what this version of the runtime did when it was last started; None when it did no harm."""
    from piaccel.backends import Availability

    place = _place(backend)
    try:
        kept = json.loads(place.read_text(encoding="utf-8")) if place else None
        if kept is None:
            return None
        return Availability(False, f"{kept['reason']}, seen {kept['at']}", f"{kept['hint']}; {AGAIN}")
    except (OSError, ValueError, TypeError, KeyError):
        return None


def forget() -> None:
    """Drop what is remembered of every runtime, so that each is started again."""
    for place in _folder().glob("*.json"):
        place.unlink(missing_ok=True)


def _folder() -> Path:
    return files.cache() / "crashed"


def _place(backend: Backend) -> Path | None:
    stamp = backend.stamp()
    if stamp is None:
        return None
    key = hashlib.sha256(repr((__version__, backend.name, stamp)).encode(errors="replace")).hexdigest()[:16]
    return _folder() / f"{backend.name}-{key}.json"
