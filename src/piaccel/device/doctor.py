"""What is wrong with a machine, why it matters, and the exact cure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from piaccel.device import sensors
from piaccel.device.board import Board, detect
from piaccel.device.checks import boot, memory, power, software, system
from piaccel.device.findings import Finding, Runtime, Severity, Subject
from piaccel.device.packages import Packages
from piaccel.device.tree import Tree

SCHEMA = "piaccel.doctor/1"

_CHECKS: tuple[Callable[[Subject], Iterable[Finding]], ...] = (
    system.board,
    system.operating_system,
    boot.missing,
    boot.stale,
    software.python,
    software.wrong_pycoral,
    software.old_tflite,
    software.old_openvino,
    software.camera_clash,
    system.page_size,
    system.cpu,
    system.governor,
    memory.available,
    memory.swap,
    boot.gpu_memory,
    memory.pressure,
    memory.cgroup,
    software.runtimes,
    power.facts,
    power.firmware,
    power.under_voltage,
    power.slowed,
    power.temperature,
    power.clock,
)


@dataclass(frozen=True)
class Reading:
    """One sensor's value at the time of the examination; None with the reason when it could not be read."""

    name: str
    unit: str
    value: float | None
    source: str
    reason: str


@dataclass(frozen=True)
class Report:
    """What ``diagnose`` found. ``runtimes`` is None when nobody looked for them."""

    root: str
    board: Board
    python: str | None
    runtimes: tuple[Runtime, ...] | None
    sensors: tuple[Reading, ...]
    findings: tuple[Finding, ...]

    def of(self, *severities: Severity) -> tuple[Finding, ...]:
        """The findings of these severities, in the order of the sections."""
        return tuple(finding for finding in self.findings if finding.severity in severities)

    @property
    def healthy(self) -> bool:
        """True when there is no problem; notes and warnings are allowed."""
        return not self.of("problem")

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "schema": SCHEMA,
            "root": self.root,
            "healthy": self.healthy,
            "board": self.board.to_dict(),
            "python": self.python,
            "runtimes": None if self.runtimes is None else [asdict(each) for each in self.runtimes],
            "sensors": [asdict(each) for each in self.sensors],
            "findings": [asdict(each) for each in self.findings],
        }


def diagnose(root: str | os.PathLike[str] = "/", backends: Sequence[Runtime] | None = None) -> Report:
    """Examine the machine under ``root``; changes nothing.

    ``backends`` is what the caller knows of the runtimes of this process. Raises NotFoundError for a missing root.
    """
    tree = Tree(root)
    found = sensors.find(root)
    subject = Subject(
        tree=tree,
        board=detect(root),
        packages=Packages(tree),
        sensors=found,
        readings=found.read(),
        runtimes=None if backends is None else tuple(backends),
    )
    return Report(
        root=str(tree.root),
        board=subject.board,
        python=".".join(map(str, subject.packages.python)) if subject.packages.python else None,
        runtimes=subject.runtimes,
        sensors=tuple(
            Reading(each.name, each.unit, subject.readings[each.name], each.source, each.reason) for each in found
        ),
        findings=tuple(finding for check in _CHECKS for finding in check(subject)),
    )
