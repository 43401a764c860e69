"""``piaccel serve`` as its users start it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.serving.control import add_version
from tests.serving.serve import CONFIG, picture, running, served

pytest.importorskip("uvicorn")
pytest.importorskip("uvloop")


def test_it_serves_and_says_where(repository: Path, demo: Path) -> None:
    with served(repository) as service:
        assert service.told["ready"] is True
        assert service.told["models"] == {"parts": "1"}
        assert service.ask("GET", "/v2/health/ready")[0] == 200
        status, answer, _ = service.ask("POST", "/v2/models/parts/predict", picture(demo))
        assert (status, answer["result"]["kind"], answer["model_version"]) == (200, "classification", "1")
        status, page, _ = service.ask("GET", "/")
        assert (status, page[:15]) == (200, b"<!DOCTYPE html>")
        assert service.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_every_process(repository: Path, number: int) -> None:
    with served(repository) as service:
        children = service.children()
        assert children
        assert service.stop(number) == 0
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def test_requests_under_way_are_answered_before_it_ends(repository: Path, demo: Path) -> None:
    image = picture(demo)
    statuses: list[int] = []
    with served(repository) as service:

        def client() -> None:
            with closing(service.connect()) as connection:
                for _ in range(500):
                    try:
                        connection.request("POST", "/v2/models/parts/predict", image)
                        answer = connection.getresponse()
                        answer.read()
                    except OSError:  # the connection was closed between two requests
                        return
                    statuses.append(answer.status)
                    if answer.status != 200 or answer.headers["connection"] == "close":
                        return

        clients = [threading.Thread(target=client) for _ in range(4)]
        for each in clients:
            each.start()
        while len(statuses) < 20:
            pass
        assert service.stop() == 0
        for each in clients:
            each.join()
    assert set(statuses) <= {200, 503}


def test_a_version_dropped_in_is_served_and_survives_a_kill(repository: Path, demo: Path) -> None:
    with served(repository) as service:
        add_version(repository, "2")
        while service.model()["serving"] != "2" or service.model()["versions"][0]["stage"] != "committed":
            assert service.ask("POST", "/v2/models/parts/predict", picture(demo))[0] == 200
        service.process.kill()
        service.process.wait()
    with served(repository) as service:
        assert service.told["models"] == {"parts": "2"}


def test_a_worker_that_is_killed_costs_no_request(repository: Path, demo: Path) -> None:
    with served(repository) as service:
        os.kill(service.model()["versions"][0]["pid"], signal.SIGKILL)
        assert service.ask("POST", "/v2/models/parts/predict", picture(demo))[0] == 200
        assert service.model()["versions"][0]["crashes"] == 1


def test_a_port_that_is_taken_is_named(repository: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "piaccel", "serve", str(repository), "--port", port, "--no-grpc"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert f"127.0.0.1:{port} cannot be listened on" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "no keys and no TLS"),
        (["--config", "nowhere.toml"], "no such file"),
        (["--keys", "nowhere.toml"], "no such file"),
        (["--tls-cert", "a.pem"], "TLS needs a certificate and its key"),
    ],
)
def test_settings_that_must_not_be_are_refused(repository: Path, options: list[str], said: str) -> None:
    command = [sys.executable, "-m", "piaccel", "serve", str(repository), "--no-grpc", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_repository_that_is_not_there_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "piaccel", "serve", str(tmp_path / "nowhere")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no such folder" in done.stderr


def test_a_dry_run_loads_nothing_and_says_what_is_there(repository: Path) -> None:
    command = [sys.executable, "-m", "piaccel", "serve", str(repository), "--dry-run", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert list(json.loads(done.stdout)["models"]["parts"]) == ["1"]
    assert not (repository / ".piaccel").exists()


def test_an_empty_repository_is_served_and_filled_later(tmp_path: Path, demo: Path, repository: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with served(empty) as service:
        assert service.ask("GET", "/v2/health/live")[0] == 200
        (empty / "parts").mkdir()
        (repository / "parts" / "1").rename(empty / "parts" / "1")
        while service.ask("POST", "/v2/models/parts/predict", picture(demo))[0] != 200:
            pass


def test_liveness_is_answered_while_models_load(repository: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = repository.parent / "piaccel.toml"
    config.write_text(CONFIG)
    command = [sys.executable, "-m", "piaccel", "serve", str(repository), "--port", str(port), "--no-grpc"]
    with running([*command, "--no-metrics", "--config", str(config), "--json"]) as process:
        seen: set[int] = set()
        while process.poll() is None and 200 not in seen:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
                    link.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    seen.add(int(link.recv(4096).split()[1]))
            except OSError:
                continue
        assert 200 in seen
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["ready"] is True
