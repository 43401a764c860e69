"""The video devices of Linux: which of them are cameras. Structure and flags: linux/videodev2.h."""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Ioctl = Callable[[int, int, bytearray], object]
_QUERYCAP = 0x80685600
"""_IOR('V', 0, struct v4l2_capability)."""
_CAPABILITY = struct.Struct("16s32s32s3I12x")
_VIDEO_CAPTURE = 0x00000001
_DEVICE_CAPS = 0x80000000
_OF_THE_BOARD = ("bcm2835-codec", "bcm2835-isp", "pispbe", "rp1-cfe", "rpi-hevc-dec", "rpivid", "unicam")
"""Drivers of the Pi's codecs, its ISP and its ribbon connectors; some of their nodes say that they capture video."""


@dataclass(frozen=True)
class Camera:
    path: Path
    card: str
    """What it calls itself."""

    def __str__(self) -> str:
        return f"{self.path} ({self.card})"


def cameras(dev: Path = Path("/dev"), ioctl: Ioctl = fcntl.ioctl) -> list[Camera]:
    """Return the cameras, by their stable name in /dev/v4l/by-id where they have one; unreadable nodes are left out."""
    names = {link.resolve(): link for link in sorted((dev / "v4l/by-id").glob("*"))}
    nodes = sorted(dev.glob("video[0-9]*"), key=lambda node: int(re.sub(r"\D", "", node.name) or 0))
    cards = [(node, _card(node, ioctl)) for node in nodes]
    return [Camera(names.get(node.resolve(), node), card) for node, card in cards if card is not None]


def _card(node: Path, ioctl: Ioctl) -> str | None:
    data = bytearray(_CAPABILITY.size)
    try:
        handle = os.open(node, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        ioctl(handle, _QUERYCAP, data)
    except OSError:  # no V4L2 device
        return None
    finally:
        os.close(handle)
    driver, card, _bus, _version, capabilities, of_node = _CAPABILITY.unpack(data)
    if capabilities & _DEVICE_CAPS:
        capabilities = of_node
    if not capabilities & _VIDEO_CAPTURE or _text(driver) in _OF_THE_BOARD:
        return None
    return _text(card)


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode(errors="replace")
