"""PCIe and USB of a Raspberry Pi 5."""

from __future__ import annotations

import re
from collections.abc import Iterator

from piaccel.device.accelerators import CORAL_PCIE, HAILO_8, HAILO_10H
from piaccel.device.findings import Subject
from piaccel.device.tuning import boot_files
from piaccel.device.tuning.lever import Lever

_FULL_MA = 5000


def levers(subject: Subject) -> Iterator[Lever]:
    """The generation of PCIe, its sleep, the current of USB."""
    if subject.board.is_pi:
        yield _generation(subject)
        yield from _sleep(subject)
        yield _current(subject)


def _generation(subject: Subject) -> Lever:
    device = subject.accelerator(HAILO_8, HAILO_10H)
    slow = device is not None and _rate(device.speed) < 8.0 <= _rate(device.max_speed)
    refused = boot_files.missing(subject, "config.txt")
    if subject.board.soc != "BCM2712":
        refused = "this board has no PCIe connector whose speed could be set"
    return Lever(
        "pcie-gen",
        "generation of the PCIe connector",
        device.speed if device and not refused else None,
        "generation 3 (8.0 GT/s)" if slow and not refused else None,
        "Frames and results travel twice as fast. The AI HAT+ switches to it by itself; the AI Kit and M.2 boards do "
        "not."
        if slow
        else "The accelerator's link runs at its full speed."
        if device
        else "No accelerator that gains from it is on PCIe.",
        "RP docs, ai.adoc",
        risk="the connector is certified for generation 2 only: a long or bent cable makes errors",
        needs_reboot=True,
        for_speed=True,
        changes=(boot_files.setting(subject, "dtparam=pciex1_gen=3"),) if slow and not refused else (),
        refused=refused,
    )


def _sleep(subject: Subject) -> Iterator[Lever]:
    """Only where an accelerator is on PCIe; a Coral wants the kernel's hands off it altogether."""
    device = next((each for each in subject.accelerators if each.bus == "pci"), None)
    if device is None:
        return
    word = "pcie_aspm=off" if device.kind is CORAL_PCIE else "pcie_aspm.policy=performance"
    running = (subject.tree.text("proc/cmdline") or "").split()
    refused = boot_files.missing(subject, "cmdline.txt")
    yield Lever(
        "pcie-aspm",
        "sleep of the PCIe link between frames (ASPM)",
        next((each for each in running if each.startswith("pcie_aspm")), "powersave") if running else None,
        None if refused else word,
        "Raspberry Pi's kernel lets the link sleep where it can: waking it delays the next frame.",
        "raspberrypi/linux, bcm2712_defconfig (CONFIG_PCIEASPM_POWERSAVE); no figure of what it gains is published",
        risk="the board and the accelerator draw more and are warmer",
        needs_reboot=True,
        opt_in=True,
        for_speed=True,
        changes=() if refused else (boot_files.words(subject, word),),
        refused=refused,
    )


def _current(subject: Subject) -> Lever:
    agreed, full = _cell(subject, "max_current"), _cell(subject, "usb_max_current_enable")
    refused = boot_files.missing(subject, "config.txt")
    if subject.board.soc != "BCM2712":
        refused = "only a Raspberry Pi 5 limits it by the supply"
    limited = full == 0 and agreed is not None and agreed < _FULL_MA and not refused
    return Lever(
        "usb-current",
        "current for all USB ports together",
        None if full is None else "1600 mA" if full else "600 mA",
        "1600 mA" if limited else None,
        f"The supply has agreed to {agreed / 1000:g} A only, so USB gets 600 mA; a Coral draws up to 900."
        if limited and agreed
        else "USB has its full current already."
        if full
        else "What the supply agreed to is not known.",
        "RP docs, power-supplies.adoc; Coral datasheet 1.4",
        risk="only for a supply that you know gives 5 A: with a weaker one the voltage drops and the board resets",
        needs_reboot=True,
        opt_in=True,
        changes=(boot_files.setting(subject, "usb_max_current_enable=1"),) if limited else (),
        refused=refused,
    )


def _cell(subject: Subject, name: str) -> int | None:
    data = subject.tree.device_tree(f"chosen/power/{name}")
    return int.from_bytes(data, "big") if data and len(data) == 4 else None


def _rate(speed: str | None) -> float:
    found = re.match(r"(\d{1,3}(?:\.\d)?) GT/s", speed or "")
    return float(found[1]) if found else 0.0
