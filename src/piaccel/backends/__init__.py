"""The seam between piaccel and the runtimes: NumPy in, NumPy out.

One file in this folder is one backend, and its name is the file's name. See ``Backend`` for what it must define and
``piaccel.testing.compliance`` for the tests that every backend passes.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from piaccel import chatter, isolation, plugins
from piaccel.backends import _diagnosis, _memory
from piaccel.backends._camera import CameraSession as CameraSession
from piaccel.backends._camera import Shot as Shot
from piaccel.backends._memory import forget as forget
from piaccel.backends._remedies import crash_remedy, import_remedy, reinstall
from piaccel.backends._session import Placement as Placement
from piaccel.backends._session import Session as Session
from piaccel.backends._session import last_line as last_line
from piaccel.errors import (
    CrashError,
    HangError,
    ModelError,
    NotFoundError,
    OptionError,
    PiaccelError,
    UnavailableError,
)
from piaccel.files import existing

if TYPE_CHECKING:
    from piaccel.formats import Network

PROBE_TIMEOUT_S = 60.0


State: TypeAlias = Literal["ready", "no device", "broken", "unsupported", "not installed"]


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a backend can run here: if not, why, and the exact command that mends it."""

    ok: bool
    reason: str = ""
    hint: str = ""
    version: str | None = None
    devices: tuple[str, ...] = ()
    state: State | None = None
    """What ``piaccel backends`` shows; None is "ready" or "broken"."""

    def __post_init__(self) -> None:
        if self.state is None:
            object.__setattr__(self, "state", "ready" if self.ok else "broken")


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


class Backend(ABC):
    """One way to run a network.

    A backend's file defines one subclass with these class attributes, ``_probe`` and ``_load``; ``looks_into`` and
    ``_refuses`` where the file's name does not tell whether it can be opened.
    """

    suffixes: ClassVar[tuple[str, ...]]
    """File names it opens end in one of these."""
    priority: ClassVar[int]
    """Where nothing was measured, the available backend with the highest priority is taken."""
    accelerator: ClassVar[bool] = False
    """Whether it is for hardware beside the CPU."""
    options: ClassVar[type[Options]] = Options
    modules: ClassVar[tuple[str, ...]]
    """The Python modules that can provide the runtime, best first; any one of them is enough."""
    install: ClassVar[str]
    """The exact command that installs the runtime."""
    looks_into: ClassVar[tuple[str, ...]] = ()
    """Those suffixes whose files ``refusal`` reads, to ask ``_refuses``."""
    crash_hint: ClassVar[str] = ""
    """What is known to kill this runtime when it is started."""
    hang_hint: ClassVar[str] = ""
    """What to do about a device that does not answer when the runtime is started."""
    probe_timeout_s: ClassVar[float | None] = None
    """How long a probe may take; None is the time that importing takes on the slowest board."""
    brings_camera: ClassVar[bool] = False
    """Whether its sessions are ``CameraSession``: they answer to what they see, and cannot be fed."""

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
        """Say whether the runtime works here. Changes nothing, never raises; native code runs in a child process.

        A crash or a hang is remembered for this version of the runtime, so that it costs its time once;
        ``piaccel.backends.forget`` drops what is remembered.
        """
        if not self.installed():
            return self._absent()
        if (remembered := _memory.recall(self)) is not None:
            return remembered
        timeout = self.probe_timeout_s or PROBE_TIMEOUT_S
        try:
            found = isolation.call(f"{__name__}:probe_in_this_process", self.name, timeout=timeout)
        except CrashError as error:
            cause = str(error).rpartition(": ")[2]
            remedy = crash_remedy(error, self.install, self.crash_hint)
            return _memory.keep(self, Availability(False, f"starting it kills the process ({cause})", remedy))
        except HangError:
            reason = f"starting it takes longer than {timeout:g} s"
            remedy = self.hang_hint or f"try again when the board is idle, or: {reinstall(self.install)}"
            return _memory.keep(self, Availability(False, reason, remedy))
        except (PiaccelError, OSError) as error:
            return Availability(False, f"it cannot be probed: {error}", self.install)
        assert isinstance(found, Availability)
        return found

    def _absent(self) -> Availability:
        """What ``probe`` says while the runtime is not installed."""
        reason = f"{' or '.join(self.modules)} is not installed"
        return Availability(False, reason, self.install, state="not installed")

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
                f"{self.name} needs {' or '.join(self.modules)}, which is not installed",
                hint=self._absent().hint,
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


def distinct(given: Iterable[str]) -> list[str]:
    """Return tensor names with a number behind those that occur again; files may leave them empty or repeat them."""
    seen: dict[str, int] = {}
    result = []
    for name in given:
        count = seen[name] = seen.get(name, -1) + 1
        result.append(f"{name}:{count}" if count else name)
    return result
