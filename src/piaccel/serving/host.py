"""A version of a model on the side that holds it: in its own process, or in a thread of the service."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from piaccel import auto, bundles, images
from piaccel.backends import CameraSession
from piaccel.errors import InferenceError, InputError, OptionError, PiaccelError
from piaccel.frames import Frame
from piaccel.models import Model
from piaccel.serving.messages import Bytes
from piaccel.serving.runner import Facts, GoldenCheck, Opening, Picture, Weighing
from piaccel.tensors import Array

_JPEG_QUALITY = 85


class Host:
    """Opens a version and answers for it. Synchronous; not for use from several threads at once.

    ``alone`` in its process, it needs no other one to open the file first.
    """

    def __init__(self, opening: Opening, *, alone: bool = False) -> None:
        begun = time.perf_counter()
        self._path, self._alone, self._pictures = opening.path, alone, opening.pictures
        self.model: Model = auto.load(
            _model_in(opening.path),
            opening.backend,
            variant=opening.variant,
            threads=opening.threads,
            options=opening.options,
            fallback=False,
            try_first=not alone,
            **opening.overrides,
        )
        session = self.model.session
        if isinstance(session, CameraSession):
            self.model.close()
            raise OptionError(f"{self.model.backend} has a camera of its own: it cannot be fed by requests")
        self.facts = Facts(
            inputs=session.inputs,
            outputs=session.outputs,
            backend=self.model.backend,
            variant=self.model.variant.name,
            threads=self.model.threads,
            why=self.model.why,
            kind=self.model.task.kind,
            family=self.model.task.family,
            labels=tuple(self.model.labels),
            load_s=time.perf_counter() - begun,
            memory_bytes=None,
        )

    def warm_up(self, runs: int = 2) -> None:
        """Answer grey pictures, or zeros where only tensors are expected: the first runs of most runtimes are slow."""
        form = self.model.preprocessing
        grey = np.full((*form.size, 3), 128, np.uint8)
        for _ in range(runs):
            begun = time.perf_counter_ns()
            if self._pictures:
                self.model.predict(grey)
            else:
                self.model.session.run({self.model.session.inputs[0].name: np.zeros(form.shape, form.dtype)})
            self.facts = replace(self.facts, warm_ns=time.perf_counter_ns() - begun)

    def infer(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the network on raw tensors by name; its outputs as the network has them."""
        outputs = self.model.session.run(feeds)
        try:
            return _sound(outputs)
        except InferenceError as error:
            if all(array.dtype.kind != "f" or np.isfinite(array).all() for array in feeds.values()):
                raise
            raise InputError(
                "the input holds NaN or infinity, and so does the answer"
            ) from error  # not the model's fault

    def predict(self, image: Bytes, annotate: bool = False) -> Picture:
        """Decode and answer a picture. Raises InputError."""
        marks = [time.perf_counter()]
        pixels = images.decode_image(memoryview(image))
        marks.append(time.perf_counter())
        feeds, geometry = self.model.preprocess(Frame(pixels, 0, time.monotonic_ns()).image)
        marks.append(time.perf_counter())
        outputs = _sound(self.model.infer(feeds))
        marks.append(time.perf_counter())
        result = self.model.answer(outputs, geometry)
        told = result.to_dict()
        marks.append(time.perf_counter())
        drawn = images.encode_jpeg(result.draw(pixels), _JPEG_QUALITY) if annotate else None
        names = ("decode", "pre", "infer", "post")
        times = {name: (b - a) * 1e3 for name, a, b in zip(names, marks, marks[1:], strict=False)}
        return Picture(told, drawn, times)

    def check(self, samples: Path | None = None) -> GoldenCheck:
        """Answer golden samples (``piaccel.serving.golden``)."""
        from piaccel.serving import golden

        return golden.check(self.model, self._path if samples is None else samples, alone=self._alone)

    def weigh(self, most: int, rounds: int = 7) -> Weighing | None:
        """Measure runs of 2, 4, 8 ... up to ``most`` pictures against single ones, taking turns; the best of them.

        None where the network's batch is fixed, or it cannot run one.
        """
        (spec,) = self.model.session.inputs
        sizes = [1, *(2**power for power in range(1, most.bit_length()) if 2**power <= most)]
        if spec.shape[0] is not None or len(sizes) < 2:
            return None
        shape = self.model.preprocessing.shape[1:]
        feeds = [{spec.name: np.zeros((size, *shape), spec.dtype)} for size in sizes]
        times: list[list[float]] = [[] for _ in sizes]
        try:
            for turn in range(rounds + 1):
                for size, feed, sink in zip(sizes, feeds, times, strict=True):
                    begun = time.perf_counter()
                    self.model.session.run(feed)
                    if turn:  # the first is warm-up
                        sink.append((time.perf_counter() - begun) / size * 1e3)
        except PiaccelError:
            return None
        alone, *together = (statistics.median(each) for each in times)
        best = min(range(len(together)), key=together.__getitem__)
        return Weighing(size=sizes[best + 1], alone_ms=alone, together_ms=together[best])

    def close(self) -> None:
        """Idempotent."""
        self.model.close()


def _model_in(folder: Path) -> Path:
    """The bundle, or the one bare model file that lies in the folder."""
    if folder.is_file() or (folder / bundles.MANIFEST).is_file():
        return folder
    given = [each for each in folder.iterdir() if each.is_file() and not each.name.startswith((".", "release."))]
    weights = {bundles.weights_of(each) for each in given}
    bare = [each for each in given if each not in weights]
    return bare[0] if len(bare) == 1 else folder


def _sound(outputs: dict[str, Array]) -> dict[str, Array]:
    """Raise InferenceError for NaN: a model that says it must not answer."""
    for name, array in outputs.items():
        if array.dtype.kind == "f" and np.isnan(np.dot(array.ravel(), array.ravel())) and np.isnan(array).any():
            raise InferenceError(f"output {name} holds NaN")
    return outputs


def feeds_of(facts: Facts, arrays: Sequence[Array]) -> dict[str, Array]:
    """Arrays in the order of the inputs, by name."""
    return {spec.name: array for spec, array in zip(facts.inputs, arrays, strict=True)}
