"""Results to an HTTP server, one POST each: ``webhook:https://host/path,secret_file=FILE``.

Signed as standardwebhooks.com describes it (symmetric signature, version 1): any of its libraries can verify it.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from piaccel.errors import InputError, OptionError, UnavailableError
from piaccel.sinks import Event, Options, Sink, _network
from piaccel.version import __version__

_LATER = (408, 425, 429)
"""Refusals of a request that may be sent again; every other 4xx is meant for good."""
_LONGEST_WAIT_S = 3600.0
_MOST_OF_ANSWER = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class WebhookOptions(Options):
    secret_file: str = ""
    """Its first line signs the requests; else it is PIACCEL_WEBHOOK_SECRET; without one they are not signed."""
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 10.0
    ca_file: str = ""
    """The authority that signed the server's certificate (PEM); "" is the system's."""
    proxy: str = ""
    """The proxy to go through, http://HOST:PORT; what the environment says of proxies does not count."""


class Webhook(Sink):
    """An event is sent when the server answered 2xx; one that it refuses for good (4xx) is given up."""

    options = WebhookOptions

    def __init__(self, target: str, options: Options, clock: Callable[[], float] = time.time) -> None:
        super().__init__(target, options)
        assert isinstance(options, WebhookOptions)
        self._options = options
        self._clock = clock
        form = "write webhook:https://HOST/PATH"
        try:
            url = urlsplit(target)
            port = url.port
        except ValueError as error:
            raise OptionError("webhook: the address is not one", hint=form) from error
        if url.scheme not in ("http", "https") or not url.hostname or port == 0:
            raise OptionError("webhook: the address is not one", hint=form)
        if url.username is not None or url.password is not None:
            raise OptionError(
                "webhook: an address with a user or a password would be seen by all users of this board",
                hint="have the server verify the signature: secret_file=FILE",
            )
        if options.connect_timeout_s <= 0 or options.read_timeout_s <= 0:
            raise OptionError("webhook: a timeout must be more than 0s")
        self._where = f"{url.scheme}://{url.netloc}"
        self._shown = f"webhook:{self._where}{url.path}"
        self._url = url._replace(fragment="").geturl()
        self._pool: Any = None
        self._key = b""

    def open(self) -> None:
        """Prepare connections; the server is asked nothing before the first event."""
        try:
            import urllib3
        except ImportError as error:
            raise OptionError("webhook needs urllib3", hint="pip install 'piaccel[webhook]'") from error
        self.close()
        chosen = self._options
        self._key = _key(_network.secret("webhook", chosen.secret_file, "PIACCEL_WEBHOOK_SECRET"))
        settings: dict[str, Any] = {
            "maxsize": 1,
            "retries": False,
            "timeout": urllib3.Timeout(connect=chosen.connect_timeout_s, read=chosen.read_timeout_s),
        }
        if self._url.startswith("https:"):
            settings["ssl_context"] = _network.tls("webhook", chosen.ca_file)
        elif chosen.ca_file:
            raise OptionError("webhook: ca_file is for TLS", hint="write webhook:https://HOST/PATH")
        if chosen.proxy:
            try:
                self._pool = urllib3.ProxyManager(chosen.proxy, **settings)
            except (ValueError, urllib3.exceptions.HTTPError) as error:
                raise OptionError("webhook: the proxy is not an address", hint="proxy=http://HOST:PORT") from error
        else:
            self._pool = urllib3.PoolManager(**settings)

    def deliver(self, event: Event) -> None:
        from urllib3.exceptions import HTTPError, ReadTimeoutError
        from urllib3.util import Retry

        if self._pool is None:
            raise UnavailableError(f"{self._where}: not open")
        body = msgspec.json.encode(event.to_dict())
        try:
            answer = self._pool.request(
                "POST",
                self._url,
                body=body,
                headers=self._headers(event.id, body),
                redirect=False,
                preload_content=False,
            )
            with contextlib.closing(answer):
                text = answer.read(_MOST_OF_ANSWER, decode_content=False)  # if that is all, the connection is kept
        except ReadTimeoutError as error:
            raise UnavailableError(f"{self._where}: no answer within {self._options.read_timeout_s:g} s") from error
        except (HTTPError, OSError) as error:
            raise _network.unreachable(error, self._where) from error
        if 200 <= answer.status < 300:
            return
        said = f"{self._where} answers {answer.status}{_first_line(text)}"
        if 300 <= answer.status < 400:
            raise UnavailableError(f"{said}: redirects are not followed", hint="write the address that it leads to")
        if answer.status < 500 and answer.status not in _LATER:
            raise InputError(f"{said}: the event is given up", hint=_hint(answer.status))
        later = UnavailableError(said)
        with contextlib.suppress(HTTPError):  # urllib3's InvalidHeader: neither seconds nor a date
            wait_s = Retry().get_retry_after(answer)
            later.retry_after_s = None if wait_s is None else min(wait_s, _LONGEST_WAIT_S)
        raise later

    def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.clear()

    def __str__(self) -> str:
        return self._shown

    def _headers(self, event_id: str, body: bytes) -> dict[str, str]:
        # the standard parts what it signs by full stops: an id with one would make the signature ambiguous
        stamp, message_id = str(int(self._clock())), event_id.replace(".", "_")
        headers = {
            "content-type": "application/json",
            "user-agent": f"piaccel/{__version__}",
            "idempotency-key": message_id,
            "webhook-id": message_id,
            "webhook-timestamp": stamp,
        }
        if self._key:
            headers["webhook-signature"] = f"v1,{signature(self._key, message_id, stamp, body)}"
        return headers


def signature(key: bytes, message_id: str, stamp: str, body: bytes) -> str:
    """HMAC-SHA256 over ``id.timestamp.body``, in base64."""
    signed = b".".join((message_id.encode(), stamp.encode(), body))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _key(secret: str) -> bytes:
    """A secret that begins with "whsec_" is base64, as the standard writes it; any other is taken as it is."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise OptionError("webhook: what follows whsec_ in the secret is not base64") from error
    if not key:
        raise OptionError("webhook: nothing follows whsec_ in the secret")
    return key


def _first_line(text: bytes) -> str:
    line = text.decode("utf-8", "replace").strip().partition("\n")[0].strip()[:100]
    return f" ({line})" if line.isprintable() and line else ""


def _hint(status: int) -> str:
    if status in (401, 403):
        return "does the server know the same secret, and is this board's clock right?"
    return "is the path right?" if status in (404, 405) else ""
