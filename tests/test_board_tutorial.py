"""The tutorial of a new board, its own lines one after the other, on drawn boards of both releases."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("uvloop")

PAGE = Path(__file__).parents[1] / "docs" / "board-tutorial.md"
BOARDS = [("pi4", "bookworm"), ("pi4", "trixie"), ("pi5", "bookworm"), ("pi5", "trixie")]


def lines_of_the_page() -> list[str]:
    blocks = re.findall(r"^```\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines() if line.strip()]


class Desk:
    """A folder with the demo, and a shell in it."""

    def __init__(self, folder: Path, demo: Path, python: Path) -> None:
        self.folder = folder
        self.board = folder / "my-board"
        self.env = {
            **os.environ,
            "PATH": f"{python}:{os.environ['PATH']}",
            "PIACCEL_ROOT": str(self.board),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "COLUMNS": "120",
        }
        shutil.copytree(demo, folder / "demo", ignore=shutil.ignore_patterns("*.py", "__pycache__"))

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            shlex.split(line), cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=600, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def ok(self, line: str) -> str:
        done = self.run(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def serving(self, line: str) -> Iterator[str]:
        """Run the service on free ports while the body runs; its address."""
        options = ["--port", "0", "--metrics-port", "0", "--no-grpc", "--json"]
        process = subprocess.Popen(
            [*shlex.split(line), *options], cwd=self.folder, env=self.env, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)

    def narrow(self) -> None:
        """Leave one variant in the bundle: what is measured does not depend on the drawing."""
        manifest = self.folder / "parts-bundle" / "model.toml"
        head, *variants = manifest.read_text(encoding="utf-8").split("[[variants]]")
        rest = "[accuracy]" + variants[-1].partition("[accuracy]")[2]
        kept = next(each for each in variants if 'name = "int8-tflite"' in each).partition("[accuracy]")[0]
        manifest.write_text(f"{head}[[variants]]{kept}{rest}", encoding="utf-8")

    def tree(self) -> dict[str, bytes]:
        """What the board's files hold; of a link, where it leads."""
        return {
            str(path.relative_to(self.board)): os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
            for path in self.board.rglob("*")
            if path.is_symlink() or path.is_file()
        }


@pytest.fixture
def desk(tmp_path: Path, demo: Path) -> Desk:
    python = tmp_path / "bin"
    python.mkdir()
    for name, command in {"piaccel": "-m piaccel", "python": ""}.items():
        (python / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {command} "$@"\n')
        (python / name).chmod(0o755)
    return Desk(tmp_path, demo.parent if demo.name == "bundle" else demo, python)


@pytest.mark.parametrize(("kind", "release"), BOARDS, ids=lambda each: str(each))
def test_the_tutorial_leads_from_a_new_board_to_a_running_service(desk: Desk, kind: str, release: str) -> None:
    drawn, _, doctor, *tuned, copied, chosen, pushed, served, asked, installed = lines_of_the_page()
    desk.ok(drawn.replace("pi5", kind).replace("trixie", release))
    assert desk.run(doctor).returncode in (0, 1)

    before = desk.tree()
    plan, dry_run, applied, status = tuned
    assert "\n+" in desk.ok(plan)
    desk.ok(dry_run)
    assert desk.tree() == before
    desk.ok(applied)
    after = desk.tree()
    assert after != before
    assert "waits for a reboot" in desk.ok(status)
    assert "Nothing to do" in desk.ok(applied)
    assert desk.tree() == after

    desk.ok(copied)
    if (kind, release) != BOARDS[-1]:
        desk.narrow()
    patient = chosen.replace("--fps 15", "--fps 0.1").replace("80ms", "80s")  # how fast this machine is is not asked
    assert patient != chosen
    told = desk.ok(f"{patient} --backend litert")
    assert "measured" in told
    assert "<svg" in (desk.folder / "choice.html").read_text(encoding="utf-8")
    picked = tomllib.loads((desk.folder / "piaccel.toml").read_text(encoding="utf-8"))["models"]["parts"]

    desk.ok(pushed)
    with desk.serving(served) as url:
        _, _, data, _ = shlex.split(asked)
        picture = (desk.folder / data.removeprefix("@")).read_bytes()
        with urllib.request.urlopen(f"{url}/v2/models/parts/predict", picture, timeout=60) as answer:
            assert "gear good" in answer.read().decode()
        with urllib.request.urlopen(f"{url}/v2/service", timeout=60) as answer:
            (version,) = json.load(answer)["models"][0]["versions"]
        assert (version["backend"], version["variant"]) == (picked["backend"], picked["variant"])
    assert "ExecStart" in desk.ok(installed)

    desk.ok("piaccel tune revert --yes")
    assert desk.tree() == before
