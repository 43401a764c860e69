"""The IMX500 camera through picamera2: who has it, what its errors mean, and the upload of a network.

API and messages: picamera2 0.3.38, devices/imx500/imx500.py and picamera2.py.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from piaccel import picamera
from piaccel.errors import PiaccelError, UnavailableError
from piaccel.picamera import LIST as LIST
from piaccel.picamera import hidden as hidden

INSTALL = "sudo apt install imx500-all python3-picamera2"
FIRMWARE = Path("/lib/firmware/imx500_firmware.fpk")
_NETWORK_STAGE = 2
_log = logging.getLogger("piaccel")


def absent() -> UnavailableError:
    """The error for a board on which no camera answers."""
    if not FIRMWARE.is_file():
        return UnavailableError("the AI Camera's firmware is not installed", hint=f"{INSTALL}, then reboot")
    return UnavailableError("no AI Camera is connected", hint=f"check the ribbon cable at both ends, reboot; {LIST}")


def imported(error: Exception) -> UnavailableError:
    """The error for a picamera2 that does not import."""
    return picamera.imported(error, INSTALL)


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
    if "Unable to set network firmware" in text:
        return UnavailableError(
            f"{path}: the camera does not take the network: {text.rpartition(': ')[2]}",
            hint="sudo apt install --reinstall imx500-all, then reboot",
        )
    return picamera.unopened(error)


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
