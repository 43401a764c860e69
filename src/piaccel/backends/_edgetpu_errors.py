"""What goes wrong with an Edge TPU, in words, and what to do about it.

The library's own words: libedgetpu, tflite/edgetpu_context_direct.cc, tflite/custom_op_direct.cc and
driver/usb/local_usb_device.cc (how libusb's numbers become statuses).
"""

from __future__ import annotations

import re
from pathlib import Path

from piaccel.errors import ModelError, PiaccelError, UnavailableError

_DEB = "libedgetpu1-std_16.0tf2.19.1-1.$(. /etc/os-release; echo $VERSION_CODENAME)_arm64.deb"
_RELEASE = "https://github.com/feranick/libedgetpu/releases/download/16.0TF2.19.1-1"
INSTALL = f"DEB={_DEB}; wget {_RELEASE}/$DEB && sudo apt install ./$DEB"
"""There is no wheel, and Google's own packages end with 2021's library."""
TOO_OLD = (
    "Google's libedgetpu of 2021 dies with LiteRT, and with TensorFlow Lite from 2.12 on: use 16.0TF2.19.1 of feranick"
)
NO_DEVICE = (
    "no Edge TPU is connected",
    "plug the Coral in: lsusb shows 1a6e:089a or 18d1:9302, and a PCIe one is /dev/apex_0; then: piaccel doctor",
)
_PLUGDEV = (
    "sudo usermod -aG plugdev $USER, and log in again; in a container pass all of /dev/bus/usb, as it changes its id"
)
_APEX = "sudo usermod -aG apex $USER, and log in again; in a container pass /dev/apex_0"
_REASONS = (
    (
        ("could not partition page table",),
        "its driver needs 4 KB pages",
        "add kernel=kernel8.img to /boot/firmware/config.txt and reboot",
    ),
    (("opendevice", "permission denied", "usb error -3"), "this user may not open it", ""),
    (
        ("usb error -6", "busy"),
        "another process has it",
        "find that with: sudo fuser -v /dev/apex_0 /dev/bus/usb/*/*; one process can have a TPU",
    ),
)
_AGAIN = "pull it out, wait 5 s and plug it in again, into a USB 3 port or a powered hub; then: piaccel doctor"


def absent(named: str) -> str:
    return f"the library {named} is not installed"


def not_compiled(path: Path, precision: str) -> str:
    """Why a plain .tflite does not run on an Edge TPU."""
    if precision and precision not in ("int8", "uint8"):
        return (
            f"it is not compiled for the Edge TPU, and its weights are {precision}: quantize it to full integers first"
        )
    return f"it is not compiled for the Edge TPU: on a PC run: piaccel compile {path.name} --target edgetpu"


def refused(said: str) -> UnavailableError:
    """The error for a TPU that is there and that the library did not open; ``said`` is what it printed."""
    found = re.search(r"Failed to (?:open device|create driver) \[(.+?)\] at \[(.*?)\]: (.+)", said)
    if found is None:
        reason = "it is busy, or this user may not open it"
        return UnavailableError(f"the Edge TPU cannot be opened: {reason}", hint=f"{_PLUGDEV}; or {_APEX}")
    what, where, why = found.groups()
    for marks, reason, hint in _REASONS:
        if any(mark in why.lower() for mark in marks):
            hint = hint or (_APEX if "PCIe" in what else _PLUGDEV)
            return UnavailableError(f"the Edge TPU at {where} cannot be opened: {reason} ({why})", hint=hint)
    return UnavailableError(f"the Edge TPU at {where} cannot be opened: {why}", hint=_AGAIN)


def unprepared(path: Path, error: Exception) -> PiaccelError:
    """The error for a compiled model that the library did not take."""
    text = _one_line(error)
    if "newer than this runtime version" in text:
        return UnavailableError(f"{path}: it was compiled for a newer libedgetpu ({text})", hint=INSTALL)
    if "Failed to prepare for TPU" in text:
        return UnavailableError(f"{path}: the Edge TPU did not take it: {text}", hint=_AGAIN)
    if "edgetpu-custom-op" in text:
        return ModelError(f"{path}: LiteRT does not hand it to the Edge TPU ({text})", hint=INSTALL)
    return ModelError(f"{path}: edgetpu cannot open it: {text}")


def stopped(error: Exception) -> str:
    """What to say when a run failed."""
    text = _one_line(error)
    if "Failed to execute request" not in text and "edgetpu" not in text.lower():
        return text
    return f"the Edge TPU stopped answering: unplugged, reset, short of power or too hot ({text})"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return re.sub(r"(?<=\S)Node number", "; Node number", text)
