"""One soak from the idle board to the confirmed rate."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from piaccel.device.throttle import Throttled
from piaccel.soak import Plan, Row, Soak, Stage
from piaccel.soak.clock import Clock, WallClock
from piaccel.soak.findings import MARGIN_C, find
from piaccel.soak.load import Work, drive
from piaccel.soak.recorder import Recorder, Sensor

_COOL_AT_MOST_S = 300.0
_COOL_STEP_S = 1.0
_WARM_UP = 3


@dataclass(frozen=True)
class Step:
    """How far a soak is, told after each row."""

    row: Row
    done_s: float
    total_s: float
    """Of all stages that are planned so far."""


def soak(
    workers: Sequence[Work],
    plan: Plan,
    *,
    sensors: Iterable[Sensor] = (),
    limit_c: float | None = None,
    clock: Clock | None = None,
    target: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
    rss_bytes: Callable[[], int | None] = lambda: None,
    tell: Callable[[Step], None] = lambda step: None,
    sensors_note: str = "",
) -> Soak:
    """Load the board with ``workers``, each of which asks one question when called.

    First it stays idle for ``plan.idle_s``; then comes the load; where that throttled, the board cools down and the
    rate that it should hold is tried. KeyboardInterrupt ends it early: what was seen until then is returned.
    Raises what a worker raises on its first question.
    """
    clock = clock or WallClock()
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    total_s = plan.idle_s + plan.load_s
    warmup_ms = _warm_up(workers, clock)
    recorder = Recorder(
        sensors,
        clock.now_ns,
        plan.row_s,
        rss_bytes=rss_bytes,
        tell=lambda row: tell(Step(row, row.end_s, total_s)),
    )
    interrupted, gave_up, rate = False, "", None

    def seen(confirmed_rate: float | None = None) -> Soak:
        return Soak(
            created=created,
            target=dict(target or {}),
            plan=plan,
            environment=dict(environment or {}),
            rows=list(recorder.rows),
            limit_c=limit_c,
            warmup_ms=warmup_ms,
            confirmed_rate_per_s=confirmed_rate,
            errors=dict(recorder.errors),
            gave_up=gave_up,
            interrupted=interrupted,
            sensors_note=sensors_note,
        )

    def enter(stage: Stage) -> None:
        recorder.enter(stage)

    with clock.every(plan.sample_s, recorder.sample):
        try:
            enter("idle")
            clock.sleep(plan.idle_s)
            enter("load")
            gave_up = drive(workers, clock, recorder, plan.load_s, plan.rate_per_s)
            enter("cool")
            found = find(seen())
            best = found.sustainable
            if plan.confirm_s and not gave_up and found.throttled_after_s is not None and best is not None:
                total_s += _COOL_AT_MOST_S + plan.confirm_s
                _cool(clock, recorder, limit_c)
                rate = best.rate_per_s
                enter("confirm")
                gave_up = drive(workers, clock, recorder, plan.confirm_s, rate)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            enter("cool")
    return seen(rate if any(row.stage == "confirm" for row in recorder.rows) else None)


def _warm_up(workers: Sequence[Work], clock: Clock) -> float:
    """Ask some questions before anything is measured; return how long the first took, in ms."""
    begin_ns = clock.now_ns()
    workers[0]()
    first_ms = (clock.now_ns() - begin_ns) / 1e6
    for work in workers:
        for _ in range(_WARM_UP):
            work()
    return first_ms


def _cool(clock: Clock, recorder: Recorder, limit_c: float | None) -> None:
    """Wait until the board is as warm as the rate to be tried should keep it, and no longer held: then the trial soon
    shows whether. The firmware lets go some degrees below where it took hold."""
    waited_s = 0.0
    while waited_s < _COOL_AT_MOST_S:
        clock.sleep(_COOL_STEP_S)
        waited_s += _COOL_STEP_S
        temp_c, bits = recorder.latest.get("temperature_c"), recorder.latest.get("throttled")
        is_cool = limit_c is None or temp_c is None or temp_c <= limit_c - MARGIN_C
        if is_cool and not (bits is not None and Throttled(int(bits)).now):
            return
