"""``piaccel push``: a version in a repository, whole, listed and signed, or nothing at all."""

import json
import os
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from piaccel.cli import main
from piaccel.errors import OptionError
from piaccel.serving import golden, publish, release
from piaccel.serving.repository import Repository


@pytest.fixture
def bundle(demo: Path, tmp_path: Path) -> Path:
    """The demo model with one variant, so that it is checked quickly."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    text = (demo / "bundle" / "model.toml").read_text()
    head, first, *_, last = text.split("[[variants]]")
    (folder / "model.toml").write_text(f"{head}[[variants]]{first}[accuracy]{last.split('[accuracy]')[1]}")
    for name in ("labels.txt", "fp32.tflite"):
        shutil.copy(demo / "bundle" / name, folder)
    return folder


def push(*given: object) -> int:
    return main(["push", *map(str, given)])


def test_a_bundle_becomes_the_next_version_with_a_list_of_its_files(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tmp_path / "models"
    for number in ("1", "2"):
        assert push(bundle, repository, "--name", "parts") == 0
        said = capsys.readouterr().out
        assert f"version {number} of parts, release {number}" in said
        assert "not signed" in said
        assert f"next: a service that watches {repository}" in said
        assert "without golden samples" in said
    assert sorted(os.listdir(repository / "parts")) == ["1", "2"]
    made = release.decode((repository / "parts" / "2" / "release.json").read_bytes())
    assert sorted(made.files) == ["fp32.tflite", "labels.txt", "model.toml"]
    found = Repository(repository).scan()
    assert all(each.whole for each in found["parts"].values()), found


def test_the_bundles_own_name_is_taken(bundle: Path, tmp_path: Path) -> None:
    assert push(bundle, tmp_path / "models", "--version", "v2-beta") == 0
    assert (tmp_path / "models" / "parts-inspection" / "v2-beta" / "model.toml").is_file()


def test_a_signed_version_with_golden_samples_passes_what_a_device_asks(
    bundle: Path, demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, repository = tmp_path / "release.key", tmp_path / "models"
    assert push("--new-key", key) == 0
    public = (tmp_path / "release.key.pub").read_text().strip()
    assert f'trusted_keys = ["{public}"]' in capsys.readouterr().out
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    pictures = sorted((demo / "images").glob("gear*"))
    given = ["--name", "parts", "--sign", key, "--latency", "any=10000", "--not-after", "2100-01-01", "--json"]
    assert push(bundle, repository, *given, *(word for each in pictures for word in ("--golden", each))) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["model"], told["version"], told["counter"], told["samples"]) == ("parts", "1", 1, len(pictures))
    folder = Path(told["path"])
    verified = release.verify(folder, release.read_keys([public]), model="parts", now=0.0, highest={})
    assert [verified.key_id] == told["keys"]
    expected = golden.read(folder)
    assert expected is not None
    assert expected.latency_ms == {"any": 10000}
    assert golden.read(bundle) is None


def test_dry_run_checks_and_writes_nothing(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert push(bundle, tmp_path / "models", "--dry-run") == 0
    assert "would be version 1" in capsys.readouterr().out
    assert not (tmp_path / "models").exists()


def test_a_version_is_never_changed(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    existing = tmp_path / "models" / "parts" / "7"
    existing.mkdir(parents=True)
    assert push(bundle, tmp_path / "models", "--name", "parts", "--version", "7") == 2
    said = capsys.readouterr().err
    assert "has a version 7 already" in said
    assert "the next one is 8" in said
    assert list(existing.iterdir()) == []


def test_a_bundle_that_is_not_right_leaves_the_repository_as_it_was(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blob = bytearray((bundle / "fp32.tflite").read_bytes())
    blob[5000] ^= 1
    (bundle / "fp32.tflite").write_bytes(blob)
    assert push(bundle, tmp_path / "models") == 1
    assert "sha256" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_golden_samples_that_a_bundle_fails_keep_it_out(
    bundle: Path, demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden.make(bundle, [demo / "images" / "gear_good.jpg"])
    labels = (bundle / "labels.txt").read_text().splitlines()
    (bundle / "labels.txt").write_text("\n".join(reversed(labels)))
    assert push(bundle, tmp_path / "models") == 1
    assert "1 of 1 golden samples: gear_good.jpg" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_what_fails_after_copying_leaves_nothing_behind(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    assert push(bundle, tmp_path / "models", "--name", "parts", "--golden", tmp_path / "text.png") == 2
    assert list((tmp_path / "models" / "parts").iterdir()) == []


def test_a_repository_that_cannot_be_written_is_told_in_one_line(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "parts").write_text("a file")
    assert push(bundle, tmp_path / "models", "--name", "parts") == 1
    assert "cannot be written" in capsys.readouterr().err
    assert (tmp_path / "models" / "parts").read_text() == "a file"


def test_a_bare_file_is_sent_to_piaccel_bundle(demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert push(demo / "bundle" / "fp32.tflite", tmp_path / "models") == 2
    assert "-> make a bundle first: piaccel bundle" in capsys.readouterr().err


def test_links_and_hidden_files_stay_outside(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bundle / ".note").write_text("mine")
    assert push(bundle, tmp_path / "models", "--name", "parts") == 0
    assert not (tmp_path / "models" / "parts" / "1" / ".note").exists()
    (bundle / "passwd").symlink_to("/etc/passwd")
    assert push(bundle, tmp_path / "models", "--name", "parts") == 1
    assert "passwd is a link" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path / "models" / "parts")) == ["1"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([], "name a bundle and a repository"),
        (["BUNDLE", "models", "--name", "../up"], "is no model name"),
        (["BUNDLE", "models", "--version", ".hidden"], "is no version name"),
        (["BUNDLE", "models", "--not-after", "soon"], "is no date"),
        (["BUNDLE", "models", "--not-after", "2027-06-30T12:00:00"], "no time zone"),
        (["BUNDLE", "models", "--latency", "pi5"], "is not BOARD=NUMBER"),
        (["BUNDLE", "models", "--sign", "absent.key"], "absent.key: no such file"),
        (["BUNDLE", "model.toml"], "is no folder"),
        (["absent", "models"], "absent: no such file"),
        (["BUNDLE", "models", "--new-key", "k"], "makes a key and takes nothing else"),
    ],
)
def test_wrong_usage_is_one_line(
    bundle: Path,
    tmp_path: Path,
    given: list[str],
    reason: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.toml").touch()
    assert push(*(bundle if each == "BUNDLE" else each for each in given)) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert "Traceback" not in said
    assert not (tmp_path / "models").exists()


def test_a_key_is_never_written_over_and_never_used_when_others_can_read_it(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "k"
    assert push("--new-key", key) == 0
    before = key.read_bytes()
    assert push("--new-key", key) == 2
    assert key.read_bytes() == before
    key.chmod(0o640)
    assert push(bundle, tmp_path / "models", "--sign", key) == 2
    assert f"-> chmod 600 {key}" in capsys.readouterr().err


def test_the_counter_grows_beyond_every_release_that_is_there(bundle: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    done = [
        publish.publish(bundle, repository, name="parts", version=version).counter for version in ("9", "rc", "10", "2")
    ]
    assert done == [9, 10, 11, 12]


def test_a_day_lasts_until_its_end() -> None:
    assert publish.date("2027-06-30") == datetime(2027, 6, 30, 23, 59, 59, tzinfo=UTC)
    assert publish.date("2027-06-30T12:00:00+02:00") == datetime(2027, 6, 30, 10, tzinfo=UTC)
    with pytest.raises(OptionError):
        publish.date("2027-02-30")


def test_piaccel_bundle_adds_golden_samples_and_verifies_them(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    source = demo / "bundle"
    given = [
        source / "fp32.tflite",
        "--labels",
        source / "labels.txt",
        "--out",
        out,
        "--mean",
        "127.5",
        "--std",
        "127.5",
    ]
    assert main(["bundle", *map(str, given), "--golden", str(demo / "images" / "gear_good.jpg")]) == 0
    assert main(["bundle", "--verify", str(out)]) == 0
    assert "ok   fp32.tflite golden" in capsys.readouterr().out
    labels = (out / "labels.txt").read_text().splitlines()
    (out / "labels.txt").write_text("\n".join(reversed(labels)))
    assert main(["bundle", "--verify", str(out)]) == 1
    assert "FAIL fp32.tflite golden: 1 of 1 golden samples" in capsys.readouterr().out
