"""An accelerator with a camera of its own (imx500): it is the source and the model at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from piaccel.backends import CameraSession, Shot
from piaccel.errors import InferenceError, ModelError, OptionError, UnavailableError
from piaccel.frames import Frame
from piaccel.models import Model
from piaccel.pipeline.engine import Engine
from piaccel.pipeline.lanes import Lane
from piaccel.sources import Options, Source
from piaccel.tasks import Result

_KEPT = 16


class OwnCamera(Source):
    """Gives the frames of the model's camera; what the network made of each waits for the lane that asks for it.

    A frame that came without an answer is left out, and counted as lost.
    """

    delivery_clock = "sensor"

    def __init__(self, open_model: Callable[[], Model]) -> None:
        super().__init__("", Options())
        self._open_model = open_model
        self._model: Model | None = None
        self._shots: Iterator[Shot] | None = None
        self._answers: OrderedDict[int, Shot] = OrderedDict()
        self._first: int | None = None

    @property
    def model(self) -> Model:
        """The model, opened where it is not. Raises OptionError for one without a camera."""
        if self._model is None:
            model = self._open_model()
            if not isinstance(model.session, CameraSession):
                model.close()
                raise OptionError(
                    f"{model.backend} has no camera of its own", hint="name a source: --source picamera, usb:0, a file"
                )
            self._model = model
        return self._model

    def open(self) -> None:
        session = self.model.session
        assert isinstance(session, CameraSession)
        self._shots = session.shots()
        self._first = None

    def read(self) -> Frame | None:
        assert self._shots is not None
        try:
            for shot in self._shots:
                if self._first is None:
                    self._first = shot.frame.index
                if shot.outputs is None:
                    continue
                frame = shot.frame
                self.size = (frame.image.shape[0], frame.image.shape[1])
                self._answers[id(frame.image)] = shot
                while len(self._answers) > _KEPT:
                    self._answers.popitem(last=False)
                return Frame(frame.image, frame.index - self._first, frame.exposed_ns)
        except InferenceError as error:  # the camera is lost: it is opened anew as any other
            raise UnavailableError(str(error), hint=error.hint) from error
        return None

    def answer(self, image: NDArray[np.uint8]) -> Result:
        """What the network saw in this picture, one that ``read`` gave."""
        shot = self._answers.pop(id(image), None)
        if shot is None or shot.outputs is None:
            raise ModelError("the answer to this frame is gone")
        return self.model.answer(shot.outputs, shot.geometry)

    def timing_ms(self, image: NDArray[np.uint8]) -> dict[str, float]:
        shot = self._answers.get(id(image))
        return {} if shot is None else dict(shot.timing_ms)

    def close(self) -> None:
        self._answers.clear()
        self._shots = None
        model, self._model = self._model, None
        if model is not None:
            model.close()

    def __str__(self) -> str:
        return "its own camera"


class OwnLane(Lane):
    """Decodes what the camera's network has answered already."""

    def __init__(self, camera: OwnCamera, engine: Engine, admitted: Callable[[], None]) -> None:
        self._camera = camera
        self._engine = engine
        self._admitted = admitted

    @property
    def kind(self) -> str:  # type: ignore[override]
        return self._camera.model.task.kind

    def engines(self) -> list[Engine]:
        return [self._engine]

    def answer(self, image: NDArray[np.uint8], stages: dict[str, int]) -> Result:
        for name, value in self._camera.timing_ms(image).items():
            stages[name.removesuffix("_ms")] = round(value * 1e6)
        self._admitted()
        return self._camera.answer(image)
