"""``python -m tests.arm64``: run tests on emulated boards; what ``make test-arm64`` calls."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.arm64 import boards, userland
from tests.arm64.boards import BOARDS, QEMU
from tests.arm64.userland import PYTHON, Unreachable

REPOSITORY = Path(__file__).parents[2]
OWN = "tests/arm64"
RUNTIMES = ("litert", "onnxruntime", "openvino", "opencv", "ncnn", "seam", "real_models")
SELECTIONS = {
    "quick": [f"{OWN}/test_board.py", f"{OWN}/test_answers.py", "-k", "not openvino-fp32"],
    "own": [OWN],
    "usual": [OWN, *(f"tests/backends/test_{name}.py" for name in RUNTIMES), "tests/device/test_board.py"],
    "all": ["tests", "--ignore=tests/fuzz", "--ignore=tests/test_dependencies.py", "--ignore=tests/test_packing.py"],
}
"""Left out of "quick": OpenVINO's float32, its int8 differs more. Left out of "all": what is about wheels rather than a
board, and what would run for hours."""
LAST_WORDS = "tests/backends/test_seam.py::test_what_is_known_of_a_crash_and_what_it_last_said_are_told"
"""Not run: a crash's last words are qemu's own."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.arm64", description="Run tests on emulated boards.")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "build/arm64", help="where everything is kept")
    parser.add_argument("--board", choices=BOARDS, action="append", help="only this board; repeatable")
    parser.add_argument("--select", choices=SELECTIONS, default="usual")
    parser.add_argument("--profile", default="default", help="which lock file of requirements/ the boards have")
    parser.add_argument("--or-skip", action="store_true", help="succeed where the packages cannot be fetched")
    parser.add_argument("pytest", nargs="*", help="more for pytest, after --")
    given = parser.parse_args()
    if sys.version_info[:2] != tuple(map(int, PYTHON.split("."))):  # pip reads lock files for the Python it runs on
        parser.error(f"the boards have Python {PYTHON}: make test-arm64 PYTHON=python{PYTHON}")
    folder = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        debian = userland.debian(folder)
        qemu()
        site = userland.wheels(folder, REPOSITORY / f"requirements/{given.profile}.txt")
    except Unreachable as error:
        print(f"the emulated boards are skipped: {error}" if given.or_skip else error)
        return 0 if given.or_skip else 1
    expected = folder / "expected.json"
    with expected.open("w") as file:
        subprocess.run([sys.executable, "-m", "tests.arm64.answers"], cwd=REPOSITORY, stdout=file, check=True)
    failed = []
    for name in given.board or ("pi5", "pi4", "pi3"):
        board = BOARDS[name]
        interpreter = boards.make(folder / name, board, debian, site)
        print(f"== {name}: {board.cpu}, pages of {board.page_size} bytes", flush=True)
        command = [str(interpreter), "-m", "pytest", "-p", "no:cacheprovider", "--deselect", LAST_WORDS]
        command += [*SELECTIONS[given.select], *given.pytest]
        env = {**os.environ, "PIACCEL_EMULATED": name, "PIACCEL_EXPECTED": str(expected)}
        began = time.monotonic()
        status = subprocess.run(command, cwd=REPOSITORY, env=env, check=False).returncode
        print(f"== {name}: exit status {status} after {time.monotonic() - began:.0f} s", flush=True)
        failed += [name] if status else []
    return 1 if failed else 0


def qemu() -> None:
    """Install the emulator unless it is there."""
    if shutil.which(QEMU):
        return
    apt = [*([] if os.geteuid() == 0 else ["sudo"]), "apt-get", "-q"]
    userland.fetch([*apt, "update"])
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    userland.fetch([*apt, "install", "-y", "--no-install-recommends", "qemu-user-static"], env)


if __name__ == "__main__":
    sys.exit(main())
