"""The IMX500 camera through picamera2: who has it, what its errors mean, and the upload of a network.

API and messages: picamera2 0.3.38, devices/imx500/imx500.py and picamera2.py.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from piaccel.errors import PiaccelError, UnavailableError

INSTALL = "sudo apt install imx500-all python3-picamera2"
LIST = "see what is connected with: rpicam-hello --list-cameras"
SYSTEM_PACKAGES = Path("/usr/lib/python3/dist-packages")
FIRMWARE = Path("/lib/firmware/imx500_firmware.fpk")
_NETWORK_STAGE = 2
_log = logging.getLogger("piaccel")


def hidden() -> str:
    """What to do where apt's picamera2 is installed, but for another Python or out of a venv's sight; '' otherwise."""
    if not (SYSTEM_PACKAGES / "picamera2").is_dir():
        return ""
    return (
        "apt's picamera2 is there, but this Python does not see it: "
        "make the venv with the system's Python, /usr/bin/python3 -m venv --system-site-packages .venv"
    )


def absent() -> UnavailableError:
    """The error for a board on which no camera answers."""
    if not FIRMWARE.is_file():
        return UnavailableError("the AI Camera's firmware is not installed", hint=f"{INSTALL}, then reboot")
    return UnavailableError("no AI Camera is connected", hint=f"check the ribbon cable at both ends, reboot; {LIST}")


def imported(error: Exception) -> UnavailableError:
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
            hint=f"pip uninstall picamera2; {INSTALL}; /usr/bin/python3 -m venv --system-site-packages .venv",
        )
    return UnavailableError(f"picamera2 does not import: {text}", hint=f"{INSTALL} --reinstall")


def explained(error: Exception, path: Path) -> PiaccelError:
    """The error for a camera that cannot be opened."""
    text = str(error)
    if isinstance(error, StopIteration | IndexError) or "dev-node not found" in text:
        return absent()
    if isinstance(error, PermissionError) and str(error.filename).startswith("/sys/kernel/debug"):
        return UnavailableError(
            "this picamera2 reads the progress of uploads from debugfs, which is closed to you",
            hint="sudo apt full-upgrade: newer ones do without",
        )
    if isinstance(error, PermissionError):
        return UnavailableError(
            f"the camera may not be opened: {error.filename} denies it",
            hint='sudo usermod -aG video "$USER", then log in again',
        )
    if "did not complete" in text or "acquire" in text or "busy" in text.lower():
        held = holders()
        who = f"it is held by {', '.join(held)}" if held else "another program has it, or its cable is loose"
        end = f"sudo kill {held[0].rpartition(' ')[2].strip('()')}" if held else LIST
        return UnavailableError(f"the camera cannot be opened: {who}", hint=f"end that program first: {end}")
    if "Unable to set network firmware" in text:
        return UnavailableError(
            f"{path}: the camera does not take the network: {text.rpartition(': ')[2]}",
            hint="sudo apt install --reinstall imx500-all, then reboot",
        )
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


@contextmanager
def upload(device: Any, name: str) -> Iterator[None]:
    """Tell how far the upload of the network is, while the body waits for it.

    On a terminal it is picamera2's own bar, which is a process: starting the camera may hold the interpreter. The log
    has each tenth.
    """
    _log.warning("uploading %s to the camera; the first time takes minutes, later it is kept there", name)
    if sys.stderr is not None and sys.stderr.isatty():
        device.show_network_fw_progress_bar()
    over = threading.Event()
    teller = threading.Thread(target=_tell, args=(device, over), name="piaccel-upload", daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def _tell(device: Any, over: threading.Event) -> None:
    told = -1
    while not over.wait(0.2):
        try:
            done, total = device.get_fw_upload_progress(_NETWORK_STAGE)
        except Exception as error:  # noqa: BLE001 - debugfs may be closed to this user; the upload goes on
            _log.info("the camera does not tell how far the upload is: %s", error)
            return
        if total and (tenth := 10 * done // total) > told:
            told = tenth
            _log.info("uploading the network: %d %%", 10 * tenth)


def version() -> str | None:
    """The version of the picamera2 that is imported, None where it does not tell."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("picamera2")
    except PackageNotFoundError:
        return None
