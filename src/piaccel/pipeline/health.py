"""Whether results flow: for load balancers, watchdogs and people in a hurry."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from piaccel.pipeline.snapshot import Snapshot, StreamNumbers

QUIET_S = 30.0
"""So long a stream may have frames (parts, with a trigger) and no result."""


@dataclass
class _Progress:
    answered: int
    asked: int
    since: float


class Health:
    """Judges one snapshot after another; ask it every few seconds."""

    def __init__(self, *, quiet_s: float = QUIET_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet_s = quiet_s
        self._clock = clock
        self._seen: dict[str, _Progress] = {}
        self._lock = threading.Lock()

    def reasons(self, seen: Snapshot) -> list[str]:
        """Return what is wrong; nothing when sources live and results flow. A failing sink does not stop results."""
        wrong = [
            f"source {each.name} is {each.state}" + (f": {each.error}" if each.error else "")
            for each in seen.cameras
            if each.state in ("stalled", "lost", "broken")
        ]
        wrong += [f"{each.name}: {each.model_error}" for each in seen.streams if each.model_error and not each.rate]
        with self._lock:
            for stream in seen.streams:
                quiet = self._quiet(stream)
                if quiet is not None:
                    wrong.append(f"{stream.name}: frames come, but no result for {quiet:.0f} s")
        return wrong

    def _quiet(self, stream: StreamNumbers) -> float | None:
        """For how long frames have come without a result, None when not for too long."""
        asked = stream.missing if stream.policy == "triggered" else stream.offered
        before, now = self._seen.get(stream.name), self._clock()
        if before is None or stream.answered != before.answered or asked == before.asked:
            self._seen[stream.name] = _Progress(stream.answered, asked, now)
            return None
        quiet = now - before.since
        return quiet if quiet >= self._quiet_s else None
