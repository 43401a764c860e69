"""What must survive a power cut: for each model one small file that says which version may serve."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Literal

import msgspec

from piaccel import durable
from piaccel.errors import WriteError
from piaccel.serving.repository import check_name

_log = logging.getLogger("piaccel")
_HISTORY = 50
Progress = Literal["", "staged", "verified", "probation"]


class Ref(msgspec.Struct, frozen=True):
    """A version by its name in the repository and by its content."""

    version: str
    digest: str


class Quarantined(msgspec.Struct, frozen=True):
    """Why a content must not be tried again, and since when (Unix time)."""

    version: str
    reason: str
    at: float


class Event(msgspec.Struct, frozen=True):
    """A line of a model's history; ``at`` in Unix time."""

    at: float
    what: str
    version: str
    reason: str = ""


class Record(msgspec.Struct):
    """What is remembered of one model."""

    committed: Ref | None = None
    previous: Ref | None = None
    """What a rollback brings back."""
    candidate: Ref | None = None
    stage: Progress = ""
    """How far the candidate has come."""
    attempts: int = 0
    """Loads of the candidate that were begun; the service may have ended in each."""
    quarantined: dict[str, Quarantined] = {}
    """By digest."""
    labels: dict[str, str] = {}
    shares: dict[str, float] = {}
    """A label's part of the requests that name no version."""
    unloaded: bool = False
    """An operator took the model out of service."""
    counters: dict[str, int] = {}
    """The highest release counter seen, by the key that signed it."""
    newest: float = 0.0
    """When the newest release that was verified was made: it cannot be earlier now, whatever the clock says."""
    history: list[Event] = []

    def happened(self, what: str, version: str, reason: str = "") -> None:
        """Add a line to the history, which keeps the last fifty."""
        self.history = [*self.history, Event(time.time(), what, version, reason)][-_HISTORY:]

    def quarantine(self, digest: str, version: str, reason: str) -> None:
        """Never try this content again; a candidate of it is none any more."""
        self.quarantined = {**self.quarantined, digest: Quarantined(version, reason, time.time())}
        if self.candidate is not None and self.candidate.digest == digest:
            self.candidate, self.stage, self.attempts = None, "", 0
        self.happened("quarantined", version, reason)


class Ledger:
    """``<folder>/<model>.json``, one for each model. One service at a time may write it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def read_only(self) -> bool:
        """Whether nothing can be remembered: a read-only disk, or a folder that is not ours."""
        return not durable.writable(self.folder)

    def names(self) -> list[str]:
        """Return the models of which anything is remembered, sorted."""
        return sorted(each.stem for each in self.folder.glob("*.json") if not each.name.startswith("."))

    def read(self, name: str) -> Record:
        """Return what is remembered of a model, an empty record where nothing is.

        A damaged file is no reason not to start: it is kept aside as NAME.json.damaged, and a warning is logged.
        """
        path = self._path(name)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Record)
        except FileNotFoundError:
            return Record()
        except OSError as error:
            _log.warning("%s cannot be read (%s): the model starts as if it were new", path, error.strerror)
            return Record()
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            _log.warning("%s is damaged (%s) and is kept aside: the model starts as if it were new", path, error)
        try:
            os.rename(path, path.with_name(f"{path.name}.damaged"))
        except OSError as error:
            _log.warning("%s cannot be kept aside: %s", path, error.strerror)
        return Record()

    def write(self, name: str, record: Record) -> None:
        """Replace a model's record: after a power cut it is the old one or the new one. Raises WriteError."""
        path = self._path(name)
        try:
            durable.replace(path, msgspec.json.format(msgspec.json.encode(record)))
        except OSError as error:
            raise WriteError(
                f"the state of model {name} cannot be written: {error.strerror}",
                hint=f"{path}: free some space, or put state_dir on a disk that can be written",
            ) from error

    def _path(self, name: str) -> Path:
        return self.folder / f"{check_name(name)}.json"
