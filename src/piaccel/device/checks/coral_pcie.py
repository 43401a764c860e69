"""Coral Edge TPU on PCIe: gasket and apex, which need more of a Raspberry Pi 5 than it gives by itself.

Sources: google/gasket-driver, raspberrypi/linux#6799, geerlingguy/raspberry-pi-pcie-devices#44.
"""

from __future__ import annotations

from collections.abc import Iterator

from piaccel.device import permissions
from piaccel.device.accelerators import CORAL_PCIE
from piaccel.device.checks import drivers
from piaccel.device.findings import Finding, Subject

_SECTION = "device"
_BUILD = (
    "sudo apt install dkms devscripts debhelper dh-dkms && git clone https://github.com/feranick/gasket-driver\n"
    "cd gasket-driver && debuild -us -uc -tc -b && sudo apt install ../gasket-dkms_*_all.deb"
)


def pcie(subject: Subject) -> Iterator[Finding]:
    """The kernel, the interrupts, the driver, its node and who may open it: the first that is wrong."""
    coral = subject.accelerator(CORAL_PCIE)
    if coral is None:
        return
    if subject.board.page_size == 16384:
        yield Finding(
            _SECTION,
            "problem",
            "the Coral's PCIe driver does not work with this kernel's 16 KiB pages",
            "gasket maps memory in pages of 4 KiB; no build of it knows others.",
            "Boot the kernel with 4 KiB pages, then reboot.",
            subject.append("kernel=kernel8.img"),
        )
        return
    yield from _settings(subject)
    trouble = drivers.missing(subject, coral, "apex", ("gasket-dkms",), _BUILD)
    if trouble is not None:
        yield trouble
        return
    held = permissions.rights(subject.tree, (coral.node or "").lstrip("/"), 'SUBSYSTEM=="apex"')
    if held.may_open is not False:
        return
    rule = (
        ""
        if held.ruled
        else ('echo \'SUBSYSTEM=="apex", MODE="0660", GROUP="apex"\' | sudo tee /etc/udev/rules.d/65-apex.rules\n')
    )
    yield Finding(
        _SECTION,
        "problem",
        f"this user may not open the Coral ({coral.node}, group {held.group or 'root'})",
        'The library then says only "Failed to load delegate", and that no device was found.',
        "Join the group, then reboot.",
        f'{rule}sudo groupadd -f {held.group or "apex"} && sudo usermod -aG {held.group or "apex"} "$USER"',
    )


def _settings(subject: Subject) -> Iterator[Finding]:
    if subject.board.soc != "BCM2712":
        return
    if not subject.overlay("pciex1-compat-pi5", "no-mip") and not subject.overlay("pineboards-hat-ai"):
        yield Finding(
            _SECTION,
            "warning",
            "the Coral on PCIe gets no interrupts on a Raspberry Pi 5 without an overlay",
            'Its driver then says "Couldn\'t initialize interrupts" (raspberrypi/linux#6799).',
            "Let the PCIe controller handle them, then reboot.",
            subject.append("dtoverlay=pciex1-compat-pi5,no-mip"),
        )
    words = (subject.tree.text("proc/cmdline") or "").split()
    if words and "pcie_aspm=off" not in words:
        yield Finding(
            _SECTION,
            "warning",
            "PCIe may put the Coral to sleep (pcie_aspm is not off)",
            "It does not always wake up again: the device is lost until the next boot.",
            "Keep the link awake, then reboot.",
            f"sudo sed -i '1 s/$/ pcie_aspm=off/' {subject.boot}/cmdline.txt",
        )
