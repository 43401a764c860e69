"""``piaccel models`` where it is about this machine: pull, verify, remove, and the list of all."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from piaccel import catalogue, cli
from piaccel.catalogue import shelf
from tests.catalogue.conftest import NETWORK, entry_at, shelf_of_its_own, site
from tests.catalogue.sites import Site
from tests.catalogue.test_pull import listed
from tests.conftest import DEMO

__all__ = ["shelf_of_its_own", "site"]


@pytest.fixture
def own(site: Site, tmp_path: Path) -> str:
    """A list with the repository's own model, which ``site`` has."""
    return str(listed(tmp_path / "own.toml", entry_at(site)))


@pytest.fixture
def no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("piaccel.cli.models._LOCAL", "http://127.0.0.1:9")


def test_a_pull_prints_the_path_alone_and_the_next_commands_beside_it(
    own: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["models", "pull", "parts", "--catalogue", own]) == 0
    said = capsys.readouterr()
    path = shelf.folder() / "parts"
    assert said.out == f"{path}\n"
    assert "licence Apache-2.0" in said.err
    assert f"-> piaccel bench {path}" in said.err


def test_the_printed_path_goes_into_predict(own: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "pull", "parts", "--catalogue", own]) == 0
    path = capsys.readouterr().out.strip()
    picture = next((DEMO / "images").glob("*.jpg"))
    assert cli.main(["predict", path, str(picture), "--backend", "litert", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_pull_as_json_has_the_path_and_the_entry(own: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = tmp_path / "here"
    assert cli.main(["models", "pull", "parts", "--catalogue", own, "--to", str(to), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["path"] == str(to)
    assert document["entry"]["licence"] == "Apache-2.0"
    assert (to / "model.toml").is_file()


def test_a_wrong_hash_ends_with_1_and_both_hashes(own: str, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.files["/org/net.tflite"] = bytes(len(NETWORK))
    assert cli.main(["models", "pull", "parts", "--catalogue", own]) == 1
    said = capsys.readouterr().err
    assert entry_at(site).file.sha256 in said
    assert "Traceback" not in said


def test_the_mirror_of_the_environment_is_asked(
    own: str, site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.files = {"/copy/org/net.tflite": NETWORK}
    monkeypatch.setenv("PIACCEL_MIRROR", f"{site.url}/copy")
    assert cli.main(["models", "pull", "parts", "--catalogue", own]) == 0
    assert [path for path, _ in site.asked] == ["/copy/org/net.tflite"]


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["pull"], 2, "needs a model"),
        (["pull", "nothing"], 2, "no model 'nothing'"),
        (["pull", "mobilenet-v2", "2"], 2, "no version"),
        (["pull", "mobilenet-v2", "--offline"], 1, "--offline asks no server"),
        (["pull", "mobilenet-v2", "--mirror", "x"], 2, "is not an address"),
        (["verify", "mobilenet-v2"], 2, "is not on this machine"),
        (["remove", "mobilenet-v2", "--yes"], 2, "is not on this machine"),
        (["list", "parts"], 2, "takes no model"),
    ],
)
def test_what_cannot_be_is_said_with_the_way_out(
    arguments: list[str], code: int, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["models", *arguments]) == code
    said = capsys.readouterr().err
    assert expected in said
    assert "->" in said


def test_the_list_without_a_service_is_the_catalogue_and_what_is_here(
    own: str, no_service: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["models", "pull", "parts", "--catalogue", own]) == 0
    capsys.readouterr()
    assert cli.main(["models", "--catalogue", own]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "no service answers at http://127.0.0.1:9" in lines[0]
    rows = {line.split()[0]: line.split()[1] for line in lines if line}
    assert rows["parts"] == "yes"
    assert rows["mobilenet-v2"] == "-"


def test_a_model_of_a_list_that_is_not_given_is_shown_all_the_same(
    own: str, no_service: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["models", "pull", "parts", "--catalogue", own]) == 0
    capsys.readouterr()
    assert cli.main(["models", "list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["served"] is None
    rows = {row["name"]: row for row in document["catalogue"]}
    assert set(rows) == {"parts", *catalogue.read()}
    assert rows["parts"]["path"] == str(shelf.folder() / "parts")
    assert rows["parts"]["licence"] == "Apache-2.0"
    assert rows["parts"]["size_bytes"] is None
    assert rows["mobilenet-v2"]["path"] is None
    assert rows["mobilenet-v2"]["accuracy"]["source"].startswith("https://")


def test_a_service_that_was_named_must_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "--url", "http://127.0.0.1:9"]) == 1
    assert "no service answers" in capsys.readouterr().err


def test_something_else_that_answers_is_no_service(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.files["/v2/service"] = b"<html>"
    monkeypatch.setattr("piaccel.cli.models._LOCAL", site.url)
    assert cli.main(["models"]) == 0
    assert f"what answers at {site.url} is no piaccel service" in capsys.readouterr().out
    assert cli.main(["models", "--url", site.url]) == 1


def test_the_list_has_what_a_service_serves_beside_the_catalogue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("uvloop", reason="uvloop is not installed (extra serve)")
    from tests.serving.whole import served

    shutil.copytree(DEMO / "bundle", tmp_path / "models" / "parts" / "1")
    with served(tmp_path / "models") as url:
        assert cli.main(["models", "--url", url]) == 0
        said = capsys.readouterr().out
        assert "litert/fp32-tflite" in said
        assert "mobilenet-v2" in said
        assert cli.main(["models", "--url", url, "--json"]) == 0
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [model["name"] for model in document["served"]["models"]] == ["parts"]
    assert {row["name"] for row in document["catalogue"]} >= set(catalogue.read())


def test_verify_says_what_is_right_and_ends_with_1_where_something_is_not(
    own: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["models", "verify"]) == 0
    assert "no model is on this machine" in capsys.readouterr().out
    assert cli.main(["models", "pull", "parts", "--catalogue", own]) == 0
    capsys.readouterr()
    assert cli.main(["models", "verify", "--catalogue", own]) == 0
    assert capsys.readouterr().out.splitlines() == ["ok   parts net.tflite", "ok   parts labels.txt"]
    (shelf.folder() / "parts" / "net.tflite").write_bytes(b"TFL3")
    assert cli.main(["models", "verify", "parts"]) == 1
    said = capsys.readouterr()
    assert "FAIL parts net.tflite" in said.out
    assert "piaccel models pull parts" in said.err
    assert cli.main(["models", "verify", "parts", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["ok"] is False


def test_remove_needs_a_yes(own: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "pull", "parts", "--catalogue", own]) == 0
    assert cli.main(["models", "remove", "parts"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert shelf.names() == ["parts"]
    assert cli.main(["models", "remove", "parts", "--yes"]) == 0
    assert shelf.names() == []


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a pseudo terminal."""
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


def in_terminal(terminal: tuple[int, int], arguments: list[str], typed: bytes) -> tuple[int, str]:
    """Run piaccel with a terminal for its input and stderr; return its exit code and what stood on the terminal."""
    os.write(terminal[0], typed)
    command = [sys.executable, "-m", "piaccel", *arguments]
    done = subprocess.run(command, stdin=terminal[1], stderr=terminal[1], stdout=subprocess.PIPE, check=False)
    os.write(terminal[1], b"END")
    shown = b""
    while not shown.endswith(b"END"):
        shown += os.read(terminal[0], 65536)
    return done.returncode, shown.decode()


def test_on_a_terminal_a_bar_is_shown_and_remove_asks(own: str, site: Site, terminal: tuple[int, int]) -> None:
    site.statuses = [503]
    code, shown = in_terminal(terminal, ["models", "pull", "parts", "--catalogue", own], b"")
    assert code == 0
    assert "it answers 503 Service Unavailable; once more in 1 s" in shown
    assert "net.tflite" in shown
    assert "MB" in shown or "kB" in shown
    code, shown = in_terminal(terminal, ["models", "remove", "parts"], b"n\n")
    assert code == 1
    assert "remove" in shown
    assert shelf.names() == ["parts"]
    code, _ = in_terminal(terminal, ["models", "remove", "parts"], b"y\n")
    assert code == 0
    assert shelf.names() == []
