"""What accelerators are plugged in, and those that nothing here can drive."""

from __future__ import annotations

import re
from collections.abc import Iterator

from piaccel.device.accelerators import (
    AXELERA,
    AXERA,
    CORAL_PCIE,
    DEEPX,
    HAILO_8,
    HAILO_10H,
    HAILO_12L,
    HAILO_15L,
    MEMRYX,
    NCS,
    NCS2,
    Accelerator,
)
from piaccel.device.findings import Finding, Subject
from piaccel.device.holders import holders

_SECTION = "device"
_FIRST_WITHOUT_MYRIAD = 2023
_OTHERS = {
    DEEPX: "its maker's dx-engine does, with libdxrt and models compiled to .dxnn",
    MEMRYX: "its maker's package memryx does, with models compiled to .dfp",
    AXELERA: "its maker's Voyager SDK does; we know of no report from a Raspberry Pi",
    AXERA: "its maker's AXCL driver and the package axengine do",
    HAILO_15L: "HailoRT 5 does; piaccel knows Hailo-8, 8L and 10H only",
    HAILO_12L: "HailoRT 5 does; piaccel knows Hailo-8, 8L and 10H only",
}


def present(subject: Subject) -> Iterator[Finding]:
    """What is plugged in, as its bus tells before any driver."""
    for each in subject.accelerators:
        place = f"{each.bus.upper() if each.bus != 'camera' else 'camera'} {each.address}"
        facts = [each.id, place, _speed(each), each.driver and f"driver {each.driver}", each.node, _heat(each)]
        yield Finding(_SECTION, "ok", f"{each.kind.title} ({', '.join(fact for fact in facts if fact)})")


def busy(subject: Subject) -> Iterator[Finding]:
    """A device that another program has open."""
    for each in subject.accelerators:
        held = holders(subject.tree, each.node) if each.node and each.kind.backend else ()
        if not held:
            continue
        who = ", ".join(f"{holder.name} (process {holder.pid})" for holder in held)
        why, cure, command = 'The library then says only "Failed to load delegate".', "End that program first.", ""
        if each.kind is HAILO_8:
            why = "Another program then gets HAILO_OUT_OF_PHYSICAL_DEVICES(74)."
            cure = "End that program first, or let both go through HailoRT's service."
            command = "sudo systemctl enable --now hailort.service"
        elif each.kind is HAILO_10H:
            why, cure = "HailoRT 5 shares it between programs; they share its speed too.", ""
        elif each.bus == "camera":
            why = "libcamera gives a camera to one program at a time."
        yield Finding(_SECTION, "note", f"{each.kind.title} is in use by {who}", why, cure, command)


def neural_compute_stick(subject: Subject) -> Iterator[Finding]:
    """Intel's sticks: found, and out of support."""
    stick = subject.accelerator(NCS2, NCS)
    if stick is None:
        return
    openvino = subject.packages.get("openvino")
    if openvino and 0 < openvino.major < _FIRST_WITHOUT_MYRIAD:
        words = f"{stick.kind.title}: only openvino {openvino.version} built with its MYRIAD plug-in drives it"
        yield Finding(_SECTION, "note", words, "", "Whether this build has it says:", "piaccel backends")
        return
    last = "2022.3" if stick.kind is NCS2 else "2020.3"
    yield Finding(
        _SECTION,
        "warning",
        f"{stick.kind.title}: unsupported, Intel's support ended with OpenVINO {last}",
        "No OpenVINO for Python 3.11 and later has its MYRIAD plug-in, on arm64 none that pip installs ever had.",
        "Use the CPU, a Hailo, a Coral or an IMX500 instead. What works here is listed by:",
        "piaccel backends",
    )


def others(subject: Subject) -> Iterator[Finding]:
    """Accelerators that their makers' own software drives."""
    for each in subject.accelerators:
        if each.kind in _OTHERS:
            words = f"{each.kind.title}: piaccel does not drive it; {_OTHERS[each.kind]}"
            yield Finding(_SECTION, "note", words)


def link(subject: Subject) -> Iterator[Finding]:
    """PCIe below what the device can do."""
    for each in subject.accelerators:
        now, most = _gigatransfers(each.speed), _gigatransfers(each.max_speed)
        if each.bus != "pci" or now is None or most is None:
            continue
        if now < 5.0 <= most:
            yield Finding(
                _SECTION,
                "warning",
                f"{each.kind.title}: the PCIe link runs at {each.speed} only",
                "Even the slowest setting of a Raspberry Pi 5 is 5 GT/s: the cable or its seat is bad.",
                "Power off, and seat the ribbon cable again at both ends.",
                "",
            )
        elif now < 8.0 <= most and each.kind in (HAILO_8, HAILO_10H) and subject.board.soc == "BCM2712":
            yield Finding(
                _SECTION,
                "warning",
                f"{each.kind.title}: the PCIe link runs at {each.speed}, and could at 8.0 GT/s (generation 3)",
                "Frames and results take twice as long to travel; models in several contexts suffer most. The AI HAT+ "
                "switches to generation 3 by itself, the AI Kit and M.2 boards do not (RP docs, ai.adoc).",
                *_generation_3(subject),
            )


def _generation_3(subject: Subject) -> tuple[str, str]:
    if subject.parameter("pciex1_gen") == "3":
        return "config.txt asks for it already: reboot, and if it stays, try a shorter or better cable.", "sudo reboot"
    return "Switch it on, then reboot.", subject.append("dtparam=pciex1_gen=3")


def heat(subject: Subject) -> Iterator[Finding]:
    """A Coral on PCIe that halves its clock."""
    coral = subject.accelerator(CORAL_PCIE)
    if coral is None or coral.temperature_c is None:
        return
    trips = subject.tree.glob("sys/class/apex/apex_*/trip_point0_temp")
    limit = (subject.tree.number(trips[0]) if trips else None) or 85000
    if coral.temperature_c >= limit / 1000:
        yield Finding(
            _SECTION,
            "problem",
            f"{coral.kind.title}: {coral.temperature_c:.1f} °C, so its driver has halved its clock",
            f"From {limit / 1000:.0f} °C on it halves the clock in three steps (gasket, apex_driver.c).",
            "Give it a heat sink and air.",
        )


def _gigatransfers(speed: str | None) -> float | None:
    found = re.match(r"(\d{1,3}(?:\.\d)?) GT/s", speed or "")
    return float(found[1]) if found else None


def _speed(each: Accelerator) -> str | None:
    return f"{each.speed} Mbit/s" if each.bus == "usb" and each.speed else each.speed


def _heat(each: Accelerator) -> str | None:
    return None if each.temperature_c is None else f"{each.temperature_c:.1f} °C"
