"""Accuracy on the user's pictures: top-1 where they tell their class, else agreement with the reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from piaccel import isolation
from piaccel.bench import agreement as agreements
from piaccel.bench.environment import usable_cores
from piaccel.bench.measure import Answer, Job, opened
from piaccel.bench.plan import Candidate
from piaccel.bench.run import LOAD_TIMEOUT_S, Settings
from piaccel.bundles import Bundle
from piaccel.errors import PiaccelError
from piaccel.images import read_image
from piaccel.selection import Figure
from piaccel.selection.pictures import Pictures

SILENCE_S = 60.0
"""Longest time between two answers of the child."""


def answers(job: Job) -> Iterator[Answer]:
    """Answer each picture of the job, in a child; the outputs stay there, what they mean is given out."""
    with ExitStack() as stack:
        model, _, _ = opened(job, stack)
        for path in job.images:
            picture = read_image(path)
            feeds, geometry = model.preprocess(picture)
            result = model.postprocess(model.infer(feeds), geometry)
            yield Answer({}, result, picture.shape[:2], getattr(model.task, "threshold", 0.0))


@dataclass(frozen=True)
class Scorer:
    """Scores one bundle's candidates on ``pictures``; ``reference`` is whose answers are taken for right."""

    bundle: Bundle
    pictures: Pictures
    settings: Settings
    reference: Candidate | None
    right: tuple[Answer, ...] = ()

    @classmethod
    def make(cls, bundle: Bundle, pictures: Pictures, settings: Settings, reference: Candidate | None) -> Scorer:
        """Ask the reference, where pictures without a class make it the judge. Raises PiaccelError if it fails."""
        scorer = cls(bundle, pictures, settings, reference)
        if pictures.truth or not pictures.paths or reference is None:
            return scorer
        return replace(scorer, right=tuple(scorer.ask(reference)))

    def figure(self, candidate: Candidate) -> Figure:
        """Return the candidate's accuracy as a fraction. Raises PiaccelError where it cannot answer."""
        count = len(self.pictures.paths)
        if not self.pictures.truth and not self.right:
            return Figure(None, "unknown: no reference answered")
        found = self.ask(candidate)
        if self.pictures.truth:
            right = _top1(found, self.pictures.truth)
            return Figure(right / count, f"measured here: top-1 of {count} pictures", f"top-1 on {count} pictures")
        assert self.reference is not None
        bounds = agreements.bounds_for(self.reference.precision, candidate.precision)
        same = sum(
            agreements.compare([theirs], [ours], bounds).same_answer
            for theirs, ours in zip(self.right, found, strict=True)
        )
        how = f"agreement with the {self.reference.precision} reference {self.reference.name} on {count} pictures"
        return Figure(same / count, how, f"agreement within {self.bundle.path}")

    def ask(self, candidate: Candidate) -> list[Answer]:
        job = Job(
            bundle=self.bundle,
            variant=candidate.variant,
            backend=candidate.backend,
            threads=candidate.threads,
            scenario="single-stream",
            limits=self.settings.limits,
            cores=usable_cores(),
            options=candidate.options,
            overrides=self.settings.overrides,
            images=self.pictures.paths,
        )
        with isolation.Worker() as worker:
            return list(worker.stream("piaccel.selection.score:answers", job, timeout=LOAD_TIMEOUT_S + SILENCE_S))


def published(bundle: Bundle, name: str) -> Figure:
    """Return the variant's accuracy as its manifest states it."""
    accuracy = bundle.variant(name).accuracy
    if accuracy is None:
        return Figure(None, "unknown: no pictures given, and the manifest states none")
    table = bundle.manifest.accuracy if bundle.manifest else None
    test = f"{table.metric}, {table.samples} samples" + (f", {table.data}" if table.data else "") if table else ""
    basis = f"published: {test}" if test else f"published in {bundle.path}"
    return Figure(accuracy, f"as published in the manifest ({test or 'how it was measured is not stated'})", basis)


def _top1(found: Sequence[Answer], truth: Sequence[int]) -> int:
    scores = [np.asarray(getattr(answer.result, "scores", ())) for answer in found]
    if not all(each.size for each in scores):
        raise PiaccelError("top-1 accuracy is for classification", hint="give pictures whose names tell no class")
    return sum(int(each.argmax()) == right for each, right in zip(scores, truth, strict=True))
