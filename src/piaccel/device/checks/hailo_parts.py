"""Hailo: driver, library, firmware and Python binding are of one version, and the binding goes with NumPy."""

from __future__ import annotations

from collections.abc import Iterator

from piaccel.device import hailo_versions
from piaccel.device.checks.hailo import chip, conflict, install
from piaccel.device.debs import numbers
from piaccel.device.findings import Finding, Subject
from piaccel.device.hailo_versions import BINDING_DEBS, DRIVER_DEBS, LIBRARY_DEBS, HailoVersions

_SECTION = "device"
_ALL_DEBS = (*LIBRARY_DEBS, *DRIVER_DEBS, "hailofw", *BINDING_DEBS)


def versions(subject: Subject) -> Iterator[Finding]:
    """The four versions; what is missing, and the one command that mends a difference."""
    device = chip(subject)
    if device is None:
        return
    found = hailo_versions.read(subject.tree, subject.modules, subject.debs, subject.packages)
    if not found.known:
        return  # that nothing is installed is said where the driver is looked for
    parts = [f"{part} {version or 'unknown'}" for part, version in found.to_dict().items()]
    yield Finding(_SECTION, "ok", f"HailoRT: {', '.join(parts)}")
    if any(conflict(subject)):
        return
    if found.library is None:
        yield Finding(
            _SECTION,
            "problem",
            f"{device.kind.title}: the library libhailort is not installed",
            "The driver alone runs no model.",
            "Install what belongs to the chip.",
            install(device),
        )
    elif len(found.known) > 1:
        yield _mismatch(subject, found)
    if found.library is not None and found.binding is None:
        yield _no_binding(subject, found)


def _mismatch(subject: Subject, found: HailoVersions) -> Finding:
    parts = ", ".join(f"{part} {version}" for part, version in found.to_dict().items() if version)
    words, command = _cure(subject, found)
    return Finding(
        _SECTION,
        "problem",
        f"the parts of HailoRT are of different versions: {parts}",
        _symptom(found) + " All of them have to be equal, to the last number.",
        words,
        command,
    )


def _symptom(found: HailoVersions) -> str:
    if found.driver and found.driver != found.library:
        return (
            f'Opening the device fails with "Driver version ({found.driver}) is different from library version '
            f'({found.library})", HAILO_INVALID_DRIVER_VERSION(76).'
        )
    if found.binding and found.binding != found.library:
        return (
            f'Importing hailo_platform fails with "_pyhailort version ({found.library}) does not match pyhailort '
            f'version ({found.binding})", or with a missing libhailort.so.{found.binding}.'
        )
    return "The library refuses a firmware of another version, HAILO_UNSUPPORTED_FW_VERSION."


def _cure(subject: Subject, found: HailoVersions) -> tuple[str, str]:
    installed = [name for name in _ALL_DEBS if subject.debs.get(name)]
    packaged = {numbers(subject.debs.get(name)) for name in installed if name not in BINDING_DEBS}
    binding = subject.packages.get("hailort")
    apt = subject.packages.apt.get("hailort")
    others = {found.driver, found.library, found.firmware} - {None}
    if len(others) == 1 and binding is not None and not binding.from_apt and apt and apt.version in others:
        return (
            "Take out the binding that pip installed: it hides the system's, which fits.",
            "python3 -m pip uninstall hailort",
        )
    if packaged == {found.library} and found.binding in (None, found.library) and found.driver != found.library:
        return "The packages agree, but the driver in memory is an older one. Start the new one.", "sudo reboot"
    packages = " ".join(installed) or "hailo-all"
    return (
        "Bring all of them to the version of the archive.",
        f"sudo apt update && sudo apt install --reinstall {packages} && sudo reboot",
    )


def _no_binding(subject: Subject, found: HailoVersions) -> Finding:
    apt = subject.packages.apt.get("hailort")
    if apt is not None:
        return Finding(
            _SECTION,
            "warning",
            "the Python binding of HailoRT is installed for the system's Python, and this Python does not see it",
            "It exists as a package of Debian only: none is on PyPI, and another Python cannot import it.",
            "Make the virtual environment with the system's Python, and let it see the system's packages.",
            "/usr/bin/python3 -m venv --system-site-packages .venv",
        )
    name = BINDING_DEBS[1] if (found.library or "").startswith("5.") else BINDING_DEBS[0]
    return Finding(
        _SECTION,
        "problem",
        "the Python binding of HailoRT is not installed",
        "Without hailo_platform no Python program reaches the chip.",
        "Install it.",
        f"sudo apt install {name}",
    )


def numpy(subject: Subject) -> Iterator[Finding]:
    """HailoRT 4's binding with NumPy 2."""
    binding, package = subject.packages.get("hailort"), subject.packages.get("numpy")
    if binding is None or package is None or binding.major >= 5 or package.major < 2:
        return
    by_apt = package.from_apt
    yield Finding(
        _SECTION,
        "warning",
        f"NumPy {package.version} with the binding of HailoRT {binding.version}, which was built for NumPy 1",
        'Results may fail with "Memory size ... got 0": the binding declares numpy<2.',
        "Prove it with one inference before you trust it (Trixie has NumPy 2 only)."
        if by_apt
        else "Use NumPy 1 in this environment.",
        "piaccel backends" if by_apt else "python3 -m pip install 'numpy<2'",
    )
