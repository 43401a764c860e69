"""What a control system asks of an event: its best finding, and what is wrong with it, as bits."""

from __future__ import annotations

from enum import IntFlag
from typing import NamedTuple

from piaccel.sinks import Answer, Event


class Fault(IntFlag):
    """The fault word. The first four say something of the last event, the others of this moment."""

    NO_RESULT = 1
    """Nobody judged the frame: it was dropped, or the model failed."""
    LATE = 2
    """The result came after its deadline."""
    HELD = 4
    """The result is that of an earlier frame, given again."""
    NO_TIME = 8
    """It is not known when the frame was exposed, so its age is not."""
    STALE = 16
    """No event came for some time: the camera, the model or the whole pipeline stands still."""
    PLC_SILENT = 32
    """The other side's own heartbeat does not move."""


def faults(event: Event) -> Fault:
    """Return what is wrong with an event."""
    found = Fault(0)
    if event.result is None:
        found |= Fault.NO_RESULT
    if event.late:
        found |= Fault.LATE
    if event.held:
        found |= Fault.HELD
    if event.age_ns is None:
        found |= Fault.NO_TIME
    return found


class Best(NamedTuple):
    """The best finding."""

    label: str
    score: float
    class_id: int | None
    """None where the result does not number its classes."""


def best(result: Answer) -> Best | None:
    """Return the best finding of a result; None when nothing was found."""
    findings = result.findings()
    if not findings:
        return None
    label, score = findings[0]
    return Best(label, score, _class_id(result, label))


def _class_id(result: Answer, label: str) -> int | None:
    """Look the label's class up among the lists that results give as plain data ("top", "boxes", "classes")."""
    for part in result.to_dict().values():
        for entry in part if isinstance(part, list) else ():
            if isinstance(entry, dict) and entry.get("label") == label and isinstance(entry.get("class_id"), int):
                return int(entry["class_id"])
    return None
