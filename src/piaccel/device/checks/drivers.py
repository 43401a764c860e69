"""Why a device on PCIe has no driver: not installed, not built for this kernel, not loaded, refused, or no node."""

from __future__ import annotations

import re

from piaccel.device.accelerators import Accelerator
from piaccel.device.findings import Finding, Subject

_SECTION = "device"


def missing(subject: Subject, device: Accelerator, module: str, debs: tuple[str, ...], install: str) -> Finding | None:
    """What keeps ``module`` from serving ``device``; None when it does.

    ``debs`` are the packages that may hold the module's source, ``install`` the command that gets it.
    """
    title, modules = device.kind.title, subject.modules
    if modules.loaded(module):
        return _not_bound(device, module) or _no_node(subject, device, module)
    built = modules.kernels_with(module)
    deb = subject.debs.first(*debs)
    if not built and not deb and not modules.source(module):
        return Finding(
            _SECTION,
            "problem",
            f"{title}: its driver {module} is not installed",
            "It is on the bus, and no program can reach it.",
            "Install it, then reboot.",
            install,
        )
    if modules.kernel not in built:
        others = f", but for {', '.join(built)}" if built else ""
        return Finding(
            _SECTION,
            "problem",
            f"{title}: the driver {module} is not built for the running kernel {modules.kernel}{others}",
            "After an update of the kernel DKMS has to build it again, which it silently leaves out without the "
            "kernel's headers.",
            "Build it; if that fails, the reason is in /var/lib/dkms/*/*/build/make.log.",
            f"sudo apt install dkms {_headers(modules.kernel)}\nsudo dkms autoinstall && sudo modprobe {module}",
        )
    forbidden = modules.blacklisted_in(module)
    if forbidden:
        return Finding(
            _SECTION,
            "problem",
            f"{title}: {forbidden} forbids loading its driver {module}",
            "It is on the bus, and no program can reach it.",
            "Take the line out, then load it.",
            f"sudo sed -i '/blacklist {module}/d' {forbidden} && sudo modprobe {module}",
        )
    return Finding(
        _SECTION,
        "problem",
        f"{title}: the driver {module} is built but not loaded",
        "It is on the bus, and no program can reach it.",
        "Load it; if that fails, the kernel's log says why.",
        f"sudo modprobe {module}; sudo dmesg | grep -i {device.family} | tail",
    )


def _not_bound(device: Accelerator, module: str) -> Finding | None:
    if device.driver is not None:
        return None
    words = "hailo" if device.family == "hailo" else "apex"
    return Finding(
        _SECTION,
        "problem",
        f"{device.kind.title}: the driver {module} is loaded but could not start the device",
        'A missing firmware file, no interrupts behind a PCIe switch ("Failed to enable MSI", '
        "\"Couldn't initialize interrupts\"), or a bad cable. Only the kernel's log tells.",
        "Read what it says. Behind a switch add dtoverlay=pciex1-compat-pi5,no-mip to config.txt.",
        f"sudo dmesg | grep -iE '{words}|pcie' | tail -n 20",
    )


def _no_node(subject: Subject, device: Accelerator, module: str) -> Finding | None:
    if device.node is not None:
        return None
    node = _expected_node(subject, module)
    if subject.tree.exists("run/.containerenv") or subject.tree.exists(".dockerenv"):
        words, command = "Pass it into the container.", f"docker run --device {node}"
    else:
        words, command = "Load the driver anew.", f"sudo modprobe -r {module} && sudo modprobe {module}; ls -l {node}"
    return Finding(
        _SECTION,
        "problem",
        f"{device.kind.title}: the driver {module} has taken it, but there is no {node}",
        "Programs reach the device through this file only.",
        words,
        command,
    )


def _expected_node(subject: Subject, module: str) -> str:
    """hailo1x_pci calls it by the chip's own name since 5.3 (hailort-drivers v5.3.0)."""
    if module == "apex":
        return "/dev/apex_0"
    found = re.match(r"(\d{1,6})\.(\d{1,6})", subject.modules.version(module) or "")
    return "/dev/h1x-0" if found and (int(found[1]), int(found[2])) >= (5, 3) else "/dev/hailo0"


def _headers(kernel: str | None) -> str:
    """The package that keeps the headers of Raspberry Pi's kernel up to date."""
    for flavour in ("rpi-2712", "rpi-v8"):
        if (kernel or "").endswith(flavour):
            return f"linux-headers-{flavour}"
    return "linux-headers-$(uname -r)"
