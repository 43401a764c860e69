"""Python, its packages and the runtimes."""

from __future__ import annotations

from collections.abc import Iterator

from piaccel.device.accelerators import BACKENDS
from piaccel.device.findings import Finding, Runtime, Severity, Subject

_OLDEST, _NEWEST = (3, 11), (3, 13)


def python(subject: Subject) -> Iterator[Finding]:
    """The Python, and one the runtimes have no wheels for."""
    version = subject.packages.python
    if version is None:
        return
    text = ".".join(str(part) for part in version)
    bits = f", {subject.board.process_bits}-bit" if subject.board.process_bits else ""
    place = f", {subject.packages.executable}" if subject.packages.executable else " (the system's)"
    yield Finding("Python", "ok", f"{text}{bits}{place}")
    if version[:2] < _OLDEST:
        yield Finding(
            "Python",
            "problem",
            f"Python {text} is too old: piaccel and its runtimes need 3.11 to 3.13",
            "pip finds no wheels for it, or releases from years ago.",
            "Move to Raspberry Pi OS Bookworm (Python 3.11) or Trixie (3.13).",
        )
    elif version[:2] > _NEWEST:
        yield Finding(
            "Python",
            "note",
            f"Python {text} is newer than what the runtimes' wheels are known for (3.11 to 3.13)",
            "A runtime without a wheel would have to be built from source.",
            "If an installation fails, use the system's Python 3.11 or 3.13.",
        )


def wrong_pycoral(subject: Subject) -> Iterator[Finding]:
    """The ``pycoral`` on PyPI, which is another program."""
    package = subject.packages.get("pycoral")
    if package and package.major == 0:
        yield Finding(
            "Python",
            "warning",
            f"the package pycoral {package.version} is not Google's: it is a tool for the Allen Coral Atlas",
            "It does not drive a Coral Edge TPU. Google's pycoral is not on PyPI and ended at Python 3.9; piaccel does "
            "without it.",
            "Remove it.",
            "python3 -m pip uninstall pycoral",
        )


def old_tflite(subject: Subject) -> Iterator[Finding]:
    """``tflite-runtime`` where its successor is missing."""
    package = subject.packages.get("tflite-runtime")
    if package and not subject.packages.get("ai-edge-litert"):
        yield Finding(
            "Python",
            "warning",
            f"only tflite-runtime {package.version} is installed, which ended in 2023",
            "It has no wheels after Python 3.11, lacks newer operators and faster kernels.",
            "Install its successor.",
            "python3 -m pip install ai-edge-litert",
        )


def old_openvino(subject: Subject) -> Iterator[Finding]:
    """``openvino-dev``, which holds an old OpenVINO."""
    package = subject.packages.get("openvino-dev")
    if package:
        yield Finding(
            "Python",
            "warning",
            f"openvino-dev {package.version} is installed, which ended with 2024.6",
            "It pins OpenVINO to its own release, so newer ones cannot be installed beside it.",
            "Replace it; openvino alone holds the converter too.",
            "python3 -m pip uninstall openvino-dev && python3 -m pip install --upgrade openvino",
        )


def camera_clash(subject: Subject) -> Iterator[Finding]:
    """NumPy 2 in front of apt's picamera2, whose simplejpeg was built for NumPy 1."""
    numpy, jpeg = subject.packages.get("numpy"), subject.packages.get("simplejpeg")
    built_for = subject.packages.apt.get("numpy")
    if not (numpy and jpeg and built_for) or numpy.major < 2 or built_for.major >= 2 or not jpeg.from_apt:
        return
    yield Finding(
        "Python",
        "problem" if subject.packages.get("picamera2") else "warning",
        f"NumPy {numpy.version} does not go with the system's simplejpeg {jpeg.version}, built for {built_for.version}",
        'Importing picamera2 dies with "numpy.dtype size changed, may indicate binary incompatibility" '
        "(raspberrypi/picamera2#1211).",
        "Put a simplejpeg that fits in front of the system's.",
        "python3 -m pip install --force-reinstall --no-deps simplejpeg",
    )


def runtimes(subject: Subject) -> Iterator[Finding]:
    """Which runtimes work, and how to get the others."""
    if subject.runtimes is None:
        return
    working = [f"{each.name} {each.version or ''}".strip() for each in subject.runtimes if each.ok]
    if working:
        whose = "" if subject.tree.live else " (this Python's)"
        yield Finding("runtimes", "ok", ", ".join(working) + whose)
    elif all(each.state != "no answer" for each in subject.runtimes):
        yield Finding(
            "runtimes",
            "problem",
            "no runtime works here",
            "Without one no model runs.",
            "Install the default one.",
            "python3 -m pip install ai-edge-litert",
        )
    for each in subject.runtimes:
        if not each.ok and not _is_beside_the_point(subject, each):
            yield Finding("runtimes", _severity(each), f"{each.name}: {each.reason}", command=each.hint)


def _severity(runtime: Runtime) -> Severity:
    """One that needs a device and hangs is suspicious; one of the CPU may be slow to start on a small board."""
    if runtime.state == "no answer":
        return "warning" if runtime.name in BACKENDS else "note"
    return "warning" if runtime.installed and runtime.state != "not installed" else "note"


def _is_beside_the_point(subject: Subject, runtime: Runtime) -> bool:
    """A backend for a device that nobody has, or that is plugged into another machine than the one which was probed."""
    if runtime.name not in BACKENDS or runtime.state not in ("no device", "not installed", "unsupported"):
        return False
    return not subject.tree.live or runtime.name not in {each.kind.backend for each in subject.accelerators}
