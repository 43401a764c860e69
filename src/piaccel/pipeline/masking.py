"""Passwords in addresses do not leave the process."""

from __future__ import annotations

import re

_USER = re.compile(r"://[^/@\s\"\\]+@")


def masked(text: str) -> str:
    """Return ``text`` with ``://***@`` for the user and password of each address in it."""
    return _USER.sub("://***@", text)
