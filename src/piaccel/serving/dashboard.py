"""The dashboard: a page that shows the service and steers it. Its numbers and actions are the protocol's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from piaccel.pipeline import look
from piaccel.serving.service import Service

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

ASSETS = {
    "/": look.Asset("piaccel.serving", "index.html"),
    **{
        f"/{name}": look.Asset("piaccel.serving", name)
        for name in ("app.css", "app.js", "actions.js", "trial.js", "icon.svg")
    },
    **look.SHARED,
}
"""By path: nothing of a request is ever the name of a file."""
HEADERS = look.headers(images="'self' blob:")
"""A picture that the page shows is one that it got as an answer, or that its user chose."""


class Dashboard:
    """Serves the page's files, which hold nothing secret: its numbers come from ``/v2/service``, with a key where keys
    are asked for.
    """

    def __init__(self, service: Service) -> None:
        self._on = service.settings.server.dashboard

    async def handle(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> bool:
        """Answer an ASGI request for one of the page's files; False for any other, which is left untouched."""
        asset = ASSETS.get(scope["path"]) if self._on and scope["type"] == "http" else None
        if asset is None:
            return False
        headers = dict(HEADERS)
        if scope["method"] in ("GET", "HEAD"):
            status, data = 200, asset.read()
            headers["Content-Type"] = asset.kind
        else:
            status, data = 405, b'{"error":"Method Not Allowed"}'
            headers |= {"Content-Type": "application/json", "Allow": "GET, HEAD"}
        headers["Content-Length"] = str(len(data))
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else data})
        return True
