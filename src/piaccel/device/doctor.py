"""What is wrong with a machine, why it matters, and the exact cure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, TypeVar

from piaccel.device import accelerators, cameras, sensors
from piaccel.device.accelerators import Accelerator
from piaccel.device.board import Board, detect
from piaccel.device.cameras import Camera
from piaccel.device.checks import accelerators as plugged
from piaccel.device.checks import (
    boot,
    coral,
    coral_pcie,
    hailo,
    hailo_parts,
    memory,
    power,
    software,
    supply,
    system,
)
from piaccel.device.checks import cameras as seen
from piaccel.device.deadline import Answer, Deadline
from piaccel.device.debs import Debs
from piaccel.device.findings import Finding, Runtime, Severity, Subject
from piaccel.device.modules import Modules
from piaccel.device.packages import Packages
from piaccel.device.tree import Tree
from piaccel.errors import HangError

SCHEMA = "piaccel.doctor/1"
LOOKING_S = 2.5
"""How long finding devices and reading sensors may take; what has not answered by then is left out, and said so."""
CHECKING_S = 1.5
_ONE_CHECK_S = 1.0
_AT_LEAST_S = 0.02

T = TypeVar("T")

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
    seen.contiguous_memory,
    memory.pressure,
    memory.cgroup,
    plugged.present,
    plugged.busy,
    plugged.neural_compute_stick,
    plugged.others,
    plugged.link,
    plugged.heat,
    coral.usb_port,
    coral.library,
    coral.usb_permission,
    coral.firmware,
    coral_pcie.pcie,
    hailo.conflict,
    hailo.driver,
    hailo.absent,
    hailo_parts.versions,
    hailo_parts.numpy,
    seen.present,
    seen.permission,
    seen.imx500,
    supply.supply,
    supply.over_current,
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
    accelerators: tuple[Accelerator, ...]
    cameras: tuple[Camera, ...]
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
            "accelerators": [each.to_dict() for each in self.accelerators],
            "cameras": [asdict(each) for each in self.cameras],
            "sensors": [asdict(each) for each in self.sensors],
            "findings": [asdict(each) for each in self.findings],
        }


class _Patience:
    """Asks questions that share a deadline, and remembers those that were not answered."""

    def __init__(self, seconds: float, late: list[str]) -> None:
        self._deadline = Deadline(seconds)
        self._late = late

    def ask(self, what: str, question: Callable[[], T], otherwise: T) -> T:
        """What ``question()`` answers, ``otherwise`` when it does not in time."""
        try:
            return Answer(question).within(max(_AT_LEAST_S, min(_ONE_CHECK_S, self._deadline.left())))
        except HangError:
            self._late.append(what)
            return otherwise


def diagnose(
    root: str | os.PathLike[str] = "/",
    backends: Sequence[Runtime] | Callable[[], Sequence[Runtime]] | None = None,
) -> Report:
    """Examine the machine under ``root``; changes nothing, and takes LOOKING_S + CHECKING_S seconds at most.

    ``backends`` is what the caller knows of the runtimes of this process, or a function that is asked for it when all
    is read, so that they may be probed meanwhile; its time is its own. Raises NotFoundError for a missing root,
    HangError when not even the files that describe the board can be read in time.
    """
    late: list[str] = []
    subject = _look(root, late)
    if backends is not None:
        subject = replace(subject, runtimes=tuple(backends() if callable(backends) else backends))
    patience = _Patience(CHECKING_S, late)
    findings: list[Finding] = []
    for check in _CHECKS:
        name = f"the check {check.__module__.rpartition('.')[2]}.{check.__name__}"
        findings += patience.ask(name, partial(_run, check, subject), [])
    python = subject.packages.python
    return Report(
        root=str(subject.tree.root),
        board=subject.board,
        python=".".join(map(str, python)) if python else None,
        runtimes=subject.runtimes,
        accelerators=subject.accelerators,
        cameras=subject.cameras,
        sensors=tuple(
            Reading(each.name, each.unit, subject.readings[each.name], each.source, each.reason)
            for each in subject.sensors
        ),
        findings=(*findings, *map(_silent, late)),
    )


def _look(root: str | os.PathLike[str], late: list[str]) -> Subject:
    """Read what the checks go by; the sensors beside the rest, because the firmware may take its time."""
    deadline, patience = Deadline(LOOKING_S), _Patience(LOOKING_S, late)
    tree = Tree(root)
    reading = Answer(lambda: _read_sensors(root))
    try:
        board, packages = deadline.ask(lambda: (detect(root), Packages(tree)))
    except HangError as error:
        raise HangError(
            f"{root}: the files that describe the board could not be read within {LOOKING_S:g} s",
            hint="try again when the board is idle; a dying disk shows in: sudo dmesg --level=err,warn | tail",
        ) from error
    nothing: tuple[Accelerator, ...] = ()
    nobody: tuple[Camera, ...] = ()
    found = patience.ask("the PCI and USB buses", lambda: accelerators.find(tree), nothing)
    pictured = patience.ask("the cameras", lambda: cameras.find(tree), nobody)
    try:
        gauges, values = reading.within(deadline.left())
    except HangError:
        late.append("a sensor")
        gauges = sensors.silent()
        values = gauges.read()
    return Subject(
        tree=tree,
        board=board,
        packages=packages,
        debs=Debs(tree),
        modules=Modules(tree, board.kernel),
        accelerators=found,
        cameras=pictured,
        sensors=gauges,
        readings=values,
        runtimes=None,
    )


def _read_sensors(root: str | os.PathLike[str]) -> tuple[sensors.Sensors, dict[str, float | None]]:
    found = sensors.find(root)
    return found, found.read()


def _run(check: Callable[[Subject], Iterable[Finding]], subject: Subject) -> list[Finding]:
    return list(check(subject))


def _silent(what: str) -> Finding:
    return Finding(
        "sensors",
        "warning",
        f"{what} did not answer in time",
        "A driver holds whoever reads from it: a device hangs, or its firmware does.",
        "The kernel's log may name it; a reboot frees it.",
        "sudo dmesg --level=err,warn | tail",
    )
