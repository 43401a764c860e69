"""Tuning that is cut off: run as a program by test_power_cuts.py.

``cuts.py cut FOLDER``: each scenario is ended before each of its operations in turn, and taken up again;
``cuts.py fail FOLDER``: each operation in turn fails; ``cuts.py order FOLDER``: the operations of one apply.
Each prints JSON.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from piaccel.device import tuning
from piaccel.errors import PiaccelError
from piaccel.testing.fake_board import FakeBoard
from tests.cutting import Failing, cut_before, instrument
from tests.device.tuning.trees import Tree, snapshot, without_journal

EARLY, LATE = ["governor", "swap", "swappiness", "psi"], ["pcie-gen", "isolation", "logs", "service-bluetooth"]
MORE = ["fan"]
NAMES = {"early": EARLY, "late": LATE, "more": MORE}
CONFIG = "boot/firmware/config.txt"
THEIRS = "# theirs\r\ndtoverlay=mine\r\n"


def make(folder: Path) -> FakeBoard:
    """A board with something to do in every kind of file; its config.txt is from Windows, without a last line end."""
    board = FakeBoard(folder, "pi5", os="trixie")
    board.plug("hailo8", speed="5.0 GT/s PCIe")
    board.write(CONFIG, "# mine\r\n[pi4]\r\ndtoverlay=vc4-kms-v3d\r\n[pi5]\r\ndtparam=pciex1_gen=2")
    board.write("etc/rpi/swap.conf", "[Main]\nMechanism=swapfile\n")
    (board.root / "etc/rpi/swap.conf").chmod(0o640)
    return board


def early(root: Path) -> None:
    tuning.plan(root, EARLY).apply()


def late(root: Path) -> None:
    tuning.plan(root, LATE).apply()


def more(root: Path) -> None:
    tuning.plan(root, MORE).apply()


def theirs(root: Path) -> None:
    """Somebody else adds lines of their own below ours."""
    with open(root / CONFIG, "ab") as file:
        file.write(THEIRS.encode())


def revert(root: Path) -> None:
    assert not tuning.revert(root).refused


SCENARIOS: dict[str, tuple[tuple[Callable[[Path], None], ...], Callable[[Path], None]]] = {
    "a first apply": ((), early),
    "a second apply": ((early,), late),
    "an apply after somebody's edit": ((early, late, theirs), more),
    "a revert": ((early, late), revert),
    "a revert after somebody's edit": ((early, late, theirs), revert),
}


def counts(name: str, args: tuple[Any, ...]) -> bool:
    """A write to a file of the kernel happens whole or not at all: it counts as one operation with its opening."""
    if name != "write":
        return True
    path = os.readlink(f"/proc/self/fd/{args[0]}")
    return not ("/sys/devices/" in path or "/proc/sys/" in path)


def cut_at(point: int, work: Callable[[Path], None], root: Path) -> None:
    """In a child: end the process before operation number ``point``."""
    instrument(cut_before(point), counts)
    work(root)
    os._exit(0)


def cut(folder: Path) -> dict[str, Any]:
    """Cut each scenario at every operation; what follows is as if it had not been cut."""
    failures: list[str] = []
    points: dict[str, int] = {}
    for title, (before, work) in SCENARIOS.items():
        base = folder / "base"
        first = snapshot(make(base).root)
        for step in before:
            step(base)
        edited = theirs in before
        status = 9
        while status:
            points[title] = points.get(title, 0) + 1
            root = folder / "cut"
            shutil.copytree(base, root, symlinks=True)
            child = os.fork()
            if not child:
                try:
                    cut_at(points[title], work, root)
                finally:
                    os._exit(1)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert status in (0, 9), f"{title}: the child failed"
            try:
                judge(root, folder / "again", first, work, edited)
            except (AssertionError, PiaccelError) as error:
                failures.append(f"{title}, point {points[title]}: {error!r}")
            shutil.rmtree(root)
        shutil.rmtree(base)
    return {"points": points, "failures": failures}


def judge(root: Path, again: Path, first: Tree, work: Callable[[Path], None], edited: bool) -> None:
    """Both ways lead where they should: back at once, and forward before back."""
    expected = without_journal(first)
    if edited:
        mode, data = first[CONFIG]
        expected[CONFIG] = mode, data + b"\r\n" + b"[all]\r\n" + THEIRS.encode()
    try:
        if work is not revert:
            shutil.copytree(root, again, symlinks=True)
            work(again)
            assert tuning.plan(again, NAMES[work.__name__]).empty
            compare(again, expected)
        compare(root, expected)
    finally:
        shutil.rmtree(again, ignore_errors=True)


def compare(root: Path, expected: Tree) -> None:
    revert(root)
    assert not tuning.status(root).files
    found = without_journal(snapshot(root))
    different = {name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)}
    assert not different, {name: (found.get(name), expected.get(name)) for name in different}


def fail(folder: Path) -> dict[str, Any]:
    """Have every operation fail in turn, as a full disk or a worn card lets it; told, and taken up again."""
    failures: list[str] = []
    failing = Failing()
    instrument(failing, counts)
    points = 0
    for code in (errno.ENOSPC, errno.EROFS):
        for title, (before, work) in SCENARIOS.items():
            base = folder / "base"
            first = snapshot(make(base).root)
            for step in before:
                step(base)
            for point in range(1, 10_000):
                root = folder / "failed"
                shutil.copytree(base, root, symlinks=True)
                failing.at(point, code)
                try:
                    work(root)
                except (PiaccelError, AssertionError):
                    pass
                except OSError as error:
                    failures.append(f"{title}, operation {point}: told as {error!r}")
                hit = failing.off()
                try:
                    judge(root, folder / "again", first, work, theirs in before)
                except (AssertionError, PiaccelError) as error:
                    failures.append(f"{title}, operation {point}: {error!r}")
                shutil.rmtree(root)
                points += 1
                if not hit:
                    break
            shutil.rmtree(base)
    return {"points": points, "failures": failures}


def order(folder: Path) -> list[list[str]]:
    """The operations of one apply, each with the file that it is about."""
    root = make(folder / "pi").root
    seen: list[list[str]] = []

    def act(name: str, args: tuple[Any, ...]) -> None:
        path = os.readlink(f"/proc/self/fd/{args[0]}") if isinstance(args[0], int) else os.fspath(args[0])
        target = os.fspath(args[1]) if name == "rename" else path
        seen.append([name, os.path.relpath(target, root)])

    plan = tuning.plan(root, [*EARLY, *LATE])
    instrument(act, counts)
    plan.apply()
    return seen


if __name__ == "__main__":
    os.fsync = lambda fd: None  # a process that ends loses nothing that it wrote
    print(json.dumps({"cut": cut, "fail": fail, "order": order}[sys.argv[1]](Path(sys.argv[2]))))
