"""The files and headers that every page of ours shares."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

_KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Asset:
    """A file of a package's folder ``static``."""

    package: str
    name: str

    @property
    def kind(self) -> str:
        """Its content type."""
        return _KINDS[self.name.rpartition(".")[2]]

    def read(self) -> bytes:
        return resources.files(self.package).joinpath("static", self.name).read_bytes()


SHARED = {f"/{name}": Asset("piaccel.pipeline", name) for name in ("look.css", "parts.js")}
"""Colours, tables and charts, by path."""


def headers(images: str = "'self'") -> dict[str, str]:
    """Headers for everything a page is made of: it loads nothing from elsewhere, ``images`` says where pictures may
    come from."""
    return {
        "Cache-Control": "no-store",
        "Content-Security-Policy": f"default-src 'none'; img-src {images}; style-src 'self'; script-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
