"""The four parts of a Hailo installation, which all have to be of one version: driver, library, firmware, binding."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from piaccel.device.debs import Debs
from piaccel.device.modules import Modules
from piaccel.device.packages import Packages
from piaccel.device.tree import Tree

MODULES = ("hailo_pci", "hailo1x_pci")
DRIVER_DEBS = ("hailo-dkms", "hailort-pcie-driver", "h10-hailort-pcie-driver")
LIBRARY_DEBS = ("hailort", "h10-hailort")
BINDING_DEBS = ("python3-hailort", "python3-h10-hailort")

_FIRMWARE = ("lib/firmware/hailo/hailo8_fw.bin", "usr/lib/firmware/hailo/hailo8_fw.bin")
_FIRMWARE_HEADER = struct.Struct("<5I")
_FIRMWARE_MAGIC = 0x1DD89DE0
"""hailort-drivers, common/fw_validation.h: magic, header version, then the three numbers of the firmware."""


@dataclass(frozen=True)
class HailoVersions:
    """Three numbers each, None for what is not installed or tells no version."""

    driver: str | None
    """Of the module that is loaded."""
    library: str | None
    firmware: str | None
    binding: str | None

    def to_dict(self) -> dict[str, str | None]:
        """By part, in the order of the fields."""
        return {
            "driver": self.driver,
            "library": self.library,
            "firmware": self.firmware,
            "Python binding": self.binding,
        }

    @property
    def known(self) -> frozenset[str]:
        """The versions that are there."""
        return frozenset(version for version in self.to_dict().values() if version)


def read(tree: Tree, modules: Modules, debs: Debs, packages: Packages) -> HailoVersions:
    """The versions of the machine, without opening the device."""
    driver = next((version for name in MODULES if (version := modules.version(name))), None)
    binding = packages.get("hailort")
    return HailoVersions(
        driver=driver,
        library=_library(tree, debs),
        firmware=_firmware(tree),
        binding=binding.version if binding else None,
    )


def _library(tree: Tree, debs: Debs) -> str | None:
    """The file's own name tells, for a library that no package brought too."""
    found = {
        match[1]
        for folder in ("usr/lib", "usr/lib/aarch64-linux-gnu", "usr/local/lib")
        for path in tree.glob(f"{folder}/libhailort.so.*")
        if (match := re.fullmatch(r"libhailort\.so\.(\d+\.\d+\.\d+)", path.name))
    }
    packaged = next((version for name in LIBRARY_DEBS if (version := debs.upstream(name))), None)
    if packaged in found or not found:
        return packaged
    return max(found, key=lambda version: [int(part) for part in version.split(".")])


def _firmware(tree: Tree) -> str | None:
    """Hailo-8's: a file that the driver loads. A Hailo-10H's images carry no number in a known place."""
    for name in _FIRMWARE:
        data = tree.data(name)
        if data and len(data) >= _FIRMWARE_HEADER.size:
            magic, _, *version = _FIRMWARE_HEADER.unpack_from(data)
            if magic == _FIRMWARE_MAGIC:
                return ".".join(str(part) for part in version)
    return None
