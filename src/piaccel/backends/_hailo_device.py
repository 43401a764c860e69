"""The binding, and one VDevice for all sessions of this process that ask for the same."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from piaccel.backends import _hailo_board as board
from piaccel.backends._session import last_line
from piaccel.errors import UnavailableError

_lock = threading.Lock()
_open: dict[Key, Shared] = {}


class Key(NamedTuple):
    """What sessions must have in common to share a device."""

    device_id: str
    group: str
    service: bool


class Shared:
    """A VDevice and how many sessions use it."""

    def __init__(self, key: Key, vdevice: Any, version: str) -> None:
        self.key = key
        self.vdevice = vdevice
        self.version = version
        self.users = 0
        self._device: Any = None
        self._architecture: str | None = None

    @property
    def control(self) -> Any:
        """The physical device's, while this process holds it; it dies with the Device object that it belongs to."""
        if self._device is None:
            self._device = self.vdevice.get_physical_devices()[0]
        return self._device.control

    @property
    def architecture(self) -> str | None:
        """Such as "HAILO8L"; None when the device does not tell."""
        if self._architecture is None:
            self._architecture = architecture_of(lambda: self.control)
        return self._architecture

    def give_back(self) -> None:
        """Let go of the device when this was its last user."""
        with _lock:
            self.users -= 1
            if self.users:
                return
            if _open.get(self.key) is self:
                del _open[self.key]
            if self._device is not None:
                self._device.release()
            self.vdevice.release()

    def abandon(self) -> None:
        """The device is lost: whoever opens next gets a new one, while the others still hold this."""
        with _lock:
            if _open.get(self.key) is self:
                del _open[self.key]


def runtime() -> Any:
    """Import the binding. Raises UnavailableError when its parts do not belong together."""
    # Before the import: libhailort writes hailort.log into the current folder (hailort_logger.cpp).
    os.environ.setdefault("HAILORT_LOGGER_PATH", "NONE")
    try:
        return importlib.import_module("hailo_platform")
    except ModuleNotFoundError:
        raise
    except ImportError as error:
        if "does not match" not in str(error):
            raise
        fix = board.update(board.package(board.root()))
        raise UnavailableError(f"HailoRT's Python binding is torn: {last_line(error)}", hint=fix) from error


def version_of(module: Any) -> str:
    """HailoRT's version, such as "4.23.0"."""
    found = getattr(module, "__version__", None)
    if not isinstance(found, str):
        from importlib.metadata import version

        found = version("hailort")
    return found


def acquire(module: Any, key: Key) -> Shared:
    """Return the device for one more session; ``give_back`` ends its use. Raises what HailoRT raises."""
    with _lock:
        shared = _open.get(key)
        if shared is None:
            shared = _open[key] = Shared(key, module.VDevice(_params(module, key)), version_of(module))
        shared.users += 1
        return shared


def _params(module: Any, key: Key) -> Any:
    params = module.VDevice.create_params()
    if key.device_id:
        params.device_ids = [key.device_id]
    params.group_id = key.group
    # VDevice(device_ids=...) of 4.x would turn the scheduler off.
    params.scheduling_algorithm = module.HailoSchedulingAlgorithm.ROUND_ROBIN
    if key.service:
        params.multi_process_service = True
    return params


def architecture_of(control: Callable[[], Any]) -> str | None:
    """The chip's name; by name, as 4.18 numbered them differently."""
    try:
        name: str = control().identify().device_architecture.name
    except Exception:  # noqa: BLE001 - a device in use may refuse; it stays unknown
        return None
    return name


class Sensor:
    """One reading of the chip: ``name``, ``unit``, ``read``. What never answered is not asked again."""

    def __init__(self, name: str, unit: str, read: Callable[[], float]) -> None:
        self.name = name
        self.unit = unit
        self._read = read
        self._worked: bool | None = None

    def read(self) -> float | None:
        """The value now; None where the module has no such sensor, or does not answer."""
        if self._worked is False:
            return None
        try:
            value = float(self._read())
        except Exception:  # noqa: BLE001 - the binding raises several kinds for "no sensor" and "no answer"
            self._worked = self._worked or False
            return None
        self._worked = True
        return value


def sensors(shared: Shared) -> tuple[Sensor, ...]:
    """The chip's temperature (the hotter of its two) and the module's power, through a device that is open."""

    def temperature() -> float:
        found = shared.control.get_chip_temperature()
        return float(max(found.ts0_temperature, found.ts1_temperature))

    return (
        Sensor("hailo_temp", "C", temperature),
        Sensor("hailo_power", "W", lambda: shared.control.power_measurement()),
    )
