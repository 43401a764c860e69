"""What real boards and releases say of themselves: the material of fake boards.

Captures are from kernel 6.12 on Raspberry Pi OS Bookworm and Trixie; serial numbers and addresses are made up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["zero2w", "pi3b+", "pi4", "pi5", "pi400", "cm5"]
OperatingSystem = Literal["bookworm", "trixie"]
State = Literal["cool", "throttled", "undervolted"]

PMIC = """\
 3V7_WL_SW_A current(0)=0.12199130A
   3V3_SYS_A current(1)=0.15224510A
   1V8_SYS_A current(2)=0.17273960A
  DDR_VDD2_A current(3)=0.11613570A
  DDR_VDDQ_A current(4)=0.02941200A
   1V1_SYS_A current(5)=0.21763240A
    0V8_SW_A current(6)=0.50748360A
  VDD_CORE_A current(7)=1.54489000A
   3V3_DAC_A current(17)=0.00000000A
   3V3_ADC_A current(18)=0.00018315A
   0V8_AON_A current(16)=0.00390720A
      HDMI_A current(22)=0.01709400A
 3V7_WL_SW_V volt(8)=3.60605200V
   3V3_SYS_V volt(9)=3.31931300V
   1V8_SYS_V volt(10)=1.79682400V
  DDR_VDD2_V volt(11)=1.10842400V
  DDR_VDDQ_V volt(12)=0.60549390V
   1V1_SYS_V volt(13)=1.10219700V
    0V8_SW_V volt(14)=0.80146440V
  VDD_CORE_V volt(15)=0.88725180V
   3V3_DAC_V volt(20)=3.31501500V
   3V3_ADC_V volt(21)=3.31684600V
   0V8_AON_V volt(19)=0.79882700V
      HDMI_V volt(23)=4.90440000V
     EXT5V_V volt(24)=4.87894000V
      BATT_V volt(25)=2.50512600V
"""


@dataclass(frozen=True)
class Now:
    """What a state sets: temperature, throttle bits, the ARM clock the firmware measures."""

    temp_c: float
    throttled: int
    clock_hz: int


@dataclass(frozen=True)
class Profile:
    """One board."""

    model: str
    compatible: tuple[str, ...]
    revision: str
    memory_kb: int
    cma_kb: int
    max_khz: int
    min_khz: int
    features: str
    cpu: tuple[str, str, int, str]  # variant, part, revision, BogoMIPS
    kernel: str
    clock_index: int
    hwmon: tuple[str, ...]
    states: dict[State, Now]
    supply_ma: int | None = None  # what the board and its supply agreed on; only the Pi 5 tells
    legacy_throttled: bool = True  # the firmware driver's deprecated sysfs file, not on the Pi 5


_V8_FEATURES = "fp asimd evtstrm crc32 cpuid"
PROFILES: dict[Kind, Profile] = {
    "zero2w": Profile(
        model="Raspberry Pi Zero 2 W Rev 1.0",
        compatible=("raspberrypi,model-zero-2-w", "brcm,bcm2837"),
        revision="902120",
        memory_kb=426256,
        cma_kb=65536,
        max_khz=1000000,
        min_khz=600000,
        features=_V8_FEATURES,
        cpu=("0x0", "0xd03", 4, "38.40"),
        kernel="rpi-v8",
        clock_index=48,
        hwmon=("cpu_thermal",),
        states={
            "cool": Now(45.1, 0x0, 1000000000),
            "throttled": Now(81.7, 0x60006, 700154304),
            "undervolted": Now(47.2, 0x50005, 600000000),
        },
    ),
    "pi3b+": Profile(
        model="Raspberry Pi 3 Model B Plus Rev 1.3",
        compatible=("raspberrypi,3-model-b-plus", "brcm,bcm2837"),
        revision="a020d3",
        memory_kb=929772,
        cma_kb=262144,
        max_khz=1400000,
        min_khz=600000,
        features=_V8_FEATURES,
        cpu=("0x0", "0xd03", 4, "38.40"),
        kernel="rpi-v8",
        clock_index=48,
        hwmon=("cpu_thermal", "rpi_volt"),
        states={
            "cool": Now(46.7, 0x0, 1400000000),
            "throttled": Now(63.4, 0x80008, 1200126976),
            "undervolted": Now(48.3, 0x50005, 600000000),
        },
    ),
    "pi4": Profile(
        model="Raspberry Pi 4 Model B Rev 1.5",
        compatible=("raspberrypi,4-model-b", "brcm,bcm2711"),
        revision="c03115",
        memory_kb=3885396,
        cma_kb=524288,
        max_khz=1800000,
        min_khz=600000,
        features=_V8_FEATURES,
        cpu=("0x0", "0xd08", 3, "108.00"),
        kernel="rpi-v8",
        clock_index=48,
        hwmon=("cpu_thermal", "rpi_volt"),
        states={
            "cool": Now(47.2, 0x0, 1800404352),
            "throttled": Now(80.6, 0x60002, 1140039680),
            "undervolted": Now(49.6, 0x50005, 600117184),
        },
    ),
    "pi5": Profile(
        model="Raspberry Pi 5 Model B Rev 1.0",
        compatible=("raspberrypi,5-model-b", "brcm,bcm2712"),
        revision="d04170",
        memory_kb=8256096,
        cma_kb=65536,
        max_khz=2400000,
        min_khz=1500000,
        features="fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
        cpu=("0x4", "0xd0b", 1, "108.00"),
        kernel="rpi-2712",
        clock_index=0,
        hwmon=("cpu_thermal", "rp1_adc", "pwmfan", "rpi_volt"),
        states={
            "cool": Now(48.5, 0x0, 2400009728),
            "throttled": Now(85.1, 0xE0006, 1500039168),
            "undervolted": Now(50.7, 0x50005, 1500039168),
        },
        supply_ma=5000,
        legacy_throttled=False,
    ),
}
PROFILES["pi400"] = replace(
    PROFILES["pi4"],
    model="Raspberry Pi 400 Rev 1.0",
    compatible=("raspberrypi,400", "brcm,bcm2711"),
    revision="c03130",
)
PROFILES["cm5"] = replace(
    PROFILES["pi5"],
    model="Raspberry Pi Compute Module 5 Rev 1.0",
    compatible=("raspberrypi,5-compute-module", "brcm,bcm2712"),
    revision="c04180",
    memory_kb=4047328,
)
"""Those two differ from a Raspberry Pi 4 and 5 in nothing else that software sees here."""


@dataclass(frozen=True)
class Release:
    """One release of the operating system."""

    name: str
    version: str
    kernel: str
    kernel_date: str
    kernel_package: str
    compiler: str
    binutils: str
    python: str
    glibc: str
    packages: dict[str, str]  # Debian's Python packages that matter to cameras
    swaps: str
    files: dict[str, str]  # how swap, logs and the watchdog are set up
    services: tuple[str, ...]  # those enabled, by what wants them


RELEASES: dict[OperatingSystem, Release] = {
    "bookworm": Release(
        name="Debian GNU/Linux 12 (bookworm)",
        version="12",
        kernel="6.12.47+rpt",
        kernel_date="2025-09-16",
        kernel_package="1:6.12.47-1+rpt1~bookworm",
        compiler="aarch64-linux-gnu-gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0",
        binutils="2.40",
        python="3.11",
        glibc="2.36-9+rpt2+deb12u13",
        packages={"numpy": "1.24.2", "simplejpeg": "1.8.1", "picamera2": "0.3.31"},
        swaps="/var/swap                               file\t\t524272\t\t0\t\t-2\n",
        files={
            "etc/dphys-swapfile": "# /etc/dphys-swapfile - user settings for dphys-swapfile package\n\n"
            "# where we want the swapfile to be, this is the default\n#CONF_SWAPFILE=/var/swap\n\n"
            "# set size to absolute value, leaving empty (default) then uses computed value\nCONF_SWAPSIZE=512\n",
        },
        services=(
            "bluetooth.target.wants/bluetooth.service",
            "multi-user.target.wants/avahi-daemon.service",
            "multi-user.target.wants/ModemManager.service",
            "multi-user.target.wants/hciuart.service",
        ),
    ),
    "trixie": Release(
        name="Debian GNU/Linux 13 (trixie)",
        version="13",
        kernel="6.12.75+rpt",
        kernel_date="2026-03-11",
        kernel_package="1:6.12.75-1+rpt1",
        compiler="aarch64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0",
        binutils="2.44",
        python="3.13",
        glibc="2.41-12+rpt1",
        packages={"numpy": "2.2.4", "simplejpeg": "1.8.2", "picamera2": "0.3.36"},
        swaps="/dev/zram0                              partition\t2097136\t\t0\t\t100\n",
        files={
            "etc/rpi/swap.conf": "[Main]\n#Mechanism=auto\n\n[File]\n#Path=/var/swap\n#RamMultiplier=1\n",
            "usr/lib/systemd/system.conf.d/40-rpi-enable-watchdog.conf": "[Manager]\nRuntimeWatchdogSec=1m\n"
            "RebootWatchdogSec=2m\n",
            "usr/lib/systemd/journald.conf.d/40-rpi-volatile-storage.conf": "[Journal]\nStorage=volatile\n",
        },
        services=("bluetooth.target.wants/bluetooth.service", "multi-user.target.wants/avahi-daemon.service"),
    ),
}
