"""Which of the applied levers help, measured with a model; the others are taken back.

What the running system follows at once is put aside and back again in turns (A B B A), a fresh process each time, so
that what drifts drifts for both. What needs a reboot is measured before and after it: the first call keeps the samples
in the journal's folder, the one after the reboot judges, if it measures the same (``piaccel.bench.compare``). Helped
means: the 95 % interval of the ratio of the medians lies below 1 (``piaccel.bench.statistics.difference``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from piaccel import durable, fastest
from piaccel.bench import Measurement, Report, Verdict
from piaccel.bench import report as reports
from piaccel.bench.compare import compare
from piaccel.bench.run import benchmark
from piaccel.bench.statistics import difference
from piaccel.bundles import Bundle
from piaccel.device import tuning
from piaccel.device.tuning import Lever
from piaccel.device.tuning.journal import BEFORE_REBOOT
from piaccel.errors import ConditionsError, InputError, OptionError, UnavailableError

ROUNDS = 3
"""Of A B B A: twice as many fresh processes for each side."""
DURATION_S = 2.0
_MOVED = ("kernel", "page_size", "ram_bytes")
"""What a reboot may bring of the board that a report describes: another kernel leaves another amount of memory."""
_SPOILS = ("throttled", "clock capped", "soft temperature limit", "under-voltage", "hot", "other load")
"""Reasons of a verdict that lie outside of what is compared; an uneven clock is what the governor is about."""

Outcome = Literal["helped", "did not help", "not judged", "waits for a reboot"]
Measure = Callable[[], Report]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Weighed:
    """A lever and what the benchmark says of it."""

    lever: str
    outcome: Outcome
    kept: bool
    why: str
    old_ms: float | None = None
    """Median of an inference without it, the geometric mean over the processes."""
    new_ms: float | None = None
    ratio: float | None = None
    """With it over without it: below 1 is faster."""
    low: float | None = None
    high: float | None = None
    how: str = ""


@dataclass(frozen=True)
class Result:
    """All applied levers, and with what they were measured."""

    model: str
    backend: str
    variant: str
    threads: int
    levers: tuple[Weighed, ...]
    left_alone: dict[str, str]
    """What could not be taken back, and why."""

    @property
    def reboot(self) -> bool:
        """Whether it goes on after a reboot."""
        return any(each.outcome == "waits for a reboot" for each in self.levers)

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {**asdict(self), "needs_reboot": self.reboot}


def weigh(
    model: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] = "/",
    backend: str = "auto",
    variant: str | None = None,
    threads: int | None = None,
    rounds: int = ROUNDS,
    duration_s: float = DURATION_S,
    measure: Measure | None = None,
    tell: Tell = lambda text: None,
    **overrides: Any,
) -> Result:
    """Measure what each applied lever does for a model, and take back what did not help with significance.

    Levers that a benchmark cannot judge (swap, memory limits, the watchdog) stay. Ctrl-C leaves all of them applied.
    ``measure`` takes one measurement in a fresh process. Raises OptionError where nothing is applied or may be taken
    back, and what ``benchmark`` raises.
    """
    levers = tuning.applied(root)
    if not levers:
        raise _nothing(root)
    if shut := tuning.closed_to_revert(root):
        raise UnavailableError(f"only root may take back {shut[0]}", hint="run it with sudo, or name another --root")
    if measure is None:
        measure = _bench(Path(model), backend, variant, threads, root, duration_s, overrides)
    tell("a first run, which is not counted")
    one = _row(measure())
    path = Path(root) / BEFORE_REBOOT
    before = _kept(path)
    why = "it is not there for speed"
    judged = {each.name: Weighed(each.name, "not judged", True, why) for each in levers if not each.for_speed}
    later = [each for each in levers if each.for_speed and each.needs_reboot]
    at_once = [each for each in levers if each.for_speed and not each.needs_reboot]
    left_alone: dict[str, str] = {}
    if before is not None:  # as it was then: before anything else is taken back
        found, before = _over_a_reboot(later, before, root, measure, 2 * rounds, tell)
        judged |= found
        judged |= _at_once(at_once, root, measure, rounds, tell)
    else:
        judged |= _at_once(at_once, root, measure, rounds, tell)
        left_alone |= _take_back(levers, judged, root)
        found, before = _over_a_reboot(later, None, root, measure, 2 * rounds, tell)
        judged |= found
    left_alone |= _take_back(levers, judged, root)
    if before is None:
        durable.remove(path)
    else:  # last: it goes with the journal when everything is taken back
        durable.replace(path, reports.to_json(before))
    ordered = tuple(judged[each.name] for each in levers)
    return Result(os.fspath(model), one.backend, one.variant, one.threads, ordered, left_alone)


def _nothing(root: str | os.PathLike[str]) -> OptionError:
    said = "no lever is applied, so there is nothing to measure"
    movable = [each for each in tuning.levers(root) if each.for_speed and not each.refused]
    if any(not each.opt_in for each in movable):
        return OptionError(said, hint="piaccel tune apply, then again")
    names = ",".join(each.name for each in movable)
    hint = f"what might: piaccel tune apply --only {names}" if names else "see why: piaccel tune show"
    return OptionError(f"{said}, and none is recommended for speed on this machine", hint=hint)


def _take_back(levers: Sequence[Lever], judged: dict[str, Weighed], root: str | os.PathLike[str]) -> dict[str, str]:
    """What was found not to help; what is not judged yet stays."""
    kept = [each for each in levers if each.name not in judged or judged[each.name].kept]
    return tuning.keep_only(kept, root)


def _at_once(
    levers: Sequence[Lever], root: str | os.PathLike[str], measure: Measure, rounds: int, tell: Tell
) -> dict[str, Weighed]:
    """What the running system follows."""
    why = "nothing of it can be switched on this system"
    return {
        each.name: _in_turns(each, root, measure, rounds, tell)
        if tuning.can_switch(each, root)
        else Weighed(each.name, "not judged", True, why)
        for each in levers
    }


def _in_turns(lever: Lever, root: str | os.PathLike[str], measure: Measure, rounds: int, tell: Tell) -> Weighed:
    """Without and with it, A B B A."""
    off: list[Measurement] = []
    on: list[Measurement] = []
    try:
        for turn in range(rounds):
            for is_on in (False, True, True, False):
                tell(f"{lever.name}, round {turn + 1} of {rounds}: {'with' if is_on else 'without'} it")
                tuning.switch(lever, is_on, root)
                (on if is_on else off).append(_row(measure()))
    finally:
        tuning.switch(lever, True, root)
    return _judge(lever.name, off, on, f"in turns, {2 * rounds} fresh processes each")


def _over_a_reboot(
    levers: Sequence[Lever],
    before: Report | None,
    root: str | os.PathLike[str],
    measure: Measure,
    count: int,
    tell: Tell,
) -> tuple[dict[str, Weighed], Report | None]:
    """What is in force after the next boot only, all of it together; with what is to be kept for the judgement."""
    waiting = tuning.status(root).levers
    found: dict[str, Weighed] = {}

    def put_off(names: Sequence[str], outcome: Outcome, why: str) -> None:
        found.update((each, Weighed(each, outcome, True, why)) for each in names)

    seen: Sequence[str] = before.conditions.get("levers", ()) if before is not None else ()
    next_boot = [each.name for each in levers if waiting.get(each.name)]
    in_force = [each.name for each in levers if waiting.get(each.name) is False]
    known = [each for each in in_force if each in seen]
    put_off(
        [each.name for each in levers if waiting.get(each.name) is None],
        "not judged",
        "whether the board was started again since it was applied cannot be known here",
    )
    put_off(
        [each for each in in_force if each not in seen],
        "not judged",
        "it is in force, and nothing was measured before: revert, reboot, apply, and measure before the next reboot",
    )
    if before is not None and known:
        now = [_told(measure, tell, f"after the reboot: run {turn + 1} of {count}") for turn in range(count)]
        if unlike := _unlike(before, now[0]):
            put_off(known, "not judged", f"what was measured before the reboot is no match: {unlike}")
            put_off(next_boot, "waits for a reboot", "measure once more before it")
            return found, before
        how = f"before and after a reboot, {count} fresh processes each"
        if len(known) > 1:
            how += f"; {', '.join(known)} together, for one reboot brought them all"
        found |= {each: _judge(each, before.measurements, [_row(one) for one in now], how) for each in known}
        put_off(next_boot, "waits for a reboot", "measure once more before it")
    elif next_boot:
        rows = [_told(measure, tell, f"before the reboot: run {turn + 1} of {count}") for turn in range(count)]
        put_off(next_boot, "waits for a reboot", "measured as it is now; reboot, then measure once more")
        conditions = {**rows[0].conditions, "levers": next_boot}
        return found, replace(rows[0], conditions=conditions, measurements=[_row(each) for each in rows])
    return found, None


def _unlike(before: Report, now: Report) -> str:
    """Why the two cannot be held against each other, '' where they can: other model, backend, versions, board."""
    one, other = (
        replace(
            each,
            measurements=each.measurements[:1],
            environment={
                **each.environment,
                "board": {
                    name: value for name, value in each.environment.get("board", {}).items() if name not in _MOVED
                },
            },
        )
        for each in (before, now)
    )
    try:
        return "; ".join(compare(one, other).changed)
    except ConditionsError as error:
        return str(error)


def _judge(name: str, off: Sequence[Measurement], on: Sequence[Measurement], how: str) -> Weighed:
    rows = [*off, *on]
    spoilt = [reason for row in rows for reason in row.verdict.reasons if reason.startswith(_SPOILS)]
    if any(not row.repeats for row in rows):
        why = next(row.error for row in rows if not row.repeats) or "it could not be measured"
        return Weighed(name, "not judged", False, f"taken back: {why}", how=how)
    found = difference(_together(off), _together(on))
    if found is None or found.interval is None:
        return Weighed(name, "not judged", False, "taken back: too few samples", how=how)
    weighed = Weighed(
        name,
        "did not help",
        False,
        "taken back: " + ("it made it slower" if found.significant else "no difference is shown"),
        found.old_ms,
        found.new_ms,
        found.ratio,
        found.interval.low,
        found.interval.high,
        f"{how}; {found.interval.method}",
    )
    if spoilt:
        why = f"taken back: the conditions were not the same: {'; '.join(dict.fromkeys(spoilt))}"
        return replace(weighed, outcome="not judged", why=why)
    if found.significant and found.ratio < 1:
        return replace(weighed, outcome="helped", kept=True, why="kept")
    return weighed


def _bench(
    model: Path,
    backend: str,
    variant: str | None,
    threads: int | None,
    root: str | os.PathLike[str],
    duration_s: float,
    overrides: dict[str, Any],
) -> Measure:
    """One repeat of one row: what auto picks where nothing is named."""
    if backend == "auto":
        pick = fastest.choose(Bundle.open(model), variant=variant, threads=threads, root=root, **overrides).pick
        backend, variant, threads = pick.backend, pick.variant, pick.threads
    return lambda: benchmark(
        model,
        backends=[backend],
        variants=[variant] if variant else None,
        threads=[threads] if threads else None,
        duration_s=duration_s,
        repeats=1,
        root=root,
        **overrides,
    )


def _row(report: Report) -> Measurement:
    if not report.measurements or report.interrupted:
        raise KeyboardInterrupt
    return report.measurements[0]


def _together(rows: Sequence[Measurement]) -> Measurement:
    repeats = [repeat for row in rows for repeat in row.repeats]
    return replace(rows[0], repeats=repeats, verdict=Verdict(valid=True))


def _told(measure: Measure, tell: Tell, text: str) -> Report:
    tell(text)
    return measure()


def _kept(path: Path) -> Report | None:
    """What was measured before a reboot: one report, a row for each run."""
    try:
        return reports.from_json(path.read_bytes(), str(path))
    except (FileNotFoundError, InputError):  # InputError: of another version, measured under other rules
        return None
