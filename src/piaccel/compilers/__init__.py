"""The seam between piaccel and vendors' compilers: a model file in, a file for one accelerator and a report out.

One file in this folder is one family of targets. The compilers are the vendors' own programs; nothing is installed or
downloaded here, and where a program is missing the exact steps and the host that they need are told.
"""

from __future__ import annotations

import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar

from piaccel import plugins
from piaccel.errors import OptionError
from piaccel.formats import Format
from piaccel.frames import Preprocess

WHOLE_OUTPUT = "its whole output is shown with -v"
_COMPLAINT = re.compile(r"error|exception|fail|invalid|not supported", re.IGNORECASE)


@dataclass(frozen=True)
class Host:
    """A machine that a program needs, and how the program gets onto it."""

    title: str
    setup: tuple[str, ...]
    """Commands to type there, and remarks that start with #."""


@dataclass(frozen=True)
class Step:
    """One command of a compiler."""

    command: tuple[str, ...]
    host: Host
    carry: Path | None = None
    """What the step makes where the next one may have to run on another host."""

    @property
    def installed(self) -> bool:
        return shutil.which(self.command[0]) is not None


@dataclass(frozen=True)
class Job:
    """One compilation. ``folder`` is empty and thrown away; commands run in it."""

    source: Path
    target: str
    folder: Path
    preprocess: Preprocess | None = None
    calibration: tuple[Path, ...] = ()
    """Pictures that show what the network will see."""


@dataclass(frozen=True)
class Report:
    """What the compiler said. None is unknown: it did not say."""

    compiler: str
    """The compiler's name, and its version where it tells it."""
    taken: int | None = None
    """Operators that run on the accelerator."""
    left: int | None = None
    """Operators that stay on the CPU."""
    fits: bool | None = None
    """Whether the network fits into the accelerator's memory whole; where not, it runs slower than it could."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What else it told: memory, contexts, utilization, why operators stay on the CPU."""
    notes: tuple[str, ...] = ()
    """What that means for the owner, a sentence each."""


class Compiler(ABC):
    """One vendor's compiler."""

    targets: ClassVar[tuple[str, ...]]
    suffixes: ClassVar[tuple[str, ...]]
    """What it compiles, the best first."""
    format: ClassVar[Format]
    """What it makes."""
    calibrates: ClassVar[bool] = False
    """Whether it quantizes, and needs pictures for it."""
    advice: ClassVar[str] = ""
    """What to do about a network that it refuses, where that is more than to name another file."""

    def refusal(self, path: Path) -> str:
        """Return why this file cannot be compiled, '' when it may be; reads the file and starts nothing."""
        if not path.name.lower().endswith(self.suffixes):
            return f"it is no {' or '.join(self.suffixes)} file"
        return self._refuses(path)

    def _refuses(self, path: Path) -> str:
        return ""

    @abstractmethod
    def steps(self, job: Job) -> tuple[Step, ...]:
        """Return the commands in their order."""

    def prepare(self, job: Job) -> None:  # noqa: B027 - most need nothing
        """Write into the job's folder what the commands read."""

    @abstractmethod
    def collect(self, job: Job, said: str) -> tuple[Path, Report]:
        """Return the file made and the report, read from what the commands printed and wrote.

        Raises ModelError when the compiler made nothing that the accelerator could run.
        """

    def preprocess(self, job: Job) -> Preprocess | None:
        """Return the preprocessing of the file made where it is not the source's."""
        return None

    def explain(self, job: Job, said: str) -> tuple[str, str]:
        """Return why a command failed, in one line, and what to do."""
        return complaint(said), WHOLE_OUTPUT


def complaint(said: str) -> str:
    """The last line of an output that complains; the last line where none does."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    complaining = [line for line in lines if _COMPLAINT.search(line)]
    return (complaining or lines or ["it printed nothing"])[-1]


@cache
def _by_target() -> dict[str, Compiler]:
    compilers = [plugins.load("compilers", name, Compiler)() for name in plugins.names("compilers")]  # type: ignore[type-abstract]
    return {target: compiler for compiler in compilers for target in compiler.targets}


def targets() -> tuple[str, ...]:
    """Return what can be compiled for."""
    return tuple(sorted(_by_target()))


def compiler_for(target: str) -> Compiler:
    """Return the compiler for a target. Raises OptionError."""
    found = _by_target().get(target)
    if found is None:
        raise OptionError(f"nothing compiles for {target!r}", hint=f"choose from {', '.join(targets())}")
    return found
