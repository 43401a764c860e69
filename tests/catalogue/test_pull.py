"""A pulled model: a whole bundle or none, one process at a time, and what the shelf knows of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
import tomli_w

import piaccel
from piaccel import catalogue
from piaccel.bundles import Bundle
from piaccel.catalogue import Entry, Network, shelf
from piaccel.errors import ChecksumError, NotFoundError, OptionError, UnavailableError, WriteError
from tests.catalogue.conftest import NETWORK, entry_at, file_at
from tests.catalogue.sites import Site
from tests.conftest import DEMO

QUICK = Network(pause_s=0.001)


@pytest.fixture
def entry(site: Site) -> Entry:
    return entry_at(site)


def listed(path: Path, entry: Entry) -> Path:
    path.write_bytes(tomli_w.dumps({"format": 1, "models": [msgspec.to_builtins(entry)]}).encode())
    return path


def test_a_pulled_model_is_a_bundle_that_answers(entry: Entry) -> None:
    path = catalogue.pull(entry)
    assert path == shelf.folder() / "parts"
    bundle = Bundle.open(path)
    assert bundle.manifest is not None
    assert bundle.manifest.licence == "Apache-2.0"
    assert bundle.manifest.origin == entry.file.urls[0]
    assert bundle.labels == entry.labels
    assert [variant.name for variant in bundle.variants] == ["fp32-tflite"]
    with piaccel.load(path, backend="litert") as model:
        answer = model.predict(piaccel.read_image(next((DEMO / "images").glob("*.jpg"))))
    assert answer.to_dict()


def test_a_second_pull_asks_nobody(entry: Entry, site: Site) -> None:
    assert catalogue.pull(entry) == catalogue.pull(entry)
    assert len(site.asked) == 1


def test_offline_takes_what_is_here_and_nothing_else(entry: Entry, site: Site, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="--offline asks no server") as refused:
        catalogue.pull(entry, offline=True)
    assert "0.7 MB" in refused.value.hint
    catalogue.pull(entry)
    assert catalogue.pull(entry, offline=True) == shelf.folder() / "parts"
    assert catalogue.pull(entry, offline=True, to=tmp_path / "copy") == tmp_path / "copy"
    assert (tmp_path / "copy" / "net.tflite").read_bytes() == NETWORK
    assert len(site.asked) == 1


def test_a_damaged_model_is_found_and_pulled_anew(entry: Entry, site: Site) -> None:
    path = catalogue.pull(entry)
    (path / "net.tflite").write_bytes(NETWORK[:-1])
    (path / "labels.txt").write_text("other\n")
    wrong = [check.file for check in shelf.check("parts", path, entry) if check.error]
    assert wrong == ["net.tflite", "labels.txt"]
    assert catalogue.pull(entry) == path
    assert not any(check.error for check in shelf.check("parts", path, entry))
    assert len(site.asked) == 2


def test_a_model_that_the_catalogue_has_renewed_is_pulled_anew(entry: Entry, site: Site) -> None:
    catalogue.pull(entry)
    newer = NETWORK + b"\0"
    site.files["/org/newer.tflite"] = newer
    file = msgspec.structs.replace(file_at(f"{site.url}/org/newer.tflite", newer), name="net.tflite")
    renewed = msgspec.structs.replace(entry, file=file)
    path = shelf.folder() / "parts"
    assert [(each.error, each.note) for each in shelf.check("parts", path, renewed)] == [
        (None, "the catalogue has another file now")
    ]
    assert (catalogue.pull(renewed) / "net.tflite").read_bytes() == newer


def test_a_file_of_labels_is_loaded_and_checked_too(entry: Entry, site: Site) -> None:
    labels = b"".join(f"{label}\n".encode() for label in entry.labels)
    site.files["/labels"] = labels
    entry = msgspec.structs.replace(
        entry, labels=(), labels_file=file_at(f"{site.url}/labels", labels, name="labels.txt")
    )
    path = catalogue.pull(entry)
    assert Bundle.open(path).labels == entry_at(site).labels
    (path / "labels.txt").unlink()
    assert [check.file for check in shelf.check("parts", path, entry) if check.error]


def test_a_model_in_two_files_comes_whole(site: Site, entry: Entry) -> None:
    parts = {name: (DEMO / "bundle" / name).read_bytes() for name in ("fp32.ncnn.param", "fp32.ncnn.bin")}
    site.files = {f"/{name}": blob for name, blob in parts.items()}
    first, second = (file_at(f"{site.url}/{name}", blob, name=name) for name, blob in parts.items())
    path = catalogue.pull(msgspec.structs.replace(entry, file=first, weights=second))
    variant = Bundle.open(path).variants[0]
    assert (variant.format, variant.weights) == ("ncnn", path / "fp32.ncnn.bin")
    variant.check()


def test_a_wrong_file_leaves_no_bundle_and_nothing_else(entry: Entry, site: Site) -> None:
    site.files["/org/net.tflite"] = bytes(len(NETWORK))
    with pytest.raises(ChecksumError):
        catalogue.pull(entry)
    assert list(shelf.folder().iterdir()) == []


def test_a_pull_that_was_cut_shows_no_model_and_goes_on(entry: Entry, site: Site) -> None:
    site.cuts = [100_000]
    with pytest.raises(UnavailableError):
        catalogue.pull(entry, network=Network(tries=1))
    assert shelf.names() == []
    assert shelf.path_of("parts") is None
    catalogue.pull(entry)
    assert site.starts() == [0, 100_000]
    assert [path.name for path in shelf.folder().iterdir()] == ["parts"]


def test_a_folder_of_ones_own_gets_the_bundle_and_the_shelf_does_not(entry: Entry, tmp_path: Path) -> None:
    path = catalogue.pull(entry, to=tmp_path / "here" / "model")
    assert (path / "model.toml").is_file()
    assert shelf.names() == []
    assert catalogue.pull(entry, to=path) == path


def test_what_stands_where_the_bundle_is_to_be_is_not_touched(entry: Entry, tmp_path: Path, site: Site) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(OptionError, match="is not parts"):
        catalogue.pull(entry, to=tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
    assert not site.asked


PULLING = """
import sys
from pathlib import Path
from piaccel.cli import main
sys.exit(main(["models", "pull", "parts", "--catalogue", sys.argv[1]]))
"""


def start(own: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PULLING, str(own)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_two_pulls_at_once_do_not_disturb_one_another(entry: Entry, site: Site, tmp_path: Path) -> None:
    site.stall_after = 100_000
    with start(listed(tmp_path / "own.toml", entry)) as first:
        assert site.reached.wait(60)
        with pytest.raises(UnavailableError, match=r"is being pulled to .* by another process"):
            catalogue.pull(entry, network=QUICK)
        site.stall_after = None
        site.released.set()
        out, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    assert out.strip() == str(shelf.folder() / "parts")
    assert catalogue.pull(entry, offline=True) == shelf.folder() / "parts"


def test_ctrl_c_keeps_the_part_and_the_next_pull_goes_on(entry: Entry, site: Site, tmp_path: Path) -> None:
    site.stall_after = 100_000
    with start(listed(tmp_path / "own.toml", entry)) as pulling:
        assert site.reached.wait(60)
        part = shelf.folder() / ".parts.pull" / "net.tflite.part"
        wait_for_size(part, 100_000)
        pulling.send_signal(signal.SIGINT)
        _, err = pulling.communicate(timeout=60)
    assert pulling.returncode == 130
    assert "goes on from there" in err
    assert "Traceback" not in err
    site.stall_after = None
    catalogue.pull(entry, network=QUICK)
    assert site.starts()[-1] == 100_000


def wait_for_size(path: Path, size: int) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if path.is_file() and path.stat().st_size >= size:
            return
        pause.wait(0.01)
    raise AssertionError(f"{path} does not grow to {size}")


def test_a_user_without_a_home_can_pull_to_a_folder(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    assert shelf.names() == []
    with pytest.raises(WriteError, match="/dev/null is not a folder") as refused:
        catalogue.pull(entry)
    assert "--to DIR" in refused.value.hint
    assert (catalogue.pull(entry, to=tmp_path / "here") / "model.toml").is_file()


def test_a_model_is_taken_off_the_shelf_with_what_a_cut_pull_left(entry: Entry, site: Site) -> None:
    path = catalogue.pull(entry)
    assert shelf.remove("parts") == path
    assert not path.exists()
    site.cuts = [100_000]
    with pytest.raises(UnavailableError):
        catalogue.pull(entry, network=Network(tries=1))
    shelf.remove("parts")
    assert list(shelf.folder().iterdir()) == []


@pytest.mark.parametrize("name", ["parts", "../models", "..", ".parts.pull", ""])
def test_only_what_stands_on_the_shelf_is_removed(name: str) -> None:
    shelf.folder().mkdir(parents=True)
    with pytest.raises(NotFoundError, match="is not on this machine"):
        shelf.remove(name)
    assert shelf.folder().is_dir()
