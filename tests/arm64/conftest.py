"""These tests run in the emulated interpreter that ``make test-arm64`` makes, and skip elsewhere."""

import os

import pytest

from tests.arm64.boards import BOARDS, Emulated


@pytest.fixture(scope="session", autouse=True)
def emulated() -> Emulated:
    """The board that the tests run on."""
    name = os.environ.get("PIACCEL_EMULATED")
    if name is None:
        pytest.skip("runs on an emulated board: make test-arm64")
    return BOARDS[name]
