"""``piaccel service``, on folders that stand for a machine's root."""

from pathlib import Path

import pytest

from piaccel.cli import main
from piaccel.serving.unit import MARK

UNIT = "etc/systemd/system/piaccel.service"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/group").write_text("root:x:0:\nvideo:x:44:pi\nplugdev:x:46:\n")
    return folder


def run(root: Path, *words: str) -> int:
    return main(["service", *words, "--root", str(root)])


def test_install_writes_the_unit_and_prints_what_to_run_then(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, "install") == 0
    text = (root / UNIT).read_text()
    assert text.startswith(MARK)
    assert "serve /var/lib/piaccel/models\n" in text
    assert "SupplementaryGroups=video plugdev\n" in text  # there is no group render here
    assert (root / UNIT).stat().st_mode & 0o777 == 0o644
    out = capsys.readouterr().out
    assert [line.strip() for line in out.splitlines() if "systemctl" in line] == [
        "sudo systemctl daemon-reload",
        "sudo systemctl enable piaccel.service",
        "sudo systemctl restart piaccel.service",
    ]


def test_install_again_changes_nothing_and_with_other_options_the_unit(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(root, "install")
    before = (root / UNIT).stat().st_mtime_ns
    assert run(root, "install") == 0
    assert "as it should be" in capsys.readouterr().out
    assert (root / UNIT).stat().st_mtime_ns == before
    assert run(root, "install", "--user", "pi") == 0
    assert "User=pi\n" in (root / UNIT).read_text()


def test_remove_takes_back_all_that_install_and_enable_did(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path for path in root.rglob("*") if not path.is_dir())
    run(root, "install")
    wants = root / "etc/systemd/system/multi-user.target.wants/piaccel.service"
    wants.parent.mkdir()
    wants.symlink_to("/etc/systemd/system/piaccel.service")
    assert run(root, "remove") == 0
    assert sorted(path for path in root.rglob("*") if not path.is_dir()) == before
    assert "systemctl stop piaccel.service" in capsys.readouterr().out
    assert run(root, "remove") == 2
    assert "nothing to remove" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["install", "remove"])
def test_a_dry_run_shows_it_and_changes_nothing(action: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if action == "remove":
        run(root, "install")
    before = sorted(root.rglob("*"))
    assert run(root, action, "--dry-run") == 0
    assert sorted(root.rglob("*")) == before
    out = capsys.readouterr().out
    assert f"would {'write' if action == 'install' else 'remove'} {root / UNIT}" in out


@pytest.mark.parametrize("action", ["install", "remove"])
@pytest.mark.parametrize("how", ["file", "link", "binary"])
def test_a_unit_that_we_did_not_write_is_never_touched(
    action: str, how: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = root / UNIT
    path.parent.mkdir(parents=True)
    if how == "link":
        (root / "mine").write_text(f"{MARK}\n")
        path.symlink_to(root / "mine")
    else:
        path.write_bytes(b"[Service]\nExecStart=/bin/mine\n" if how == "file" else b"\xff\xfe\x00")
    before = path.read_bytes()
    assert run(root, action) == 2
    assert path.read_bytes() == before
    assert "was not written by piaccel" in capsys.readouterr().err


def test_show_prints_the_unit_alone(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, "show") == 0
    out = capsys.readouterr().out
    assert out.startswith(MARK)
    assert out.endswith("WantedBy=multi-user.target\n")
    assert not (root / UNIT).exists()


def test_names_with_blanks_and_specifiers_reach_the_service_as_they_are(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "my $config 100%.toml"
    config.write_text("")
    models = tmp_path / "models"
    assert run(root, "show", "--config", str(config), "--repository", str(models), "--user", "pi") == 0
    out = capsys.readouterr().out
    assert f'--config "{tmp_path}/my $$config 100%%.toml"\n' in out
    assert f"ReadWritePaths={models}\n" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["start"], "'start' is no action"),
        (["install", "--now"], "--now changes this machine"),
        (["install", "--repository", "/srv/models"], "belongs to somebody"),
        (["install", "--user", "pi; rm"], "is no user's name"),
        (["install", "--user", "pi", "--repository", "/srv/a\nExecStartPre=b"], "no absolute path"),
        (["install", "--config", "/nowhere.toml"], "/nowhere.toml: no such file"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    words: list[str], told: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root, *words) == 2
    assert told in capsys.readouterr().err
    assert not (root / UNIT).exists()
