"""The cameras that the kernel knows: sensors on the camera connectors, and those on USB."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from piaccel.device.tree import Tree

_SENSOR = re.compile(r"(?:imx|ov)\d+\w*|arducam\w*")


@dataclass(frozen=True)
class Camera:
    """One camera: ``imx708_wide`` on CSI, or what a USB camera calls itself."""

    name: str
    bus: str


def find(tree: Tree) -> tuple[Camera, ...]:
    """Sensors that their driver has started, then USB cameras; each once."""
    sensors = []
    for path in tree.glob("sys/class/video4linux/v4l-subdev*/name"):
        named = _SENSOR.match(tree.text(path) or "")
        if named:
            sensors.append(Camera(named[0], "CSI"))
    usb: dict[str, Camera] = {}
    for path in tree.glob("sys/class/video4linux/video*/name"):
        device = os.path.realpath(path.parent / "device")
        if re.search(r"/usb\d|/bus/usb/", device):
            usb.setdefault(device, Camera(tree.text(path) or "unnamed", "USB"))
    return (*sensors, *usb.values())
