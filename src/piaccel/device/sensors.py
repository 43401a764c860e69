"""The sensors of a machine: temperature, clock, throttle flags, under-voltage, fan, memory, load."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from piaccel.device.board import CPUFREQ
from piaccel.device.tree import Tree, contents
from piaccel.device.vcgencmd import COST_MS, Vcgencmd
from piaccel.errors import UnavailableError

_FILE_COST_MS = 0.05
_THERMAL_ZONES = ("cpu-thermal", "cpu_thermal", "x86_pkg_temp")
_THERMAL_DRIVERS = ("cpu_thermal", "coretemp", "k10temp")
_FAN_DRIVERS = ("pwmfan", "cooling_fan", "gpio_fan", "emc2305")

_UNITS = {
    "temperature_c": "°C",
    "clock_hz": "Hz",
    "throttled": "",
    "under_voltage": "",
    "fan_rpm": "rpm",
    "memory_available_bytes": "B",
    "load": "",
}


class Gauge:
    """A sensor that reads with a function. ``reason`` and ``hint`` tell why the last reading was None."""

    def __init__(self, name: str, source: str, cost_ms: float, read: Callable[[], float]) -> None:
        self.name = name
        self.unit = _UNITS[name]
        self.source = source
        """Where the value comes from; "requested" in it marks a wish of the kernel, not a measurement."""
        self.cost_ms = cost_ms
        """About how long one reading takes."""
        self.reason = ""
        self.hint = ""
        self._read = read

    def read(self) -> float | None:
        """The value now, None when it cannot be read."""
        try:
            value = self._read()
            if not math.isfinite(value):
                raise UnavailableError(f"{self.source} answered {value}")
        except UnavailableError as error:
            self.reason, self.hint = error.message, error.hint
            return None
        self.reason = self.hint = ""
        return value

    def __repr__(self) -> str:
        return f"<Gauge {self.name} from {self.source or 'nothing here'}>"


class Sensors:
    """All sensors, those this machine lacks too: they read None. Iterate, or take one by its name."""

    def __init__(self, gauges: list[Gauge]) -> None:
        self._gauges = {gauge.name: gauge for gauge in gauges}

    def __iter__(self) -> Iterator[Gauge]:
        return iter(self._gauges.values())

    def __len__(self) -> int:
        return len(self._gauges)

    def __getitem__(self, name: str) -> Gauge:
        return self._gauges[name]

    def read(self) -> dict[str, float | None]:
        """One reading of each, by name. On a Raspberry Pi about 50 ms, so at most 5 times a second."""
        return {gauge.name: gauge.read() for gauge in self}


def find(root: str | os.PathLike[str] = "/") -> Sensors:
    """Find the sensors of the machine under ``root``: a sensor's source is settled here and stays the same.

    Raises NotFoundError when the folder is missing.
    """
    tree = Tree(root)
    firmware = Vcgencmd(tree)
    throttled = _throttled(tree, firmware)
    return Sensors(
        [
            _temperature(tree),
            _clock(tree, firmware),
            throttled,
            _under_voltage(tree, throttled),
            _fan(tree),
            _memory(tree),
            _load(tree),
        ]
    )


def silent() -> Sensors:
    """Sensors that read None, for a machine whose own do not answer."""

    def unanswered() -> float:
        raise UnavailableError("did not answer in time")

    return Sensors([Gauge(name, "", 0.0, unanswered) for name in _UNITS])


def _temperature(tree: Tree) -> Gauge:
    zones = {tree.text(path): path.parent / "temp" for path in tree.glob("sys/class/thermal/thermal_zone*/type")}
    file = next((zones[kind] for kind in _THERMAL_ZONES if kind in zones), None)
    folder = tree.hwmon(*_THERMAL_DRIVERS)
    if file is None and folder is not None:
        file = folder / "temp1_input"
    return _from_file("temperature_c", file, lambda text: int(text) / 1000, "no CPU temperature in sysfs")


def _clock(tree: Tree, firmware: Vcgencmd) -> Gauge:
    measured = Gauge("clock_hz", "vcgencmd measure_clock arm", COST_MS, lambda: firmware.number("measure_clock", "arm"))
    requested = tree.path(f"{CPUFREQ}/scaling_cur_freq")
    if measured.read() is not None or not tree.exists(requested):
        return measured
    # What the kernel asked for; a throttled core still shows its maximum there.
    return _from_file("clock_hz", requested, lambda text: int(text) * 1000.0, "", "scaling_cur_freq (requested)")


def _throttled(tree: Tree, firmware: Vcgencmd) -> Gauge:
    asked = Gauge("throttled", "vcgencmd get_throttled", COST_MS, lambda: firmware.number("get_throttled"))
    legacy = tree.glob("sys/devices/platform/soc/*firmware/get_throttled")
    if asked.read() is not None or not legacy:
        return asked
    return _from_file("throttled", legacy[0], lambda text: float(int(text, 16)), "")


def _under_voltage(tree: Tree, throttled: Gauge) -> Gauge:
    folder = tree.hwmon("rpi_volt")
    if folder is not None:
        return _from_file("under_voltage", folder / "in0_lcrit_alarm", float, "", "hwmon rpi_volt in0_lcrit_alarm")

    def first_bit() -> float:
        bits = throttled.read()
        if bits is None:
            raise UnavailableError(throttled.reason, hint=throttled.hint)
        return float(int(bits) & 1)

    return Gauge("under_voltage", f"{throttled.source}, bit 0", throttled.cost_ms, first_bit)


def _fan(tree: Tree) -> Gauge:
    folder = tree.hwmon(*_FAN_DRIVERS)
    return _from_file("fan_rpm", folder / "fan1_input" if folder else None, float, "no fan with a tachometer")


def _memory(tree: Tree) -> Gauge:
    def available(text: str) -> float:
        line = next(line for line in text.splitlines() if line.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024.0

    return _from_file("memory_available_bytes", tree.path("proc/meminfo"), available, "")


def _load(tree: Tree) -> Gauge:
    return _from_file("load", tree.path("proc/loadavg"), lambda text: float(text.split()[0]), "")


def _from_file(name: str, file: Path | None, parse: Callable[[str], float], missing: str, source: str = "") -> Gauge:
    def read() -> float:
        if file is None:
            raise UnavailableError(missing)
        try:
            return parse(contents(file).decode().strip())
        except OSError as error:
            raise UnavailableError(f"{file}: {error.strerror}") from error
        except (ValueError, OverflowError, IndexError, StopIteration) as error:
            raise UnavailableError(f"{file} does not hold the number expected") from error

    return Gauge(name, source or (str(file) if file else ""), _FILE_COST_MS, read)
