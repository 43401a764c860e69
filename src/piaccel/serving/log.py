"""The service's log: JSON lines on stderr, or readable text when stderr is a terminal.

Every line has ``time`` (UTC, RFC 3339), ``level`` and ``event``; others as they apply: ``model``, ``version``,
``request_id``, ``key`` (a key's name, never the key), ``status``, ``ms``, ``reason``, ``repeated``.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

from piaccel.chatter import printable
from piaccel.pipeline.masking import masked
from piaccel.serving.outlet import Outlet
from piaccel.serving.snapshot import Happening

BURST = 10
"""Lines of the same event, model and status that are written in each ..."""
WINDOW_S = 10.0
"""... of these; those above it are counted in ``repeated`` of the next one."""
LONGEST = 2000
"""Characters of one text."""
_KINDS = 1000
_SECRETS = re.compile(r"(?i)(\b(?:bearer|basic)\s+|[?&;\s](?:api[_-]?key|token|password|secret)[=:]\s*)[^\s&;,\"']+")
_SERIOUS = {"quarantined", "rolled back", "crash", "hang", "alarm", "gap", "step"}


class Log:
    """Writes lines; takes over the ``piaccel`` logger from ``start`` to ``stop``."""

    def __init__(
        self, stream: TextIO | None = None, *, as_json: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        stream = sys.stderr if stream is None else stream
        self._outlet = Outlet(stream, self._missing)
        self._as_json = as_json and not stream.isatty()
        self._clock = clock
        self._began = clock()
        self._counts: dict[tuple[Any, ...], int] = {}
        self._left_out: dict[tuple[Any, ...], int] = {}
        self._handler = _Handler(self)
        self._propagate = True

    def start(self) -> None:
        """Let what piaccel's modules log come here, and write in a thread from now on."""
        self._outlet.start()
        logger = logging.getLogger("piaccel")
        self._propagate, logger.propagate = logger.propagate, False
        logger.addHandler(self._handler)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)

    def stop(self) -> None:
        """Write what is still counted. Idempotent."""
        logger = logging.getLogger("piaccel")
        if self._handler in logger.handlers:
            logger.removeHandler(self._handler)
            logger.propagate = self._propagate
        self._turn()
        self._outlet.stop()

    def request(
        self,
        *,
        status: int,
        ms: float,
        model: str = "",
        version: str = "",
        request_id: str = "",
        key: str = "",
        reason: str = "",
    ) -> None:
        """A request that was answered or refused; many of the same kind cost a count each."""
        kind = ("request", model, status)
        if not self._passes(kind):
            return
        level = "info" if status < 400 else "warning" if status < 500 or status in (503, 504) else "error"
        self._write(
            level, "request", model=model, version=version, request_id=request_id, key=key, status=status,
            ms=round(ms, 3), reason=reason,
        )  # fmt: skip

    def happening(self, told: Happening) -> None:
        """Something that the service says of itself; hand it to ``Service.listeners``."""
        level = "warning" if told.what in _SERIOUS else "info"
        self.event(level, told.what, model=told.model, version=told.version, reason=told.reason)

    def event(self, level: str, event: str, *, model: str = "", version: str = "", reason: str = "") -> None:
        kind = (event, model, version, reason)
        if self._passes(kind):
            self._write(level, event, model=model, version=version, reason=reason)

    def _passes(self, kind: tuple[Any, ...]) -> bool:
        if self._clock() - self._began >= WINDOW_S or len(self._counts) >= _KINDS:
            self._turn()
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if count > BURST:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return False
        return True

    def _turn(self) -> None:
        """Say what was left out in the window that ends."""
        left_out, self._left_out, self._counts, self._began = self._left_out, {}, {}, self._clock()
        for kind, count in left_out.items():
            named = {"model": kind[1]}
            if kind[0] == "request":
                named["status"] = kind[2]
            else:
                named |= {"version": kind[2], "reason": kind[3]}
            self._write("info", kind[0], repeated=count, **named)

    def _write(self, level: str, event: str, **given: Any) -> None:
        fields: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": level,
            "event": _clean(event),
        }
        fields |= {name: _clean(value) for name, value in given.items() if value not in ("", None)}
        self._outlet.put(msgspec.json.encode(fields).decode() if self._as_json else _readable(fields))

    def _missing(self, count: int) -> None:
        self._write("warning", "message", reason=f"{count} lines are missing here: nobody read the log")


class _Handler(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        words = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            words += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
        self._log.event(record.levelname.lower(), "message", reason=words)


def _clean(value: Any) -> Any:
    """Text in one line without secrets or what a terminal would take as a command."""
    if not isinstance(value, str):
        return value
    return printable(_SECRETS.sub(r"\1***", masked(value[:LONGEST])))


def _readable(fields: dict[str, Any]) -> str:
    rest = {name: value for name, value in fields.items() if name not in ("time", "level", "event")}
    words = " ".join(f"{name}={value!r}" if isinstance(value, str) and " " in value else f"{name}={value}"
                     for name, value in rest.items())  # fmt: skip
    return f"{fields['time']} {fields['level']:7} {fields['event']} {words}".rstrip()
