"""What OpenCV does not tell of a network camera: why it cannot be opened. Messages hold no user, password or query."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
from urllib.parse import unquote, urlsplit

_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_REFUSED = {
    401: ("the camera asks for a user and a password, or refuses those given (401)", "SCHEME://USER:PASSWORD@HOST/..."),
    403: ("the camera forbids this to the user (403)", "SCHEME://USER:PASSWORD@HOST/..."),
    404: ("the camera has no such path (404)", "look up the stream's path in the camera's manual"),
}


def without_secrets(url: str) -> str:
    """Return scheme, host, port and path only."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a URL that is none"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.scheme else parts.path


def why_not(url: str, timeout_s: float) -> tuple[str, str]:
    """Ask the camera itself and return (reason, hint)."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    except ValueError:
        return "its port is no number", "write rtsp://HOST:PORT/PATH"
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            status = _rtsp_status(connection, url) if parts.scheme == "rtsp" else None
        if parts.scheme in ("http", "https"):
            status = _http_status(url, host, port, timeout_s)
    except socket.gaierror:
        return f"the name {host} is not known", "check the name, or give the camera's address"
    except TimeoutError:
        return f"{host}:{port} does not answer within {timeout_s:g} s", "check the address, the cable and the network"
    except (OSError, http.client.HTTPException) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        return f"{host}:{port} cannot be reached: {reason}", "check the port, and that the camera streams"
    if status in _REFUSED:
        reason, hint = _REFUSED[status]
        return reason, hint.replace("SCHEME", parts.scheme)
    if status is not None and status >= 400:
        return f"the camera refuses with status {status}", ""
    return "answers, but gives no video that OpenCV can read", "look at it with ffplay"


def _credentials(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    if not parts.username:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def _rtsp_status(connection: socket.socket, url: str) -> int | None:
    parts = urlsplit(url)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    headers = {"CSeq": "1", "Accept": "application/sdp", **_credentials(url)}
    lines = [f"DESCRIBE {address} RTSP/1.0", *(f"{key}: {value}" for key, value in headers.items()), "", ""]
    connection.sendall("\r\n".join(lines).encode())
    words = connection.recv(4096).split(maxsplit=2)
    return int(words[1]) if len(words) > 1 and words[0].startswith(b"RTSP/") and words[1].isdigit() else None


def _http_status(url: str, host: str, port: int, timeout_s: float) -> int:
    parts = urlsplit(url)
    if parts.scheme == "https":
        # As FFmpeg does by default: cameras have certificates of their own making.
        context = ssl._create_unverified_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, port, timeout=timeout_s, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", parts._replace(scheme="", netloc="").geturl() or "/", headers=_credentials(url))
        return connection.getresponse().status
    finally:
        connection.close()
