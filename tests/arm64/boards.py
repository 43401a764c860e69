"""Emulated boards: a virtual environment whose ``python`` is aarch64 and runs under qemu-user.

``bin/python`` is a script that this machine can start, so that the child processes that piaccel starts through
``sys.executable`` are emulated too. qemu looks for every absolute path below ``root`` first: there lie Debian's arm64
files and a fake board's /proc and /sys.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from piaccel.testing.captures import Kind
from piaccel.testing.fake_board import FakeBoard
from tests.arm64.userland import PYTHON, RELEASE

QEMU = "qemu-aarch64-static"


@dataclass(frozen=True)
class Emulated:
    """A kind of board, as qemu is told of it."""

    kind: Kind
    cpu: str
    page_size: int


BOARDS = {
    "pi5": Emulated("pi5", "cortex-a76", 16384),
    "pi4": Emulated("pi4", "cortex-a72", 4096),
    "pi3": Emulated("pi3b+", "cortex-a53", 4096),
    "zero2w": Emulated("zero2w", "cortex-a53", 4096),
}


def make(folder: Path, board: Emulated, debian: Path, site: Path) -> Path:
    """Make the board anew in ``folder`` and return its interpreter."""
    shutil.rmtree(folder, ignore_errors=True)
    root = folder / "root"
    fake = FakeBoard(root, board.kind, os=RELEASE)
    for stand_in in ("lib/ld-linux-aarch64.so.1", f"usr/bin/python{PYTHON}"):
        (fake.root / stand_in).unlink()
    subprocess.run(["cp", "--archive", "--link", "--no-clobber", f"{debian}/.", root], check=True)
    _write_processor(fake)
    library = folder / f"lib/python{PYTHON}"
    library.mkdir(parents=True)
    (library / "site-packages").symlink_to(site)
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    kernel = (root / "proc/sys/kernel/osrelease").read_text().strip()
    interpreter = folder / "bin/python"
    interpreter.parent.mkdir()
    interpreter.write_text(
        "#!/bin/sh\n"
        "export PYTHONDONTWRITEBYTECODE=1\n"  # below /usr it would write this machine's files
        f'exec {QEMU} -cpu {board.cpu} -p {board.page_size} -r {kernel} -L {root} -0 "$0" '
        f'{root}/usr/bin/python{PYTHON} "$@"\n'
    )
    interpreter.chmod(0o755)
    return interpreter


def _write_processor(board: FakeBoard) -> None:
    """The CPU's identification register, which OpenVINO reads (Linux, cpu-feature-registers.rst)."""
    cpuinfo = (board.root / "proc/cpuinfo").read_text()
    implementer, variant, part, revision = (
        int(cpuinfo.partition(f"CPU {field}")[2].split()[1], 0)
        for field in ("implementer", "variant", "part", "revision")
    )
    register = implementer << 24 | variant << 20 | 0xF << 16 | part << 4 | revision
    for core in range(4):
        board.write(f"sys/devices/system/cpu/cpu{core}/regs/identification/midr_el1", f"{register:#018x}\n")
