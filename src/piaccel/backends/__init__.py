"""The seam between piaccel and the runtimes: NumPy in, NumPy out.

One file in this folder is one backend, and its name is the file's name. See ``Backend`` for what it must define and
``piaccel.testing.compliance`` for the tests that every backend passes.
"""

from __future__ import annotations

import importlib.util
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

from piaccel import isolation, plugins
from piaccel.errors import CrashError, HangError, InputError, PiaccelError, UnavailableError
from piaccel.tensors import Array, TensorSpec

PROBE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a backend can run here: if not, why, and the exact command that mends it."""

    ok: bool
    reason: str = ""
    hint: str = ""
    version: str | None = None
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the caller may choose; each backend extends this with its runtime's own options."""

    threads: int | None = None
    """CPU threads for one inference; None is one for each core that this process may use."""

    @property
    def thread_count(self) -> int:
        return self.threads or len(os.sched_getaffinity(0))


class Session(ABC):
    """A network loaded in a backend. Not for use from several threads at once."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the network once: one C-contiguous array for each input, by name; the caller owns the arrays it gets back.

        Raises InputError when a name, shape or dtype does not fit, InferenceError when the runtime fails.
        """
        for spec in self.inputs:
            array = feeds.get(spec.name)
            if array is None:
                raise InputError(f"input {spec.name!r} is missing", hint=f"the inputs are {self._names()}")
            if array.dtype is not spec.dtype or array.shape != spec.shape:
                spec.check(array)
        if len(feeds) != len(self.inputs):
            extra = sorted(set(feeds) - {spec.name for spec in self.inputs})
            raise InputError(f"no input is called {extra[0]!r}", hint=f"the inputs are {self._names()}")
        return self._run(feeds)

    @abstractmethod
    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]: ...

    def close(self) -> None:  # noqa: B027 - most sessions hold nothing but memory
        """Give back what the session holds. Idempotent; a closed session must not run again."""

    def _names(self) -> str:
        return ", ".join(repr(spec.name) for spec in self.inputs)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Backend(ABC):
    """One way to run a network.

    A backend's file defines one subclass with these class attributes, ``_probe`` and ``load``;
    ``refusal`` where looking at the file's name is not enough.
    """

    suffixes: ClassVar[tuple[str, ...]]
    """File names it opens end in one of these."""
    priority: ClassVar[int]
    """Where nothing was measured, the available backend with the highest priority is taken."""
    options: ClassVar[type[Options]] = Options
    modules: ClassVar[tuple[str, ...]]
    """The Python modules that can provide the runtime, best first; any one of them is enough."""
    install: ClassVar[str]
    """The exact command that installs the runtime."""

    @property
    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    def refusal(self, path: Path) -> str:
        """Return why this backend cannot open the file ('' when it can), looking into it without loading the runtime."""
        if path.name.endswith(self.suffixes):
            return ""
        return f"{self.name} opens {', '.join(self.suffixes)} files"

    def accepts(self, path: Path) -> bool:
        return not self.refusal(path)

    def probe(self) -> Availability:
        """Say whether the runtime works here. Changes nothing, never raises; native code runs in a child process."""
        if not any(_is_installed(module) for module in self.modules):
            return Availability(False, f"{' or '.join(self.modules)} is not installed", self.install)
        try:
            found = isolation.call(f"{__name__}:probe_in_this_process", self.name, timeout=PROBE_TIMEOUT_S)
        except (CrashError, HangError) as error:
            return Availability(False, f"loading {self.modules[0]} failed: {error}", self.install)
        assert isinstance(found, Availability)
        return found

    @abstractmethod
    def _probe(self) -> Availability:
        """Import the runtime in this process and describe it. May raise anything."""

    @abstractmethod
    def load(self, path: Path, options: Options) -> Session:
        """Open a model file. Raises ModelError when the file is broken or holds what the runtime does not know,
        UnavailableError when the runtime is not installed."""


def names() -> tuple[str, ...]:
    """Return the names of all backends; imports no runtime."""
    return plugins.names("backends")


@cache
def get(name: str) -> Backend:
    """Return the backend called ``name``. Raises OptionError when there is none."""
    return plugins.load("backends", name, Backend)()  # type: ignore[type-abstract]


def probe_in_this_process(name: str) -> Availability:
    """Probe without the shelter of a child; what the child itself calls."""
    backend = get(name)
    try:
        return backend._probe()
    except PiaccelError as error:
        return Availability(False, str(error), error.hint or backend.install)
    except Exception as error:  # noqa: BLE001 - a probe never raises: whatever broke is the answer
        return Availability(False, f"{type(error).__name__}: {_first_line(error)}", backend.install)


def missing(backend: Backend) -> UnavailableError:
    """The error for a runtime that is not installed."""
    return UnavailableError(
        f"{backend.name} needs {' or '.join(backend.modules)}, which is not installed", hint=backend.install
    )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the parent package of a dotted name is not there
        return False


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]
