"""What the service costs over a bare ASGI app, and how it does beside other Python servers.

All serve the same network on the same 150 KB uint8 tensor, each in processes of its own, and take turns: MobileNetV2,
which keeps one thread of the runtime busy whoever serves it, and a network of a millisecond or two, where more of what
is seen is the server. Asked are the
CPU time of the server's processes for each request and the requests a second of eight clients that wait for their
answers. MLServer and LitServe run from environments of their own (``PIACCEL_PEERS``: a folder with ``mlserver`` and
``litserve`` in it, each made with ``python -m venv`` and ``pip install ai-edge-litert`` with ``mlserver==1.7.1`` or
``litserve==0.2.19 python-multipart``). MLServer's REST takes JSON only; LitServe takes the tensor as an upload, which
is its fastest way in.
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
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import SHARED, Row

MODEL = SHARED / "models/imagenet/mobilenet_v2_1.0_224_quant.tflite"
SMALL = MODEL.with_name("mobilenet_v1_0.25_128_quant.tflite")
SIDE = 224
APPS = Path(__file__).parent / "servers"
PEERS = Path(os.environ.get("PIACCEL_PEERS", Path(__file__).parents[1] / "build" / "peers"))
ROUNDS = 5
REQUESTS = 150
CLIENTS = 8
LOAD_S = 4.0
INFER = "/v2/models/net/infer"


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

    @contextmanager
    def client(self) -> Iterator[Callable[[], None]]:
        """Ask on one connection. As little as can be: what the client takes on these cores, the server does not get."""
        fields = {"Host": "localhost", **self.headers, "Content-Length": str(len(self.body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        request = f"POST {self.path} HTTP/1.1\r\n{head}\r\n".encode() + self.body
        with socket.create_connection(("127.0.0.1", self.port)) as connection, connection.makefile("rb") as answers:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def ask() -> None:
                connection.sendall(request)
                status, length = answers.readline(), 0
                while (line := answers.readline()) not in (b"\r\n", b""):
                    if line[:15].lower() == b"content-length:":
                        length = int(line[15:])
                data = answers.read(length)
                if status.split()[1:2] != [b"200"]:
                    raise RuntimeError(f"{self.name}: {status!r} {data[:200]!r}")

            yield ask


def measure() -> list[Row]:
    if not MODEL.exists():
        return [Row("the service's cost", "not measured: the model is not here")]
    rows = []
    for source in (MODEL, SMALL):
        with ExitStack() as stack:
            model = source if source is MODEL else _enlarged(Path(stack.enter_context(tempfile.TemporaryDirectory())))
            ours = stack.enter_context(_ours("process", model))
            rows.append(_cpu(stack.enter_context(_app("bare", sys.executable, model)), ours, model))
            rows += [_beside(name, ours, model, stack) for name in ("mlserver", "litserve")]
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


def _cpu(bare: Server, ours: Server, model: Path) -> Row:
    ratios, times = [], []
    for turn in range(ROUNDS):
        pair = [bare, ours] if turn % 2 else [ours, bare]
        found = {each.name: _cpu_a_request(each) for each in pair}
        ratios.append(found[ours.name] / found[bare.name])
        times.append((found[bare.name] * 1e3, found[ours.name] * 1e3))
    ratio = statistics.median(ratios)
    plain, mine = (statistics.median(column) for column in zip(*times, strict=True))
    return Row(
        f"CPU time per binary REST request over a bare ASGI app that calls the runtime, {model.stem}",
        f"{ratio:.2f}x ({plain:.2f} and {mine:.2f} ms; rounds {min(ratios):.2f} to {max(ratios):.2f})",
        "at most 1.5x",
        ratio <= 1.5,
    )


def _cpu_a_request(server: Server) -> float:
    with server.client() as ask:
        for _ in range(5):
            ask()
        begun = server.cpu_s()
        for _ in range(REQUESTS):
            ask()
        return (server.cpu_s() - begun) / REQUESTS


def _beside(name: str, ours: Server, model: Path, stack: ExitStack) -> Row:
    bar = {"mlserver": 3.0, "litserve": 1.0}[name]
    title = {"mlserver": "MLServer", "litserve": "LitServe"}[name]
    question = f"requests a second of {CLIENTS} clients, over {title}, {model.stem}"
    python = PEERS / name / "bin" / "python"
    if not python.exists():
        return Row(question, f"not measured: {name} is not installed beside")
    try:
        theirs = stack.enter_context(_app(name, str(python), model))
        rates: list[tuple[float, float]] = []
        for turn in range(ROUNDS):
            pair = [ours, theirs] if turn % 2 else [theirs, ours]
            found = {each.name: rate(each) for each in pair}
            rates.append((found[ours.name], found[theirs.name]))
    except RuntimeError as error:
        return Row(question, f"not measured: {error}")
    ratio = statistics.median(mine / other for mine, other in rates)
    mine, other = (statistics.median(column) for column in zip(*rates, strict=True))
    return Row(question, f"{ratio:.2f}x ({mine:.0f} and {other:.0f} a second)", f"at least {bar:g}x", ratio >= bar)


def rate(server: Server) -> float:
    until = time.monotonic() + LOAD_S

    def client(_: int) -> int:
        with server.client() as ask:
            count = 0
            while time.monotonic() < until:
                ask()
                count += 1
        return count

    with ThreadPoolExecutor(CLIENTS) as clients:
        return sum(clients.map(client, range(CLIENTS))) / LOAD_S


def _enlarged(folder: Path) -> Path:
    """The small network for pictures of 224x224: its convolutions take any size, its pooling has to cover it all."""
    import flatbuffers  # type: ignore[import-untyped]
    from ai_edge_litert import schema_py_generated as schema

    net = schema.ModelT.InitFromPackedBuf(SMALL.read_bytes(), 0)
    graph = net.subgraphs[0]
    graph.tensors[graph.inputs[0]].shape = [1, SIDE, SIDE, 3]
    for operator in graph.operators:
        if isinstance(operator.builtinOptions, schema.Pool2DOptionsT):
            operator.builtinOptions.filterWidth = operator.builtinOptions.filterHeight = SIDE // 32
    builder = flatbuffers.Builder(1024)
    builder.Finish(net.Pack(builder), b"TFL3")
    path = folder / "mobilenet_v1_0.25_224.tflite"
    path.write_bytes(bytes(builder.Output()))
    return path


@contextmanager
def _ours(isolation: str, model: Path = MODEL) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "models" / "net" / "1"
        place.mkdir(parents=True)
        (place / model.name).write_bytes(model.read_bytes())
        config = Path(folder) / "piaccel.toml"
        config.write_text(f'[defaults]\nbackend = "litert"\nthreads = 1\nisolation = "{isolation}"\n')
        command = [sys.executable, "-m", "piaccel", "serve", str(place.parents[1]), "--config", str(config)]
        port = _free_port()
        with _started("piaccel", [*command, "--port", str(port), "--no-grpc", "--no-metrics"], port) as process:
            name = _input_name(port)
            yield Server("piaccel", process, port, INFER, *_binary(name))


@contextmanager
def _app(name: str, python: str, model: Path) -> Iterator[Server]:
    port = _free_port()
    with _started(name, [python, str(APPS / f"{name}_app.py"), str(model), str(port)], port) as process:
        body, headers = {"bare": _binary("input"), "litserve": _upload(), "mlserver": _json()}[name]
        yield Server(name, process, port, INFER, body, headers)


@contextmanager
def _started(name: str, command: Sequence[str], port: int) -> Iterator[psutil.Process]:
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait(name, child, port, log)
            yield psutil.Process(child.pid)
        finally:
            family = psutil.Process(child.pid).children(recursive=True)  # LitServe leaves some behind
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            for each in family:
                with suppress(psutil.NoSuchProcess):
                    each.kill()


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
    return bytes(index * 37 % 256 for index in range(SIDE * SIDE * 3))


def _binary(name: str) -> tuple[bytes, dict[str, str]]:
    data = _pixels()
    header = json.dumps(
        {
            "inputs": [
                {
                    "name": name,
                    "shape": (1, SIDE, SIDE, 3),
                    "datatype": "UINT8",
                    "parameters": {"binary_data_size": len(data)},
                }
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    headers = {"Inference-Header-Content-Length": str(len(header)), "Content-Type": "application/octet-stream"}
    return header + data, headers


def _upload() -> tuple[bytes, dict[str, str]]:
    head = b'--edge\r\nContent-Disposition: form-data; name="input"; filename="input"\r\n\r\n'
    return head + _pixels() + b"\r\n--edge--\r\n", {"Content-Type": "multipart/form-data; boundary=edge"}


def _json() -> tuple[bytes, dict[str, str]]:
    tensor = {"name": "input", "shape": (1, SIDE, SIDE, 3), "datatype": "UINT8", "data": list(_pixels())}
    return json.dumps({"inputs": [tensor]}).encode(), {"Content-Type": "application/json"}
