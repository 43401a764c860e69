"""Fake boards: folders that look like a Raspberry Pi to everything that takes a ``root``.

What the files say are captures from real boards, and ``vcgencmd`` is a real program, so that the path through a child
process runs too.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import get_args

from piaccel.errors import InputError, OptionError
from piaccel.testing.captures import PMIC, PROFILES, RELEASES, Kind, OperatingSystem, State

_ANSWERS = "var/lib/fake-board/vcgencmd"

_VCGENCMD = f"""\
#!/bin/sh
# Stands in for vcgencmd: prints the answers kept in {_ANSWERS}, and fails in the words of the real one.
answers="${{0%/*}}/../../{_ANSWERS}"
if [ -e "$answers/no-device" ]; then
    echo "Can't open device file: /dev/vcio_gencmd"
    echo "Try creating a device file with: sudo mknod /dev/vcio c 100 0"
    exit 255
fi
IFS=_
if [ -f "$answers/$*" ]; then exec cat "$answers/$*"; fi
for known in "$answers/$1" "$answers/$1"_*; do
    if [ -f "$known" ]; then echo 'error=2 error_msg="Invalid arguments"'; exit 0; fi
done
echo 'error=1 error_msg="Command not registered"'
"""


class FakeBoard:
    """A board's files in ``folder``, which must be empty or missing. Hand ``board.root`` to whatever takes a root.

    ``kind`` is one of zero2w, pi3b+, pi4, pi5; ``os`` bookworm or trixie; ``state`` cool, throttled or undervolted.
    Raises OptionError for another word, InputError for a folder that holds something.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        kind: Kind = "pi5",
        *,
        os: OperatingSystem = "bookworm",
        state: State = "cool",
    ) -> None:
        for given, choices in ((kind, get_args(Kind)), (os, get_args(OperatingSystem)), (state, get_args(State))):
            if given not in choices:
                raise OptionError(f"{given!r} is none of {', '.join(choices)}")
        self.root = Path(folder)
        if self.root.exists() and (not self.root.is_dir() or any(self.root.iterdir())):
            raise InputError(f"{folder} is not an empty folder", hint="name a folder that does not exist yet")
        self._profile = PROFILES[kind]
        self._release = RELEASES[os]
        self._hwmon = self._shuffled(kind)
        self._write_system()
        self._write_processor()
        self._write_hwmon()
        self._write_vcgencmd()
        self.set(fan_rpm=3112 if state == "cool" else 7980, load=0.12, memory_available_bytes=self._free_bytes())
        self.enter(state)

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
    ) -> None:
        """Change what the sensors say from now on; each file is replaced whole, so a reader may run meanwhile.

        Bit 0 of ``throttled`` also sets rpi_volt's alarm. The clock the kernel requests stays at the maximum, as it
        does on a real board.
        """
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
            for cpu in range(4):
                self.write(f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor", f"{governor}\n")

    def answer(self, command: str, text: str) -> None:
        """Let the fake ``vcgencmd`` answer ``text`` to ``command``."""
        self.write(f"{_ANSWERS}/{command.replace(' ', '_')}", f"{text}\n")

    def close_firmware(self) -> None:
        """Let ``vcgencmd`` fail as it does for a user outside the group video."""
        self.write(f"{_ANSWERS}/no-device", "")

    def install(self, package: str, version: str, *, apt: bool = False) -> None:
        """Add a Python package's metadata, where pip (for everybody) or apt puts it."""
        folder = "lib/python3" if apt else f"local/lib/python{self._release.python}"
        text = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        self.write(f"usr/{folder}/dist-packages/{package.replace('-', '_')}-{version}.dist-info/METADATA", text)

    def write(self, name: str, text: str) -> None:
        """Replace or add the file ``name``, relative to the root."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.new")
        beside.write_text(text)
        beside.replace(path)

    def _free_bytes(self) -> int:
        return self._profile.memory_kb * 1024 * 3 // 4

    def _write_system(self) -> None:
        profile, release = self._profile, self._release
        kernel = f"{release.kernel}-{profile.kernel}"
        self.write("proc/device-tree/model", f"{profile.model}\0")
        self.write("proc/device-tree/compatible", "".join(f"{name}\0" for name in profile.compatible))
        self.write(
            "proc/version",
            f"Linux version {kernel} (serge@raspberrypi.com) ({release.compiler}, GNU ld (GNU Binutils for Debian) "
            f"{release.binutils}) #1 SMP PREEMPT Debian {release.kernel_package} ({release.kernel_date})\n",
        )
        self.write("proc/sys/kernel/osrelease", f"{kernel}\n")
        self.write(
            "proc/cmdline",
            "reboot=w coherent_pool=1M 8250.nr_uarts=1 pci=pcie_bus_safe cgroup_disable=memory numa_policy=interleave  "
            "smsc95xx.macaddr=2C:CF:67:00:00:01 vc_mem.mem_base=0x3fc00000 vc_mem.mem_size=0x40000000  "
            "console=ttyAMA10,115200 console=tty1 root=PARTUUID=585bdb7b-02 rootfstype=ext4 fsck.repair=yes rootwait\n",
        )
        self.write(
            "proc/mounts",
            "/dev/mmcblk0p2 / ext4 rw,noatime 0 0\n/dev/mmcblk0p1 /boot/firmware vfat rw,relatime 0 0\n",
        )
        self.write("proc/swaps", f"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n{release.swaps}")
        self.write(
            "etc/os-release",
            f'PRETTY_NAME="{release.name}"\nNAME="Debian GNU/Linux"\nVERSION_ID="{release.version}"\n'
            f"VERSION_CODENAME={release.name.split('(')[1].rstrip(')')}\nID=debian\n",
        )
        self.write("etc/rpi-issue", f"Raspberry Pi reference {release.kernel_date}\nGenerated using pi-gen\n")
        self.write(
            "boot/firmware/config.txt",
            "dtparam=audio=on\ncamera_auto_detect=1\ndisplay_auto_detect=1\nauto_initramfs=1\n"
            "dtoverlay=vc4-kms-v3d\nmax_framebuffers=2\ndisable_fw_kms_setup=1\narm_64bit=1\ndisable_overscan=1\n"
            "arm_boost=1\n\n[cm4]\notg_mode=1\n\n[cm5]\ndtoverlay=dwc2,dr_mode=host\n\n[all]\n",
        )
        self.write("dev/vcio", "")
        self.write("lib/ld-linux-aarch64.so.1", "")
        self.write(
            "var/lib/dpkg/status",
            f"Package: libc6\nStatus: install ok installed\nArchitecture: arm64\nVersion: {release.glibc}\n",
        )
        self.write(f"usr/bin/python{release.python}", "")
        (self.root / "usr/bin/python3").symlink_to(f"python{release.python}")
        for package, version in release.packages.items():
            self.install(package, version, apt=True)

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
        for cpu in range(4):
            folder = f"sys/devices/system/cpu/cpu{cpu}/cpufreq"
            self.write(f"{folder}/cpuinfo_max_freq", f"{profile.max_khz}\n")
            self.write(f"{folder}/cpuinfo_min_freq", f"{profile.min_khz}\n")
            self.write(f"{folder}/scaling_cur_freq", f"{profile.max_khz}\n")
            governors = "conservative ondemand userspace powersave performance schedutil"
            self.write(f"{folder}/scaling_available_governors", f"{governors} \n")
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
        self.write("usr/bin/vcgencmd", _VCGENCMD)
        (self.root / "usr/bin/vcgencmd").chmod(0o755)
        self.answer("measure_volts", "volt=0.8563V")
        self.answer("measure_volts core", "volt=0.8563V")
        self.answer("get_config arm_freq", f"arm_freq={self._profile.max_khz // 1000}")
        self.answer("get_mem gpu", "gpu=76M")
        if "rp1_adc" in self._hwmon:
            self.answer("pmic_read_adc", PMIC.rstrip("\n"))

    def _write_meminfo(self, available_kb: int) -> None:
        total, cma = self._profile.memory_kb, self._profile.cma_kb
        self.write(
            "proc/meminfo",
            f"MemTotal:       {total:8d} kB\nMemFree:        {available_kb // 2:8d} kB\n"
            f"MemAvailable:   {available_kb:8d} kB\nSwapTotal:        524272 kB\nSwapFree:         524272 kB\n"
            f"CmaTotal:       {cma:8d} kB\nCmaFree:        {cma // 2:8d} kB\n",
        )
