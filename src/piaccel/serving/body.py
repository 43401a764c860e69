"""A request's body, collected once and never longer than allowed: as sent, as declared and after decompression."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from piaccel.errors import ServiceError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_WINDOWS = {
    b"gzip": (16 + zlib.MAX_WBITS,),
    b"x-gzip": (16 + zlib.MAX_WBITS,),
    b"deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS),
}


class DisconnectedError(Exception):
    """The client went away before its request was whole: nobody is left to answer."""


async def collect(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> bytes:
    """Return the body, decompressed where ``Content-Encoding`` says so. Raises ServiceError (too_large,
    invalid_argument) and DisconnectedError."""
    declared = headers.get(b"content-length", b"0")
    if not declared.isdigit() or len(declared) > 19:
        raise ServiceError("invalid_argument", "Content-Length is no number")
    if int(declared) > limit:
        raise _too_large(limit)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise DisconnectedError
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        body = await _rest(receive, body, limit)
    if len(body) > limit:
        raise _too_large(limit)
    encoding = headers.get(b"content-encoding")
    return _decompressed(body, encoding.strip().lower(), limit) if encoding else body


async def _rest(receive: Receive, first: bytes, limit: int) -> bytes:
    """One buffer that grows, not a list of chunks: 3 MB may come in chunks of one byte."""
    whole = bytearray(first)
    more = True
    while more:
        if len(whole) > limit:
            raise _too_large(limit)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        whole += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(whole)


def _decompressed(body: bytes, encoding: bytes, limit: int) -> bytes:
    if encoding == b"identity":
        return body
    windows = _WINDOWS.get(encoding)
    if windows is None:
        raise ServiceError("invalid_argument", "Content-Encoding is neither gzip nor deflate")
    for window in windows:
        opener = zlib.decompressobj(window)
        try:
            whole = opener.decompress(body, limit + 1)
        except zlib.error:
            continue
        if len(whole) > limit:
            raise _too_large(limit)
        if opener.eof and not opener.unused_data:
            return whole
    raise ServiceError("invalid_argument", "the body is not what Content-Encoding says, or it is cut off")


def compressed(body: bytes, encoding: bytes) -> bytes:
    """``body`` as gzip or deflate, fast rather than small."""
    packer = zlib.compressobj(1, zlib.DEFLATED, _WINDOWS[encoding][0])
    return packer.compress(body) + packer.flush()


def _too_large(limit: int) -> ServiceError:
    return ServiceError("too_large", f"the body is longer than {limit} bytes", hint="see max_body in [server]")
