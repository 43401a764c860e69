"""The seam behind which one version of a model runs: a process of its own, or threads of the service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from piaccel.errors import PiaccelError
from piaccel.serving.messages import Bytes, Tensor
from piaccel.tensors import TensorSpec


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What to open and how; plain data, so that it can be sent to a process."""

    path: Path
    """The version's folder: a bundle, or one bare model file in it."""
    backend: str = "auto"
    variant: str | None = None
    threads: int | None = None
    options: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``piaccel.models.Overrides``."""
    pictures: bool = True
    """Whether to expect pictures, not only raw tensors: OpenCV is loaded before the first of them, and takes 16 MB."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a version once it is open. Shapes have None where a dimension is free."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    backend: str
    variant: str
    threads: int
    why: str
    kind: str
    """Of its results: classification, detection, ..."""
    family: str
    labels: tuple[str, ...]
    load_s: float
    memory_bytes: int | None
    """What the version takes: its process's resident memory; None where it shares the service's."""
    warm_ns: int | None = None
    """How long a run took at the end of warming up."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What a version says to a picture."""

    result: dict[str, Any]
    drawn: bytes | None
    times_ms: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class GoldenCheck:
    """How a version did on its golden samples."""

    samples: int
    """0: the bundle has none; nothing was compared then."""
    reason: str
    """Why it must not serve; "" when it may."""
    failed: int = 0
    """Samples with another answer than expected."""
    latency_ms: tuple[float, ...] = ()
    """Of each run, warm."""
    memory_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Weighing:
    """What running several pictures together is worth on this board, measured in turns."""

    size: int
    """Rows of a run."""
    alone_ms: float
    """A picture, each in a run of its own."""
    together_ms: float
    """A picture, in runs of ``size``."""

    @property
    def gain(self) -> float:
        """How much faster a picture is together: 0.1 is 10 %."""
        return self.alone_ms / self.together_ms - 1

    def __str__(self) -> str:
        return f"{self.together_ms:.2f} ms a picture in runs of {self.size}, {self.alone_ms:.2f} ms alone"


class Runner(ABC):
    """One opened version. One call at a time: the scheduler in front of it keeps the queue.

    Every call raises CrashError when the version's process died and HangError when it had to be ended; the runner is
    of no use then, and is closed. It also raises what ``piaccel.models.Model`` raises.
    """

    facts: Facts
    on_exit: Callable[[PiaccelError], None] | None = None
    """Called once with a CrashError or a HangError when its process ended by itself; not after ``close``."""

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """The version's own process; None where it has none."""

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether it can be called; a process may end between two calls."""

    @abstractmethod
    async def infer(self, inputs: Sequence[Tensor], wanted: Sequence[str] = ()) -> list[Tensor]:
        """Run the network on raw tensors that fit ``facts.inputs``; ``wanted`` names outputs, all when empty.

        The outputs' data belongs to the caller.
        """

    @abstractmethod
    async def predict(self, image: Bytes, *, annotate: bool = False) -> Picture:
        """Decode a picture's file and answer it as ``Model.predict`` does. Raises InputError for no picture."""

    @abstractmethod
    async def check(self, samples: Path | None = None) -> GoldenCheck:
        """Answer the golden samples of the version's own bundle, or those of another bundle at ``samples``."""

    async def weigh(self, most: int) -> Weighing | None:
        """Measure whether runs of up to ``most`` rows pay; the best size, None where the network takes no batches."""
        return None

    async def prioritize(self) -> bool:
        """Lift a runner that was opened at a low priority; False where the system does not allow it."""
        return True

    @abstractmethod
    async def close(self) -> None:
        """End it and give its memory back. Idempotent; a call under way fails with CrashError."""
