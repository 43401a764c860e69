"""The board: what the machine is, read from device-tree, cpuinfo, sysfs and os-release under a root.

``detect("/fake")`` describes the machine whose files lie in that folder. What no file states is then inferred: the page
size (``-rpi-2712`` kernels use 16 KiB, other Raspberry Pi kernels 4 KiB) and the architecture from the kernel's release
name, the width of its programs from the dynamic loader that is installed.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import asdict, dataclass
from typing import Any

from piaccel.device.revision import MIB, decode
from piaccel.device.tree import Tree

CPUFREQ = "sys/devices/system/cpu/cpu0/cpufreq"

_ARM_PARTS = {
    "0xb76": "ARM1176", "0xc07": "Cortex-A7", "0xd03": "Cortex-A53", "0xd07": "Cortex-A57", "0xd08": "Cortex-A72",
    "0xd0b": "Cortex-A76", "0xd0c": "Neoverse-N1", "0xd40": "Neoverse-V1",
}  # fmt: skip
_GUEST_DMI = ("", "None", "To Be Filled By O.E.M.", "System Product Name")
_GIBIT_BYTES = 128 * MIB


@dataclass(frozen=True)
class Board:
    """One machine. What its files do not state is None (or empty, for the features)."""

    model: str | None
    is_pi: bool
    revision: str | None
    """Raspberry Pi's code in hexadecimal, such as ``d04170``."""
    soc: str | None
    cpu: str | None
    """The CPU's name, such as ``Cortex-A76``."""
    cpu_part: str | None
    cpu_features: tuple[str, ...]
    cores: int | None
    max_freq_hz: int | None
    governor: str | None
    ram_bytes: int | None
    """The memory fitted."""
    memory_total_bytes: int | None
    """What the kernel may use of it."""
    os_name: str | None
    os_codename: str | None
    kernel: str | None
    architecture: str | None
    """The kernel's, as in ``uname -m``: aarch64 even below a 32-bit userland."""
    process_bits: int | None
    """32 or 64: of this process on this machine, of the programs installed in another root."""
    page_size: int | None

    @property
    def dotprod(self) -> bool | None:
        """Whether the CPU multiplies int8 four at a time (ARM ``asimddp``, x86 VNNI)."""
        return self._any_of({"asimddp"}, {"avx512_vnni", "avx_vnni"})

    @property
    def fp16(self) -> bool | None:
        """Whether the CPU calculates in float16 (ARM ``asimdhp`` and ``fphp``, x86 ``avx512_fp16``)."""
        if not self.cpu_features:
            return None
        return {"asimdhp", "fphp"} <= set(self.cpu_features) or "avx512_fp16" in self.cpu_features

    def _any_of(self, *choices: set[str]) -> bool | None:
        if not self.cpu_features:
            return None
        return any(choice & set(self.cpu_features) for choice in choices)

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {**asdict(self), "cpu_features": list(self.cpu_features), "dotprod": self.dotprod, "fp16": self.fp16}

    def fingerprint(self) -> dict[str, Any]:
        """What has to be equal for two measurements to be comparable."""
        names = (
            "model", "soc", "cpu", "cores", "ram_bytes", "kernel", "architecture", "process_bits", "page_size",
            "governor", "max_freq_hz", "os_codename",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}


def detect(root: str | os.PathLike[str] = "/") -> Board:
    """Describe the machine whose files lie under ``root``. Raises NotFoundError when the folder is missing."""
    tree = Tree(root)
    cpuinfo = _fields(tree.text("proc/cpuinfo") or "")
    release = _fields(tree.text("etc/os-release") or "", separator="=")
    meminfo = _fields(tree.text("proc/meminfo") or "")
    kernel = _kernel(tree)
    architecture = os.uname().machine if tree.live else _architecture(kernel, cpuinfo)
    compatible = (tree.device_tree("compatible") or b"").decode(errors="replace").strip("\0").split("\0")
    code = cpuinfo.get("Revision")
    revision = decode(code) if code else None
    total = re.match(r"(\d{1,15}) kB", meminfo.get("MemTotal", ""))
    memory_total = int(total[1]) * 1024 if total else None
    max_khz = tree.number(f"{CPUFREQ}/cpuinfo_max_freq")
    model = _model(tree, cpuinfo, revision.model if revision else None)
    return Board(
        model=model,
        is_pi=(model or "").startswith("Raspberry Pi") or any(name.startswith("raspberrypi,") for name in compatible),
        revision=code if revision else None,
        soc=_soc(compatible) or (revision.soc if revision else None),
        cpu=_ARM_PARTS.get(cpuinfo.get("CPU part", "")) or cpuinfo.get("model name"),
        cpu_part=cpuinfo.get("CPU part"),
        cpu_features=tuple((cpuinfo.get("Features") or cpuinfo.get("flags") or "").split()),
        cores=_cores(tree),
        max_freq_hz=max_khz * 1000 if max_khz else None,
        governor=tree.text(f"{CPUFREQ}/scaling_governor"),
        ram_bytes=_fitted(tree) or (revision.ram_bytes if revision else None) or memory_total,
        memory_total_bytes=memory_total,
        os_name=_os_name(tree, release),
        os_codename=release.get("VERSION_CODENAME"),
        kernel=kernel,
        architecture=architecture,
        process_bits=struct.calcsize("P") * 8 if tree.live else _userland_bits(tree),
        page_size=os.sysconf("SC_PAGESIZE") if tree.live else _page_size(kernel),
    )


def _fields(text: str, separator: str = ":") -> dict[str, str]:
    """The first value of each ``key : value`` line."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, found, value = line.partition(separator)
        if found:
            fields.setdefault(key.strip(), value.strip().strip('"'))
    return fields


def _model(tree: Tree, cpuinfo: dict[str, str], revision_model: str | None) -> str | None:
    data = tree.device_tree("model")
    name = data.decode(errors="replace").strip("\0").strip() if data else cpuinfo.get("Model")
    if name:
        return name
    if revision_model:
        return f"Raspberry Pi {revision_model}"
    product = tree.text("sys/class/dmi/id/product_name")
    return None if product in _GUEST_DMI else product


def _soc(compatible: list[str]) -> str | None:
    # cpuinfo's Hardware line says BCM2835 on every board, so only device-tree is asked.
    return next((name.removeprefix("brcm,").upper() for name in compatible if name.startswith("brcm,bcm")), None)


def _fitted(tree: Tree) -> int | None:
    """The fitted memory as newer firmware reports it (rpi-eeprom release notes 2025-10)."""
    data = tree.device_tree("chosen/rpi-sdram-size-gbit")
    return int.from_bytes(data, "big") * _GIBIT_BYTES if data and len(data) == 4 else None


def _cores(tree: Tree) -> int | None:
    folders = [path for path in tree.glob("sys/devices/system/cpu/cpu*") if re.fullmatch(r"cpu\d+", path.name)]
    return len(folders) or len(re.findall(r"(?m)^processor\s*:", tree.text("proc/cpuinfo") or "")) or None


def _os_name(tree: Tree, release: dict[str, str]) -> str | None:
    name = release.get("PRETTY_NAME")
    return f"Raspberry Pi OS ({name})" if name and tree.exists("etc/rpi-issue") else name


def _kernel(tree: Tree) -> str | None:
    release = tree.text("proc/sys/kernel/osrelease")
    version = re.match(r"Linux version (\S+)", tree.text("proc/version") or "")
    return release or (version[1] if version else None)


def _architecture(kernel: str | None, cpuinfo: dict[str, str]) -> str | None:
    if kernel and re.search(r"-(rpi-)?(v8|2712)\b|-arm64$", kernel):
        return "aarch64"
    if kernel and re.search(r"-(rpi-)?v[67]l?\b", kernel):
        return "armv7l" if "v7" in kernel else "armv6l"
    return "x86_64" if "flags" in cpuinfo else None


def _userland_bits(tree: Tree) -> int | None:
    loaders = {64: ("ld-linux-aarch64.so.1", "ld-linux-x86-64.so.2"), 32: ("ld-linux-armhf.so.3", "ld-linux.so.2")}
    for bits, names in loaders.items():
        if any(os.path.lexists(tree.root / folder / name) for folder in ("lib", "lib64", "usr/lib") for name in names):
            return bits
    return None


def _page_size(kernel: str | None) -> int | None:
    if kernel and "-rpi-2712" in kernel:
        return 16384
    if kernel and re.search(r"-(rpi-)?v(6|7l?|8)\b|-amd64$", kernel):
        return 4096
    return None
