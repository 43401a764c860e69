"""Whether a power source can tell which of two configurations draws less."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from piaccel.device.power.source import Part

_WORDS: dict[Part, str] = {
    "cpu": "the processor",
    "usb": "devices on USB",
    "pcie": "a module on PCIe or a HAT",
    "camera": "a camera that computes",
    "supply_losses": "what the board's converters lose",
}
_USED: dict[str, frozenset[Part]] = {
    "edgetpu": frozenset({"cpu", "usb", "pcie"}),
    "hailo": frozenset({"cpu", "pcie"}),
    "imx500": frozenset({"cpu", "camera"}),
}
_ON_USB = ("MYRIAD", "USB")


class Held(Protocol):
    """What is known of a source: a ``PowerSource``, or what a report keeps of it."""

    @property
    def name(self) -> str: ...

    @property
    def covers(self) -> Collection[str]: ...

    @property
    def leaves_out(self) -> str: ...

    @property
    def is_measured(self) -> bool: ...


def used_by(backend: str, device: str = "") -> frozenset[Part]:
    """What a backend makes work: the processor, and where its accelerator sits. ``device`` as a result names it.

    A Coral may be on USB or on PCIe: unless ``device`` tells, both are taken.
    """
    if backend == "edgetpu" and device:
        return frozenset({"cpu", "pcie"} if "pci" in device.lower() or "apex" in device.lower() else {"cpu", "usb"})
    if any(word in device.upper() for word in _ON_USB):
        return frozenset({"cpu", "usb"})
    return _USED.get(backend, frozenset({"cpu"}))


def refusal(source: Held, *used: Iterable[Part]) -> str | None:
    """Why ``source`` cannot compare configurations that use these parts; None when it can.

    Each of ``used`` is one configuration's, as ``used_by`` answers.
    """
    if not source.is_measured:
        return f"{source.name} is a number that was given: it is the same for every configuration"
    unseen = frozenset().union(*used).difference(source.covers)
    if not unseen:
        return None
    words = " and ".join(_WORDS[part] for part in sorted(unseen))
    return (
        f"{source.name} leaves out {source.leaves_out}; this comparison needs {words}: "
        "measure in the 5 V feed (an INA226 or a USB meter) instead"
    )
