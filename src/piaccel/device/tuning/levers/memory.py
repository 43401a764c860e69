"""Memory: swap and how readily it is used, contiguous memory for cameras; gpu_mem and huge pages are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from piaccel.device.findings import Subject
from piaccel.device.tuning import boot_files, dropins
from piaccel.device.tuning.lever import Edit, Lever, Setting, whole

_SMALL_BYTES = 1 << 30
_SWAP_MIB = 1024
_GPU_MIB = 76
_SWAPPINESS = "proc/sys/vm/swappiness"
_VM = "kernel.org, admin-guide/sysctl/vm.rst"

Swap = Literal["zram", "card", "disk"]


def levers(subject: Subject) -> Iterator[Lever]:
    """All of them; those of the firmware on a Raspberry Pi only."""
    if subject.board.is_pi:
        yield from _swap(subject)
    yield from _swappiness(subject)
    if subject.board.is_pi:
        yield _contiguous(subject)
        yield _gpu_mem(subject)
    yield Lever(
        "hugepages",
        "memory pages of 2 MiB",
        subject.tree.text("sys/kernel/mm/transparent_hugepage/enabled"),
        None,
        "Fewer address translations, where the kernel has them.",
        "raspberrypi/linux, bcm2712_defconfig (neither CONFIG_TRANSPARENT_HUGEPAGE nor CONFIG_HUGETLBFS)",
        refused="no gain for inference on this kernel is published"
        if subject.tree.exists("sys/kernel/mm/transparent_hugepage")
        else "this kernel has none",
    )


def _swap(subject: Subject) -> Iterator[Lever]:
    if subject.tree.exists("etc/dphys-swapfile"):
        yield _dphys(subject)
    elif subject.tree.exists("etc/rpi/swap.conf") or subject.tree.exists("etc/rpi/swap.conf.d"):
        yield _rpi_swap(subject)


def _dphys(subject: Subject) -> Lever:
    found = re.search(r"(?m)^CONF_SWAPSIZE=(\d{1,6})\s*$", subject.tree.text("etc/dphys-swapfile") or "")
    small = (subject.board.ram_bytes or 2 * _SMALL_BYTES) <= _SMALL_BYTES
    now = int(found[1]) if found else None
    enlarge = small and (now is None or now < _SWAP_MIB) and kind_of_swap(subject) != "zram"
    return Lever(
        "swap",
        "size of the swap file (dphys-swapfile)",
        f"{now} MiB" if found else None,
        f"{_SWAP_MIB} MiB" if enlarge else None,
        "A board of 1 GiB or less ends a program that loads a larger model, where with swap it would be slow only. The "
        "size is a rule of thumb, no published figure."
        if small
        else "This board has memory enough.",
        "dphys-swapfile(8)",
        risk="a card wears when the board swaps all the time",
        needs_reboot=True,
        changes=(Edit("etc/dphys-swapfile", _with_size),) if enlarge else (),
    )


def _with_size(data: bytes | None) -> bytes | None:
    if data is None:
        return None
    line = b"CONF_SWAPSIZE=%d" % _SWAP_MIB
    if re.search(rb"(?m)^CONF_SWAPSIZE=[^\r\n]*", data):
        return re.sub(rb"(?m)^CONF_SWAPSIZE=[^\r\n]*", line, data)
    return data + (b"" if not data or data.endswith(b"\n") else b"\n") + line + b"\n"


def _rpi_swap(subject: Subject) -> Lever:
    mechanism = dropins.value(subject.tree, "etc/rpi/swap.conf", ("etc/rpi/swap.conf.d",), "Mechanism") or "auto"
    small = (subject.board.ram_bytes or 2 * _SMALL_BYTES) <= _SMALL_BYTES
    change = mechanism == "swapfile" or (mechanism == "none" and small)
    return Lever(
        "swap",
        "how swap is set up (rpi-swap)",
        mechanism,
        "auto" if change else None,
        "auto swaps into compressed memory first (zram), and to the card only what lies there unused for hours; a bare "
        "swap file is slower and wears the card.",
        "rpi-swap, swap.conf(5)",
        needs_reboot=True,
        changes=(whole("etc/rpi/swap.conf.d/99-piaccel.conf", "[Main]\nMechanism=auto\n"),) if change else (),
    )


def _swappiness(subject: Subject) -> Iterator[Lever]:
    kind = kind_of_swap(subject)
    now = subject.tree.text(_SWAPPINESS)
    wanted = {"zram": "100", "card": "1"}.get(kind or "")
    why = {
        "zram": "Swap is compressed memory: getting a page back costs less than reading it from the card, so the "
        "kernel may use it as readily as it drops cached files.",
        "card": "Swap lies on the card, where every page costs a slow write: only when nothing else is left.",
        "disk": "Swap lies on a disk: the kernel's default is made for that.",
    }.get(kind or "", "There is no swap.")
    yield Lever(
        "swappiness",
        "how readily the kernel swaps (vm.swappiness)",
        now,
        wanted,
        why,
        f"{_VM} (0 to 200, 100 and more for swap in memory); no figure for a Raspberry Pi is published",
        risk="models that are mapped from files are dropped from memory before idle programs are"
        if kind == "card"
        else "",
        changes=(
            Setting(_SWAPPINESS, wanted),
            whole("etc/sysctl.d/99-piaccel-swappiness.conf", f"vm.swappiness={wanted}\n"),
        )
        if wanted
        else (),
        refused="" if kind else "without swap it has no effect",
    )
    if kind == "zram":
        yield Lever(
            "swappiness-1",
            "the old advice vm.swappiness=1",
            now,
            None,
            "It was meant for swap on a card.",
            _VM,
            refused="swap is compressed memory here (zram): cached files, a mapped model too, would be read again from "
            "the card instead",
        )


def kind_of_swap(subject: Subject) -> Swap | None:
    """Where swap lies; the one of the highest priority counts. None without swap."""
    swaps = re.findall(r"(?m)^(/\S+)\s+(\w+)\s+\d+\s+\d+\s+(-?\d{1,9})$", subject.tree.text("proc/swaps") or "")
    if not swaps:
        return None
    name, kind, _ = max(swaps, key=lambda swap: int(swap[2]))
    if name.startswith("/dev/zram"):
        return "zram"
    mounts = [line.split() for line in (subject.tree.text("proc/mounts") or "").splitlines()]
    root = next((fields[0] for fields in mounts if fields[1:2] == ["/"]), "")
    return "card" if (root if kind == "file" else name).startswith("/dev/mmcblk") else "disk"


def _contiguous(subject: Subject) -> Lever:
    found = re.search(r"(?m)^CmaTotal: +(\d{1,12}) kB", subject.tree.text("proc/meminfo") or "")
    total = int(found[1]) // 1024 if found else None
    wanted = 128 if (subject.board.ram_bytes or 0) <= _SMALL_BYTES // 2 else 256
    set_already = any(key == "dtoverlay" and re.search(r"\bcma\b", value) for key, value in subject.settings)
    camera = any(each.bus == "CSI" for each in subject.cameras)
    refused = boot_files.missing(subject, "config.txt")
    if subject.board.soc == "BCM2712":
        refused = "camera and codec take system memory on this board: a larger CMA gains nothing"
    raise_it = camera and total is not None and total < wanted and not set_already and not refused
    return Lever(
        "cma",
        "contiguous memory that camera buffers come from (CMA)",
        None if total is None else f"{total} MiB",
        f"{wanted} MiB" if raise_it else None,
        "Six buffers of 1920x1080 with 4 bytes a pixel are 48 MiB, and the display and a second stream take theirs."
        if camera
        else "No camera is seen on the ribbon connectors.",
        "raspberrypi/linux#6361"
        if subject.board.soc == "BCM2712"
        else "RP overlays README (cma); picamera2's buffer counts",
        risk="the memory is lent to programs only as far as it can be moved; no published figure of what that costs",
        needs_reboot=True,
        changes=(boot_files.setting(subject, f"dtoverlay=cma,cma-{wanted}"),) if raise_it else (),
        refused=refused,
    )


def _gpu_mem(subject: Subject) -> Lever:
    values = [(key, value) for key, value in subject.settings if _is_gpu_mem(key)]
    too_much = [value for key, value in values if _too_much(key, value)]
    refused = "more than 76 takes memory from the CPU and can harm; inference and camera do not use it"
    if subject.board.soc == "BCM2712":
        refused = "it has no effect on this board: the firmware allocates no memory for a GPU"
    elif too_much:
        refused = boot_files.missing(subject, "config.txt")
    return Lever(
        "gpu-mem",
        "the old advice gpu_mem=128 in config.txt",
        ", ".join(f"{key}={value}" for key, value in values) or "not set",
        "not set" if too_much and not refused else None,
        "Neither the camera (it uses CMA) nor inference gains from it, and a large value can harm.",
        "RP docs, config_txt/memory.adoc",
        needs_reboot=True,
        changes=(boot_files.without(subject, _too_much),) if too_much and not refused else (),
        refused=refused,
    )


def _is_gpu_mem(key: str) -> bool:
    return re.fullmatch(r"gpu_mem(_256|_512|_1024)?", key) is not None


def _too_much(key: str, value: str) -> bool:
    return _is_gpu_mem(key) and re.fullmatch(r"\d{1,9}", value) is not None and int(value) > _GPU_MIB
