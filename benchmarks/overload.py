"""What becomes of requests at three times the rate that the service can answer.

First eight clients that wait for their answers find the peak; then senders keep to a schedule of three times that rate,
whatever comes back, with a deadline on every request.
"""

from __future__ import annotations

import http.client
import statistics
import threading
import time
from dataclasses import dataclass

from benchmarks import Row
from benchmarks.serving import MODEL, Server, _ours, rate

FACTOR = 3.0
DURATION_S = 10.0
SENDERS = 48
DEADLINE_S = 0.25


@dataclass(frozen=True)
class Sent:
    """One request: when it was due and when it ended (time.monotonic), how long it took, and its status."""

    due_s: float
    took_s: float
    status: int


def measure() -> list[Row]:
    question = f"at {FACTOR:g} times the peak, deadline {DEADLINE_S * 1e3:.0f} ms"
    if not MODEL.exists():
        return [Row(question, "not measured: the model is not here")]
    with _ours("process") as server:
        peak = rate(server)
        server.headers["X-Request-Timeout-Ms"] = str(round(DEADLINE_S * 1e3))
        sent = _flood(server, FACTOR * peak)
    answered = sorted(each.took_s for each in sent if each.status == 200)
    refused = sorted(each.took_s for each in sent if each.status == 503)
    others = sorted({each.status for each in sent} - {200, 503, 504})
    goodput = sum(took <= DEADLINE_S for took in answered) / DURATION_S
    p99 = answered[int(0.99 * len(answered))] * 1e3
    quick = statistics.median(refused) * 1e3 if refused else float("nan")
    slow = refused[int(0.95 * len(refused))] * 1e3 if refused else float("nan")
    return [
        Row(
            f"goodput {question}",
            f"{goodput / peak:.0%} of the peak ({goodput:.0f} of {peak:.0f} a second, {len(sent)} sent)",
            "at least 90 %",
            goodput >= 0.9 * peak,
        ),
        Row(
            f"p99 of the answered {question}",
            f"{p99:.0f} ms",
            f"at most {DEADLINE_S * 1e3:.0f} ms",
            p99 <= DEADLINE_S * 1e3,
        ),
        Row(
            f"refusals {question}",
            f"{len(refused)} with 503, median {quick:.1f} ms, p95 {slow:.1f} ms; other statuses: {others or 'none'}",
            "under 20 ms",
            bool(refused) and quick < 20 and not others,
        ),
    ]


def _flood(server: Server, wanted: float) -> list[Sent]:
    begun = time.monotonic()
    total = round(wanted * DURATION_S)
    sent: list[Sent] = []

    def sender(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        for index in range(number, total, SENDERS):
            due = begun + index / wanted
            time.sleep(max(0.0, due - time.monotonic()))
            asked = time.monotonic()
            connection.request("POST", server.path, server.body, server.headers)
            answer = connection.getresponse()
            answer.read()
            sent.append(Sent(due, time.monotonic() - asked, answer.status))
        connection.close()

    _together(sender, SENDERS)
    return sent


def _together(work: object, count: int) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
