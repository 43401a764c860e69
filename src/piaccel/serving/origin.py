"""Whether a request was made by a page of another site in somebody's browser, who never meant to ask us."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit


class Hosts:
    """The names under which this service is reached."""

    def __init__(self, own: Iterable[str] = ()) -> None:
        name = socket.gethostname().lower()
        self._own = {"localhost", name, f"{name}.local", *(each.lower().rstrip(".") for each in own)}
        self._known: set[bytes] = set()

    def know(self, host: bytes) -> bool:
        """Whether a Host header is ours: a name that an attacker points at us (DNS rebinding) is not, an address is."""
        if host in self._known:
            return True
        if not self._is_own(host):
            return False
        if len(self._known) < 256:
            self._known.add(host)
        return True

    def _is_own(self, host: bytes) -> bool:
        try:
            name = (urlsplit(f"//{host.decode('ascii')}").hostname or "").rstrip(".")
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._own
        return True


def is_foreign(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser says that a page of another origin asks."""
    if headers.get(b"sec-fetch-site", b"none").lower() not in (b"none", b"same-origin"):
        return True
    origin = headers.get(b"origin")
    return origin is not None and origin.lower().partition(b"://")[2] != headers.get(b"host", b"").lower()
