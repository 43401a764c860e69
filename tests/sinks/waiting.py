"""Waiting for what other threads do."""

import socket
import time
from collections.abc import Callable


def until(true: Callable[[], object], what: str = "it never happened") -> None:
    """Wait until something is so; the end of a test that would hang, not a measurement."""
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
