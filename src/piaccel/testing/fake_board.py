"""Fake boards: folders that look like a Raspberry Pi to everything that takes a ``root``.

What the files say are captures from real boards, and ``vcgencmd`` is a real program, so that the path through a child
process runs too.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from piaccel.errors import InputError, OptionError
from piaccel.testing.captures import PROFILES, RELEASES, Kind, OperatingSystem, State
from piaccel.testing.fake_accelerators import Plugged, plug
from piaccel.testing.fake_power import CAPTURED_W, Monitor, input_w, monitor_files, pmic_answer
from piaccel.testing.fake_system import USER_GROUPS, kernel_files, system_files
from piaccel.testing.fake_vcgencmd import ANSWERS, PROGRAM

POLICY = "sys/devices/system/cpu/cpufreq/policy0"


class FakeBoard:
    """A board's files in ``folder``, which must be empty or missing. Hand ``board.root`` to whatever takes a root.

    ``kind`` is one of zero2w, pi3b+, pi4, pi5, pi400, cm5; ``os`` bookworm or trixie; ``state`` cool, throttled or
    undervolted; ``accelerators`` are plugged in and set up as their makers say.
    Raises OptionError for another word, InputError for a folder that holds something.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        kind: Kind = "pi5",
        *,
        os: OperatingSystem = "bookworm",
        state: State = "cool",
        accelerators: Sequence[Plugged] = (),
    ) -> None:
        known = [(kind, get_args(Kind)), (os, get_args(OperatingSystem)), (state, get_args(State))]
        for given, choices in (*known, *((each, get_args(Plugged)) for each in accelerators)):
            if given not in choices:
                raise OptionError(f"{given!r} is none of {', '.join(choices)}")
        self.root = Path(folder)
        if self.root.exists() and (not self.root.is_dir() or any(self.root.iterdir())):
            raise InputError(f"{folder} is not an empty folder", hint="name a folder that does not exist yet")
        self._profile = PROFILES[kind]
        self._release = RELEASES[os]
        self._hwmon = self._shuffled(kind)
        self._debs: dict[str, str] = {}
        self._groups = set(USER_GROUPS)
        self._monitors: dict[str, tuple[Monitor, int]] = {}
        self._power_w, self._beyond_w = CAPTURED_W, 0.0
        self._write_system()
        self.install_deb("libc6", self._release.glibc)
        self.join()
        self._write_processor()
        self._write_hwmon()
        self._write_vcgencmd()
        self.set(fan_rpm=3112 if state == "cool" else 7980, load=0.12, memory_available_bytes=self._free_bytes())
        if self._profile.supply_ma:
            self.set(supply_ma=self._profile.supply_ma)
        self.enter(state)
        for each in accelerators:
            self.plug(each)

    @property
    def codename(self) -> OperatingSystem:
        """The release of the operating system."""
        return "trixie" if self._release is RELEASES["trixie"] else "bookworm"

    @property
    def kernel(self) -> str:
        """The release of the running kernel."""
        return (self.root / "proc/sys/kernel/osrelease").read_text().strip()

    def plug(self, name: Plugged, **setup: str | bool | None) -> None:
        """Plug an accelerator in, set up as ``fake_accelerators.HEALTHY`` says but for the parts in ``setup``."""
        plug(self, name, **setup)

    def enable(self, service: str) -> None:
        """Enable a service of systemd, named as its link is: ``multi-user.target.wants/cups.service``."""
        link = self.root / "etc/systemd/system" / service
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(f"/usr/lib/systemd/system/{link.name}")

    def boot(self, flavour: str) -> None:
        """Let the kernel of this flavour run: ``rpi-2712`` has pages of 16 KiB, ``rpi-v8`` of 4 KiB."""
        for name, text in kernel_files(self._release, flavour).items():
            self.write(name, text)

    def join(self, *groups: str) -> None:
        """Put the user into groups."""
        self._groups.update(groups)
        lines = [f"{name}:x:{100 + number}:pi\n" for number, name in enumerate(sorted(self._groups))]
        self.write("etc/group", "root:x:0:\n" + "".join(lines))

    def leave(self, *groups: str) -> None:
        """Take the user out of groups."""
        self._groups.difference_update(groups)
        self.join()

    def install_deb(self, package: str, version: str | None) -> None:
        """Add a package to dpkg's list, replace its version, or with None take it out."""
        self._debs.pop(package, None)
        if version is not None:
            self._debs[package] = version
        paragraphs = (
            f"Package: {name}\nStatus: install ok installed\nArchitecture: arm64\nVersion: {text}\n\n"
            for name, text in self._debs.items()
        )
        self.write("var/lib/dpkg/status", "".join(paragraphs))

    def enter(self, state: State) -> None:
        """Change temperature, throttle flags and clock to those of ``state``."""
        now = self._profile.states[state]
        self.set(temp_c=now.temp_c, throttled=now.throttled, clock_hz=now.clock_hz)

    def set(
        self,
        *,
        temp_c: float | None = None,
        throttled: int | None = None,
        clock_hz: int | None = None,
        fan_rpm: int | None = None,
        load: float | None = None,
        memory_available_bytes: int | None = None,
        governor: str | None = None,
        supply_ma: int | None = None,
        power_w: float | None = None,
        beyond_w: float | None = None,
    ) -> None:
        """Change what the sensors say from now on; each file is replaced whole, so a reader may run meanwhile.

        Bit 0 of ``throttled`` also sets rpi_volt's alarm. The clock the kernel requests stays at the maximum, as it
        does on a real board. ``supply_ma`` is what a Pi 5 and its supply have agreed on at boot; below 5000 USB is
        limited to 600 mA. ``power_w`` is what the board's rails draw, which a Pi 5's regulator tells; ``beyond_w`` what
        USB devices and HATs draw, which only a monitor that was wired sees.
        """
        if supply_ma is not None:
            self.write_bytes("proc/device-tree/chosen/power/max_current", supply_ma.to_bytes(4, "big"))
            enough = int(supply_ma >= 5000)
            self.write_bytes("proc/device-tree/chosen/power/usb_max_current_enable", enough.to_bytes(4, "big"))
        if temp_c is not None:
            self.write("sys/class/thermal/thermal_zone0/temp", f"{round(temp_c * 1000)}\n")
            self._write_channel("cpu_thermal", "temp1_input", round(temp_c * 1000))
            self.answer("measure_temp", f"temp={temp_c:.1f}'C")
        if throttled is not None:
            self.answer("get_throttled", f"throttled={throttled:#x}")
            self._write_channel("rpi_volt", "in0_lcrit_alarm", throttled & 1)
            if self._profile.legacy_throttled:
                self.write("sys/devices/platform/soc/soc:firmware/get_throttled", f"{throttled:x}\n")
        if clock_hz is not None:
            self.answer("measure_clock arm", f"frequency({self._profile.clock_index})={clock_hz}")
        if fan_rpm is not None:
            self._write_channel("pwmfan", "fan1_input", fan_rpm)
        if load is not None:
            self.write("proc/loadavg", f"{load:.2f} {load:.2f} {load:.2f} 1/187 2041\n")
        if memory_available_bytes is not None:
            self._write_meminfo(memory_available_bytes // 1024)
        if governor is not None:
            self.write(f"{POLICY}/scaling_governor", f"{governor}\n")
        if power_w is not None or beyond_w is not None:
            self._power_w = self._power_w if power_w is None else power_w
            self._beyond_w = self._beyond_w if beyond_w is None else beyond_w
            self._write_power()

    def wire(self, monitor: Monitor = "ina226", *, shunt_uohm: int = 10_000) -> None:
        """Put a current monitor with this shunt into the 5 V feed, as the kernel's driver shows it."""
        number = len(self._hwmon) + len(self._monitors)
        monitor_files(monitor, 0.0, shunt_uohm)
        self._monitors[f"sys/class/hwmon/hwmon{number}"] = (monitor, shunt_uohm)
        self._write_power()

    def answer(self, command: str, text: str) -> None:
        """Let the fake ``vcgencmd`` answer ``text`` to ``command``."""
        self.write(f"{ANSWERS}/{command.replace(' ', '_')}", f"{text}\n")

    def close_firmware(self) -> None:
        """Let ``vcgencmd`` fail as it does for a user outside the group video."""
        self.write(f"{ANSWERS}/no-device", "")

    def install(self, package: str, version: str, *, apt: bool = False) -> None:
        """Add a Python package's metadata, where pip (for everybody) or apt puts it."""
        folder = "lib/python3" if apt else f"local/lib/python{self._release.python}"
        text = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        self.write(f"usr/{folder}/dist-packages/{package.replace('-', '_')}-{version}.dist-info/METADATA", text)

    def write(self, name: str, text: str) -> None:
        """Replace or add the file ``name``, relative to the root."""
        self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, data: bytes) -> None:
        """The same with bytes."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.new")
        beside.write_bytes(data)
        beside.replace(path)

    def _free_bytes(self) -> int:
        return self._profile.memory_kb * 1024 * 3 // 4

    def _write_system(self) -> None:
        for name, text in system_files(self._profile, self._release).items():
            self.write(name, text)
        (self.root / "usr/bin/python3").symlink_to(f"python{self._release.python}")
        for package, version in self._release.packages.items():
            self.install(package, version, apt=True)
        self.boot(self._profile.kernel)
        for service in self._release.services:
            self.enable(service)

    def _write_processor(self) -> None:
        profile = self._profile
        variant, part, revision, bogomips = profile.cpu
        blocks = [
            f"processor\t: {cpu}\nBogoMIPS\t: {bogomips}\nFeatures\t: {profile.features}\nCPU implementer\t: 0x41\n"
            f"CPU architecture: 8\nCPU variant\t: {variant}\nCPU part\t: {part}\nCPU revision\t: {revision}\n\n"
            for cpu in range(4)
        ]
        tail = f"Revision\t: {profile.revision}\nSerial\t\t: 00000000deadbeef\nModel\t\t: {profile.model}\n"
        self.write("proc/cpuinfo", "".join(blocks) + tail)
        self.write("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
        governors = "conservative ondemand userspace powersave performance schedutil"
        self.write(f"{POLICY}/cpuinfo_max_freq", f"{profile.max_khz}\n")
        self.write(f"{POLICY}/cpuinfo_min_freq", f"{profile.min_khz}\n")
        self.write(f"{POLICY}/scaling_cur_freq", f"{profile.max_khz}\n")
        self.write(f"{POLICY}/scaling_available_governors", f"{governors} \n")
        for cpu in range(4):  # one policy for all cores, as on every board
            folder = self.root / f"sys/devices/system/cpu/cpu{cpu}"
            folder.mkdir()
            (folder / "cpufreq").symlink_to("../cpufreq/policy0")
        self.set(governor="ondemand")

    def _shuffled(self, kind: Kind) -> dict[str, int]:
        """The hwmon drivers with numbers in an order of each kind's own: nobody may rely on it."""
        numbers = list(range(len(self._profile.hwmon)))
        random.Random(kind).shuffle(numbers)
        return dict(zip(self._profile.hwmon, numbers, strict=True))

    def _write_hwmon(self) -> None:
        for driver in self._hwmon:
            self._write_channel(driver, "name", driver)
        self._write_channel("rp1_adc", "in1_input", 1489)
        self._write_channel("pwmfan", "pwm1", 75)

    def _write_channel(self, driver: str, channel: str, value: int | str) -> None:
        if driver in self._hwmon:
            self.write(f"sys/class/hwmon/hwmon{self._hwmon[driver]}/{channel}", f"{value}\n")

    def _write_vcgencmd(self) -> None:
        self.write("usr/bin/vcgencmd", PROGRAM)
        (self.root / "usr/bin/vcgencmd").chmod(0o755)
        self.answer("measure_volts", "volt=0.8563V")
        self.answer("measure_volts core", "volt=0.8563V")
        self.answer("get_config arm_freq", f"arm_freq={self._profile.max_khz // 1000}")
        self.answer("get_mem gpu", "gpu=76M")
        self._write_power()

    def _write_power(self) -> None:
        if "rp1_adc" in self._hwmon:
            self.answer("pmic_read_adc", pmic_answer(self._power_w))
        for folder, (monitor, shunt_uohm) in self._monitors.items():
            files = monitor_files(monitor, input_w(self._power_w, self._beyond_w), shunt_uohm)
            for name, value in {"name": monitor, **files}.items():
                self.write(f"{folder}/{name}", f"{value}\n")

    def _write_meminfo(self, available_kb: int) -> None:
        total, cma = self._profile.memory_kb, self._profile.cma_kb
        self.write(
            "proc/meminfo",
            f"MemTotal:       {total:8d} kB\nMemFree:        {available_kb // 2:8d} kB\n"
            f"MemAvailable:   {available_kb:8d} kB\nSwapTotal:        524272 kB\nSwapFree:         524272 kB\n"
            f"CmaTotal:       {cma:8d} kB\nCmaFree:        {cma // 2:8d} kB\n",
        )
