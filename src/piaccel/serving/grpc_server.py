"""The Open Inference Protocol over gRPC, with Triton's extensions and gRPC's own health check. Loads grpc.

Sources: kserve/open-inference-protocol, specification/protocol/inference_grpc.md; triton-inference-server/server,
docs/protocol; grpc/grpc, doc/health-checking.md; grpc/proposal, A6 (pushback).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.protobuf import json_format  # type: ignore[import-untyped]

from piaccel.errors import ServiceError, UnavailableError
from piaccel.serving import grpc_tensors, repository, rest_control
from piaccel.serving.access import Access, Scope
from piaccel.serving.grpc_messages import HEALTH, SERVICE, message, methods
from piaccel.serving.rest import STATUS as HTTP_STATUS
from piaccel.serving.service import EXTENSIONS, Service
from piaccel.serving.settings import Settings
from piaccel.version import __version__

STATUS = {
    "invalid_argument": grpc.StatusCode.INVALID_ARGUMENT,
    "unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
    "permission_denied": grpc.StatusCode.PERMISSION_DENIED,
    "not_found": grpc.StatusCode.NOT_FOUND,
    "too_large": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "resource_exhausted": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "internal": grpc.StatusCode.INTERNAL,
    "unsupported": grpc.StatusCode.UNIMPLEMENTED,
    "unavailable": grpc.StatusCode.UNAVAILABLE,
    "deadline_exceeded": grpc.StatusCode.DEADLINE_EXCEEDED,
}
SCOPES: dict[str, tuple[Scope, ...]] = {
    "ServerLive": (),
    "ServerReady": (),
    "ServerMetadata": (),
    "ModelReady": ("infer", "read"),
    "ModelMetadata": ("infer", "read"),
    "ModelConfig": ("infer", "read"),
    "ModelInfer": ("infer",),
    "ModelStreamInfer": ("infer",),
    "ModelStatistics": ("read",),
    "RepositoryIndex": ("read",),
}
"""As over REST: one of these is needed; what is not listed needs admin."""
_FRAMING_BYTES = 65536
_WATCH_S = 0.5
_TRACE = ("traceparent", "tracestate")
_log = logging.getLogger("piaccel")


class Server:
    """Made by ``start``."""

    def __init__(self, server: Any, port: int) -> None:
        self._server = server
        self.port = port

    async def stop(self, grace_s: float) -> None:
        """Take no more calls; those under way have ``grace_s``. Idempotent."""
        await self._server.stop(grace_s)


async def start(
    service: Service, settings: Settings, access: Access, on_answer: Callable[..., None] | None = None
) -> Server:
    """Listen at ``settings.server.host`` and ``grpc_port`` (0: any free one). Raises UnavailableError.

    ``on_answer`` is called after each answer as ``log.Log.request`` is, with the status that REST would give.
    """
    told = settings.server
    longest = told.max_body_bytes + _FRAMING_BYTES
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", longest),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
            ("grpc.max_metadata_size", 16384),
            ("grpc.max_concurrent_streams", told.connections),
        ]
    )
    calls = Calls(service, access, on_answer)
    for name in (SERVICE, HEALTH):
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, calls.handlers(name)),))
    host = f"[{told.host}]" if ":" in told.host else told.host
    address = f"{host}:{told.grpc_port or 0}"
    try:
        if told.tls_cert and told.tls_key:
            pair = (Path(told.tls_key).read_bytes(), Path(told.tls_cert).read_bytes())
            port = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        else:
            port = server.add_insecure_port(address)
    except (RuntimeError, OSError) as error:
        await server.stop(None)
        raise UnavailableError(
            f"{address} cannot be listened on", hint="choose another --grpc-port, or end what listens there"
        ) from error
    await server.start()
    return Server(server, port)


class Calls:
    """One method for each call of the protocol, by its name."""

    def __init__(self, service: Service, access: Access, on_answer: Callable[..., None] | None = None) -> None:
        self._on_answer = on_answer
        self._service = service
        self._access = access
        self._folders = [each.decode() for each in rest_control.folders(service.settings)]

    def handlers(self, service: str) -> dict[str, Any]:
        """What grpc calls; a call that is not listed is UNIMPLEMENTED."""
        found: dict[str, Any] = {}
        for name, request, response, takes_many, gives_many in methods(service):
            kind = ("stream" if takes_many else "unary") + "_" + ("stream" if gives_many else "unary")
            work = getattr(self, name)
            guarded = self._guarded_stream(name, work) if gives_many else self._guarded(name, work)
            make = getattr(grpc, f"{kind}_rpc_method_handler")
            found[name] = make(
                guarded, request_deserializer=request.FromString, response_serializer=response.SerializeToString
            )
        return found

    def _guarded(self, name: str, work: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
        async def guarded(request: Any, context: Any) -> Any:
            begun, status, answer, key = time.monotonic_ns(), 500, None, ""
            try:
                key = self._admit(name, context)
                answer = await work(request, context)
                status = 200
                return answer
            except ServiceError as error:
                status = HTTP_STATUS.get(error.kind, 400)
                await self._refuse(context, error)
            except asyncio.CancelledError:  # the client went away: there is no answer to tell of
                status = 0
                raise
            except grpc.aio.AbortError:
                raise
            except Exception:  # noqa: BLE001 - whatever it is, the client learns only that it happened
                _log.exception("a request failed: %s", name)
                await context.abort(grpc.StatusCode.INTERNAL, "internal error")
            finally:
                self._tell(request, answer, status, begun, key)

        return guarded

    def _guarded_stream(
        self, name: str, work: Callable[[Any, Any], AsyncIterator[Any]]
    ) -> Callable[[Any, Any], AsyncIterator[Any]]:
        async def guarded(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                self._admit(name, context)
                async for answer in work(request, context):
                    yield answer
            except ServiceError as error:
                await self._refuse(context, error)
            except Exception:  # noqa: BLE001 - as above
                _log.exception("a request failed: %s", name)
                await context.abort(grpc.StatusCode.INTERNAL, "internal error")

        return guarded

    def _admit(self, name: str, context: Any) -> str:
        wanted = () if name in ("Check", "Watch") else SCOPES.get(name, ("admin",))
        if self._access.asked and wanted:
            given = dict(context.invocation_metadata() or ())
            scheme, _, token = str(given.get("authorization", "")).partition(" ")
            return self._access.check(token.strip() if scheme.lower() == "bearer" else given.get("x-api-key"), wanted)
        return ""

    def _tell(self, request: Any, answer: Any, status: int, begun: int, key: str) -> None:
        """Say what became of a request; an answer's "model_version" is who gave it."""
        if self._on_answer is None or not status:
            return
        asked = getattr(request, "model_version", "") or getattr(request, "version", "")
        self._on_answer(
            status=status,
            ms=(time.monotonic_ns() - begun) / 1e6,
            model=getattr(request, "model_name", "") or getattr(request, "name", ""),
            version=getattr(answer, "model_version", "") or asked,
            request_id=getattr(request, "id", ""),
            key=key,
        )

    async def _refuse(self, context: Any, error: ServiceError) -> None:
        trailing: tuple[tuple[str, str], ...] = ()
        if error.retry_after_s is not None:
            trailing = (("grpc-retry-pushback-ms", str(max(0, round(error.retry_after_s * 1000)))),)
        await context.abort(STATUS.get(error.kind, grpc.StatusCode.UNKNOWN), self._told(error), trailing)

    def _told(self, error: ServiceError) -> str:
        text = str(error)
        for folder in self._folders:
            text = text.replace(folder, "")
        return text

    async def ServerLive(self, request: Any, context: Any) -> Any:
        return message("ServerLiveResponse")(live=self._service.live())

    async def ServerReady(self, request: Any, context: Any) -> Any:
        return message("ServerReadyResponse")(ready=self._service.ready())

    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        name = self._service.settings.server.name
        return message("ServerMetadataResponse")(name=name, version=__version__, extensions=EXTENSIONS)

    async def ModelReady(self, request: Any, context: Any) -> Any:
        return message("ModelReadyResponse")(ready=self._service.model_ready(request.name, request.version))

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        _check(request.name, request.version)
        return message("ModelMetadataResponse")(**self._service.metadata(request.name, request.version))

    async def ModelConfig(self, request: Any, context: Any) -> Any:
        _check(request.name, request.version)
        config = self._service.config(request.name, request.version)
        answer = message("ModelConfigResponse")()
        json_format.ParseDict({"config": config}, answer, ignore_unknown_fields=True)
        return answer

    async def ModelStatistics(self, request: Any, context: Any) -> Any:
        if request.name:
            _check(request.name, request.version)
        told = rest_control.statistics(self._service.numbers(request.name, request.version))
        answer = message("ModelStatisticsResponse")()
        json_format.ParseDict(told, answer, ignore_unknown_fields=True)
        return answer

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:
        _one_repository(request)
        return message("RepositoryIndexResponse")(models=self._service.index(request.ready))

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        self._control(request)
        if any(name == "config" or name.startswith("file:") for name in request.parameters):
            raise ServiceError(
                "unsupported", "a model is loaded as its bundle says: config and file: overrides are not offered"
            )
        await self._service.load(request.model_name)
        return message("RepositoryModelLoadResponse")()

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:
        self._control(request)
        await self._service.unload(request.model_name)
        return message("RepositoryModelUnloadResponse")()

    def _control(self, request: Any) -> None:
        if not self._service.settings.server.repository_api:
            raise ServiceError("permission_denied", "the repository API is off")
        _one_repository(request)
        repository.check_name(request.model_name)

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        return await self._infer(request, context)

    async def _infer(self, given: Any, context: Any) -> Any:
        begun, remaining_s = time.monotonic_ns(), context.time_remaining()
        _check(given.model_name, given.model_version)
        request, timeout_us = grpc_tensors.decode(given)
        limits = [timeout_us / 1e6] if timeout_us else []
        if remaining_s is not None:
            limits.append(remaining_s)
        if limits:
            # a client without a deadline has one in 292 years
            request.deadline_ns = begun + round(min(*limits, 1e9) * 1e9)
        request.trace = {name: text for name, text in context.invocation_metadata() or () if name in _TRACE}
        response = await self._service.infer(request)
        return grpc_tensors.encode(response, raw=bool(given.raw_input_contents) or not given.inputs)

    async def ModelStreamInfer(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        """One answer to each request, in their order; an error belongs to its request and ends nothing."""
        async for given in requests:
            begun, key = time.monotonic_ns(), ""
            try:
                key = self._admit("ModelStreamInfer", context)
                answer = await self._infer(given, context)
            except ServiceError as error:
                self._tell(given, None, HTTP_STATUS.get(error.kind, 400), begun, key)
                failed = message("ModelInferResponse")(
                    model_name=given.model_name, model_version=given.model_version, id=given.id
                )
                yield message("ModelStreamInferResponse")(error_message=self._told(error), infer_response=failed)
            else:
                self._tell(given, answer, 200, begun, key)
                yield message("ModelStreamInferResponse")(infer_response=answer)

    async def Check(self, request: Any, context: Any) -> Any:
        status = self._health(request.service)
        if status == "SERVICE_UNKNOWN":
            raise ServiceError("not_found", "unknown service")
        return message("grpc.health.v1.HealthCheckResponse")(status=status)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        before = ""
        while not self._service.draining or before != "NOT_SERVING":
            status = self._health(request.service)
            if status != before:
                yield message("grpc.health.v1.HealthCheckResponse")(status=status)
                before = status
            await asyncio.sleep(_WATCH_S)

    def _health(self, name: str) -> str:
        if name not in ("", SERVICE, HEALTH):
            return "SERVICE_UNKNOWN"
        return "SERVING" if self._service.ready() else "NOT_SERVING"


def _check(model: str, version: str) -> None:
    repository.check_name(model)
    if version:
        repository.check_name(version)


def _one_repository(request: Any) -> None:
    if request.repository_name:
        raise ServiceError("unsupported", "there is one repository, and it has no name")
