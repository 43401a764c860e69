"""Fixtures for the tests of the seam."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from piaccel import backends, plugins
from piaccel.errors import UnavailableError
from piaccel.testing import edgetpu
from tests.backends import coral, strangers


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "strangers"]:
        del sys.modules[name]
    importlib.invalidate_caches()
    plugins.names.cache_clear()
    plugins._others.cache_clear()
    backends.get.cache_clear()


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another package with broken backends is installed; gives the folder it lies in."""
    folder = tmp_path / "site"
    strangers.install(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(folder)
    _forget()
    yield folder
    _forget()


@pytest.fixture(scope="session")
def libedgetpu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A libedgetpu that needs no TPU."""
    try:
        return edgetpu.build(tmp_path_factory.mktemp("coral") / "libedgetpu.so.1")
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def coral_library(libedgetpu: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The system's libedgetpu is the one without a TPU; what piaccel remembers of it is this test's own."""
    monkeypatch.setenv(edgetpu.PATH, str(libedgetpu))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return libedgetpu


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A small network compiled for the Edge TPU."""
    return coral.compiled_file(tmp_path / "net_edgetpu.tflite")
