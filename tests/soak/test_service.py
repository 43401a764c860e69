"""Our own service, loaded over its socket with tensors and with a picture."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the service needs the extra `serve`")

from piaccel.soak import Plan
from piaccel.soak.client import Client, Target
from piaccel.soak.findings import find
from piaccel.soak.run import soak
from tests.serving.rest_server import parts, site

BRIEF = Plan(load_s=0.5, idle_s=0.0, row_s=0.2, sample_s=0.1)


def test_our_service_answers_tensors_and_pictures(tmp_path: Path, demo: Path) -> None:
    with (
        site(parts(demo, tmp_path)) as running,
        Client(Target.parse(f"http://127.0.0.1:{running.port}", "parts")) as client,
    ):
        client.ask_tensors(client.metadata())
        tensors = soak([client], BRIEF)
        client.ask_picture((demo / "images/gear_good.jpg").read_bytes())
        pictures = soak([client], BRIEF)
    for seen in (tensors, pictures):
        assert seen.errors == {}
        assert find(seen).answers > 0
