"""Clients that keep asking, and count what they get."""

import http.client
import json
import statistics
import threading
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np

from tests.serving.serve import Served


def binary_request(
    name: str, datatype: str = "FP32", shape: tuple[int, ...] = (1, 96, 96, 3)
) -> tuple[bytes, dict[str, str]]:
    """A binary infer request of grey pixels: body and headers."""
    data = np.full(shape, 0.5, np.float32).tobytes()
    header = json.dumps(
        {
            "inputs": [
                {"name": name, "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": len(data)}}
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    return header + data, {"Inference-Header-Content-Length": str(len(header))}


class Clients:
    """Threads that ask one after the other while the body of ``with`` runs."""

    def __init__(
        self, service: Served, count: int = 8, *, think_s: float = 0.0, deadline_ms: int | None = None
    ) -> None:
        self._service = service
        status, told, _ = service.ask("GET", "/v2/models/parts")
        assert status == 200
        self._body, self._headers = binary_request(told["inputs"][0]["name"])
        if deadline_ms is not None:
            self._headers["X-Request-Timeout-Ms"] = str(deadline_ms)
        self._think_s = think_s
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]
        self._lock = threading.Lock()
        self.answers: Counter[object] = Counter()
        """By status, or by the error's name where there was none."""
        self.refusals: list[str] = []
        self.times: list[tuple[float, float, object]] = []
        """(when it ended, how long it took, status) by time.monotonic, in seconds."""

    def _ask(self) -> None:
        connection = self._service.connect()
        while not self._over.is_set():
            begun = time.monotonic()
            status: object
            try:
                connection.request("POST", "/v2/models/parts/infer", self._body, self._headers)
                answer = connection.getresponse()
                data = answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                status, data = type(error).__name__, repr(error).encode()
            ended = time.monotonic()
            with self._lock:
                self.answers[status] += 1
                self.times.append((ended, ended - begun, status))
                if status != 200 and len(self.refusals) < 20:
                    self.refusals.append(f"{status} {data[:200]!r}")
            if self._think_s:
                self._over.wait(self._think_s)
        connection.close()

    def p99_ms(self, spans: Sequence[tuple[float, float]]) -> float:
        """Of the answers in these times, each (since, until)."""
        chosen = sorted(
            took
            for ended, took, status in self.times
            if status == 200 and any(since <= ended <= until for since, until in spans)
        )
        return statistics.quantiles(chosen, n=100)[98] * 1e3 if len(chosen) > 1 else float("nan")

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
