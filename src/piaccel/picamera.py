"""picamera2 comes from apt: why it does not import, and why a camera does not open.

Messages: picamera2 0.3.38, picamera2.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from piaccel.errors import UnavailableError

INSTALL = "sudo apt install python3-picamera2"
LIST = "see what is connected with: rpicam-hello --list-cameras"
SYSTEM_PACKAGES = Path("/usr/lib/python3/dist-packages")


def hidden() -> str:
    """What to do where apt's picamera2 is installed, but for another Python or out of a venv's sight; '' otherwise."""
    if not (SYSTEM_PACKAGES / "picamera2").is_dir():
        return ""
    return (
        "apt's picamera2 is there, but this Python does not see it: "
        "make the venv with the system's Python, /usr/bin/python3 -m venv --system-site-packages .venv"
    )


def imported(error: Exception, install: str = INSTALL) -> UnavailableError:
    """The error for a picamera2 that does not import."""
    text = " ".join(str(error).split())
    if "numpy.dtype size changed" in text:
        return UnavailableError(
            f"apt's picamera2 was built for another NumPy than this venv has: {text}",
            hint="pip install --upgrade simplejpeg, or pip install 'numpy<2'",
        )
    if isinstance(error, ModuleNotFoundError) and error.name == "libcamera":
        return UnavailableError(
            "picamera2 is here without libcamera, which comes from apt only",
            hint=f"pip uninstall picamera2; {install}; /usr/bin/python3 -m venv --system-site-packages .venv",
        )
    return UnavailableError(f"picamera2 does not import: {text}", hint=f"{install} --reinstall")


def denied(error: PermissionError) -> UnavailableError:
    """The error for a device node that the user may not open."""
    return UnavailableError(
        f"the camera may not be opened: {error.filename} denies it",
        hint='sudo usermod -aG video "$USER", then log in again',
    )


def unopened(error: Exception) -> UnavailableError:
    """The error for a camera that is there and cannot be opened: mostly another program has it."""
    text = str(error)
    if isinstance(error, PermissionError):
        return denied(error)
    if "did not complete" in text or "acquire" in text or "busy" in text.lower():
        held = holders()
        who = f"it is held by {', '.join(held)}" if held else "another program has it, or its cable is loose"
        end = f"sudo kill {held[0].rpartition(' ')[2].strip('()')}" if held else LIST
        return UnavailableError(f"the camera cannot be opened: {who}", hint=f"end that program first: {end}")
    return UnavailableError(f"the camera cannot be opened: {text or type(error).__name__}", hint=LIST)


def holders(proc: Path = Path("/proc")) -> list[str]:
    """Return who else has a camera open, as "name (process id)"; only the user's own processes can be seen."""
    found = []
    for folder in sorted(proc.glob("[0-9]*"), key=lambda folder: int(folder.name)):
        if int(folder.name) != os.getpid() and any(_is_camera(link) for link in _links(folder / "fd")):
            found.append(f"{_name(folder)} ({folder.name})")
    return found


def _links(folder: Path) -> Iterator[str]:
    try:
        for link in folder.iterdir():
            yield os.readlink(link)
    except OSError:  # it ended, or is another user's
        return


def _is_camera(target: str) -> bool:
    return target.startswith(("/dev/media", "/dev/v4l-subdev"))


def _name(folder: Path) -> str:
    try:
        return (folder / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # it ended
        return "a process"
