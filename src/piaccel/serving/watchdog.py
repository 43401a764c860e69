"""What systemd is told: that the service is ready, what it does, and that it still answers.

Source of the protocol: sd_notify(3), sd_watchdog_enabled(3): one datagram of KEY=VALUE lines to the unix socket that
NOTIFY_SOCKET names, "@" for an abstract one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping

_SEND_S = 1.0
_log = logging.getLogger("piaccel")


class Notifier:
    """Tells systemd, where there is one; without NOTIFY_SOCKET every call does nothing and returns False."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_s = _watchdog_s(environ)
        """A beat is due at least this often; None: no watchdog."""

    def ready(self, status: str = "") -> bool:
        return self._send("READY=1", *_status(status))

    def reloading(self) -> bool:
        """``ready`` ends it."""
        return self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> bool:
        return self._send("STOPPING=1")

    def status(self, text: str) -> bool:
        """One line for ``systemctl status``."""
        return self._send(*_status(text))

    def beat(self) -> bool:
        return self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> bool:
        if not self._address or not lines:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
                link.settimeout(_SEND_S)
                link.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            _log.warning("systemd cannot be told %s: %s", lines[0], error)
            return False
        return True


async def guard(notifier: Notifier, answered: Callable[[], int], progress: Callable[[], Awaitable[bool]]) -> None:
    """Send beats at half the watchdog's time while inference makes progress; runs until it is cancelled.

    Progress is a request answered since the last beat (``answered`` counts them), or else ``progress()``: a run of the
    committed versions that is made for this. While neither is seen no beat is sent, and systemd restarts the service.
    Returns at once where there is no watchdog.
    """
    if notifier.watchdog_s is None:
        return
    period_s = notifier.watchdog_s / 2
    seen = answered()
    while True:
        await asyncio.sleep(period_s)
        while answered() == seen and not await _progressed(progress, period_s * 0.8):
            _log.error("no inference made progress: the watchdog is not fed")
            await asyncio.sleep(period_s / 5)
        seen = answered()
        notifier.beat()


async def _progressed(progress: Callable[[], Awaitable[bool]], limit_s: float) -> bool:
    try:
        async with asyncio.timeout(limit_s):  # wait_for of 3.11 can swallow a cancellation
            return await progress()
    except Exception as error:  # noqa: BLE001 - whatever stops an inference is what the watchdog is for
        _log.warning("the watchdog's own inference failed: %s: %s", type(error).__name__, error)
        return False


def _status(text: str) -> tuple[str, ...]:
    return (f"STATUS={' '.join(text.split())}",) if text else ()


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """WATCHDOG_USEC in seconds; None where it is meant for another process (WATCHDOG_PID), or is no number above 0."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isascii() and text.isdecimal() and int(text) else None
