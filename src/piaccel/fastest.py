"""Which backend, variant and thread count is fastest on this board, and right: measured once, then remembered.

The measurement narrows down in two rounds (successive halving): every pair of variant and backend on one thread and on
all cores for a moment, then those that could still win for longer, in turns, in several fresh processes. What does not
agree with the reference is out, however fast. The result is kept for this board, these files and these versions.
"""

from __future__ import annotations

import hashlib
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from piaccel import backends, files
from piaccel.auto import Pick
from piaccel.bench import Measurement, Report
from piaccel.bench import plan as plans
from piaccel.bench import report as reports
from piaccel.bench.environment import usable_cores
from piaccel.bench.plan import Candidate, Plan
from piaccel.bench.run import Progress, Reference, Settings, Sitting
from piaccel.bundles import Bundle
from piaccel.errors import ModelError, PiaccelError, UnavailableError
from piaccel.version import __version__

FIRST = Settings(duration_s=0.1, repeats=1, min_queries=8)
SECOND = Settings(duration_s=0.25, repeats=4, min_queries=24)
KEEP_WITHIN = 2.0
"""The second round takes what is at most so many times slower than the best of the first..."""
KEEP_AT_MOST = 6
"""... and at most so many."""

Tell = Callable[[Progress], None]


@dataclass(frozen=True)
class Choice:
    """A pick with the measurements behind it; ``remembered`` is where they are kept, None where that failed."""

    pick: Pick
    report: Report
    remembered: Path | None


def choose(
    bundle: Bundle,
    *,
    variant: str | None = None,
    threads: int | None = None,
    options: Sequence[str] = (),
    root: str | os.PathLike[str] = "/",
    progress: Tell | None = None,
    **overrides: Any,
) -> Choice:
    """Return the remembered choice for this board, model and versions, or measure and remember it.

    Raises ModelError when no candidate gives the reference's answer, UnavailableError when none can run.
    """
    place = _place(bundle, variant, threads, options, root, overrides)
    found = _recall(place)
    if found is not None:
        return found
    pick, report = _measure(bundle, variant, threads, options, root, progress, overrides)
    try:
        kept = {"pick": asdict(pick), "report": reports.to_json(report).decode()}
        files.write_atomic(place, msgspec.json.encode(kept))
    except OSError:  # a read-only or full disk must not keep the model from running
        return Choice(pick, report, None)
    return Choice(pick, report, place)


def cached(
    bundle: Bundle,
    *,
    variant: str | None = None,
    threads: int | None = None,
    options: Sequence[str] = (),
    root: str | os.PathLike[str] = "/",
    **overrides: Any,
) -> Choice | None:
    """Return what ``choose`` remembers for this board, model and versions; None when nothing was measured yet."""
    return _recall(_place(bundle, variant, threads, options, root, overrides))


def folder() -> Path:
    """Where choices are kept."""
    return files.cache() / "choices"


def _measure(
    bundle: Bundle,
    variant: str | None,
    threads: int | None,
    options: Sequence[str],
    root: str | os.PathLike[str],
    progress: Tell | None,
    overrides: Mapping[str, Any],
) -> tuple[Pick, Report]:
    from piaccel.device import board, sensors

    cores = usable_cores()
    counts = [threads] if threads else sorted({1, cores})
    plan = plans.make(bundle, None, [variant] if variant else None, counts, options)
    fed = tuple(each for each in plan.candidates if not backends.get(each.backend).brings_camera)
    plan = replace(plan, candidates=fed)  # what answers its own camera gives nobody's answer
    if not plan.candidates:
        candidate, reason = plan.rejected[0]
        raise UnavailableError(f"{bundle.path}: {candidate.backend} cannot run it: {reason}", hint=candidate.hint)
    described = board.detect(root).fingerprint()

    def sit(candidates: Sequence[Candidate], settings: Settings, reference: Reference | None = None) -> Sitting:
        narrowed = replace(plan, candidates=tuple(candidates))
        sitting = Sitting(
            narrowed,
            replace(settings, overrides=overrides),
            sensors=sensors.find(root),
            board=described,
            reference=reference,
        )
        for step in sitting.steps():
            if progress is not None:
                progress(step)
        return sitting

    opening = sit(plan.candidates, FIRST)
    first = opening.report()
    promising = _promising(first)
    if not promising:
        raise _nobody(bundle, first)
    finalists = _again(plan, promising, cores if threads is None else None)
    second = sit(finalists, SECOND, opening.reference).report()
    ranked = _ranked(second)
    if not ranked:
        raise _nobody(bundle, second)
    best = ranked[0]
    report = _joined(first, second)
    given = next(each.options for each in finalists if each.backend == best.backend)
    return Pick(best.variant, best.backend, best.threads, given, _why(best, report)), report


def _promising(report: Report) -> list[Measurement]:
    agreeing = _ranked(report)
    return [row for row in agreeing if _best_median(row) <= KEEP_WITHIN * _best_median(agreeing[0])][:KEEP_AT_MOST]


def _ranked(report: Report) -> list[Measurement]:
    """The rows that agree with the reference, fastest first."""
    return sorted((row for row in report.measurements if row.repeats and _agrees(row)), key=_best_median)


def _best_median(row: Measurement) -> float:
    """The median of the fastest repeat, in ns: what else runs on a board only ever makes a repeat slower."""
    return min(statistics.median(repeat.latency_ns) for repeat in row.repeats)


def _again(plan: Plan, rows: Sequence[Measurement], cores: int | None) -> list[Candidate]:
    """The candidates of ``rows``, and with half the cores too where the thread count is ours to choose."""
    wanted = {_identity(row) for row in rows}
    if cores is not None and cores > 2:
        wanted |= {(row.variant, row.backend, cores // 2) for row in rows[:2]}
    known = {(each.variant.name, each.backend): each for each in plan.candidates}
    return [replace(known[name, backend], threads=count) for name, backend, count in sorted(wanted)]


def _agrees(row: Measurement) -> bool:
    return row.agreement is not None and row.agreement.agrees


def _joined(first: Report, second: Report) -> Report:
    """The second round's rows, and of the first those that it did not repeat."""
    again = [row for row in second.measurements if row.repeats]
    repeated = {_identity(row) for row in again}
    return replace(second, measurements=again + [row for row in first.measurements if _identity(row) not in repeated])


def _identity(row: Measurement) -> tuple[str, str, int]:
    return row.variant, row.backend, row.threads


def _why(best: Measurement, report: Report) -> str:
    agreeing = sum(_agrees(row) for row in report.measurements)
    text = (
        f"fastest of {agreeing} that agree with {report.reference}: {_best_median(best) / 1e6:.3g} ms median, "
        f"measured {report.created[:10]}"
    )
    if not best.verdict.valid:
        text += f", not under valid conditions ({'; '.join(best.verdict.reasons)})"
    return text


def _nobody(bundle: Bundle, report: Report) -> PiaccelError:
    errors = [f"{row.backend}: {row.error}" for row in report.measurements if row.error]
    if len(errors) == len(report.measurements):
        return ModelError(f"{bundle.path}: no backend could run it: {errors[0]}")
    return ModelError(
        f"{bundle.path}: no backend gives the answer of the reference {report.reference or '(none could run)'}",
        hint="see the differences with: piaccel bench, or name the backend with --backend",
    )


def _recall(place: Path) -> Choice | None:
    try:
        kept = msgspec.json.decode(place.read_bytes(), type=dict[str, Any])
        pick = msgspec.convert(kept["pick"], Pick)
        return Choice(pick, reports.from_json(kept["report"].encode(), str(place)), place)
    except (OSError, msgspec.MsgspecError, KeyError, AttributeError, PiaccelError):
        return None  # damaged or of another version: it is measured anew, and overwritten


def _place(
    bundle: Bundle,
    variant: str | None,
    threads: int | None,
    options: Sequence[str],
    root: str | os.PathLike[str],
    overrides: Mapping[str, Any],
) -> Path:
    """The file that keeps the choice; its name changes with all that could change the choice."""
    from piaccel.device import board

    key = {
        "piaccel": __version__,
        "board": board.detect(root).fingerprint(),
        "cores": usable_cores(),
        "files": bundle.checksums(),
        "task": repr(bundle.task),
        "preprocess": repr([bundle.preprocess, *(each.preprocess for each in bundle.variants)]),
        "runtimes": {backend.name: backend.stamp() for backend in backends.every()},
        "asked": repr((variant, threads, tuple(options), _that_matter(overrides))),
    }
    digest = hashlib.sha256(msgspec.json.encode(key, order="deterministic")).hexdigest()
    return folder() / f"{bundle.name}-{digest[:16]}.json"


def _that_matter(overrides: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Labels, and how many findings are shown, change no speed; None is what was not given."""
    without = ("labels", "task_options")
    return sorted((key, value) for key, value in overrides.items() if value is not None and key not in without)
