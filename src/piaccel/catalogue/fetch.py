"""Files over HTTP: resumed where they were cut, refused where they are not what the catalogue states."""

from __future__ import annotations

import http.client
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit, urlunsplit

from piaccel import files
from piaccel.catalogue.entries import RemoteFile
from piaccel.catalogue.parts import Part
from piaccel.errors import ChecksumError, OptionError, PiaccelError, UnavailableError
from piaccel.version import __version__

_CHUNK = 1 << 16
_RETRIED = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_PAUSE_S = 60.0
Progress = Callable[[RemoteFile, int], None]
"""Is told the file, and how many of its bytes are here."""


@dataclass(frozen=True)
class Network:
    """How servers are asked. Proxies are those of HTTP_PROXY, HTTPS_PROXY and NO_PROXY."""

    mirror: str = ""
    """A base that is asked instead of the files' own hosts, with their paths: https://mirror.example/models."""
    timeout_s: float = 20.0
    """How long a server may be silent, at the connection and between two bytes."""
    slowest_bytes_s: float = 512.0
    """A server that sends less than this over ``patience_s`` is left alone, as a silent one is."""
    patience_s: float = 30.0
    tries: int = 5
    """Requests in a row that bring next to nothing before an address is given up."""
    pause_s: float = 1.0
    """Before the second try; doubled for each one after it."""
    tell: Callable[[str], None] | None = None
    """Is told what went wrong where it is tried again."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.mirror)
        if "@" in parts.netloc:
            raise OptionError("--mirror holds a user or a password", hint="a mirror of the catalogue needs no secret")
        if self.mirror and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise OptionError(
                f"--mirror {self.mirror!r} is not an address", hint="such as https://mirror.example/models"
            )

    def open(self, request: urllib.request.Request) -> Any:
        """Ask a server, through the proxies that the environment names now; return its answer, to be closed."""
        return urllib.request.build_opener(_Redirects()).open(request, timeout=self.timeout_s)

    def address(self, url: str) -> str:
        """Return ``url``, or what stands for it on the mirror: the mirror's base and the path of ``url``."""
        if not self.mirror:
            return url
        base, path = urlsplit(self.mirror), urlsplit(url)
        return urlunsplit((base.scheme, base.netloc, base.path.rstrip("/") + path.path, path.query, ""))


def fetch(file: RemoteFile, folder: Path, network: Network, progress: Progress | None = None) -> Path:
    """Bring ``file`` into ``folder`` and return its path; what an earlier call left of it is gone on with.

    Raises ChecksumError where an address gave another file than the catalogue's and no other gave the right one,
    UnavailableError naming every address that was asked and why it did not give it, WriteError. What came is kept, but
    for a wrong file.
    """
    whole = folder / file.name
    if whole.is_file() and files.sha256(whole) == file.sha256:
        return whole
    refusals: list[UnavailableError | ChecksumError] = []
    with Part(folder, file) as part:
        for url in dict.fromkeys(network.address(url) for url in file.urls):
            try:
                return _from(url, part, file, network, progress)
            except (UnavailableError, ChecksumError) as error:
                refusals.append(error)
                if network.tell and url != network.address(file.urls[-1]):
                    network.tell(f"{error}; the next address is asked")
    wrong = [each for each in refusals if isinstance(each, ChecksumError)]
    if wrong:
        raise wrong[0]
    hint = "what came so far is kept: the same command goes on from there" if part.size else refusals[0].hint
    raise UnavailableError("; ".join(map(str, refusals)), hint=hint)


def _from(url: str, part: Part, file: RemoteFile, network: Network, progress: Progress | None) -> Path:
    resumed, failures = part.size > 0, 0
    while True:
        before = part.size
        try:
            if part.size < file.size:
                resumed = _ask(url, part, file, network, progress) or resumed
        except _Passing as failure:
            failures = 1 if part.size >= before + _CHUNK else failures + 1
            if failures >= network.tries:
                raise UnavailableError(f"{url}: {failure}", hint=_HINT) from failure
            pause_s = max(failure.pause_s, min(network.pause_s * 2 ** (failures - 1), _LONGEST_PAUSE_S))
            if network.tell:
                network.tell(f"{url}: {failure}; once more in {pause_s:g} s")
            time.sleep(pause_s)
            continue
        if resumed and part.sha256 != file.sha256:  # the parts do not belong together: once more, whole
            resumed = False
            part.restart()
            continue
        return part.finish()


_HINT = "is the network up? behind a proxy set HTTPS_PROXY; for a mirror of your own: --mirror URL"


class _Passing(Exception):
    """What may be better at the next try, after a pause if the server asked for one."""

    def __init__(self, why: str, pause_s: float = 0.0) -> None:
        super().__init__(why)
        self.pause_s = pause_s


def _ask(url: str, part: Part, file: RemoteFile, network: Network, progress: Progress | None) -> bool:
    """Bring the rest of the file; return whether it was added to a part that was here."""
    request = urllib.request.Request(
        url, headers={"User-Agent": f"piaccel/{__version__}", "Accept-Encoding": "identity"}
    )
    validator = part.validator(url)
    if validator:
        request.add_header("Range", f"bytes={part.size}-")
        request.add_header("If-Range", validator)
    try:
        with network.open(request) as answer:
            resumed = _continues(answer, part, file)
            if not resumed:
                _check_length(answer, file, url)
                part.begin(url, _validator(answer))
            _receive(answer, part, file, network, progress)
    except urllib.error.HTTPError as error:
        with error:
            _refused(error, part, url)
    except PiaccelError:
        raise
    except (http.client.HTTPException, OSError) as error:
        raise _broken(error, url, network) from error
    if part.size < file.size:
        raise _Passing(f"the connection ended after {part.size} of {file.size} bytes")
    return resumed


def _broken(error: Exception, url: str, network: Network) -> Exception:
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return UnavailableError(
            f"{url}: its certificate is not trusted: {reason.verify_message}",
            hint="is the clock right? an authority of your own is named by SSL_CERT_FILE",
        )
    if isinstance(reason, TimeoutError):
        return _Passing(f"it was silent for {network.timeout_s:g} s")
    return _Passing(getattr(reason, "strerror", None) or str(reason) or type(reason).__name__)


def _continues(answer: Any, part: Part, file: RemoteFile) -> bool:
    """Whether the answer is the rest of what is here; a server without ranges sends all from the start."""
    if answer.status != 206:
        return False
    if re.fullmatch(rf"bytes {part.size}-{file.size - 1}/{file.size}", answer.headers.get("Content-Range", "")):
        return True
    part.restart()
    raise _Passing("it sent another range than the one that was asked for")


def _check_length(answer: Any, file: RemoteFile, url: str) -> None:
    length = answer.headers.get("Content-Length")
    if length is not None and length.isdecimal() and int(length) != file.size:
        raise ChecksumError(
            f"{url} has {length} bytes, the catalogue states {file.size} and sha256 {file.sha256}",
            hint="this is not the file: it was replaced, or a proxy or a mirror answered with another one",
        )


def _receive(answer: Any, part: Part, file: RemoteFile, network: Network, progress: Progress | None) -> None:
    since, before = time.monotonic(), part.size
    while part.size < file.size:
        if progress:
            progress(file, part.size)
        data = answer.read1(_CHUNK)
        if not data:
            return
        part.add(data)
        passed = time.monotonic() - since
        if passed > network.patience_s:
            if part.size - before < network.slowest_bytes_s * passed:
                raise _Passing(f"it sent {part.size - before} bytes in {passed:.0f} s")
            since, before = time.monotonic(), part.size
    if progress:
        progress(file, part.size)


def _validator(answer: Any) -> str:
    """A strong ETag, else the date; a weak ETag does not promise the same bytes (RFC 9110, 13.1.5)."""
    etag = str(answer.headers.get("ETag", ""))
    return etag if etag.startswith('"') else str(answer.headers.get("Last-Modified", ""))


def _refused(error: urllib.error.HTTPError, part: Part, url: str) -> None:
    if error.code == 416:  # of a part that is longer than the file there
        part.restart()
        raise _Passing("it has no such range") from error
    if error.code in _RETRIED:
        after = error.headers.get("Retry-After", "")
        pause_s = min(float(after), _LONGEST_PAUSE_S) if after.isdecimal() else 0.0
        raise _Passing(f"it answers {error.code} {error.reason}", pause_s) from error
    if error.code in (301, 302, 303, 307, 308):
        to = error.headers.get("Location", "nowhere")
        raise UnavailableError(f"{url}: it sends on to {to}, which is not followed any more", hint=_HINT) from error
    hint = (
        "the file is not at its address any more; a newer piaccel may know the new one" if error.code == 404 else _HINT
    )
    raise UnavailableError(f"{url}: it answers {error.code} {error.reason}", hint=hint) from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    """A few redirects, and never from https to something that others can read and change."""

    max_redirections = 5
    max_repeats = 2

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        schemes = ("https",) if req.type == "https" else ("http", "https")
        if urlsplit(newurl).scheme not in schemes:
            fp.close()
            raise UnavailableError(f"{req.full_url} sends on to {newurl}, which is not {' or '.join(schemes)}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
