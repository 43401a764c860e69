"""What a report says of where it was made."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

import numpy as np

from piaccel.bench.environment import describe, fingerprint, usable_cores
from piaccel.bundles import Bundle
from piaccel.version import __version__


def test_the_fingerprint_holds_the_board_and_every_version() -> None:
    found = fingerprint({"soc": "BCM2712"}, {"litert": "2.3.0", "ncnn": None})
    assert found["board"] == {"soc": "BCM2712"}
    assert found["usable_cores"] == usable_cores()
    versions = found["versions"]
    assert versions["piaccel"] == __version__
    assert versions["python"] == platform.python_version()
    assert versions["numpy"] == np.__version__
    assert versions["litert"] == "2.3.0"
    assert versions["ncnn"] is None
    assert versions["opencv-python"]


def test_a_bare_file_is_described_with_its_sha256(tiny_model: Path) -> None:
    described = describe(Bundle.open(tiny_model), {tiny_model.name: "uint8"})
    variant = described["variants"][tiny_model.name]
    assert variant["sha256"] == hashlib.sha256(tiny_model.read_bytes()).hexdigest()
    assert variant["precision"] == "uint8"
    assert variant["accuracy"] is None
