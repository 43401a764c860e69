"""Fixtures for the tests of the seam."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from piaccel import backends, plugins
from tests.backends import strangers


def _forget() -> None:
    plugins.names.cache_clear()
    plugins._modules.cache_clear()
    backends.get.cache_clear()


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another package with broken backends is installed; gives the folder it lies in."""
    folder = tmp_path / "site"
    strangers.install(folder)
    monkeypatch.syspath_prepend(folder)
    _forget()
    yield folder
    _forget()
