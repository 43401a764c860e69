"""The heat ladder of the service: each model steps to a lighter variant before the board throttles."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from piaccel.pipeline.heat import HeatSettings, Ladder
from piaccel.serving.snapshot import ServiceNumbers

_THROTTLE_BITS = 0b1110
_LATE = "deadline_exceeded"


class Rung(NamedTuple):
    """The rung a model should be on from now, 0 is the best, and why."""

    model: str
    rung: int
    reason: str


class Thermal:
    """Decides about once every second or two, for every model with a ladder (``piaccel.pipeline.heat`` has the rules).

    Pure: it opens, closes and logs nothing (the service tells of each step that was taken). Under-voltage is an alarm
    (``piaccel.serving.board``), never a step.
    """

    def __init__(self, settings: HeatSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._ladders: dict[str, Ladder] = {}

    def watch(self, rungs: Mapping[str, int]) -> None:
        """The models and how many rungs each has; those known already stay on theirs."""
        kept = {name: self._ladders.get(name) for name, count in rungs.items() if count > 1}
        self._ladders = {
            name: ladder or Ladder(rungs[name], self._settings, self._clock) for name, ladder in kept.items()
        }

    def update(
        self, readings: Mapping[str, float | None], late_share_by_model: Mapping[str, float | None]
    ) -> list[Rung]:
        """Take a reading of the sensors and each model's share of late answers (None: it had no requests); return the
        models that should step now. A model that cannot take its step stays, and is asked for the next one in time.
        """
        steps = []
        for model, ladder in self._ladders.items():
            step = ladder.update(readings, late_share_by_model.get(model))
            if step is not None:
                steps.append(Rung(model, step.to_rung, step.reason))
        return steps

    @property
    def rungs(self) -> dict[str, int]:
        """The rung of each model that has a ladder."""
        return {model: ladder.rung for model, ladder in self._ladders.items()}


class Lateness:
    """The share of each model's requests that missed their deadline since the last look."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], tuple[int, int]] = {}

    def update(self, seen: ServiceNumbers) -> dict[str, float | None]:
        """By model; None where there were no requests."""
        now = {
            (model.name, each.version): (each.succeeded, each.failed.get(_LATE, 0))
            for model in seen.models
            for each in model.versions
            if each.loaded_at is not None
        }
        shares: dict[str, float | None] = {}
        for model in seen.models:
            answered = late = 0
            for key, (good, bad) in now.items():
                if key[0] == model.name:
                    good_before, bad_before = self._before.get(key, (0, 0))
                    if good < good_before or bad < bad_before:  # it was loaded anew
                        good_before = bad_before = 0
                    answered += good - good_before
                    late += bad - bad_before
            shares[model.name] = late / (answered + late) if answered + late else None
        self._before = now
        return shares


def agent_check(readings: Mapping[str, float | None], rungs: Mapping[str, int], *, ready: bool) -> str:
    """What HAProxy's agent-check reads: "drain" while the service is not ready or the firmware slows the board down,
    half the weight while a model is on a lighter variant, else all of it.

    "ready" takes an earlier "drain" back, which "up" alone does not (HAProxy 2.6 configuration manual, agent-check).
    """
    bits = readings.get("throttled")
    if not ready or (bits is not None and int(bits) & _THROTTLE_BITS):
        return "drain\n"
    return "ready up 50%\n" if any(rungs.values()) else "ready up 100%\n"
