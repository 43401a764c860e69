"""Networks as the Edge TPU compiler leaves them: one custom operator, and perhaps others that it left to the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from piaccel.testing import edgetpu as fake
from tests.backends.networks import TFLite

Bytes = NDArray[np.uint8]
USB = "/sys/bus/usb/devices/2-1"
"""Where the library that stands for the real one has a TPU, when nothing else is told."""


def pretend(monkeypatch: pytest.MonkeyPatch, mode: str, devices: str | None = None) -> None:
    """Let the library do what ``mode`` says, with these devices connected."""
    monkeypatch.setenv(fake.MODE, mode)
    if devices is not None:
        monkeypatch.setenv(fake.DEVICES, devices)


def compiled_file(path: Path, custom: str = "edgetpu-custom-op", *, left: bool = False) -> Path:
    """uint8 "x" (1, 5, 5, 3) -> "y" (1, 5, 5, 2); with ``left`` another operator, on the CPU, makes "z" of "y"."""
    net = TFLite()
    x = net.tensor("x", (1, 5, 5, 3), "UINT8")
    y = net.tensor("y", (1, 5, 5, 2), "UINT8")
    net.operator("CUSTOM", [x], [y], custom=custom)
    if not left:
        return net.write(path, [x], [y])
    z = net.tensor("z", (1, 50), "UINT8")
    options = net.schema.ReshapeOptionsT()
    options.newShape = [1, 50]
    net.operator("RESHAPE", [y], [z], options)
    return net.write(path, [x], [z])


def picture() -> Bytes:
    return np.random.default_rng(0).integers(0, 256, (1, 5, 5, 3), np.uint8)


def answer(given: Bytes) -> Bytes:
    """What the network answers on the library that stands for the real one."""
    return fake.answer(given, np.zeros((1, 5, 5, 2), np.uint8))
