"""Hailo: the right driver for the chip, on this kernel, with a node that may be opened (hailo-ai/hailort-drivers)."""

from __future__ import annotations

from collections.abc import Iterator

from piaccel.device import permissions
from piaccel.device.accelerators import HAILO_8, HAILO_10H, Accelerator
from piaccel.device.checks import drivers
from piaccel.device.findings import Finding, Subject
from piaccel.device.hailo_versions import DRIVER_DEBS

_SECTION = "device"
_OLD = ("hailo-all", "hailort", "hailo-dkms", "hailort-pcie-driver", "hailofw", "python3-hailort")
_NEW = ("hailo-h10-all", "h10-hailort", "h10-hailort-pcie-driver", "python3-h10-hailort")
_NEW_SINCE = "5."
_DESCRIPTOR_PAGE = 4096


def chip(subject: Subject) -> Accelerator | None:
    """The Hailo that is plugged in."""
    return subject.accelerator(HAILO_8, HAILO_10H)


def install(device: Accelerator) -> str:
    """The command that installs what belongs to this chip (RP docs, ai.adoc)."""
    return f"sudo apt install dkms {'hailo-all' if device.kind is HAILO_8 else 'hailo-h10-all'} && sudo reboot"


def families(subject: Subject) -> tuple[list[str], list[str]]:
    """The installed packages of HailoRT 4 and of HailoRT 5; Hailo's own of 5 bear the names of Raspberry Pi's of 4."""
    old = [name for name in _OLD if (version := subject.debs.get(name)) and not version.startswith(_NEW_SINCE)]
    return old, [name for name in (*_NEW, *_OLD) if name not in old and subject.debs.get(name)]


def conflict(subject: Subject) -> Iterator[Finding]:
    """The software of the other chip, alone or besides the right one."""
    device = chip(subject)
    old, new = families(subject)
    if device is None:
        if old and new:
            yield _both(old, new, f"sudo apt remove {' '.join(new)}")
        return
    right, wrong = (old, new) if device.kind is HAILO_8 else (new, old)
    if right and wrong:
        yield _both(old, new, f"sudo apt remove {' '.join(wrong)} && {install(device)}")
    elif wrong:
        yield Finding(
            _SECTION,
            "problem",
            f"{device.kind.title}: the packages of another chip are installed ({', '.join(wrong)})",
            "hailo-all is for Hailo-8 and 8L (HailoRT 4), hailo-h10-all for Hailo-10H (HailoRT 5). The driver of one "
            'does not take the other; a library says "Hailo1X Devices are only supported in versions 5.0.0 and above".',
            "Replace them.",
            f"sudo apt remove {' '.join(wrong)} && {install(device)}",
        )


def _both(old: list[str], new: list[str], command: str) -> Finding:
    return Finding(
        _SECTION,
        "problem",
        f"the software of two Hailo families is installed: {old[0]} and {new[0]}",
        "They hold the same files in different versions: whichever driver is loaded first takes the chip, and its "
        "library may be the other one's.",
        "Remove the one that does not belong to your chip.",
        command,
    )


def driver(subject: Subject) -> Iterator[Finding]:
    """What keeps the chip from working: the first that is wrong."""
    device = chip(subject)
    if device is None:
        return
    if device.kind is HAILO_10H and subject.board.os_codename == "bookworm":
        yield Finding(
            _SECTION,
            "problem",
            "Hailo-10H: Raspberry Pi has its software for Trixie only",
            "hailo-h10-all is not in Bookworm's archive (RP docs, ai.adoc).",
            "Install Raspberry Pi OS Trixie with Raspberry Pi Imager: https://www.raspberrypi.com/software/",
        )
        return
    if any(conflict(subject)):
        return
    wrong = _wrong_module(subject, device)
    if wrong:
        yield wrong
        return
    module = _module(subject, device)
    trouble = drivers.missing(subject, device, module, DRIVER_DEBS, install(device))
    if trouble is not None:
        yield trouble
        return
    yield from _permission(subject, device)
    yield from _descriptor_page(subject, device, module)


def _module(subject: Subject, device: Accelerator) -> str:
    """A 5.x driver may still bear the older name."""
    new_named_old = device.kind is HAILO_10H and (subject.modules.version("hailo_pci") or "").startswith("5.")
    return "hailo_pci" if new_named_old else device.kind.module or ""


def _wrong_module(subject: Subject, device: Accelerator) -> Finding | None:
    modules, title = subject.modules, device.kind.title
    version = modules.version("hailo_pci")
    if device.driver is not None and device.node is not None:
        return None
    if device.kind is HAILO_8 and modules.loaded("hailo1x_pci") and not modules.loaded("hailo_pci"):
        loaded, wanted = f"hailo1x_pci {modules.version('hailo1x_pci') or ''}".strip(), "hailo_pci (4.x)"
    elif device.kind is HAILO_10H and not modules.loaded("hailo1x_pci") and (version or "").startswith("4."):
        loaded, wanted = f"hailo_pci {version}", "hailo1x_pci (5.x)"
    else:
        return None
    return Finding(
        _SECTION,
        "problem",
        f"{title}: the driver of another chip is loaded, {loaded} instead of {wanted}",
        "It does not know this chip and never takes it, without an error.",
        "Unload it, and install what belongs to this chip.",
        f"sudo modprobe -r {loaded.split()[0]}; {install(device)}",
    )


def _permission(subject: Subject, device: Accelerator) -> Iterator[Finding]:
    node = device.node or ""
    marks = 'SUBSYSTEM=="hailo1x"' if node.startswith("/dev/h1x") else 'SUBSYSTEM=="hailo_chardev"'
    held = permissions.rights(subject.tree, node.lstrip("/"), marks)
    if held.may_open is not False:
        return
    rule = f'{marks}, MODE="0660", GROUP="video"'
    yield Finding(
        _SECTION,
        "problem",
        f"this user may not open {device.kind.title} ({node})",
        "HailoRT then finds no device. Driver 5.3 comes without a udev rule, so only root may open its node.",
        "Give the node to the group video, join it, then reboot.",
        f"echo '{rule}' | sudo tee /etc/udev/rules.d/51-hailo.rules\n" + 'sudo usermod -aG video "$USER"',
    )


def _descriptor_page(subject: Subject, device: Accelerator, module: str) -> Iterator[Finding]:
    """On 16 KiB pages the driver has to be told the chip's own limit."""
    size = subject.modules.parameter(module, "force_desc_page_size")
    if subject.board.page_size != 16384 or size is None or 0 < size <= _DESCRIPTOR_PAGE:
        return
    set_already = subject.modules.option(module, "force_desc_page_size")
    line = f"options {module} force_desc_page_size={_DESCRIPTOR_PAGE}"
    yield Finding(
        _SECTION,
        "problem" if device.kind is HAILO_8 else "warning",
        f"{device.kind.title}: its driver takes this kernel's 16 KiB for its own page size",
        'Loading a model fails with "max_desc_page_size given 16384 is bigger than hw max desc page size 4096", '
        "HAILO_INTERNAL_FAILURE(8).",
        "It is set, and holds from the next boot on." if set_already else "Set the chip's own, then reboot.",
        "sudo reboot"
        if set_already
        else f"echo '{line}' | sudo tee /etc/modprobe.d/{module}.conf\nsudo update-initramfs -u",
    )


def absent(subject: Subject) -> Iterator[Finding]:
    """Software for a Hailo, and none on the bus."""
    packages = [name for name in ("hailo-all", "hailo-h10-all") if subject.debs.get(name)]
    if chip(subject) is not None or not packages or not subject.board.is_pi:
        return
    why, cure, command = "Only the Raspberry Pi 5 family has PCIe for it.", "", f"sudo apt remove {packages[0]}"
    if subject.board.soc == "BCM2712":
        why = "The bus shows a chip before any driver is asked: the cable, the HAT's seat, or PCIe is switched off."
        cure = "Power off, seat the cable again. A board that is no HAT+ needs PCIe switched on, then a reboot."
        command = subject.append("dtparam=pciex1") if subject.parameter("pciex1") is None else ""
    yield Finding(_SECTION, "warning", f"{packages[0]} is installed, but there is no Hailo on PCIe", why, cure, command)
