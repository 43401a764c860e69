"""packaging/install.sh: what it refuses, what it makes, and that it touches nothing else."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.test_dependencies import UNREACHABLE

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "packaging" / "install.sh"
PROGRAM = """
import json, sys
def main():
    if {broken!r} and "backends" in sys.argv:
        sys.exit("no backend starts")
    print(json.dumps({{"healthy": False}}) if "doctor" in sys.argv else "piaccel {version}")
    sys.exit("doctor" in sys.argv)  # as on a board with findings
"""
"""A release small enough to be installed in every test: only what install.sh asks of it."""


class Machine:
    """A user's home, and commands that stand before the real ones."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.commands = folder / "commands"
        self.commands.mkdir()
        self.prefix = self.home / ".local/share/piaccel"
        self.link = self.home / ".local/bin/piaccel"
        self.environment = {"HOME": str(self.home), "PATH": f"{self.commands}:{os.environ['PATH']}"}
        self.say("id", "1000")

    def say(self, name: str, words: str) -> Path:
        """Have a command print these words whatever it is asked."""
        return self.do(name, f"echo '{words}'")

    def do(self, name: str, script: str) -> Path:
        command = self.commands / name
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
        return command

    def install(self, *options: str | Path) -> subprocess.CompletedProcess[str]:
        return self.run("bash", SCRIPT, *options)

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    def refused(self, *options: str | Path) -> str:
        """What it says when it refuses, having made nothing."""
        before = self.files()
        done = self.install(*options)
        assert done.returncode == 1, done.stdout
        assert self.files() == before
        return done.stderr

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.home)) for path in self.home.glob(".local/**/*"))

    def version(self) -> str:
        return self.run(self.link, "--version").stdout.strip()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def small(tmp_path: Path) -> tuple[str, ...]:
    """Options that install release 1.0 without a network."""
    asked = "import ensurepip, sys; sys.exit(sys.version_info < (3, 11) or sys.base_prefix != '/usr')"
    if subprocess.run(["/usr/bin/python3", "-I", "-c", asked], capture_output=True, check=False).returncode:
        pytest.skip("/usr/bin/python3 is not Python 3.11 or newer with venv")
    return options(tmp_path, "1.0")


def options(folder: Path, version: str, broken: bool = False) -> tuple[str, ...]:
    wheel = release(folder / version, version, broken)
    return ("--yes", "--profile", "default", "--extras", "", "--offline", str(wheel.parent), "--wheel", str(wheel))


def release(folder: Path, version: str, broken: bool = False) -> Path:
    folder.mkdir()
    about = f"piaccel-{version}.dist-info"
    files = {
        "piaccel/__init__.py": PROGRAM.format(version=version, broken=broken),
        "piaccel/__main__.py": "from piaccel import main\nmain()\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: piaccel\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": "[console_scripts]\npiaccel = piaccel:main\n",
    }
    record = f"{about}/RECORD,,\n"
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(text.encode())}\n"
    path = folder / f"piaccel-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{about}/RECORD": record}.items():
            archive.writestr(name, text)
    return path


def test_a_dry_run_prints_the_commands_in_order_and_runs_none(machine: Machine, small: tuple[str, ...]) -> None:
    done = machine.install("--dry-run", *small)
    assert done.returncode == 0, done.stderr
    assert machine.files() == []
    commands = [line[2:] for line in done.stdout.splitlines() if line.startswith("+ ")]
    order = ["mkdir", "-m venv --system-site-packages", "-m pip install", "-m piaccel backends", "doctor --json"]
    order += ["mv -T", "bin/piaccel --version", f"ln -sfn -- {machine.prefix}/venv/bin/piaccel {machine.link}"]
    places = [next(i for i, command in enumerate(commands) if words in command) for words in order]
    assert places == sorted(places)


def test_the_commands_of_a_dry_run_are_those_of_the_install(machine: Machine, small: tuple[str, ...]) -> None:
    machine.say("date", "20260102-030405")
    shown = machine.install("--dry-run", *small).stdout
    done = machine.install(*small)
    assert done.returncode == 0, done.stderr
    for output in (shown, done.stdout):
        assert "venv.20260102-030405" in output
    assert [line for line in done.stdout.splitlines() if line.startswith("+ ")] == shown.splitlines()[1:]


def test_a_clone_installs_itself_and_the_script_alone_the_newest_release(machine: Machine, tmp_path: Path) -> None:
    assert f" {ROOT}[runtimes]" in machine.install("--dry-run").stdout.replace("'", "")
    assert "piaccel[runtimes]==0.1" in machine.install("--dry-run", "--version", "0.1").stdout
    alone = tmp_path / "alone" / "packaging" / "install.sh"
    alone.parent.mkdir(parents=True)
    alone.write_bytes(SCRIPT.read_bytes())
    shown = machine.run("bash", alone, "--dry-run").stdout.replace("'", "")
    assert " piaccel[runtimes]" in shown
    assert "constraint" not in shown


def test_bookworm_gets_numpy_1_and_the_versions_of_its_lock_file(machine: Machine) -> None:
    shown = machine.install("--dry-run", "--profile", "bookworm").stdout
    assert "requirements/bookworm.txt" in shown
    assert "'numpy<2'" in shown
    shown = machine.install("--dry-run", "--profile", "default").stdout
    assert "requirements/default.txt" in shown
    assert "numpy<2" not in shown


def test_wheels_of_a_folder_are_not_held_to_the_lock_file(machine: Machine, tmp_path: Path) -> None:
    shown = machine.install("--dry-run", "--profile", "bookworm", "--offline", tmp_path).stdout
    assert f"--no-index --find-links {tmp_path}" in shown
    assert "requirements" not in shown
    assert "'numpy<2'" in shown


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("getconf", "32", "this system has 32 bits"),
        ("uname", "riscv64", "no wheels of the runtimes for riscv64"),
        ("df", " Avail\n 93M", "93 MB are free"),
        ("id", "0", "running as root would install for root alone"),
    ],
)
def test_a_machine_that_cannot_have_it_is_refused(machine: Machine, command: str, words: str, said: str) -> None:
    machine.say(command, words)
    assert said in machine.refused("--yes")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("3 9 /usr plain", "Python 3.9 is too old"),
        ("3 13 /home/pi/.pyenv/versions/3.13.0 plain", "not the system's Python but pyenv's"),
        ("3 12 /home/pi/miniconda3 conda", "not the system's Python but conda's"),
        ("3 13 /usr venv", "but a virtual environment's"),
        ("3 13 /usr/local plain", "but built apart, in /usr/local"),
    ],
)
def test_a_python_that_will_not_do_is_refused_with_the_reason(machine: Machine, answer: str, said: str) -> None:
    assert said in machine.refused("--yes", "--python", machine.say("python3", answer))


def test_the_python_of_a_virtual_environment_is_recognised(machine: Machine) -> None:
    if sys.prefix == sys.base_prefix:
        pytest.skip("the tests do not run in a virtual environment")
    assert "is not the system's Python" in machine.refused("--yes", "--python", sys.executable)


def test_without_python3_venv_the_apt_command_is_told_or_run(machine: Machine) -> None:
    python = machine.do("python3", 'case "$3" in *ensurepip*) exit 1;; esac; echo 3 13 /usr plain')
    assert "sudo apt-get install python3-venv" in machine.refused("--yes", "--python", python)
    shown = machine.install("--dry-run", "--apt", "--python", python).stdout
    assert "+ sudo apt-get install -y --no-install-recommends python3-venv" in shown


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--upgrade"], "there is no piaccel in"),
        (["--uninstall"], "there is no piaccel in"),
        (["--purge"], "--purge goes with --uninstall"),
        (["--extras", "serve,tpu"], "tpu is no extra of piaccel"),
        (["--wheel", "/nowhere.whl"], "/nowhere.whl is not a wheel"),
        (["--offline", "/nowhere"], "not a folder of wheels"),
        (["--profile", "buster"], "no profile buster"),
        (["--prefix", "/tmp/a b"], "scripts and services cannot start"),
        (["--frobnicate"], "--frobnicate is no option"),
        (["--extras"], "--extras needs a value"),
        (["--system"], "put sudo in front"),
    ],
)
def test_options_that_make_no_sense_are_refused(machine: Machine, given: list[str], said: str) -> None:
    assert said in machine.refused("--yes", *given)


def test_without_an_answer_nothing_is_done(machine: Machine) -> None:
    assert "nobody is there to answer" in machine.refused("--profile", "default")


def test_the_extras_it_knows_are_those_of_the_package() -> None:
    known = next(line for line in SCRIPT.read_text().splitlines() if line.startswith("EXTRAS_KNOWN="))
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    assert set(known.partition("=")[2].strip('"').split()) == set(extras)


def test_a_release_is_installed_upgraded_and_removed_and_other_files_stay(
    machine: Machine, small: tuple[str, ...], tmp_path: Path
) -> None:
    machine.link.parent.mkdir(parents=True)
    (machine.link.parent / "other").touch()
    done = machine.install(*small)
    assert done.returncode == 0, done.stderr
    assert machine.version() == "piaccel 1.0"
    first = (machine.prefix / "venv").resolve()
    assert "piaccel is in" in machine.refused(*small)

    done = machine.install("--upgrade", *options(tmp_path, "2.0"))
    assert done.returncode == 0, done.stderr
    assert machine.version() == "piaccel 2.0"
    assert not first.exists()

    (machine.prefix / "mine").touch()
    cache = machine.home / ".cache/piaccel"
    cache.mkdir(parents=True)
    done = machine.install("--uninstall", "--yes")
    assert done.returncode == 0, done.stderr
    assert not machine.link.is_symlink()
    assert (machine.link.parent / "other").exists()
    assert os.listdir(machine.prefix) == ["mine"]
    assert cache.exists()


def test_scripts_start_through_the_link_that_survives_upgrades(machine: Machine, small: tuple[str, ...]) -> None:
    assert machine.install(*small).returncode == 0
    script = machine.link.read_text()
    assert f"{machine.prefix}/venv/bin/python" in script  # on the first line, or the second where the path is long
    assert "venv.2" not in script


def test_purge_takes_models_and_caches_too(machine: Machine, small: tuple[str, ...]) -> None:
    assert machine.install(*small).returncode == 0
    (machine.home / ".cache/piaccel/choices").mkdir(parents=True)
    (machine.prefix / "models").mkdir()
    done = machine.install("--uninstall", "--purge", "--yes")
    assert done.returncode == 0, done.stderr
    assert not machine.prefix.exists()
    assert not (machine.home / ".cache/piaccel").exists()


def test_an_upgrade_that_cannot_be_had_leaves_the_old_one(
    machine: Machine, small: tuple[str, ...], tmp_path: Path
) -> None:
    assert machine.install(*small).returncode == 0
    (tmp_path / "empty").mkdir()
    said = machine.refused("--upgrade", "--yes", "--offline", tmp_path / "empty")
    assert "pip could not install it" in said
    assert "the old one is as it was" in said
    assert machine.version() == "piaccel 1.0"


def test_an_upgrade_that_does_not_run_leaves_the_old_one(
    machine: Machine, small: tuple[str, ...], tmp_path: Path
) -> None:
    assert machine.install(*small).returncode == 0
    assert "piaccel backends failed" in machine.refused("--upgrade", *options(tmp_path, "2.0", broken=True))
    assert machine.version() == "piaccel 1.0"


def test_a_release_that_does_not_run_is_not_installed(machine: Machine, small: tuple[str, ...], tmp_path: Path) -> None:
    done = machine.install(*options(tmp_path, "2.0", broken=True))
    assert done.returncode == 1
    assert "nothing was installed" in done.stderr
    assert not machine.prefix.exists()


def test_what_a_power_cut_left_is_removed_by_the_next_upgrade(
    machine: Machine, small: tuple[str, ...], tmp_path: Path
) -> None:
    assert machine.install(*small).returncode == 0
    left = machine.prefix / "venv.20200101-000000"
    left.mkdir()
    (left / ".made-by-piaccel-install").write_text("extras=\nprofile=default\n")
    foreign = machine.prefix / "venv.mine"
    foreign.mkdir()
    assert machine.install("--upgrade", *options(tmp_path, "2.0")).returncode == 0
    assert not left.exists()
    assert foreign.exists()


def test_a_command_or_a_folder_of_somebody_else_is_not_replaced(machine: Machine, small: tuple[str, ...]) -> None:
    machine.link.parent.mkdir(parents=True)
    machine.link.write_text("#!/bin/sh\n")
    assert "is there already, and not from" in machine.refused(*small)
    machine.link.unlink()
    (machine.prefix / "venv").mkdir(parents=True)
    assert "was not made by this script" in machine.refused(*small)
    assert "was not made by this script" in machine.refused("--uninstall", "--yes")


def test_two_at_a_time_are_refused(machine: Machine, small: tuple[str, ...]) -> None:
    machine.prefix.mkdir(parents=True)
    with subprocess.Popen(["flock", machine.prefix, "sh", "-c", "echo locked; read line"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as holder:  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        assert "another install.sh is at work" in machine.refused(*small)
        holder.communicate(b"\n")


def test_this_tree_is_installed_on_this_machine(machine: Machine, small: tuple[str, ...], tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*build, "--no-build-isolation", "--wheel-dir", tmp_path / "dist", ROOT], check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    done = machine.install("--yes", "--extras", "", "--wheel", wheel)
    if done.returncode and any(sign in done.stderr for sign in UNREACHABLE):
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr
    assert machine.version().startswith("piaccel ")
    done = machine.run(machine.link, "predict", ROOT / "demo/bundle", ROOT / "demo/images/gear_good.jpg")
    assert "gear" in done.stdout, done.stderr
    assert machine.install("--uninstall", "--yes").returncode == 0
    assert not machine.prefix.exists()
