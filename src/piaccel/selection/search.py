"""Measures what could be chosen, by successive halving: all for a moment, what may still be on the front for longer.

What another option beats even if it were ``Round.slack`` times faster than measured is left out after a round, and what
``Round.keep`` has no room for; each with the reason. A last round takes enough samples for a p99 and watches
temperature, memory and power.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from piaccel import backends as seam
from piaccel.bench import Measurement
from piaccel.bench import plan as plans
from piaccel.bench.energy import Watts
from piaccel.bench.environment import usable_cores
from piaccel.bench.monitor import Sensor
from piaccel.bench.plan import Candidate, Plan
from piaccel.bench.run import Progress, Reference, Settings, Sitting
from piaccel.bundles import MANIFEST, Bundle
from piaccel.device.power import PowerSource
from piaccel.errors import ModelError, NotFoundError, PiaccelError
from piaccel.selection import Figure, LeftOut, Option
from piaccel.selection import pictures as shown
from piaccel.selection.evidence import figures
from piaccel.selection.front import beaten_by
from piaccel.selection.limits import Limit
from piaccel.selection.score import Scorer, published

FED = 8
"""Pictures that are fed while the speed is measured."""
LEAST_AGREEMENT = 0.5
"""What agrees with the reference on fewer of the user's pictures is broken, not less accurate."""


@dataclass(frozen=True)
class Round:
    """How long each option is measured, and what may go on to the next round."""

    duration_s: float
    repeats: int
    min_queries: int
    slack: float = 1.0
    keep: int = 1000


ROUNDS = (
    Round(0.1, 1, 8, slack=2.0, keep=16),
    Round(0.3, 2, 30, slack=1.25, keep=6),
    Round(1.0, 2, 150),
)


@dataclass
class _Model:
    """One bundle with what is known of it."""

    bundle: Bundle
    plan: Plan
    alive: list[Candidate]
    pictures: shown.Pictures
    reference: Reference | None = None
    scorer: Scorer | None = None
    accuracy: dict[str, Figure] = field(default_factory=dict)
    """By the candidates' names: it does not depend on the number of threads."""


class Search:
    """One search. Go through ``steps``; ``options`` and ``left_out`` tell what is known, at any time."""

    def __init__(
        self,
        bundles: Sequence[Bundle],
        limits: Sequence[Limit],
        *,
        images: Sequence[Path] = (),
        backends: Sequence[str] | None = None,
        threads: Sequence[int] | None = None,
        options: Sequence[str] = (),
        overrides: Mapping[str, Any] | None = None,
        sensors: Iterable[Sensor] = (),
        power: PowerSource | None = None,
        board: Mapping[str, Any] | None = None,
        rounds: Sequence[Round] = ROUNDS,
    ) -> None:
        self._limits, self._rounds, self._power = limits, rounds, power
        self._sensors = [*sensors, *([Watts(power)] if power is not None else [])]
        self._board, self._overrides = board or {}, overrides or {}
        self.left_out: list[LeftOut] = []
        self._found: dict[str, Option] = {}
        cores = usable_cores()
        counts = threads or sorted({1, max(cores // 2, 1), cores})
        self._models = [
            self._model(each, plans.make(each, backends, None, counts, options), images) for each in bundles
        ]

    @property
    def options(self) -> list[Option]:
        """What is still in the running, as it was measured last."""
        names = {self._name(model, each) for model in self._models for each in model.alive}
        return [each for name, each in self._found.items() if name in names]

    def steps(self) -> Iterator[Progress]:
        """Measure, round after round; yield before each phase."""
        for number, each in enumerate(self._rounds, 1):
            for model in self._models:
                yield from self._sit(model, number, each)
                if number == 1:
                    yield from self._score(model)
            if number < len(self._rounds):
                self._narrow(number, each)

    def _model(self, bundle: Bundle, plan: Plan, images: Sequence[Path]) -> _Model:
        cameras = [each for each in plan.candidates if seam.get(each.backend).brings_camera]
        for each in cameras:
            self._leave_out(f"{bundle.name}: {each.name}", "answers its own camera only, it cannot be fed", 0)
        for each, reason in plan.rejected:
            self._leave_out(f"{bundle.name}: {each.name}", reason, 0, each.hint)
        alive = [each for each in plan.candidates if each not in cameras]
        given = self._overrides.get("labels")
        from piaccel.models import Overrides  # what is loaded with it is needed to measure only

        labels = (Overrides(labels=given).read_labels() if given else None) or bundle.labels
        pictures = shown.label(images, labels) if images else shown.Pictures(())
        return _Model(bundle, plan, alive, pictures)

    def _sit(self, model: _Model, number: int, each: Round) -> Iterator[Progress]:
        if not model.alive:
            return
        settings = Settings(
            duration_s=each.duration_s,
            repeats=each.repeats,
            min_queries=each.min_queries,
            images=_spread(model.pictures.paths),
            overrides=self._overrides,
        )
        sitting = Sitting(
            replace(model.plan, candidates=tuple(model.alive), rejected=()),
            settings,
            sensors=self._sensors,
            board=self._board,
            reference=model.reference,
        )
        try:
            for step in sitting.steps():
                yield replace(step, text=f"round {number} of {len(self._rounds)}, {model.bundle.name}: {step.text}")
        finally:  # what was measured until Ctrl-C counts
            model.reference = sitting.reference
            rows = dict(zip(model.alive, sitting.report().measurements, strict=True))
            for candidate, row in rows.items():
                self._take(model, candidate, row, number)

    def _take(self, model: _Model, candidate: Candidate, row: Measurement, number: int) -> None:
        name = self._name(model, candidate)
        if not row.repeats:
            if not row.error.startswith("interrupted"):
                self._drop(model, candidate, f"cannot be measured: {row.error}", number, row.hint)
            return
        if not model.pictures.paths and row.agreement is not None and not row.agreement.agrees:
            why = f"wrong answer: {row.agreement.detail or 'not the answer of the reference'}"
            self._drop(model, candidate, why, number)
            return
        accuracy = model.accuracy.get(candidate.name) or published(model.bundle, candidate.variant.name)
        self._found[name] = Option(
            model=model.bundle.name,
            path=str(model.bundle.path),
            variant=candidate.variant.name,
            backend=candidate.backend,
            threads=candidate.threads,
            figures={**figures(row, self._power), "accuracy": accuracy},
            samples=sum(len(repeat.latency_ns) for repeat in row.repeats),
            round=number,
            backend_options=candidate.options,
            remarks=row.verdict.reasons,
        )

    def _score(self, model: _Model) -> Iterator[Progress]:
        """Measure each pair of variant and backend on the user's pictures."""
        if not model.pictures.paths:
            return
        pairs = {each.name: each for each in model.alive}
        yield Progress(0, len(pairs) + 1, f"{model.bundle.name}: asking the reference about the pictures")
        reference = model.reference.candidate if model.reference else None
        model.scorer = Scorer.make(model.bundle, model.pictures, Settings(overrides=self._overrides), reference)
        for done, (name, candidate) in enumerate(pairs.items(), 1):
            yield Progress(done, len(pairs) + 1, f"accuracy of {name} on {len(model.pictures.paths)} pictures")
            same = [each for each in model.alive if each.name == name]
            try:
                figure = model.accuracy[name] = model.scorer.figure(candidate)
            except PiaccelError as error:
                for each in same:
                    self._drop(model, each, f"accuracy cannot be measured: {error}", 1, error.hint)
                continue
            for each in same:
                if not model.pictures.truth and (figure.value or 0.0) < LEAST_AGREEMENT:
                    self._drop(model, each, f"wrong answer: {figure.value or 0:.0%} {figure.how}", 1)
                elif (option := self._found.get(self._name(model, each))) is not None:
                    self._found[option.name] = replace(option, figures={**option.figures, "accuracy": figure})

    def _narrow(self, number: int, each: Round) -> None:
        options = self.options
        beaten = beaten_by(options, each.slack)
        standing = [option for option in options if option.name not in beaten]
        standing.sort(key=lambda option: (_broken(option, self._limits, each.slack), option.value("latency_p99_ms")))
        crowded = {option.name for option in standing[each.keep :]}
        for model in self._models:
            for candidate in list(model.alive):
                name = self._name(model, candidate)
                if name in beaten:
                    why = f"beaten by {beaten[name]}, even if it were {each.slack:g} times faster than measured"
                    self._drop(model, candidate, why, number)
                elif name in crowded:
                    self._drop(model, candidate, f"{each.keep} others came nearer to the limits or were faster", number)

    def _drop(self, model: _Model, candidate: Candidate, why: str, number: int, hint: str = "") -> None:
        model.alive = [each for each in model.alive if each is not candidate]
        self._leave_out(self._name(model, candidate), why, number, hint)

    def _leave_out(self, name: str, why: str, number: int, hint: str = "") -> None:
        self.left_out.append(LeftOut(name, why, number, hint))

    @staticmethod
    def _name(model: _Model, candidate: Candidate) -> str:
        return Option(
            model.bundle.name, "", candidate.variant.name, candidate.backend, candidate.threads, figures={}
        ).name


def bundles_of(paths: Sequence[str | os.PathLike[str]]) -> list[Bundle]:
    """Open bundles, model files, and folders that hold some. Raises NotFoundError, ModelError."""
    found: list[Bundle] = []
    for path in map(Path, paths):
        if path.is_dir() and not (path / MANIFEST).is_file():
            inside = [Bundle.open(each.parent) for each in sorted(path.glob(f"*/{MANIFEST}"))]
            inside += [Bundle.open(each) for each in sorted(path.iterdir()) if _is_model(each)]
            if not inside:
                raise NotFoundError(
                    f"{path}: holds no bundle and no model file", hint="make a bundle with: piaccel bundle FILE..."
                )
            found += inside
        else:
            found.append(Bundle.open(path))
    names = [each.name for each in found]
    for each in found:
        if names.count(each.name) > 1:
            raise ModelError(f"{each.path}: two models are called {each.name!r}", hint="give each a name of its own")
    return found


def run(search: Search, progress: Callable[[Progress], None] | None) -> bool:
    """Carry a search out; return whether Ctrl-C ended it."""
    try:
        for step in search.steps():
            if progress is not None:
                progress(step)
    except KeyboardInterrupt:
        return True
    return False


def _is_model(path: Path) -> bool:
    return path.is_file() and any(backend.accepts(path) for backend in seam.every())


def _spread(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Some of the pictures, from all over the folder."""
    step = max(len(paths) / FED, 1.0)
    return tuple(paths[int(index * step)] for index in range(min(len(paths), FED)))


def _broken(option: Option, limits: Sequence[Limit], slack: float) -> int:
    """How many limits it breaks, latency and rate taken ``slack`` times better."""
    count = 0
    for limit in limits:
        value = option.value(limit.kind.key)
        if value is None:
            continue
        if limit.kind.key == "latency_p99_ms":
            value /= slack
        if limit.kind.key == "fps":
            value *= slack
        count += value < limit.bound if limit.kind.at_least else value > limit.bound
    return count
