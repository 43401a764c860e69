"""A shelf of the tests' own, no proxies of the machine, and a model that a site serves."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from piaccel.bundles import PreprocessTable
from piaccel.catalogue.entries import Entry, RemoteFile
from tests.catalogue.sites import Site, serving
from tests.conftest import DEMO

NETWORK = (DEMO / "bundle" / "fp32.tflite").read_bytes()
LABELS = tuple((DEMO / "bundle" / "labels.txt").read_text().split("\n")[:-1])


@pytest.fixture(autouse=True)
def shelf_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("PIACCEL_MIRROR", raising=False)
    for name in [each for each in os.environ if each.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site({"/org/net.tflite": NETWORK})) as started:
        yield started


def file_at(url: str, blob: bytes = NETWORK, name: str = "net.tflite") -> RemoteFile:
    return RemoteFile(name=name, urls=(url,), size=len(blob), sha256=hashlib.sha256(blob).hexdigest())


def entry_at(site: Site) -> Entry:
    """The repository's own model, as a site has it."""
    return Entry(
        name="parts",
        title="Washers, gears and nuts",
        licence="Apache-2.0",
        licence_source="https://example.org/LICENSE",
        task={"family": "classification"},
        preprocess=PreprocessTable(size=(96, 96), mean=(127.5,), std=(127.5,)),
        precision="fp32",
        file=file_at(f"{site.url}/org/net.tflite"),
        labels=LABELS,
    )
