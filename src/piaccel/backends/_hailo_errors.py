"""What HailoRT's statuses mean to the user, and what mends them.

Numbers and names: hailort.h, hailo_status; texts: pyhailort.py, create_exception_from_status.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from piaccel.backends import _hailo_board as board
from piaccel.backends._session import last_line
from piaccel.errors import InferenceError, ModelError, PiaccelError, UnavailableError

_BY_CLASS = {
    "HailoRTTimeout": 4,
    "HailoRTInvalidOperationException": 6,
    "HailoRTFirmwareControlFailedException": 18,
    "HailoRTInvalidHEFException": 26,
    "HailoRTDriverOperationFailedException": 36,
    "HailoRTPCIeDriverException": 36,
    "HailoRTNotFoundException": 61,
    "HailoCommunicationClosedException": 62,
    "HailoRTStreamAborted": 63,
    "HailoRTStreamAbortedByUser": 63,
    "HailoRTHEFNotCompatibleWithDevice": 93,
}
TIMEOUT, CONTROL, DRIVER, INCOMPATIBLE, NOT_SUPPORTED = 4, 18, 36, 93, 79
_IN_USE = (73, 74)
_LOST = (18, 36, 62, 63)
_BROKEN_FILE = {
    26: "is no valid HEF",
    91: "is corrupted",
    92: "is not supported by this HailoRT",
}
LOG = "HAILORT_LOGGER_PATH=. lets HailoRT write hailort.log, which says more"
_CLASH = f"HailoRT's Python binding does not work with NumPy {np.__version__}"
_OLD_NUMPY = "pip install 'numpy<2' (HailoRT 4.23's binding was built for NumPy 1)"


def status_of(error: BaseException) -> int | None:
    """The hailo_status behind an exception of the binding, None when it does not tell."""
    if found := re.search(r"failed with error: (\d+)", str(error)):
        return int(found[1])
    return _BY_CLASS.get(type(error).__name__)


def opening(error: Exception, path: Path, version: str) -> PiaccelError:
    """The error for a device or a file that cannot be opened."""
    if isinstance(error, PiaccelError):
        return error
    status = status_of(error)
    package = board.package(board.root(), version)
    if _numpy_clash(error):
        return UnavailableError(_CLASH, hint=_OLD_NUMPY)
    if status in _IN_USE:
        return UnavailableError(
            f"the Hailo device is in use by another program (HailoRT status {status})", hint=_sharing(version)
        )
    if (node := board.forbidden(board.root())) is not None:
        return UnavailableError(
            f"no permission to open {node}",
            hint=f"echo '{board.rule(node)}' | sudo tee /etc/udev/rules.d/51-hailo.rules; "
            "sudo usermod -aG video $USER; sudo reboot",
        )
    if status == 76:
        driver = board.driver(board.root())
        return UnavailableError(
            f"the Hailo driver ({driver or 'version unknown'}) is not of HailoRT's version ({version})",
            hint=board.update(package),
        )
    if status == NOT_SUPPORTED:
        return UnavailableError(
            f"HailoRT {version} does not drive this chip: 4.x is for Hailo-8 and 8L, 5.x for Hailo-10H",
            hint=board.replace(package),
        )
    if status in _BROKEN_FILE:
        return ModelError(
            f"{path} {_BROKEN_FILE[status]} (HailoRT {version}, status {status})",
            hint="copy or download it again, made by a compiler for this HailoRT: 3.x for 4.x, 5.x for 5.x",
        )
    if status == INCOMPATIBLE:
        return ModelError(
            f"{path} is compiled for another chip than this board's (HailoRT status 93)", hint=board.WHICH_HEF
        )
    if status == 61:
        return ModelError(f"{path} holds no such network (HailoRT status 61)", hint="piaccel info FILE lists them")
    if "not found in the system" in str(error):
        return no_device()
    if status == 8:
        return UnavailableError(f"HailoRT {version} failed inside (status 8)", hint=_internal(version))
    if status in (13, DRIVER, TIMEOUT, *_LOST):
        return UnavailableError(
            f"the Hailo device does not answer: {last_line(error)} (status {status})",
            hint="sudo dmesg | grep hailo says why; then: sudo reboot",
        )
    if status is not None:
        return UnavailableError(f"HailoRT {version} cannot open {path}: {last_line(error)}", hint=LOG)
    return ModelError(f"{path}: HailoRT {version} cannot open it: {last_line(error)}", hint=LOG)


def running(error: BaseException, path: Path, timeout_ms: int) -> InferenceError:
    """The error for a run that failed."""
    status = status_of(error)
    if _numpy_clash(error):
        return InferenceError(f"{path}: {_CLASH}", hint=_OLD_NUMPY)
    if status == TIMEOUT:
        return late(path, timeout_ms)
    if status in _LOST:
        return InferenceError(
            f"{path}: the Hailo device was lost while it ran: {last_line(error)} (status {status})",
            hint="sudo dmesg | grep hailo says why; check the power supply and the HAT's ribbon cable",
        )
    if status == 8:
        return InferenceError(f"{path}: HailoRT failed inside (status 8)", hint=_internal(""))
    return InferenceError(f"{path}: hailo failed: {last_line(error)}", hint=LOG)


def late(path: Path, timeout_ms: int) -> InferenceError:
    return InferenceError(
        f"{path}: the Hailo device did not answer within {timeout_ms} ms",
        hint="sudo dmesg | grep hailo says why; other programs that use the device slow it: --option timeout_ms=5000",
    )


def no_device() -> UnavailableError:
    return UnavailableError("no Hailo device was found", hint=board.SEATING)


def _numpy_clash(error: BaseException) -> bool:
    """Built with pybind11 2.10 for NumPy 1, the binding takes an array of NumPy 2 for an empty one."""
    return re.search(r"memory size.*got 0\b", str(error), re.IGNORECASE) is not None


def _sharing(version: str) -> str:
    owner = "see who has it: sudo lsof /dev/hailo0"
    if version.startswith("4."):
        return (
            f"{owner}; end it, or let all programs share the device: "
            "sudo systemctl enable --now hailort.service, then --option multi_process_service=true in each"
        )
    return f"{owner}; end it, or give all programs the same --option group=NAME"


def _internal(version: str) -> str:
    if os.sysconf("SC_PAGE_SIZE") == 4096:
        return LOG
    module = "hailo1x_pci" if version.startswith("5.") else "hailo_pci"
    return (
        f"with 16 KB pages: echo 'options {module} force_desc_page_size=4096' | "
        f"sudo tee /etc/modprobe.d/{module}.conf && sudo reboot"
    )
