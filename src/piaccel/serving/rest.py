"""The Open Inference Protocol over HTTP, with Triton's extensions and ours: an ASGI application.

Sources: kserve/open-inference-protocol, specification/protocol/inference_rest.md; triton-inference-server/server,
docs/protocol, src/http_server.cc (statuses).
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from piaccel.errors import ServiceError
from piaccel.serving import body, picture_size, rest_control, rest_routes, rest_tensors
from piaccel.serving.access import Access
from piaccel.serving.body import DisconnectedError, Message, Receive, Scope, Send
from piaccel.serving.messages import Bytes, PictureRequest
from piaccel.serving.origin import Hosts, is_foreign
from piaccel.serving.rest_routes import Route
from piaccel.serving.service import EXTENSIONS, Service
from piaccel.serving.settings import Settings
from piaccel.version import __version__

STATUS = {
    "invalid_argument": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "too_large": 413,
    "resource_exhausted": 429,
    "internal": 500,
    "unsupported": 501,
    "unavailable": 503,
    "deadline_exceeded": 504,
}
_JSON = (b"content-type", b"application/json")
_OCTETS = (b"content-type", b"application/octet-stream")
_JPEG = (b"content-type", b"image/jpeg")
_CODINGS = (b"gzip", b"deflate")
_SMALLEST_COMPRESSED = 512
_LARGEST_JOINED = 65536
_LARGEST_RESULT_HEADER = 4096
_NO_TRACE: Mapping[str, str] = {}
_encode = msgspec.json.Encoder().encode
_log = logging.getLogger("piaccel")


class Dashboard(Protocol):
    """Who answers outside /v2."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer and return True, or return False for a path that is not its own."""


class Answer:
    """A response before it is sent; ``version`` is the one that answered."""

    __slots__ = ("headers", "parts", "status", "version")

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], parts: list[Bytes], version: str = "") -> None:
        self.status = status
        self.version = version
        self.headers = headers
        self.parts = parts


class App:
    """Answers for ``service`` whom ``access`` lets in. ``metrics`` gives the text of ``GET /metrics``."""

    def __init__(
        self,
        service: Service,
        access: Access,
        *,
        dashboard: Dashboard | None = None,
        metrics: Callable[[], str | bytes] | None = None,
    ) -> None:
        self.service = service
        self.access = access
        self.dashboard = dashboard
        self.metrics = metrics
        self.on_answer: Callable[..., None] | None = None
        """Called after each answer as ``log.Log.request`` is; the version is who answered, else who was asked."""
        server = service.settings.server
        self._limit = server.max_body_bytes
        self._hosts = Hosts((server.host, *server.names))
        self._folders = rest_control.folders(service.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        begun = time.monotonic_ns()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        route = rest_routes.read(scope.get("raw_path") or scope["path"].encode())
        name = _identity(headers.get(b"x-request-id"))
        key = ""
        try:
            key = self._admit(route, scope, headers)
            if route.kind == "other":
                answer = await self._other(scope, headers, receive, send)
            else:
                answer = await self._answer(route, scope, headers, receive, begun, name)
        except ServiceError as error:
            answer = self._refusal(error)
        except DisconnectedError:
            return
        except asyncio.CancelledError:
            if scope.get("cancellable"):  # by the client's going away, see limits.py
                return
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the client learns only that it happened
            _log.exception("a request failed: %s", route.kind)
            answer = _said(500, "internal error")
        if answer is not None:
            if name:
                answer.headers.append((b"x-request-id", name.encode()))
            await _send(answer, headers.get(b"accept-encoding"), send)
            if self.on_answer is not None:
                self.on_answer(
                    status=answer.status,
                    ms=(time.monotonic_ns() - begun) / 1e6,
                    model=route.model,
                    version=answer.version or route.version,
                    request_id=name,
                    key=key,
                )

    def _admit(self, route: Route, scope: Scope, headers: Mapping[bytes, bytes]) -> str:
        """The name of the key that was given. Raises ServiceError for whoever may not ask this."""
        if not self.access.asked and not self._hosts.know(headers.get(b"host", b"localhost")):
            raise ServiceError("permission_denied", "this host name is not served here")
        if scope["method"] != "GET" and is_foreign(headers):
            raise ServiceError("permission_denied", "a page of another origin may not ask this")
        if route.kind in ("other", "missing", "bad_name", "unsupported"):
            return ""
        if self.access.asked:
            wanted = rest_routes.SCOPES.get(route.kind, ("admin",))
            if route.kind == "ready" and scope["query_string"]:
                wanted = ("read",)
            if wanted:
                return self.access.check(_token(headers), wanted)
        return ""

    async def _other(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, send: Send) -> Answer | None:
        if self.metrics is not None and scope["path"] == "/metrics" and scope["method"] == "GET":
            self.access.check(_token(headers), ("read",))
            text = self.metrics()
            data = text.encode() if isinstance(text, str) else text
            return Answer(200, [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")], [data])
        if self.dashboard is not None and await self.dashboard.handle(scope, receive, send):
            return None
        return _said(404, "Not Found")

    async def _answer(
        self, route: Route, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, begun: int, name: str
    ) -> Answer:
        kind = route.kind
        if kind == "missing":
            return _said(404, "Not Found")
        if kind == "bad_name":
            raise ServiceError("invalid_argument", "a name has up to 128 letters, digits, '.', '_' and '-'")
        if kind == "unsupported":
            raise ServiceError("unsupported", "this extension is not offered")
        if scope["method"] != route.method:
            refused = _said(405, "Method Not Allowed")
            refused.headers.append((b"allow", route.method.encode()))
            return refused
        if kind == "infer":
            return await self._infer(route, scope, headers, receive, begun, name)
        if kind == "predict":
            return await self._predict(route, scope, headers, receive, begun, name)
        if route.method == "POST":
            text = await body.collect(receive, headers, self._limit)
            done = await rest_control.do(self.service, route, text)
            return Answer(200, [_JSON], [self._scrubbed(_encode(done)) if done is not None else b""])
        return self._look(route, scope)

    async def _infer(
        self, route: Route, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, begun: int, name: str
    ) -> Answer:
        whole = await body.collect(receive, headers, self._limit)
        length = _header_length(headers)
        if length == 0:
            inputs = self.service.metadata(route.model, route.version)["inputs"]
            request, form = rest_tensors.decode_raw(route.model, route.version, whole, inputs)
        else:
            request, form = rest_tensors.decode(route.model, route.version, whole, length)
        request.id = request.id or name
        request.deadline_ns = _deadline(headers, form.timeout_us, begun)
        request.trace = _trace(headers)
        scope["cancellable"] = True
        response = await self.service.infer(request)
        scope["cancellable"] = False
        json_length, parts = rest_tensors.encode(response, form)
        if json_length is None:
            return Answer(200, [_JSON], parts, response.version)
        length_header = (b"inference-header-content-length", b"%d" % json_length)
        return Answer(200, [_OCTETS, length_header], parts, response.version)

    async def _predict(
        self, route: Route, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, begun: int, name: str
    ) -> Answer:
        image = await body.collect(receive, headers, self._limit)
        found = picture_size.size(image)
        if found is None:
            raise ServiceError("invalid_argument", "the body is no JPEG, PNG or WebP")
        if found[0] * found[1] > picture_size.MAX_PIXELS:
            raise ServiceError(
                "too_large", f"the picture has {found[0]}x{found[1]} pixels, more than {picture_size.MAX_PIXELS}"
            )
        request = PictureRequest(
            model=route.model,
            version=route.version,
            id=name,
            image=image,
            annotate=_flag(scope, b"annotate"),
            deadline_ns=_deadline(headers, 0, begun),
            trace=_trace(headers),
        )
        scope["cancellable"] = True
        response = await self.service.predict(request)
        scope["cancellable"] = False
        document: dict[str, Any] = {"model_name": response.model, "model_version": response.version}
        if response.id:
            document["id"] = response.id
        document |= {"result": response.result, "parameters": response.parameters, "times_ms": response.times_ms}
        if response.picture is None:
            return Answer(200, [_JSON], [_encode(document)], response.version)
        if b"application/json" in headers.get(b"accept", b""):
            document["picture"] = b64encode(response.picture).decode()
            return Answer(200, [_JSON], [_encode(document)], response.version)
        said = json.dumps(document, separators=(",", ":")).encode()
        told = [(b"x-piaccel-result", said)] if len(said) <= _LARGEST_RESULT_HEADER else []
        return Answer(200, [_JPEG, *told], [response.picture], response.version)

    def _look(self, route: Route, scope: Scope) -> Answer:
        """Everything that only reads."""
        service, model, version = self.service, route.model, route.version
        status = 200
        document: Any = None
        match route.kind:
            case "server":
                document = {"name": service.settings.server.name, "version": __version__, "extensions": EXTENSIONS}
            case "live":
                status, document = (200 if service.live() else 400), {"live": service.live()}
            case "ready":
                status, document = (200 if service.ready() else 400), self._readiness(_flag(scope, b"verbose"))
            case "model_ready":
                ready = service.model_ready(model, version)
                document = {"name": model, "ready": ready}
                if not ready:
                    status, document = 400, {**document, "error": "Model version not ready"}
            case "metadata":
                document = service.metadata(model, version)
            case "config":
                document = service.config(model, version)
            case "stats":
                document = rest_control.statistics(service.numbers(model, version))
            case "service":
                document = service.snapshot()
        return Answer(status, [_JSON], [self._scrubbed(_encode(document))])

    def _readiness(self, verbose: bool) -> dict[str, Any]:
        found: dict[str, Any] = {"live": self.service.live(), "ready": self.service.ready()}
        if not found["ready"]:
            found["error"] = "; ".join(self.service.reasons()) or "not ready"
        return found | rest_control.health(self.service.snapshot()) if verbose else found

    def _refusal(self, error: ServiceError) -> Answer:
        answer = _said(STATUS.get(error.kind, 400), error.message)
        answer.parts = [self._scrubbed(bytes(part)) for part in answer.parts]
        wait_s = 1.0 if error.retry_after_s is None and answer.status == 503 else error.retry_after_s
        if wait_s is not None:
            answer.headers.append((b"retry-after", b"%d" % max(1, math.ceil(wait_s))))
        if error.kind == "unauthenticated":
            answer.headers.append((b"www-authenticate", b"Bearer"))
        return answer

    def _scrubbed(self, text: bytes) -> bytes:
        """Without the folders in which we work: where the files are is nobody's business."""
        for folder in self._folders:
            text = text.replace(folder, b"")
        return text


def server_config(settings: Settings) -> dict[str, Any]:
    """The options of ``uvicorn.Config`` for this application. Raises OptionError for a certificate that is none."""
    from piaccel.serving import limits  # loads uvicorn

    return limits.options(settings)


def _said(status: int, message: str) -> Answer:
    return Answer(status, [_JSON], [_encode({"error": message})])


async def _send(answer: Answer, asked: bytes | None, send: Send) -> None:
    parts, headers = answer.parts, answer.headers
    length = sum(map(len, parts))
    if asked in _CODINGS and length > _SMALLEST_COMPRESSED:
        # A list of codings is what clients send unasked; compressing would cost the board more than the wire saves.
        parts = [body.compressed(b"".join(parts), asked)]
        length = len(parts[0])
        headers.append((b"content-encoding", asked))
    headers.append((b"content-length", b"%d" % length))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if length <= _LARGEST_JOINED:
        await send({"type": "http.response.body", "body": b"".join(parts)})
        return
    last = len(parts) - 1
    for number, part in enumerate(parts):
        message: Message = {"type": "http.response.body", "body": part, "more_body": number < last}
        await send(message)


def _token(headers: Mapping[bytes, bytes]) -> bytes | None:
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key")


def _identity(given: bytes | None) -> str:
    """An X-Request-Id that may be sent back and logged; "" for none, or one that may not."""
    if given is None or len(given) > 128 or not given.isascii():
        return ""
    text = given.decode()
    return text if text.isprintable() else ""


def _header_length(headers: Mapping[bytes, bytes]) -> int | None:
    given = headers.get(b"inference-header-content-length")
    if given is None:
        return None
    if not given.isdigit() or len(given) > 19:
        raise ServiceError("invalid_argument", "Inference-Header-Content-Length is no number")
    return int(given)


def _deadline(headers: Mapping[bytes, bytes], timeout_us: int, begun: int) -> int | None:
    """The earlier of the request's own time-out and the header's, on the monotonic clock; None without either."""
    ends = [begun + timeout_us * 1000] if timeout_us else []
    given = headers.get(b"x-request-timeout-ms")
    if given is not None:
        if not given.isdigit() or len(given) > 12:
            raise ServiceError("invalid_argument", "X-Request-Timeout-Ms is no number of milliseconds")
        ends.append(begun + int(given) * 1_000_000)
    return min(ends, default=None)


def _trace(headers: Mapping[bytes, bytes]) -> Mapping[str, str]:
    if b"traceparent" not in headers:
        return _NO_TRACE
    return {
        name.decode(): headers[name].decode("latin-1") for name in (b"traceparent", b"tracestate") if name in headers
    }


def _flag(scope: Scope, name: bytes) -> bool:
    """Whether the query has ``name``, alone or with a value that is not 0 or false."""
    for part in scope["query_string"].split(b"&"):
        key, _, value = part.partition(b"=")
        if key == name:
            return value.lower() not in (b"0", b"false")
    return False
