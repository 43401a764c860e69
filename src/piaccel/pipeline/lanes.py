"""One thread's way from a picture to its result."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from piaccel.fallback import LOST
from piaccel.frames import Preprocessor
from piaccel.pipeline.engine import Engine
from piaccel.tasks import Result


class Lane(ABC):
    """Answers pictures one after the other. For one thread; ``engines`` may be shared with other lanes."""

    kind: str
    """The kind of its results: "classification", "detection", ..."""

    @abstractmethod
    def answer(self, image: NDArray[np.uint8], stages: dict[str, int]) -> Result:
        """Answer a picture, uint8 (H, W, 3) RGB.

        Adds to ``stages`` how long each part took in ns, by name: preprocess, gate (waiting for the model's turn),
        inference, postprocess. Raises what ``Model.predict`` raises.
        """

    @abstractmethod
    def engines(self) -> list[Engine]:
        """The models it asks, the first one first."""


class Single(Lane):
    """One model on the whole picture, prepared in a buffer of the lane's own.

    ``admitted`` is called when the model's turn has come: the next picture may be prepared then.
    """

    def __init__(
        self,
        engine: Engine,
        who: str,
        admitted: Callable[[], None] | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._engine = engine
        self._admitted = admitted
        self._who = who
        self._clock = clock
        self._adapt()

    @property
    def kind(self) -> str:  # type: ignore[override]
        return self._engine.model.task.kind

    def engines(self) -> list[Engine]:
        return [self._engine]

    def _adapt(self) -> None:
        """Prepare pictures as the model's present backend takes them."""
        self._preprocessing = self._engine.model.preprocessing
        self._input = self._engine.model.session.inputs[0].name
        self._prepare = Preprocessor(self._preprocessing)
        self._tensor = np.empty(self._preprocessing.shape, self._preprocessing.dtype)
        self._feeds = {self._input: self._tensor}

    def answer(self, image: NDArray[np.uint8], stages: dict[str, int]) -> Result:
        clock, model = self._clock, self._engine.model
        begin = clock()
        _, geometry = self._prepare(image, self._tensor)
        prepared = clock()
        with self._engine.turn(self._who):
            admitted = clock()
            if self._admitted is not None:
                self._admitted()
            model.ready()
            while True:
                if model.preprocessing is not self._preprocessing:  # another backend answers since this was prepared
                    self._adapt()
                    _, geometry = self._prepare(image, self._tensor)
                try:
                    outputs = model.infer(self._feeds)
                    break
                except LOST as error:
                    model.hand_on(error)
            inferred = clock()
        time.sleep(0)  # lets go of Python's lock: whoever waits for the model begins before this result is decoded
        result = model.answer(outputs, geometry)
        ended = clock()
        for name, taken in (
            ("preprocess", prepared - begin),
            ("gate", admitted - prepared),
            ("inference", inferred - admitted),
            ("postprocess", ended - inferred),
        ):
            stages[name] = stages.get(name, 0) + taken
        return result
