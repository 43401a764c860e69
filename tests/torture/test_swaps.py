"""Swaps under load: no request fails, and the memory stays."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from tests.serving.control import add_version
from tests.serving.serve import CONFIG, Served, served
from tests.torture import FULL
from tests.torture.load import Clients

pytest.importorskip("uvicorn")
pytest.importorskip("uvloop")

SWAPS = 500 if FULL else 4
PERIOD_S = 0.5
BLOCK = 25
CALM_S = 10.0 if FULL else 0.5
THINK_S = 0.02 if FULL else 0.0
"""Clients that never pause leave two cores no time for a swap every half second."""


def until_committed(service: Served, version: str) -> None:
    while True:
        model = service.model()
        if model["serving"] == version and model["versions"][2 - int(version)]["stage"] == "committed":
            return
        assert model["swapping"] in ("", version), model
        time.sleep(0.02)


def _lasting(seconds: float) -> tuple[float, float]:
    begun = time.monotonic()
    time.sleep(seconds)
    return begun, time.monotonic()


@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_swaps_under_load_fail_no_request(repository: Path, isolation: str) -> None:
    add_version(repository, "2")
    config = CONFIG.replace("threads = 1", f'threads = 1\nisolation = "{isolation}"')
    with served(repository, "--repository-api", config=config) as service:
        until_committed(service, "2")
        resident: list[float] = []
        calm: list[tuple[float, float]] = []
        swapping: list[tuple[float, float]] = []
        with Clients(service, 8, think_s=THINK_S) as clients:
            for turn in range(SWAPS):
                if turn % BLOCK == 0:  # calm in between: what else runs on the machine changes within minutes
                    calm.append(_lasting(CALM_S))
                    swapping.append((time.monotonic(), 0.0))
                started = time.monotonic()
                version = "1" if turn % 2 == 0 else "2"
                body = json.dumps({"version": version}).encode()
                status, told, _ = service.ask("POST", "/v2/repository/models/parts/promote", body)
                assert status == 200, told
                until_committed(service, version)
                resident.append(service.resident_mb())
                time.sleep(max(0.0, PERIOD_S - (time.monotonic() - started)))
                swapping[-1] = (swapping[-1][0], time.monotonic())
        assert set(clients.answers) == {200}, clients.refusals
        assert service.model()["serving"] == ("2" if SWAPS % 2 == 0 else "1")
        half = resident[len(resident) // 2 :]
        slope = float(np.polyfit(np.arange(len(half)), half, 1)[0])
        busy_s = sum(until - since for since, until in swapping)
        print(
            f"\n{isolation}: {SWAPS} swaps at {SWAPS / busy_s:.2f} Hz, {sum(clients.answers.values())} requests, p99 "
            f"{clients.p99_ms(calm):.1f} ms without and {clients.p99_ms(swapping):.1f} ms with swaps, "
            f"memory {resident[0]:.0f} to {resident[-1]:.0f} MB, {slope:+.3f} MB a swap"
        )
        for without, beside in zip(calm, swapping, strict=True):
            print(f"  {clients.p99_ms([without]):.1f} and {clients.p99_ms([beside]):.1f} ms")
        if FULL:
            assert slope < 0.2
