"""The map of holding registers that a PLC reads. Numbers of 32 bits take two registers, the high word first."""

from __future__ import annotations

from collections.abc import Sequence

from piaccel.sinks import Event
from piaccel.sinks._condition import Fault, best, faults

LAYOUT = 1
"""Changes when a register changes its meaning."""
UNKNOWN = 0xFFFF
SIZE = 16
"""Registers that are written together."""
PLC_HEARTBEAT = 16
"""The register after them, the only one that belongs to the PLC."""
STRIDE = 32
"""From the first register of a stream to that of the next."""


class Registers:
    """What is known of one stream, as registers.

    0 heartbeat, 1 sequence, 2 class id, 3 score x 1000, 4 findings, 5 fault word, 6 age in ms, 7 layout, 8-9 events,
    10-11 events without a result of their own, 12-13 late events, 14-15 part number.
    """

    def __init__(self, stale_ns: int, now_ns: int) -> None:
        self._stale_ns = stale_ns
        self._heard_ns = now_ns - stale_ns
        self._heartbeat = 0
        self._events = self._without_result = self._late = self._part = 0
        self._class_id = self._age_ms = UNKNOWN
        self._score = self._findings = 0
        self._fault = Fault(0)

    def take(self, event: Event, now_ns: int) -> None:
        """Make an event the one that is shown."""
        self._heard_ns = now_ns
        self._fault = faults(event)
        self._events += 1
        self._without_result += event.result is None or event.held
        self._late += event.late
        self._part = event.part or 0
        found = None if event.result is None else best(event.result)
        self._findings = 0 if event.result is None else min(len(event.result.findings()), UNKNOWN)
        self._class_id = UNKNOWN if found is None or found.class_id is None else min(found.class_id, UNKNOWN)
        self._score = 0 if found is None else min(max(round(found.score * 1000), 0), UNKNOWN)
        self._age_ms = UNKNOWN if event.age_ns is None else min(max(event.age_ns, 0) // 1_000_000, UNKNOWN - 1)

    def words(self, now_ns: int, *, plc_silent: bool = False) -> list[int]:
        """Return all registers with the heartbeat one further."""
        self._heartbeat = (self._heartbeat + 1) & 0xFFFF
        fault = self._fault
        if now_ns - self._heard_ns >= self._stale_ns:
            fault |= Fault.STALE
        if plc_silent:
            fault |= Fault.PLC_SILENT
        head = [
            self._heartbeat,
            self._events & 0xFFFF,
            self._class_id,
            self._score,
            self._findings,
            int(fault),
            self._age_ms,
            LAYOUT,
        ]
        return head + _pairs((self._events, self._without_result, self._late, self._part))


def _pairs(numbers: Sequence[int]) -> list[int]:
    return [word for number in numbers for word in ((number >> 16) & 0xFFFF, number & 0xFFFF)]
