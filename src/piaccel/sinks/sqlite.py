"""Results in an SQLite database: batched for SD cards, capped, each event once."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piaccel import files, sinks
from piaccel.errors import OptionError, WriteError
from piaccel.sinks import Event, Sink

SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    seq     INTEGER PRIMARY KEY,      -- in the order of arrival
    id      TEXT NOT NULL UNIQUE,     -- device/boot/number
    at      REAL NOT NULL,            -- UNIX time of the exposure
    time    TEXT NOT NULL,            -- the same as 2026-11-23T01:13:22.123Z
    stream  TEXT NOT NULL,
    frame   INTEGER NOT NULL,
    part    INTEGER,
    label   TEXT,                     -- the best finding
    score   REAL,
    age_ms  REAL,
    late    INTEGER NOT NULL,
    held    INTEGER NOT NULL,
    cause   TEXT,                     -- why there is no result
    model   TEXT NOT NULL,
    variant TEXT NOT NULL,
    backend TEXT NOT NULL,
    result  TEXT                      -- JSON
);
CREATE INDEX IF NOT EXISTS events_at ON events (at);
"""
MOST_ROWS = 1000
"""A batch that grew so far is committed at once."""
_NAMES = "id, at, time, stream, frame, part, label, score, age_ms, late, held, cause, model, variant, backend, result"
_COLUMNS = _NAMES.split(", ")
_INSERT = f"INSERT OR IGNORE INTO events ({_NAMES}) VALUES ({', '.join('?' * len(_COLUMNS))})"


@dataclass(frozen=True, kw_only=True)
class Options(sinks.Options):
    commit_s: float = 2.0
    """Rows are committed together so often; a kill costs at most these, a power cut what the system had not written
    yet besides (Linux writes within 30 s). 0 is each at once."""
    max_size_bytes: int = 1_000_000_000
    """The database grows no further: the oldest rows are deleted, a twentieth of them at a time."""
    busy_s: float = 5.0
    """How long a commit waits for another program that locks the database, before it is tried again later."""

    def __post_init__(self) -> None:
        if self.commit_s < 0 or self.busy_s < 0:
            raise OptionError("sqlite: commit and busy must not be negative")
        if self.max_size_bytes < 100_000:
            raise OptionError(f"sqlite: max_size={self.max_size_bytes}B is too small", hint="give it at least 100kB")


class Sqlite(Sink):
    """Inserts one row an event into the table ``events`` of the database named by the target (WAL)."""

    options = Options
    chosen: Options

    def __init__(self, target: str, options: Options, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(target, options)
        if not target:
            raise OptionError("sqlite needs a file", hint="write sqlite:results.db")
        self._path = Path(target)
        self._clock = clock
        self._base: sqlite3.Connection | None = None
        self._batch: list[tuple[Any, ...]] = []
        self._first_s = 0.0
        self._failed = False
        self._written = self._deleted = 0

    def open(self) -> None:
        self.close()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(self._path, timeout=self.chosen.busy_s, isolation_level=None)
            self._base.execute("PRAGMA auto_vacuum=INCREMENTAL")  # says nothing to a database that exists
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=NORMAL")
            self._base.execute("PRAGMA journal_size_limit=1000000")
            self._base.executescript(SCHEMA)
        except sqlite3.OperationalError as error:
            self.close()
            raise WriteError(f"{self._path} cannot be opened: {error}") from error
        except sqlite3.DatabaseError as error:
            self.close()
            raise OptionError(f"{self._path} is no whole SQLite database: {error}", hint="name another file") from error
        except OSError as error:
            raise WriteError(f"{self._path} cannot be opened: {files.reason(self._path, error)}") from error

    def deliver(self, event: Event) -> None:
        if not self._batch:
            self._first_s = self._clock()
        self._batch.append(_row(event))
        if len(self._batch) >= MOST_ROWS:
            self._commit()
        self.tick()

    def tick(self) -> None:
        """Commit what has waited for long enough; after a failure at once, to see whether it works again."""
        if self._batch and (self._failed or self._clock() - self._first_s >= self.chosen.commit_s):
            self._commit()

    def flush(self, timeout_s: float) -> int:
        self._commit()
        return 0

    def close(self) -> None:
        self._batch = []
        if self._base is not None:
            self._base.close()
            self._base = None

    def facts(self) -> Mapping[str, float]:
        return {"written": self._written, "deleted": self._deleted, "unconfirmed": len(self._batch)}

    def _commit(self) -> None:
        """Commit the batch, or forget it: who delivered it delivers it again."""
        rows, self._batch = self._batch, []
        if not rows:
            return
        if self._base is None:
            raise WriteError(f"{self._path} is not open")
        try:
            self._base.execute("BEGIN IMMEDIATE")
            self._written += self._base.executemany(_INSERT, rows).rowcount
            self._base.execute("COMMIT")
            self._shrink(self._base)
            self._failed = False
        except sqlite3.Error as error:
            self._failed = True
            self.close()
            raise WriteError(f"{self._path} cannot be written: {error}") from error

    def _shrink(self, base: sqlite3.Connection) -> None:
        def number(sql: str) -> int:
            with closing(base.execute(sql)) as cursor:
                return int(cursor.fetchone()[0] or 0)

        page = number("PRAGMA page_size")
        while page * (number("PRAGMA page_count") - number("PRAGMA freelist_count")) > self.chosen.max_size_bytes:
            first, last = number("SELECT min(seq) FROM events"), number("SELECT max(seq) FROM events")
            if first == last:
                break
            up_to = first + (last - first) // 20
            self._deleted += base.execute("DELETE FROM events WHERE seq <= ?", (up_to,)).rowcount
        if number("PRAGMA freelist_count") * page > self.chosen.max_size_bytes // 20:
            base.execute("PRAGMA incremental_vacuum").fetchall()


def _row(event: Event) -> tuple[Any, ...]:
    known = event.to_dict()
    findings = [] if event.result is None else event.result.findings()
    known["at"] = event.at
    known["label"], known["score"] = findings[0] if findings else (None, None)
    known["result"] = None if known["result"] is None else json.dumps(known["result"], separators=(",", ":"))
    return tuple(known[name] for name in _COLUMNS)
