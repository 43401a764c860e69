"""The seam between piaccel and the runtimes: NumPy in, NumPy out.

One file in this folder is one backend, and its name is the file's name. See ``Backend`` for what it must define and
``piaccel.testing.compliance`` for the tests that every backend passes.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from piaccel import chatter, isolation, plugins
from piaccel.backends import _diagnosis
from piaccel.backends._remedies import crash_remedy, import_remedy, reinstall
from piaccel.errors import (
    CrashError,
    HangError,
    InferenceError,
    InputError,
    ModelError,
    NotFoundError,
    OptionError,
    PiaccelError,
    UnavailableError,
)
from piaccel.files import existing
from piaccel.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from piaccel.formats import Network

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

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise OptionError(f"threads is {self.threads}, expected 1 or more")

    @property
    def thread_count(self) -> int:
        return self.threads or len(os.sched_getaffinity(0))


class Session(ABC):
    """A network loaded in a backend. Not for use from several threads at once."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    _closed = False
    _opened_by: Backend | None = None
    _path: Path | None = None

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the network once: one array for each input, by name; the caller owns the arrays it gets back.

        An array that is not C-contiguous is copied. Raises InputError when a name, shape or dtype does not fit,
        InferenceError when the runtime fails or the session is closed.
        """
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
        try:
            return self._run(feeds)
        except PiaccelError:
            raise
        except Exception as error:  # runtimes raise anything; the caller gets one kind
            raise self._failed(error) from error

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


class Backend(ABC):
    """One way to run a network.

    A backend's file defines one subclass with these class attributes, ``_probe`` and ``_load``; ``looks_into`` and
    ``_refuses`` where the file's name does not tell whether it can be opened.
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
    looks_into: ClassVar[tuple[str, ...]] = ()
    """Those suffixes whose files ``refusal`` reads, to ask ``_refuses``."""
    crash_hint: ClassVar[str] = ""
    """What is known to kill this runtime while it is imported."""

    @property
    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    def refusal(self, path: Path) -> str:
        """Return why this backend cannot open the file ('' when it can), without loading the runtime."""
        if not path.name.lower().endswith(self.suffixes):
            return _diagnosis.misnamed(path, self.suffixes) or f"it is no {' or '.join(self.suffixes)} file"
        if not path.name.lower().endswith(self.looks_into):
            return ""
        try:
            return self._refuses(_diagnosis.network(path))
        except (ModelError, NotFoundError) as error:
            return str(error).replace(f"{path} ", "it ", 1)
        except UnavailableError:  # what reads the format is not installed: the runtime may know better
            return ""

    def _refuses(self, network: Network) -> str:
        """Return why a readable network cannot run here, '' when it may."""
        return _diagnosis.EDGETPU if network.edgetpu else ""

    def accepts(self, path: Path) -> bool:
        return not self.refusal(path)

    def installed(self) -> bool:
        """Whether a module that can provide the runtime is there; imports none of them."""
        return any(importlib.util.find_spec(module.partition(".")[0]) is not None for module in self.modules)

    def stamp(self) -> str | None:
        """What tells one installed version from another without importing it: where it is, and since when."""
        for module in self.modules:
            spec = importlib.util.find_spec(module.partition(".")[0])
            if spec is not None and spec.origin is not None:
                return f"{spec.origin} {os.stat(spec.origin).st_mtime_ns}"
        return None

    def probe(self) -> Availability:
        """Say whether the runtime works here. Changes nothing, never raises; native code runs in a child process."""
        if not self.installed():
            return Availability(False, f"{' or '.join(self.modules)} is not installed", self.install)
        try:
            found = isolation.call(f"{__name__}:probe_in_this_process", self.name, timeout=PROBE_TIMEOUT_S)
        except CrashError as error:
            cause = str(error).rpartition(": ")[2]
            remedy = crash_remedy(error, self.install, self.crash_hint)
            return Availability(False, f"importing it kills the process ({cause})", remedy)
        except HangError:
            reason = f"importing it takes longer than {PROBE_TIMEOUT_S:g} s"
            return Availability(False, reason, f"try again when the board is idle, or: {reinstall(self.install)}")
        except (PiaccelError, OSError) as error:
            return Availability(False, f"it cannot be probed: {error}", self.install)
        assert isinstance(found, Availability)
        return found

    @abstractmethod
    def _probe(self) -> Availability:
        """Import the runtime in this process and describe it. May raise anything."""

    def load(self, path: Path, options: Options | None = None) -> Session:
        """Open a model file; plain ``Options`` leave the runtime's own options at their defaults.

        Raises NotFoundError, ModelError when the file is broken or holds what the runtime does not know,
        OptionError, UnavailableError when the runtime is not installed or does not import.
        """
        path = existing(path)
        chosen = self._own(options)
        if reason := self.refusal(path):
            raise _diagnosis.of(path, self) or ModelError(f"{path}: {reason}")
        if not self.installed():
            raise UnavailableError(
                f"{self.name} needs {' or '.join(self.modules)}, which is not installed", hint=self.install
            )
        try:
            with chatter.quiet():
                session = self._load(path, chosen)
            session._opened_by, session._path = self, path
            return session
        except PiaccelError:
            raise
        except ImportError as error:
            hint = import_remedy(error, self.install)
            raise UnavailableError(f"{self.name} does not import: {last_line(error)}", hint=hint) from error
        except Exception as error:  # runtimes raise anything; the caller gets one kind
            told = ModelError(f"{path}: {self.name} cannot open it: {self._explain(error)}")
            raise _diagnosis.of(path, self) or told from error

    @abstractmethod
    def _load(self, path: Path, options: Any) -> Session:
        """Open a file that exists and is not refused, with this backend's ``options``. May raise anything."""

    def _explain(self, error: Exception) -> str:
        """The runtime's error in one line."""
        return last_line(error)

    def _own(self, options: Options | None) -> Options:
        if options is None:
            return self.options()
        if isinstance(options, self.options):
            return options
        if type(options) is Options:
            return self.options(threads=options.threads)
        raise OptionError(f"{self.name} takes {self.options.__name__}, got {type(options).__name__}")


def names() -> tuple[str, ...]:
    """Return the names of all backends; imports no runtime."""
    return plugins.names("backends")


@cache
def get(name: str) -> Backend:
    """Return the backend called ``name``. Raises OptionError when there is none."""
    return plugins.load("backends", name, Backend)()  # type: ignore[type-abstract]


def every() -> list[Backend]:
    """Return all backends; one of another package that does not import is left out with a warning."""
    found = []
    for name in names():
        try:
            found.append(get(name))
        except OptionError as error:
            warnings.warn(f"the backend {name} is left out: {error}", stacklevel=2)
    return found


def probe_in_this_process(name: str) -> Availability:
    """Probe without the shelter of a child; what the child itself calls."""
    backend = get(name)
    try:
        return backend._probe()
    except PiaccelError as error:
        return Availability(False, str(error), error.hint or backend.install)
    except Exception as error:  # noqa: BLE001 - a probe never raises: whatever broke is the answer
        reason = f"{type(error).__name__}: {last_line(error)}"
        return Availability(False, reason, import_remedy(error, backend.install))


def last_line(error: BaseException) -> str:
    """The last line of an error's message: where runtimes that write several put what matters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def distinct(given: Iterable[str]) -> list[str]:
    """Return tensor names with a number behind those that occur again; files may leave them empty or repeat them."""
    seen: dict[str, int] = {}
    result = []
    for name in given:
        count = seen[name] = seen.get(name, -1) + 1
        result.append(f"{name}:{count}" if count else name)
    return result
