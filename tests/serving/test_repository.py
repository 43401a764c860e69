"""Names, and which folders of a repository are whole."""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from piaccel.errors import NotFoundError, ServiceError
from piaccel.serving.contents import Contents, digest_of
from piaccel.serving.ledger import Ledger, Record
from piaccel.serving.repository import Found, Repository, check_name, order
from tests.serving.power import add


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    add(folder, "1")
    return folder


def settled(root: Path) -> dict[str, dict[str, Found]]:
    return Repository(root, settle_s=0).scan()


def one(root: Path, version: str = "1", model: str = "parts") -> Found:
    return settled(root)[model][version]


ALLOWED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"


@settings(deadline=None)
@given(st.text(ALLOWED, min_size=1, max_size=128).filter(lambda text: text[0] != "."))
def test_every_plain_name_is_valid(text: str) -> None:
    assert check_name(text) == text


@settings(deadline=None)
@given(st.text(max_size=300) | st.text(ALLOWED + "/\\%.\0", max_size=300))
@example("")
@example("..")
@example(".hidden")
@example("a/b")
@example("../../etc/passwd")
@example("a\\b")
@example("a\0b")
@example("name\n")
@example("a\u2215b")
@example("a\uff0fb")
@example("\uff0e\uff0e")
@example("..%2f..%2fetc")
@example("%2e%2e")
@example("x" * 129)
@example("x" * 100_000)
@example("\udcff")
@example("٣")
def test_a_name_is_refused_unless_it_is_one_plain_folder(text: str) -> None:
    if 0 < len(text) <= 128 and all(character in ALLOWED for character in text) and text[0] != ".":
        assert check_name(text) == text
        assert os.path.normpath(f"/repository/{text}") == f"/repository/{text}"
        return
    with pytest.raises(ServiceError) as caught:
        check_name(text)
    told = str(caught.value)
    assert caught.value.kind == "invalid_argument"
    assert told.isascii()
    assert told.isprintable()
    assert len(told) < 600


@settings(deadline=None)
@given(st.sampled_from(["../x", "..", "a/../../b", "/etc", "a/b", "\0"]), st.integers(0, 3))
def test_encoding_a_traversal_more_often_than_it_is_decoded_does_not_help(path: str, times: int) -> None:
    for _ in range(times):
        path = urllib.parse.quote(path, safe="")
    with pytest.raises(ServiceError):
        check_name(path)
    with pytest.raises(ServiceError):
        check_name(urllib.parse.unquote(path))


@settings(deadline=None)
@given(st.text(max_size=300))
def test_no_name_makes_the_ledger_read_outside_its_folder(text: str) -> None:
    ledger = Ledger(Path("/nowhere/models"))
    with contextlib.suppress(ServiceError):
        assert check_name(text) == text
        assert ledger.read(text) == Record()
        return
    with pytest.raises(ServiceError):
        ledger.read(text)


def test_versions_are_ordered_by_number_and_others_after_them() -> None:
    assert sorted(["v2", "10", "9", "canary", "1"], key=order) == ["1", "9", "10", "canary", "v2"]


@settings(deadline=None)
@given(st.text(ALLOWED, min_size=1, max_size=128), st.text(ALLOWED, min_size=1, max_size=128))
def test_two_versions_are_never_equal_in_order(first: str, second: str) -> None:
    assert (order(first) == order(second)) == (first == second)


def test_a_bundle_and_a_bare_file_are_found_with_their_digest(root: Path, demo: Path) -> None:
    (root / "bare" / "7").mkdir(parents=True)
    shutil.copy(demo / "bundle" / "int8.tflite", root / "bare" / "7" / "model.tflite")
    found = settled(root)
    assert [(each.whole, each.reason) for versions in found.values() for each in versions.values()] == [(True, "")] * 2
    assert found["parts"]["1"].digest == digest_of(root / "parts" / "1")
    assert found["bare"]["7"].path == root / "bare" / "7"


def test_a_version_is_whole_only_after_it_stayed_as_it_is(root: Path, clock: Clock) -> None:
    repository = Repository(root, settle_s=2.0, clock=clock)
    assert repository.scan()["parts"]["1"].reason == "it is still being copied"
    clock.now += 1.9
    assert not repository.scan()["parts"]["1"].whole
    (root / "parts" / "1" / "golden" / "two.json").write_text("{}")
    clock.now += 1.9
    assert not repository.scan()["parts"]["1"].whole
    clock.now += 2.0
    assert repository.scan()["parts"]["1"].whole


def test_a_copying_programs_temporary_file_keeps_a_version_waiting(root: Path, clock: Clock) -> None:
    repository = Repository(root, settle_s=2.0, clock=clock)
    temporary = root / "parts" / "1" / "golden" / ".two.json.x7Rq"  # as rsync has it
    for step in range(3):
        temporary.write_bytes(bytes(step))
        assert not repository.scan()["parts"]["1"].whole
        clock.now += 2.0
    temporary.rename(temporary.with_name("two.json"))
    assert not repository.scan()["parts"]["1"].whole
    clock.now += 2.0
    assert repository.scan()["parts"]["1"].whole


def test_whatever_the_order_of_copying_a_version_is_whole_only_with_its_last_byte(root: Path, clock: Clock) -> None:
    source = root / "parts" / "1"
    # of what has no checksum in the manifest (labels, samples) half a file cannot be told from a whole one: it is there
    names = [source / name for name in ("a.tflite", "b.tflite", "model.toml")]
    repository = Repository(root, settle_s=2.0, clock=clock)
    for turn in range(len(names)):
        target = root / "parts" / f"2{turn}"
        target.mkdir()
        shutil.copy(source / "labels.txt", target)
        order_of_copying = names[turn:] + names[:turn]
        for number, path in enumerate(order_of_copying):
            blob = path.read_bytes()
            for part in (blob[: len(blob) // 2], blob):
                (target / path.name).write_bytes(part)
                repository.scan()
                clock.now += 1000.0  # the copy stalls for long
                last = number == len(names) - 1 and part == blob
                assert repository.scan()["parts"][target.name].whole == last, (turn, path.name)


def test_a_missing_a_changed_and_a_foreign_file_are_named(root: Path) -> None:
    version = root / "parts" / "1"
    (version / "b.tflite").rename(version / "c.tflite")
    assert one(root).reason == "b.tflite is missing"
    (version / "c.tflite").rename(version / "b.tflite")
    with open(version / "a.tflite", "r+b") as file:
        file.write(b"x")
    assert one(root).reason == "a.tflite is not the file that was stated: its sha256 differs"
    (version / "model.toml").unlink()
    assert one(root).reason == "has no model.toml and more than one model file: a.tflite, b.tflite"


@pytest.mark.parametrize(
    "manifest", ["", "format = 1", "\0", 'format = 1\nname = "x"\nvariants = []', "a = " + "[" * 100_000]
)
def test_a_wrong_manifest_gives_a_reason_without_a_path(root: Path, manifest: str) -> None:
    (root / "parts" / "1" / "model.toml").write_text(manifest)
    found = one(root)
    assert not found.whole
    assert found.reason.startswith("model.toml: ") or "recursion" in found.reason
    assert str(root) not in found.reason


def test_a_manifest_that_reaches_outside_is_refused(root: Path) -> None:
    manifest = root / "parts" / "1" / "model.toml"
    manifest.write_text(manifest.read_text().replace('"a.tflite"', '"../../secret"'))
    assert "outside the bundle" in one(root).reason


def list_files(version: Path) -> None:
    names = sorted(str(path.relative_to(version)) for path in version.rglob("*") if path.is_file())
    sums = {name: hashlib.sha256((version / name).read_bytes()).hexdigest() for name in names}
    (version / "release.json").write_text(json.dumps({"files": sums}))


def test_a_list_of_files_makes_a_version_whole_without_waiting(root: Path, clock: Clock) -> None:
    version = root / "parts" / "1"
    list_files(version)
    (version / "golden" / "one.json").rename(root / "kept")
    repository = Repository(root, settle_s=1000.0, clock=clock)
    assert repository.scan()["parts"]["1"].reason == "golden/one.json is missing"
    (root / "kept").rename(version / "golden" / "one.json")
    assert repository.scan()["parts"]["1"].whole
    (version / "extra.txt").write_text("not listed")
    assert repository.scan()["parts"]["1"].reason == "extra.txt is not listed in release.json"


def test_where_signatures_are_asked_for_a_list_waits_for_its_own(root: Path, clock: Clock) -> None:
    list_files(root / "parts" / "1")
    repository = Repository(root, settle_s=2.0, signed=True, clock=clock)
    assert not repository.scan()["parts"]["1"].whole
    (root / "parts" / "1" / "release.sig").write_text("whoever takes it in checks this")
    assert repository.scan()["parts"]["1"].whole
    add(root, "2")
    list_files(root / "parts" / "2")
    repository.scan()
    clock.now += 2.0
    assert repository.scan()["parts"]["2"].whole  # and whoever takes it in says that it is not signed


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', "{" * 10_000, "\udcff"])
def test_a_list_that_is_none_is_told(root: Path, text: str) -> None:
    (root / "parts" / "1" / "release.json").write_bytes(text.encode(errors="surrogateescape"))
    assert one(root).reason == "release.json is no list of files"


def test_links_are_refused_wherever_they_are(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    add(outside, "9")
    (root / "linked").symlink_to(outside / "parts")
    (root / "parts" / "9").symlink_to(outside / "parts" / "9")
    add(root, "2")
    (root / "parts" / "2" / "labels.txt").unlink()
    (root / "parts" / "2" / "labels.txt").symlink_to("/etc/hostname")
    add(root, "3")
    shutil.rmtree(root / "parts" / "3" / "golden")
    (root / "parts" / "3" / "golden").symlink_to(outside)
    repository = Repository(root, settle_s=0)
    found = repository.scan()
    assert set(found) == {"parts"}
    assert set(found["parts"]) == {"1", "2", "3"}
    assert found["parts"]["2"].reason == "labels.txt is a link or a device"
    assert found["parts"]["3"].reason == "golden is a link or a device"
    assert repository.refused == {
        "'linked'": "it is a link: copy the folder itself",
        "'parts/9'": "it is a link: copy the folder itself",
    }


def test_a_link_that_is_put_in_a_folders_place_meanwhile_is_not_followed(root: Path, tmp_path: Path) -> None:
    version = root / "parts" / "1"
    with Contents(version) as contents:
        names = set(contents.survey())
        version.rename(tmp_path / "moved")
        version.symlink_to("/etc")
        assert set(contents.survey()) == names
    assert one_reason(root) == "it is a link: copy the folder itself"


def one_reason(root: Path) -> str:
    repository = Repository(root, settle_s=0)
    repository.scan()
    return repository.refused["'parts/1'"]


def test_a_pipe_in_a_version_does_not_block_a_scan(root: Path) -> None:
    os.mkfifo(root / "parts" / "1" / "pipe.tflite")
    assert one(root).reason == "pipe.tflite is a link or a device"


def test_hidden_and_stray_things_are_ignored_and_wrong_names_told_once(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (root / ".piaccel" / "store").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "README").write_text("stray")
    (root / "empty").mkdir()
    (root / "parts" / ".2.tmp").mkdir()
    (root / "parts" / "config.pbtxt").write_text("stray")
    (root / "no good\n").mkdir()
    (root / "parts" / "größe").mkdir()
    repository = Repository(root, settle_s=0)
    with caplog.at_level(logging.WARNING, "piaccel"):
        found = repository.scan()
        assert len(caplog.records) == 2
        repository.scan()
    assert len(caplog.records) == 2
    assert {model: list(versions) for model, versions in found.items()} == {"parts": ["1"]}
    assert set(repository.refused) == {"'no good\\n'", "'parts/gr\\xf6\\xdfe'"}


def test_a_scan_reads_no_file_twice_while_nothing_changes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository(root, settle_s=0)
    first = repository.scan()
    read: list[str] = []
    real = Contents.sha256

    def counted(self: Contents, name: str) -> str:
        read.append(name)
        return real(self, name)

    monkeypatch.setattr(Contents, "sha256", counted)
    assert repository.scan() == first
    assert read == []
    (root / "parts" / "1" / "labels.txt").write_text("good\nbad\nugly\n")
    assert repository.scan() != first
    assert read == ["labels.txt"]


def test_a_version_that_goes_is_forgotten_and_a_repository_that_goes_is_told(root: Path) -> None:
    repository = Repository(root, settle_s=0)
    assert repository.scan()
    shutil.rmtree(root / "parts" / "1")
    assert repository.scan() == {}
    shutil.rmtree(root)
    with pytest.raises(NotFoundError, match="No such file"):
        repository.scan()
