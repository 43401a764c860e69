"""Which of the applied levers help, measured with a model; the others are taken back.

What the running system follows at once is put aside and back again in turns (A B B A), a fresh process each time, so
that what drifts drifts for both. What needs a reboot is measured before and after it: the first call keeps the samples
in the journal's folder, the one after the reboot judges. Helped means: the 95 % interval of the ratio of the medians
lies below 1 (``piaccel.bench.statistics.difference``).
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
from piaccel.bench.run import benchmark
from piaccel.bench.statistics import difference
from piaccel.bundles import Bundle
from piaccel.device import tuning
from piaccel.device.tuning import Lever
from piaccel.device.tuning.journal import BEFORE_REBOOT
from piaccel.errors import InputError, OptionError, UnavailableError

ROUNDS = 3
"""Of A B B A: twice as many fresh processes for each side."""
DURATION_S = 2.0
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
        raise OptionError("no lever is applied, so there is nothing to measure", hint="piaccel tune apply, then again")
    if shut := tuning.closed_to_revert(root):
        raise UnavailableError(f"only root may take back {shut[0]}", hint="run it with sudo, or name another --root")
    if measure is None:
        measure = _bench(Path(model), backend, variant, threads, root, duration_s, overrides)
    tell("a first run, which is not counted")
    one = _row(measure())
    waiting = tuning.status(root).levers
    judged: list[Weighed] = []
    later: list[Lever] = []
    for lever in levers:
        if not lever.for_speed:
            judged.append(Weighed(lever.name, "not judged", True, "it is not there for speed"))
        elif lever.needs_reboot:
            later.append(lever)
        elif not tuning.can_switch(lever, root):
            judged.append(Weighed(lever.name, "not judged", True, "nothing of it can be switched on this system"))
        else:
            judged.append(_in_turns(lever, root, measure, rounds, tell))
    judged += _over_a_reboot(later, waiting, Path(root), measure, 2 * rounds, tell)
    kept = {each.lever for each in judged if each.kept}
    left_alone = tuning.keep_only([each for each in levers if each.name in kept], root)
    order = {each.name: place for place, each in enumerate(levers)}
    judged.sort(key=lambda each: order[each.lever])
    return Result(os.fspath(model), one.backend, one.variant, one.threads, tuple(judged), left_alone)


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
    levers: Sequence[Lever], waiting: dict[str, bool | None], root: Path, measure: Measure, count: int, tell: Tell
) -> list[Weighed]:
    """What is in force after the next boot only, all of it together."""
    if not levers:
        return []
    names = ", ".join(each.name for each in levers)
    path = root / BEFORE_REBOOT
    if any(waiting.get(each.name) is not False for each in levers):
        rows = [_told(measure, tell, f"before the reboot: run {turn + 1} of {count}") for turn in range(count)]
        _keep(path, rows)
        why = "measured as it is now; reboot, then measure once more"
        return [Weighed(each.name, "waits for a reboot", True, why) for each in levers]
    before = _kept(path)
    if before is None:
        why = "it was in force before anything was measured: revert, reboot, apply and measure before the next reboot"
        return [Weighed(each.name, "not judged", True, why) for each in levers]
    rows = [_told(measure, tell, f"after the reboot: run {turn + 1} of {count}") for turn in range(count)]
    how = f"before and after a reboot, {count} fresh processes each"
    if len(levers) > 1:
        how += f"; {names} together, for one reboot brought them all"
    found = [_judge(each.name, [_row(one) for one in before], [_row(one) for one in rows], how) for each in levers]
    durable.remove(path)
    return found


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


def _keep(path: Path, rows: Sequence[Report]) -> None:
    """One report holds all runs: the first's, with a row for each."""
    whole = replace(rows[0], measurements=[_row(each) for each in rows])
    durable.replace(path, reports.to_json(whole))


def _kept(path: Path) -> list[Report] | None:
    try:
        whole = reports.from_json(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None
    except InputError:  # of another version: measured under other rules
        return None
    return [replace(whole, measurements=[row]) for row in whole.measurements]
