"""The frames of a device that has a camera of its own, each with its result."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Self

from piaccel.backends import CameraSession
from piaccel.errors import OptionError
from piaccel.frames import Frame

if TYPE_CHECKING:
    from piaccel.models import Model
    from piaccel.tasks import Result

_log = logging.getLogger("piaccel")


class Stream:
    """Yields a frame and its result as often as the camera has one, until the model is closed.

    Frames without a result are left out and counted. ``frame.index`` counts every frame of the camera.
    Raises OptionError for a model whose backend has no camera; while it runs UnavailableError when the camera does
    not start, InferenceError when it is lost, ModelError when outputs or labels do not fit the task.
    """

    def __init__(self, model: Model) -> None:
        if not isinstance(model.session, CameraSession):
            raise OptionError(
                f"{model.backend} has no camera of its own", hint="give it pictures with Model.predict(frame)"
            )
        self._model = model
        self._shots = model.session.shots()
        self.answered = 0
        """Frames that were yielded with a result."""
        self.unanswered = 0
        """Frames that came without one, and were left out."""
        self.timing_ms: Mapping[str, float] = {}
        """How long the parts of the device's work took for the frame yielded last; empty where it does not tell."""

    def __iter__(self) -> Iterator[tuple[Frame, Result]]:
        return self

    def __next__(self) -> tuple[Frame, Result]:
        for shot in self._shots:
            if shot.outputs is None:
                self._count_unanswered()
                continue
            result = self._model.answer(shot.outputs, shot.geometry)
            self.answered += 1
            self.timing_ms = shot.timing_ms
            return shot.frame, result
        raise StopIteration

    def _count_unanswered(self) -> None:
        self.unanswered += 1
        if self.unanswered & (self.unanswered - 1) == 0:  # the first, second, fourth, eighth, ...
            _log.info("%d of %d frames came without a result", self.unanswered, self.unanswered + self.answered)

    def close(self) -> None:
        """Close the model, and with it the camera. Idempotent."""
        self._model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
