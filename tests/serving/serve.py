"""``piaccel serve`` as a process of its own, and a plain HTTP client for it."""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CONFIG = """
[server]
settle = "50ms"
poll = "50ms"
[defaults]
backend = "litert"
variant = "fp32-tflite"
threads = 1
probation_slower = 1e6
probation_requests = 10
"""


class Served:
    """A service that runs."""

    def __init__(self, process: subprocess.Popen[str], told: dict[str, Any]) -> None:
        self.process = process
        self.told = told
        self.port = int(told["url"].rpartition(":")[2])

    def connect(self, timeout: float = 60.0) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        """(status, JSON or bytes, headers) of one request on a connection of its own."""
        connection = self.connect()
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if "json" in (answer.headers["content-type"] or "") and data:
            return answer.status, json.loads(data), answer.headers
        return answer.status, data, answer.headers

    def model(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", "/v2/service")[1]["models"][0]
        return found

    def resident_mb(self) -> float:
        """The memory of the service's own process."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def children(self) -> list[int]:
        """Its processes, by number."""
        lists = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for each in lists for pid in each.read_text().split()]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def served(repository: Path, *options: str, config: str = CONFIG, grpc: bool = False) -> Iterator[Served]:
    """Start ``piaccel serve`` on free ports, and end it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "piaccel.toml"
        file.write_text(config)
        ports = ["--port", "0", "--metrics-port", "0", *(["--grpc-port", "0"] if grpc else ["--no-grpc"])]
        command = [sys.executable, "-m", "piaccel", "serve", str(repository), "--config", str(file), "--json"]
        with running([*command, *ports, *options]) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            yield Served(process, json.loads(line))


@contextmanager
def running(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended at the end, whatever it does then."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a shell's background ignores it
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def clients_python(module: str) -> str:
    """The interpreter of ``.venv-clients``, or the one that PIACCEL_CLIENTS names, if it has ``module``."""
    beside = Path(__file__).parents[2] / ".venv-clients" / "bin" / "python"
    python = os.environ.get("PIACCEL_CLIENTS") or str(beside)
    if not Path(python).exists():
        pytest.skip("there is no .venv-clients (make clients), and PIACCEL_CLIENTS names no interpreter")
    look = f"import importlib.util as u, sys; sys.exit(not u.find_spec({module!r}))"
    if subprocess.run([python, "-c", look], check=False, timeout=60).returncode:
        pytest.skip(f"{python} has no {module}")
    return python


def picture(demo: Path) -> bytes:
    return (demo / "images" / "gear_good.jpg").read_bytes()
