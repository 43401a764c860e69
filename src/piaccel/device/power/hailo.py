"""The current monitor on a Hailo module (M.2 and mini PCIe; the AI HAT+ has none), through HailoRT.

HailoRT's Python binding, 4.23 and 5.2: ``Device().control.power_measurement() -> float`` in W. Whether a second
process may open the Device while another one computes on it is not known; a process that computes reads its own.
"""

from __future__ import annotations

import importlib
import os
import threading
from typing import Any

from piaccel.device.deadline import Answer
from piaccel.device.power.source import Part, PowerSource
from piaccel.device.tree import Tree
from piaccel.errors import HangError, UnavailableError

_NODES = ("dev/hailo[0-9]*", "dev/h1x-*")
_ANSWER_S = 2.0
_OPEN_S = 10.0


class Hailo(PowerSource):
    """The first Hailo of this machine. Nothing is opened before the first reading."""

    name = "hailo"
    how = "HailoRT, Device.control.power_measurement"
    accuracy = "not published"
    uncertainty = None
    leaves_out = "all but the Hailo module: the processor, the board, the supply"
    covers: frozenset[Part] = frozenset({"pcie"})
    cost_ms = 2.0
    """Assumed: one control message to the chip; nobody has measured it for us."""

    def __init__(self) -> None:
        self._device: Any = None
        self._lock = threading.Lock()
        self._given_up = ""

    def watts(self) -> float:
        with self._lock:
            if self._given_up:
                raise UnavailableError(self._given_up)
            first = self._device is None
            try:
                return Answer(self._ask).within(_OPEN_S if first else _ANSWER_S)
            except HangError as error:
                self._given_up = f"HailoRT did not answer within {_OPEN_S if first else _ANSWER_S:g} s"
                raise UnavailableError(self._given_up) from error
            except ModuleNotFoundError as error:
                self._given_up = "HailoRT's Python binding is not installed"
                raise UnavailableError(self._given_up, hint="piaccel doctor") from error
            except Exception as error:  # the binding has several kinds for "no sensor" and "in use"
                words = str(error).splitlines()[-1] if str(error) else type(error).__name__
                if first:
                    self._given_up = f"the module tells no power: {words}"
                raise UnavailableError(f"the module tells no power: {words}") from error

    def close(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            device.release()

    def _ask(self) -> float:
        device = self._device
        if device is None:
            os.environ.setdefault("HAILORT_LOGGER_PATH", "NONE")  # else it writes hailort.log into this folder
            device = importlib.import_module("hailo_platform").Device()
        watts = float(device.control.power_measurement())
        self._device = device
        return watts


def found(tree: Tree) -> list[PowerSource]:
    """The module's, where a Hailo's device file is. Raises UnavailableError where there is none."""
    if not tree.live:
        raise UnavailableError("only this machine's own Hailo can be asked")
    if not any(tree.glob(pattern) for pattern in _NODES):
        raise UnavailableError("no Hailo is here")
    return [Hailo()]
