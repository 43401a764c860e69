"""What the service costs over a bare ASGI app, and how it does beside other Python servers.

All serve the same network on the same 150 KB uint8 tensor, each in processes of its own, and take turns. Asked are the
CPU time of the server's processes for each request and the requests a second of eight clients that wait for their
answers. MLServer and LitServe run from environments of their own (``PIACCEL_PEERS``: a folder with ``mlserver`` and
``litserve`` in it; see docs/serving-benchmarks.md); MLServer's REST takes JSON only.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import SHARED, Row

MODEL = SHARED / "models/imagenet/mobilenet_v2_1.0_224_quant.tflite"
APPS = Path(__file__).parent / "servers"
PEERS = Path(os.environ.get("PIACCEL_PEERS", Path(__file__).parents[1] / "build" / "peers"))
ROUNDS = 5
REQUESTS = 60
CLIENTS = 8
LOAD_S = 4.0
SHAPE = (1, 224, 224, 3)


@dataclass
class Server:
    """A server that runs, and how one request to it looks."""

    name: str
    process: psutil.Process
    port: int
    path: str
    body: bytes
    headers: dict[str, str]

    def cpu_s(self) -> float:
        """User and system time of its processes so far."""
        total = 0.0
        for each in [self.process, *self.process.children(recursive=True)]:
            times = each.cpu_times()
            total += times.user + times.system
        return total

    def rss(self) -> int:
        """Resident memory of its processes."""
        return sum(each.memory_info().rss for each in [self.process, *self.process.children(recursive=True)])

    def ask(self, connection: http.client.HTTPConnection) -> None:
        connection.request("POST", self.path, self.body, self.headers)
        answer = connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{self.name}: {answer.status} {data[:200]!r}")


def measure() -> list[Row]:
    if not MODEL.exists():
        return [Row("the service's cost", "not measured: the model is not here")]
    with ExitStack() as stack:
        ours = stack.enter_context(_ours("process"))
        bare = stack.enter_context(_app("bare", sys.executable, "/v2/models/net/infer"))
        rows = [_cpu(bare, ours)]
        for name in ("mlserver", "litserve"):
            rows.append(_beside(name, ours, stack))
    for isolation, bar in (("process", 140), ("thread", 90)):
        with _ours(isolation) as server:
            used = server.rss() / 1e6
            rows.append(
                Row(
                    f"idle memory with one MobileNetV2 on litert, isolation {isolation}, gRPC off",
                    f"{used:.0f} MB resident in all its processes",
                    f"at most {bar} MB",
                    used <= bar,
                )
            )
    return rows


def _cpu(bare: Server, ours: Server) -> Row:
    ratios, times = [], []
    for turn in range(ROUNDS):
        pair = [bare, ours] if turn % 2 else [ours, bare]
        found = {each.name: _cpu_a_request(each) for each in pair}
        ratios.append(found[ours.name] / found[bare.name])
        times.append((found[bare.name] * 1e3, found[ours.name] * 1e3))
    ratio = statistics.median(ratios)
    plain, mine = (statistics.median(column) for column in zip(*times, strict=True))
    return Row(
        "CPU time per binary REST request over a bare ASGI app that calls the runtime",
        f"{ratio:.2f}x ({plain:.2f} and {mine:.2f} ms; rounds {min(ratios):.2f} to {max(ratios):.2f})",
        "at most 1.5x",
        ratio <= 1.5,
    )


def _cpu_a_request(server: Server) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    for _ in range(5):
        server.ask(connection)
    begun = server.cpu_s()
    for _ in range(REQUESTS):
        server.ask(connection)
    used = server.cpu_s() - begun
    connection.close()
    return used / REQUESTS


def _beside(name: str, ours: Server, stack: ExitStack) -> Row:
    bar = {"mlserver": 3.0, "litserve": 1.0}[name]
    title = {"mlserver": "MLServer", "litserve": "LitServe"}[name]
    question = f"requests a second of {CLIENTS} clients, over {title}"
    python = PEERS / name / "bin" / "python"
    if not python.exists():
        return Row(question, f"not measured: {name} is not installed beside")
    try:
        theirs = stack.enter_context(_app(name, str(python), "/v2/models/net/infer"))
        rates: list[tuple[float, float]] = []
        for turn in range(ROUNDS):
            pair = [ours, theirs] if turn % 2 else [theirs, ours]
            found = {each.name: _rate(each) for each in pair}
            rates.append((found[ours.name], found[theirs.name]))
    except RuntimeError as error:
        return Row(question, f"not measured: {error}")
    ratio = statistics.median(mine / other for mine, other in rates)
    mine, other = (statistics.median(column) for column in zip(*rates, strict=True))
    return Row(question, f"{ratio:.2f}x ({mine:.0f} and {other:.0f} a second)", f"at least {bar:g}x", ratio >= bar)


def _rate(server: Server) -> float:
    counts = [0] * CLIENTS
    until = time.monotonic() + LOAD_S

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        while time.monotonic() < until:
            server.ask(connection)
            counts[number] += 1
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / LOAD_S


@contextmanager
def _ours(isolation: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "models" / "net" / "1"
        place.mkdir(parents=True)
        (place / MODEL.name).write_bytes(MODEL.read_bytes())
        config = Path(folder) / "piaccel.toml"
        config.write_text(f'[defaults]\nbackend = "litert"\nthreads = 1\nisolation = "{isolation}"\n')
        command = [sys.executable, "-m", "piaccel", "serve", str(place.parents[1]), "--config", str(config)]
        port = _free_port()
        with _started("piaccel", [*command, "--port", str(port), "--no-grpc", "--no-metrics"], port) as process:
            name = _input_name(port)
            yield Server("piaccel", process, port, "/v2/models/net/infer", *_binary(name))


@contextmanager
def _app(name: str, python: str, path: str) -> Iterator[Server]:
    port = _free_port()
    with _started(name, [python, str(APPS / f"{name}_app.py"), str(MODEL), str(port)], port) as process:
        binary = name != "mlserver"
        body, headers = _binary("input") if binary else _json()
        yield Server(name, process, port, path, body, headers)


@contextmanager
def _started(name: str, command: Sequence[str], port: int) -> Iterator[psutil.Process]:
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait(name, child, port, log)
            yield psutil.Process(child.pid)
        finally:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _wait(name: str, child: subprocess.Popen[bytes], port: int, log: object) -> None:
    for _ in range(600):
        if child.poll() is not None:
            break
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/v2/health/ready")
            if connection.getresponse().status in (200, 404):
                return
        except OSError:
            time.sleep(0.1)
        time.sleep(0.1)
    log.seek(0)  # type: ignore[attr-defined]
    raise RuntimeError(f"{name} did not start: {log.read()[-400:]!r}")  # type: ignore[attr-defined]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _input_name(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/v2/models/net")
    name: str = json.loads(connection.getresponse().read())["inputs"][0]["name"]
    return name


def _pixels() -> bytes:
    return bytes(index * 37 % 256 for index in range(SHAPE[1] * SHAPE[2] * SHAPE[3]))


def _binary(name: str) -> tuple[bytes, dict[str, str]]:
    data = _pixels()
    header = json.dumps(
        {
            "inputs": [
                {"name": name, "shape": SHAPE, "datatype": "UINT8", "parameters": {"binary_data_size": len(data)}}
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    headers = {"Inference-Header-Content-Length": str(len(header)), "Content-Type": "application/octet-stream"}
    return header + data, headers


def _json() -> tuple[bytes, dict[str, str]]:
    request = {"inputs": [{"name": "input", "shape": SHAPE, "datatype": "UINT8", "data": list(_pixels())}]}
    return json.dumps(request).encode(), {"Content-Type": "application/json"}
