"""When queries are sent and when it is enough: the four scenarios of MLPerf LoadGen, with its names and metrics.

A fifth, "camera", is not LoadGen's: a source and a pipeline (``piaccel.pipeline.camera_scenario``).

The rules are those of the MLPerf inference rules ("Scenarios") and LoadGen's ``test_settings.h``: a run goes on until
both a minimum duration and a minimum number of queries are reached, and ends early only at a maximum duration. What
differs, because a board is measured here in minutes and not in hours: LoadGen wants 600 s and, for p99, 270,336
queries; we take the durations from the caller and at least ``MIN_QUERIES``.

Everything here works on plain callables with the clock as an argument, and so on a virtual clock too.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from piaccel.bench import Scenario
from piaccel.bench.statistics import percentile

MIN_QUERIES = 64
"""LoadGen's smallest count for a p90 (MLPerf inference rules, early stopping, single-stream)."""

SAMPLES_PER_QUERY: dict[Scenario, int] = {
    "single-stream": 1,
    "multi-stream": 8,
    "offline": 1,
    "server": 1,
    "camera": 1,
}
"""MLPerf inference rules: a multi-stream query has 8 samples. Offline queries grow where the batch is free."""

METRIC: dict[Scenario, str] = {
    "single-stream": "90th percentile of the latency",
    "multi-stream": "99th percentile of the latency of a query of 8",
    "offline": "samples per second",
    "server": "queries per second whose 99th percentile meets the latency bound",
    "camera": "median age of a result, from the frame's exposure",
}

SERVER_PERCENT = 99
SERVER_PRECISION = 0.05
"""The search for the highest rate ends when it is known to this share of one over the inference time."""

_SPIN_NS = 200_000

Clock = Callable[[], int]
Run = Callable[[Any], object]
Submit = Callable[[Any], "Future[Any]"]


@dataclass(frozen=True)
class Limits:
    """When a run is long enough."""

    min_duration_ns: int
    min_queries: int = MIN_QUERIES
    max_duration_ns: int = 600_000_000_000


@dataclass(frozen=True)
class Samples:
    """Latencies in the order they were taken, and the wall time around them."""

    latency_ns: list[int]
    started_ns: int
    duration_ns: int


@dataclass(frozen=True)
class Attempt:
    """One rate of the server scenario."""

    rate_per_s: float
    met: bool
    samples: Samples


def back_to_back(
    run: Run, inputs: Sequence[Any], limits: Limits, expected_ns: int, clock: Clock = time.perf_counter_ns
) -> Samples:
    """Send each query when the one before is done (single-stream, multi-stream): ``run(inputs[i])`` in turn.

    ``expected_ns`` is how long a query takes about; room for twice as many samples as that gives is set aside before
    the clock starts, so that nothing grows while it runs. The two clock reads enclose ``run`` and nothing else.
    """
    room = limits.min_queries + 2 * limits.min_duration_ns // max(expected_ns, 1)
    samples = array("q", bytes(8 * room))
    size = len(inputs)
    started = clock()
    enough, latest = started + limits.min_duration_ns, started + limits.max_duration_ns
    count = 0
    while True:
        chosen = inputs[count % size]
        begin = clock()
        run(chosen)
        end = clock()
        samples[count] = end - begin
        count += 1
        if (end >= enough and count >= limits.min_queries) or end >= latest or count == room:
            break
    return Samples(samples[:count].tolist(), started, end - started)


def offline(
    runs: Sequence[Run], inputs: Sequence[Any], limits: Limits, expected_ns: int, clock: Clock = time.perf_counter_ns
) -> Samples:
    """Keep several sessions busy at once, one Python thread each; all samples are there from the start.

    The samples come back stream after stream; ``duration_ns`` is the wall time from the first start to the last end.
    """
    if len(runs) == 1:
        return back_to_back(runs[0], inputs, limits, expected_ns, clock)
    share = Limits(limits.min_duration_ns, -(-limits.min_queries // len(runs)), limits.max_duration_ns)
    with ThreadPoolExecutor(len(runs)) as pool:
        streams = list(pool.map(lambda run: back_to_back(run, inputs, share, expected_ns, clock), runs))
    started = min(stream.started_ns for stream in streams)
    ended = max(stream.started_ns + stream.duration_ns for stream in streams)
    return Samples([latency for stream in streams for latency in stream.latency_ns], started, ended - started)


def in_flight(
    submit: Submit,
    inputs: Sequence[Any],
    depth: int,
    limits: Limits,
    expected_ns: int,
    clock: Clock = time.perf_counter_ns,
) -> Samples:
    """Keep ``depth`` runs of one session in flight (offline, where an accelerator works as a pipeline).

    A latency counts from handing a run in to having its answer, with the runs before it; those that are still in
    flight when it is enough are waited for and counted.
    """
    room = max(depth, limits.min_queries + 2 * limits.min_duration_ns // max(expected_ns, 1))
    latencies: list[int] = []
    flying: deque[tuple[int, Future[Any]]] = deque()
    started = end = clock()
    enough, latest = started + limits.min_duration_ns, started + limits.max_duration_ns
    while True:
        sent = len(latencies) + len(flying)
        done = (end >= enough and sent >= limits.min_queries) or end >= latest or sent >= room
        if not done and len(flying) < depth:
            begin = clock()
            flying.append((begin, submit(inputs[sent % len(inputs)])))
            continue
        if not flying:
            return Samples(latencies, started, end - started)
        begin, answer = flying.popleft()
        answer.result()
        end = clock()
        latencies.append(end - begin)


def serve(
    run: Run,
    inputs: Sequence[Any],
    rate_per_s: float,
    bound_ns: int,
    limits: Limits,
    seed: int,
    clock: Clock = time.perf_counter_ns,
    sleep: Callable[[float], None] = time.sleep,
) -> Attempt:
    """Send queries at random times, exponentially spaced (a Poisson process), to one session that takes them in order.

    A latency counts from the moment the query was due, whether or not the session was free then: what waits in the
    queue is part of it. The attempt ends as soon as so many queries are late that the percentile cannot be met.
    """
    count = max(limits.min_queries, round(rate_per_s * limits.min_duration_ns / 1e9))
    gaps = np.random.default_rng(seed).exponential(1e9 / rate_per_s, count)
    due_ns = np.cumsum(gaps).astype(np.int64).tolist()
    may_be_late = count - 1 - count * SERVER_PERCENT // 100
    latencies: list[int] = []
    late = 0
    started = now = clock()
    for index, due in enumerate(due_ns):
        due += started
        _wait_until(due, clock, sleep)
        run(inputs[index % len(inputs)])
        now = clock()
        latencies.append(now - due)
        late += now - due > bound_ns
        if late > may_be_late or now - started > limits.max_duration_ns:
            break
    met = len(latencies) == count and percentile(latencies, SERVER_PERCENT) <= bound_ns
    return Attempt(rate_per_s, met, Samples(latencies, started, now - started))


def find_rate(attempt: Callable[[float], Attempt], service_ns: int) -> tuple[Attempt | None, list[Attempt]]:
    """Bisect for the highest rate that meets the bound; return it (None when no rate did) and all attempts.

    No queue is stable above one query for each ``service_ns``, the time of one inference, so the search starts below.
    """
    low, high = 0.0, 1e9 / service_ns
    step = high * SERVER_PRECISION
    best: Attempt | None = None
    tried: list[Attempt] = []
    while high - low > step:
        tried.append(attempt((low + high) / 2))
        if tried[-1].met:
            best, low = tried[-1], tried[-1].rate_per_s
        else:
            high = tried[-1].rate_per_s
    return best, tried


def _wait_until(due_ns: int, clock: Clock, sleep: Callable[[float], None]) -> None:
    """Sleep most of the way and spin the rest: sleeping alone wakes up to a scheduler's tick too late."""
    remaining = due_ns - clock()
    if remaining > _SPIN_NS:
        sleep((remaining - _SPIN_NS) / 1e9)
    while clock() < due_ns:
        pass
