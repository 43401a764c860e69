"""What mends a runtime that is installed and does not start, told from its own error."""

from __future__ import annotations

from piaccel.errors import CrashError

_BY_TEXT: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("compiled using NumPy 1.x", "numpy.core.multiarray", "_ARRAY_API", "numpy.dtype size changed"),
        "it was built for another NumPy: pip install 'numpy<2'",
    ),
    (
        ("not page-aligned",),
        "it was built for 4 KB pages: add kernel=kernel8.img to /boot/firmware/config.txt and reboot",
    ),
    (("GLIBC_", "GLIBCXX_"), "it was built for a newer system: use Raspberry Pi OS Bookworm or later"),
    (("libGL.so",), "sudo apt install libgl1"),
    (("libgomp",), "sudo apt install libgomp1"),
    (("libstdc++",), "sudo apt install libstdc++6"),
)


def import_remedy(error: BaseException, install: str) -> str:
    """The command that mends a failed import; installing again where nothing better is known."""
    chain = [error, error.__cause__, error.__context__]
    text = " ".join(str(link) for link in chain if link is not None)
    for marks, remedy in _BY_TEXT:
        if any(mark in text for mark in marks):
            return remedy
    return install


def crash_remedy(error: CrashError, install: str, known: str) -> str:
    """What to do about a runtime whose import kills the process; ``known`` is what its backend knows of such deaths."""
    parts = [known, reinstall(install), f"it last said: {error.hint}" if error.hint else ""]
    if "SIGILL" in str(error):
        parts.insert(0, "this build uses instructions that the CPU, or its /proc/cpuinfo, does not have")
    return "; ".join(part for part in parts if part)


def reinstall(install: str) -> str:
    return install.replace("pip install", "pip install --force-reinstall", 1)
