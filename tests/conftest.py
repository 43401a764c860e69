"""What many tests need."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # The background of a shell ignores Ctrl-C, and every program that a test starts would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).parents[2] / "shared"
DEMO = Path(__file__).parents[1] / "demo"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the tests make piaccel remember is not the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models and pictures beside the repository; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("../shared (real models and pictures) is not beside the repository")
    return SHARED


@pytest.fixture(scope="session")
def demo() -> Path:
    """The repository's own model (``bundle``) and pictures (``images``), for tests that any real model will do for."""
    return DEMO


@pytest.fixture(scope="session")
def remembered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment whose cache of choices is the tests' own, so that what one test measured another remembers."""
    return {**os.environ, "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}
