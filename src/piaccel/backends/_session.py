"""A network loaded in a backend: arrays in, arrays out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from piaccel.errors import InferenceError, InputError, PiaccelError
from piaccel.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from piaccel.backends import Backend


@dataclass(frozen=True, slots=True)
class Placement:
    """How many of a network's operators an accelerator took, and how many it left to the CPU."""

    accelerator: str
    """Who took them, such as "Edge TPU"."""
    taken: int
    left: int

    def __str__(self) -> str:
        return f"{self.taken} of {self.taken + self.left} operators on {self.accelerator}, {self.left} on the CPU"


class Sensor(Protocol):
    """One reading of the device that runs a network, such as its temperature."""

    name: str
    unit: str

    def read(self) -> float | None:
        """The value now; None where the device has no such sensor, or does not answer."""


class Session(ABC):
    """A network loaded in a backend. Not for use from several threads at once."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    depth: int = 1
    """How many runs may be in flight at once; more than one keeps a pipelined accelerator busy."""
    placement: Placement | None = None
    """What an accelerator took of the network; None where one device runs all of it."""
    _closed = False
    _opened_by: Backend | None = None
    _path: Path | None = None

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the network once: one array for each input, by name; the caller owns the arrays it gets back.

        An array that is not C-contiguous is copied. Raises InputError when a name, shape or dtype does not fit,
        InferenceError when the runtime fails or the session is closed.
        """
        feeds = self._checked(feeds)
        try:
            return self._run(feeds)
        except PiaccelError:
            raise
        except Exception as error:  # runtimes raise anything; the caller gets one kind
            raise self._failed(error) from error

    def submit(self, feeds: Mapping[str, Array]) -> Future[dict[str, Array]]:
        """Start a run and return at once where the backend can: at most ``depth`` may be unfinished.

        The feeds must stay as they are until the future is done; answers come in the order of the calls. Raises what
        ``run`` raises for feeds that do not fit; the future raises the rest.
        """
        feeds = self._checked(feeds)
        try:
            return self._submit(feeds)
        except Exception as error:  # noqa: BLE001 - runtimes raise anything; whoever waits for the answer gets it
            failed: Future[dict[str, Array]] = Future()
            failed.set_exception(error if isinstance(error, PiaccelError) else self._failed(error))
            return failed

    def sensors(self) -> Sequence[Sensor]:
        """Sensors of an accelerator, which can be read as long as this session holds it; none for the CPU."""
        return ()

    def _checked(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if self._closed:
            raise InferenceError("this session is closed", hint="load the model again")
        try:
            for spec in self.inputs:
                array = feeds[spec.name]
                if array.dtype is not spec.dtype or array.shape != spec.shape:
                    spec.check(array)
                if not array.flags.c_contiguous:
                    feeds = {**feeds, spec.name: np.ascontiguousarray(array)}
        except (KeyError, AttributeError, TypeError, IndexError) as error:  # checked so, it costs nothing when right
            raise self._unfed(feeds) from error
        if len(feeds) != len(self.inputs):
            extra = sorted(set(feeds) - {spec.name for spec in self.inputs})
            raise InputError(f"no input is called {extra[0]!r}", hint=f"the inputs are {self._names()}")
        return feeds

    def _submit(self, feeds: Mapping[str, Array]) -> Future[dict[str, Array]]:
        """Start a run of checked feeds; a backend that cannot have several in flight runs it here and now."""
        done: Future[dict[str, Array]] = Future()
        done.set_result(self._run(feeds))
        return done

    @abstractmethod
    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run checked, C-contiguous feeds. May raise anything."""

    def close(self) -> None:
        """Give back what the session holds. Idempotent; a closed session raises InferenceError when it is run."""
        if not self._closed:
            self._closed = True
            self._close()

    def _close(self) -> None:  # noqa: B027 - a session that holds nothing has nothing to do
        """Let go of the runtime's objects; called once."""

    def _failed(self, error: Exception) -> InferenceError:
        if self._opened_by is None:
            return InferenceError(f"the runtime failed: {last_line(error)}")
        return InferenceError(f"{self._path}: {self._opened_by.name} failed: {self._opened_by._explain(error)}")

    def _unfed(self, feeds: Mapping[str, Any]) -> InputError:
        """The error for an input that is missing or no array."""
        if not isinstance(feeds, Mapping):
            return InputError(f"a session takes arrays by name, got a {type(feeds).__name__}")
        name = next(s.name for s in self.inputs if not isinstance(feeds.get(s.name), np.ndarray))
        if name not in feeds:
            return InputError(f"input {name!r} is missing", hint=f"the inputs are {self._names()}")
        return InputError(f"input {name!r} is a {type(feeds[name]).__name__}, expected a NumPy array")

    def _names(self) -> str:
        return ", ".join(repr(spec.name) for spec in self.inputs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def last_line(error: BaseException) -> str:
    """The last line of an error's message: where runtimes that write several put what matters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
