"""A session of a device that has a camera of its own: it answers to what it sees, not to what it is fed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from piaccel.backends._session import Session
from piaccel.errors import InferenceError
from piaccel.frames import Frame, Geometry
from piaccel.tensors import Array


@dataclass(frozen=True, slots=True)
class Shot:
    """A frame of the device's camera, with what its network made of it."""

    frame: Frame
    outputs: dict[str, Array] | None
    """What a session's ``run`` would return; None for a frame that came without an answer."""
    geometry: Geometry
    """Where in the frame the network looked."""
    timing_ms: Mapping[str, float] = field(default_factory=dict)
    """How long the device says that the parts of its work took."""


class CameraSession(Session):
    """Its frames come from ``shots``; ``run`` says so."""

    feed_hint = ""
    """How it can be fed all the same."""

    @abstractmethod
    def shots(self) -> Iterator[Shot]:
        """Start the camera and yield its frames until the session is closed.

        Raises UnavailableError when it does not start, InferenceError when no frame comes any more.
        """

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        raise InferenceError(
            f"{self._path}: the sensor answers only to what its own camera sees, not to a picture",
            hint=f"in Python: for frame, result in model.stream(): ...{self.feed_hint}",
        )
