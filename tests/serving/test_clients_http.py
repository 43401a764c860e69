"""Clients written for other servers cannot tell the difference."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from piaccel.serving.settings import Settings
from tests.serving.rest_server import site


def python_with(module: str) -> str:
    """An interpreter that has ``module``: this one, or the one that PIACCEL_CLIENTS names."""
    if importlib.util.find_spec(module):
        return sys.executable
    other = os.environ.get("PIACCEL_CLIENTS", "")
    if not other:
        pytest.skip(f"{module} is not installed, and PIACCEL_CLIENTS names no interpreter that has it")
    return other


def test_tritonclient_cannot_tell_us_from_triton(settings: Callable[..., Settings]) -> None:
    python = python_with("tritonclient")
    calls = Path(__file__).with_name("triton_calls.py")
    with site(settings()) as served:
        done = subprocess.run(
            [python, "-P", calls, str(served.port), "parts"], capture_output=True, text=True, timeout=120, check=False
        )
    assert done.stdout.strip() == "all well", done.stderr[-2000:]


def test_httpx_keeps_one_connection_for_many_requests(settings: Callable[..., Settings]) -> None:
    httpx = pytest.importorskip("httpx")
    with site(settings()) as served, httpx.Client(base_url=f"http://127.0.0.1:{served.port}") as client:
        for _ in range(20):
            assert client.get("/v2/models/parts").json()["name"] == "parts"
        assert client.get("/v2").headers["content-type"] == "application/json"
