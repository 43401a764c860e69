"""What a sink receives: the result of one frame, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


class Answer(Protocol):
    """What sinks know of a result (``piaccel.tasks.Result``)."""

    @property
    def kind(self) -> str: ...

    def to_dict(self) -> dict[str, Any]: ...

    def lines(self) -> list[str]: ...

    def draw(self, image: Image) -> Image: ...

    def findings(self) -> Sequence[tuple[str, float]]: ...


@dataclass(frozen=True, slots=True)
class Event:
    """One frame that was answered, or a part that has to be answered for and was not.

    All times ending in ``_ns`` are CLOCK_MONOTONIC; ``at`` alone is wall time, and only for people to read.
    """

    id: str
    """"device/boot/number": the same when an event is sent twice, never the same for two events."""
    stream: str
    index: int
    """The frame's index; counts dropped frames too."""
    exposed_ns: int | None
    published_ns: int
    at: float
    """UNIX time of the exposure, of the publishing where that is not known."""
    result: Answer | None
    cause: str = ""
    """Why there is no result; "" where there is one."""
    image: Image | None = None
    """uint8 (H, W, 3) RGB; only for sinks that ask for it."""
    model: str = ""
    variant: str = ""
    backend: str = ""
    stages_ns: Mapping[str, int] = field(default_factory=dict)
    """wait, preprocess, gate, inference, postprocess: how long each took for this frame."""
    deadline_ns: int | None = None
    """How old the frame was allowed to be."""
    held: bool = False
    """The result of an earlier frame, given again because none was ready in time (policy "paced")."""
    part: int | None = None
    """Number of the part, with a trigger."""

    @property
    def age_ns(self) -> int | None:
        """From exposure to publishing; None where the source does not tell when a frame was exposed."""
        return None if self.exposed_ns is None else self.published_ns - self.exposed_ns

    @property
    def late(self) -> bool:
        """Whether the deadline was missed."""
        return self.deadline_ns is not None and self.age_ns is not None and self.age_ns > self.deadline_ns

    def without_image(self) -> Event:
        return self if self.image is None else replace(self, image=None)

    def drawn(self) -> Image | None:
        """The picture with the result drawn on it (a copy); None without a picture."""
        if self.image is None or self.result is None:
            return self.image
        return self.result.draw(self.image)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that JSON can hold; what is not known is None."""
        return {
            "id": self.id,
            "stream": self.stream,
            "frame": self.index,
            "time": datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "age_ms": _ms(self.age_ns),
            "late": self.late,
            "held": self.held,
            "part": self.part,
            "model": self.model,
            "variant": self.variant,
            "backend": self.backend,
            "stages_ms": {name: _ms(value) for name, value in self.stages_ns.items()},
            "result": None if self.result is None else {"kind": self.result.kind, **self.result.to_dict()},
            "cause": self.cause or None,
        }


def _ms(value_ns: int | None) -> float | None:
    return None if value_ns is None else round(value_ns / 1e6, 3)
