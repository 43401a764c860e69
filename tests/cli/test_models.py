"""``piaccel models`` against a real service."""

from __future__ import annotations

import http.server
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from piaccel import cli
from tests.conftest import DEMO

pytest.importorskip("uvloop", reason="uvloop is not installed (extra serve)")
from tests.serving.control import add_version
from tests.serving.desk import version
from tests.serving.whole import served


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    shutil.copytree(DEMO / "bundle", folder / "parts" / "1")
    add_version(folder, "2")
    return folder


def test_the_list_and_a_model_are_tables_or_json(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with served(repository) as url:
        assert cli.main(["models", "--url", url]) == 0
        said = capsys.readouterr().out
        assert "piaccel is ready" in said
        assert "parts" in said
        assert "litert/fp32-tflite" in said
        assert cli.main(["models", "show", "parts", "--url", url]) == 0
        said = capsys.readouterr().out
        assert "committed" in said
        assert "unloaded" in said
        assert cli.main(["models", "show", "parts", "--url", url, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["serving"] == "1"


def test_a_version_is_promoted_and_rolled_back(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with served(repository) as url:
        assert cli.main(["models", "promote", "parts", "2", "--url", url]) == 0
        said = capsys.readouterr()
        assert "parts version 2 serves, before it 1" in said.out
        assert "version 2: " in said.err
        assert cli.main(["models", "rollback", "parts", "--url", url]) == 0
        assert "parts version 1 serves, before it 2" in capsys.readouterr().out
        assert cli.main(["models", "release", "parts", "2", "--url", url]) == 0
        assert "out of quarantine" in capsys.readouterr().out


def test_a_version_that_is_broken_ends_with_1_and_the_reason(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(repository) as url:
        network = next((repository / "parts" / "2").glob("*.tflite"))
        network.write_bytes(network.read_bytes()[:-1000])
        assert cli.main(["models", "promote", "parts", "2", "--url", url]) == 1
        said = capsys.readouterr().err
        assert "error: parts version 2" in said
        assert "Traceback" not in said
        assert cli.main(["models", "show", "parts", "--url", url, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["serving"] == "1"


def test_labels_shadows_and_unloading(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with served(repository) as url:
        assert cli.main(["models", "label", "parts", "2", "--share", "0.25", "--url", url]) == 0
        assert "parts version 2 is canary and gets 25%" in capsys.readouterr().out
        assert cli.main(["models", "label", "parts", "--url", url]) == 0
        assert "no label canary any more" in capsys.readouterr().out
        assert cli.main(["models", "shadow", "parts", "2", "--url", url]) == 0
        assert cli.main(["models", "shadow", "parts", "--url", url]) == 0
        assert "has no shadow" in capsys.readouterr().out
        assert cli.main(["models", "unload", "parts", "--url", url]) == 0
        assert "no version of parts serves" in capsys.readouterr().out
        assert cli.main(["models", "load", "parts", "--url", url]) == 0
        assert "parts version 1 serves" in capsys.readouterr().out


def test_without_the_repository_api_changes_are_refused_with_the_way_out(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(repository, repository_api=False) as url:
        assert cli.main(["models", "promote", "parts", "2", "--url", url]) == 1
    assert "--repository-api" in capsys.readouterr().err


def test_no_service_is_said_with_what_to_start(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "--url", "http://127.0.0.1:9"]) == 1
    said = capsys.readouterr().err
    assert "no service answers at http://127.0.0.1:9" in said
    assert "piaccel serve REPO" in said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["promote"], "needs a model"),
        (["promote", "parts"], "needs a version"),
        (["--url", "ftp://pi"], "is not an address"),
    ],
)
def test_what_is_missing_is_named(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", *arguments]) == 2
    assert expected in capsys.readouterr().err


@pytest.fixture
def answering() -> Iterator[Callable[[list[tuple[int, Any]]], str]]:
    """A server that gives the answers it was told, in their order, the last one for ever."""
    made: list[http.server.ThreadingHTTPServer] = []

    def start(answers: list[tuple[int, Any]]) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, document = answers.pop(0) if len(answers) > 1 else answers[0]
                data = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET

            def log_message(self, format: str, *args: Any) -> None: ...

        listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        made.append(listening)
        threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{listening.server_address[1]}"

    yield start
    for each in made:
        each.shutdown()
        each.server_close()


def test_a_version_that_is_taken_back_on_probation_ends_with_1(
    answering: Callable[[list[tuple[int, Any]]], str], capsys: pytest.CaptureFixture[str]
) -> None:
    def numbers(serving: str, swapping: str, second: Any) -> tuple[int, Any]:
        model = {"name": "parts", "serving": serving, "swapping": swapping, "versions": [second, version("1")]}
        return 200, msgspec.to_builtins({"models": [model]})

    probation = version("2", "probation", probation_left=5)
    bad = version("2", "quarantined", reason="6 of 20 requests failed")
    url = answering([
        numbers("1", "", version("2", "unloaded")), (200, {}), numbers("2", "2", probation),
        numbers("2", "2", probation), numbers("1", "", bad),
    ])  # fmt: skip
    assert cli.main(["models", "promote", "parts", "2", "--url", url]) == 1
    said = capsys.readouterr().err
    assert "version 2: probation, 5 requests left" in said
    assert "parts version 2 was rolled back: 6 of 20 requests failed" in said
    assert "version 1 serves" in said


@pytest.mark.parametrize(("status", "scope"), [(401, "scope read"), (403, "scope read")])
def test_a_key_that_is_missing_is_named_with_its_scope(
    answering: Callable[[list[tuple[int, Any]]], str], status: int, scope: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["models", "--url", answering([(status, {"error": "no"})])]) == 1
    assert scope in capsys.readouterr().err
