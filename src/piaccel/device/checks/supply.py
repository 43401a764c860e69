"""The supply of a Raspberry Pi 5: what it has agreed to give, and what is left for USB.

RP docs, config_txt.adoc and power-supplies.adoc: 600 mA for all USB ports, 1.6 A with a supply of 5 A.
"""

from __future__ import annotations

from collections.abc import Iterator

from piaccel.device.accelerators import CORAL_USB
from piaccel.device.findings import Finding, Subject

_SECTION = "power"
_FULL_MA = 5000
_ENOUGH_MA = 3000


def supply(subject: Subject) -> Iterator[Finding]:
    """What the supply agreed to at the last boot."""
    current = _number(subject, "max_current")
    if current is None:
        return
    limited = _number(subject, "usb_max_current_enable") == 0
    usb = "" if _number(subject, "usb_max_current_enable") is None else f", USB {'600 mA' if limited else '1600 mA'}"
    yield Finding(_SECTION, "ok", f"supply {current / 1000:g} A{usb}")
    if current < _ENOUGH_MA:
        yield Finding(
            _SECTION,
            "warning",
            f"the supply promises {current / 1000:g} A only",
            "Under load the voltage drops: the CPU is slowed down, or the board resets.",
            "Use the 27 W USB-C supply (5.1 V, 5 A) with its own cable.",
        )
    elif limited:
        yield from _usb_budget(subject, current)
    elif current < _FULL_MA and dict(subject.settings).get("usb_max_current_enable") == "1":
        yield Finding(
            _SECTION,
            "note",
            f"USB may draw 1.6 A (usb_max_current_enable=1), but the supply has agreed to {current / 1000:g} A only",
            "If it cannot give 5 A, the voltage drops under load. A supply on the GPIO pins cannot agree to anything.",
            "Keep it only if you know the supply; the 27 W USB-C supply needs no such line.",
        )


def over_current(subject: Subject) -> Iterator[Finding]:
    """USB devices that drew too much before the last boot."""
    if _number(subject, "usb_over_current_detected"):
        yield Finding(
            _SECTION,
            "warning",
            "USB devices drew too much current",
            "The firmware cut them off; a Coral then vanishes in the middle of a run.",
            "Power them from a hub of their own.",
        )


def _usb_budget(subject: Subject, current: int) -> Iterator[Finding]:
    coral = subject.accelerator(CORAL_USB)
    yield Finding(
        _SECTION,
        "warning" if coral else "note",
        f"all USB devices together may draw 600 mA, because the supply has agreed to {current / 1000:g} A only",
        "A Coral draws up to 900 mA at its full clock, and vanishes when it gets less (datasheet 1.4)."
        if coral
        else "A camera and a stick may want more.",
        "Use the 27 W USB-C supply (5.1 V, 5 A). For another one that gives 5 A, say so, then reboot.",
        subject.append("usb_max_current_enable=1"),
    )


def _number(subject: Subject, name: str) -> int | None:
    """A cell of the device tree: four bytes, the highest first."""
    data = subject.tree.device_tree(f"chosen/power/{name}")
    return int.from_bytes(data, "big") if data and len(data) == 4 else None
