"""A running service, asked over HTTP."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

from piaccel.errors import NotFoundError, OptionError, PiaccelError, UnavailableError

READ_S = 10.0
CHANGE_S = 600.0
"""A version is loaded and checked before the answer comes."""
_PERIOD_S = 0.5


class Operator:
    """Asks the service at ``url``. Raises OptionError for what is no address."""

    def __init__(self, url: str, key: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise OptionError(f"--url {url!r} is not an address", hint="such as http://127.0.0.1:8000")
        self.url = url.rstrip("/")
        self._key = key

    def service(self) -> dict[str, Any]:
        """All numbers, as ``piaccel.serving.snapshot.ServiceNumbers`` has them."""
        try:
            found = json.loads(self._ask("/v2/service", None, READ_S))
        except ValueError:
            found = None
        if not isinstance(found, dict) or "models" not in found:
            raise UnavailableError(f"what answers at {self.url} is no piaccel service", hint="another one: --url URL")
        return found

    def model(self, name: str) -> dict[str, Any]:
        """One model's numbers. Raises NotFoundError."""
        models = self.service()["models"]
        for model in models:
            if model["name"] == name:
                found: dict[str, Any] = model
                return found
        known = ", ".join(sorted(str(each["name"]) for each in models)) or "none"
        raise NotFoundError(f"the service has no model {name!r}", hint=f"its models: {known}")

    def watch(self, name: str) -> Iterator[dict[str, Any]]:
        """The model's numbers, twice a second, for ever."""
        while True:
            yield self.model(name)
            time.sleep(_PERIOD_S)

    def change(self, model: str, action: str, body: dict[str, Any]) -> None:
        """Have something done. Raises PiaccelError with the service's reason when it refuses."""
        self._ask(f"/v2/repository/models/{quote(model, safe='')}/{action}", json.dumps(body).encode(), CHANGE_S)

    def _ask(self, path: str, body: bytes | None, timeout_s: float) -> bytes:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self.url + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                data: bytes = answer.read()
                return data
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error.code, error.read(1 << 16), path) from error
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise UnavailableError(
                f"no service answers at {self.url}: {getattr(reason, 'strerror', None) or reason}",
                hint="start one with 'piaccel serve REPO', or say where it is: --url http://HOST:8000",
            ) from error


def _refusal(status: int, body: bytes, path: str) -> PiaccelError:
    try:
        said = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        said = f"it answers {status}"
    scope = "read" if path == "/v2/service" else "admin"
    if status == 401:
        return PiaccelError(
            f"the service wants a key: {said}",
            hint=f"one with the scope {scope}: --key KEY or the variable PIACCEL_KEY",
        )
    if status == 403 and path != "/v2/service":
        return PiaccelError(
            f"the service does not allow it: {said}",
            hint="it needs a key with the scope admin, and a service started with --repository-api",
        )
    if status == 403:
        return PiaccelError(f"the service does not allow it: {said}", hint="it needs a key with the scope read")
    return PiaccelError(said)
