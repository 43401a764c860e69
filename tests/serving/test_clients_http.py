"""Clients written for other servers cannot tell the difference."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from piaccel.serving.settings import Settings
from tests.serving.rest_server import site
from tests.serving.serve import clients_python


def calls(python: str, program: str, *arguments: object) -> None:
    """Have ``program`` beside this file say that all is well."""
    path = Path(__file__).with_name(program)
    line = [python, "-P", str(path), *map(str, arguments)]  # -P: numbers.py beside it is not the standard library's
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "all well", done.stderr[-2000:]


def test_tritonclient_cannot_tell_us_from_triton(settings: Callable[..., Settings]) -> None:
    python = clients_python("tritonclient")
    with site(settings()) as served:
        calls(python, "triton_calls.py", served.port, "parts")


def test_kserve_s_client_cannot_tell_us_from_kserve(settings: Callable[..., Settings]) -> None:
    python = clients_python("kserve")
    with site(settings()) as served:
        found = served.service.metadata("parts")
        calls(python, "kserve_calls.py", served.port, "parts", found["inputs"][0]["name"], found["outputs"][0]["name"])


def test_httpx_keeps_one_connection_for_many_requests(settings: Callable[..., Settings]) -> None:
    httpx = pytest.importorskip("httpx")
    with site(settings()) as served, httpx.Client(base_url=f"http://127.0.0.1:{served.port}") as client:
        for _ in range(20):
            assert client.get("/v2/models/parts").json()["name"] == "parts"
        assert client.get("/v2").headers["content-type"] == "application/json"
