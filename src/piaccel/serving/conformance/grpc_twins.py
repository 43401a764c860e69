"""The same over gRPC, where ``--grpc`` is given and grpcio is installed.

Sources: kserve/open-inference-protocol, specification/protocol/inference_grpc.md; Triton's grpc_service.proto.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from piaccel.serving.conformance.site import Site
from piaccel.serving.conformance.suite import FailedError, SkippedError, check, expect

_SOURCE = "OIP gRPC"
_MAX_BYTES = 256 << 20


def call(site: Site, method: str, request: Any = None, *, service: str = "", **fields: Any) -> Any:
    """Call it; raises grpc.RpcError, SkippedError without gRPC."""
    if not site.grpc:
        raise SkippedError("no --grpc HOST:PORT was given")
    try:
        import grpc  # type: ignore[import-untyped]

        from piaccel.serving import grpc_messages
    except ImportError:
        raise SkippedError("grpcio is not installed: pip install 'piaccel[grpc]'") from None
    full = service or grpc_messages.SERVICE
    asks, answers, many = next(each[1:4] for each in grpc_messages.methods(full) if each[0] == method)
    limits = [("grpc.max_receive_message_length", _MAX_BYTES), ("grpc.max_send_message_length", _MAX_BYTES)]
    metadata = (("x-api-key", site.key),) if site.key else ()
    given = request if request is not None else asks(**fields)
    with grpc.insecure_channel(site.grpc, options=limits) as channel:
        kind = channel.stream_stream if many else channel.unary_unary
        stub = kind(
            f"/{full}/{method}", request_serializer=asks.SerializeToString, response_deserializer=answers.FromString
        )
        answer = stub(iter([given]) if many else given, timeout=site.timeout_s, metadata=metadata)
        return list(answer) if many else answer


def answered(site: Site, method: str, request: Any = None, **fields: Any) -> Any:
    """The answer of a call that must succeed."""
    try:
        return call(site, method, request, **fields)
    except Exception as error:
        if not hasattr(error, "code") or not hasattr(error, "details"):
            raise
        raise FailedError(f"{error.code().name}: {error.details()}"[:300]) from None


def refused(site: Site, codes: tuple[str, ...], method: str, request: Any = None, **fields: Any) -> str:
    """The status of a call that must fail with one of these."""
    try:
        call(site, method, request, **fields)
    except Exception as error:
        if not hasattr(error, "code") or not hasattr(error, "details"):
            raise
        found = f"{error.code().name}: {error.details()}"[:300]
        expect(error.code().name in codes, found)
        return found
    raise FailedError("it was answered")


def infer_request(site: Site, **fields: Any) -> Any:
    if not site.grpc:
        raise SkippedError("no --grpc HOST:PORT was given")
    try:
        from piaccel.serving import grpc_messages
    except ImportError:
        raise SkippedError("protobuf is not installed: pip install 'piaccel[grpc]'") from None
    request = grpc_messages.message("ModelInferRequest")(**{"model_name": site.model, "id": "7", **fields})
    for each in site.inputs:
        request.inputs.add(name=each.name, datatype=each.datatype, shape=each.shape)
        request.raw_input_contents.append(each.raw)
    return request


@check("grpc.live", "ServerLive", _SOURCE)
def _(site: Site) -> None:
    expect(answered(site, "ServerLive").live, "live: false")


@check("grpc.ready", "ServerReady", _SOURCE)
def _(site: Site) -> None:
    expect(answered(site, "ServerReady").ready, "ready: false")


@check("grpc.model_ready", "ModelReady", _SOURCE)
def _(site: Site) -> None:
    expect(answered(site, "ModelReady", name=site.model).ready, "ready: false")


@check("grpc.server", "ServerMetadata has a name and a version", _SOURCE)
def _(site: Site) -> None:
    found = answered(site, "ServerMetadata")
    expect(found.name and found.version, str(found))


@check("grpc.metadata", "ModelMetadata is the one of REST", _SOURCE)
def _(site: Site) -> None:
    found = answered(site, "ModelMetadata", name=site.model)
    names = [each.name for each in found.inputs], [each["name"] for each in site.metadata.get("inputs") or []]
    expect(found.name == site.model and names[0] == names[1], str(names))


@check("grpc.version", "ModelMetadata of a version", _SOURCE)
def _(site: Site) -> None:
    answered(site, "ModelMetadata", name=site.model, version=site.version)


@check("grpc.raw", "raw in gives raw out, one entry for each output", _SOURCE)
def _(site: Site) -> None:
    found = answered(site, "ModelInfer", infer_request(site))
    expect(len(found.raw_output_contents) == len(found.outputs) > 0, f"{len(found.raw_output_contents)} raw outputs")


@check("grpc.id", "the answer has the request's id", _SOURCE)
def _(site: Site) -> None:
    found = answered(site, "ModelInfer", infer_request(site)).id
    expect(found == "7", f"id: {found!r}")


@check("grpc.typed", "typed contents are taken", _SOURCE)
def _(site: Site) -> None:
    fields = {
        "FP32": "fp32_contents", "FP64": "fp64_contents", "BOOL": "bool_contents", "INT64": "int64_contents",
        "UINT64": "uint64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
        "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    }  # fmt: skip
    request = infer_request(site)
    if any(each.datatype not in fields for each in site.inputs):
        raise SkippedError("an input has no typed contents of numbers")
    del request.raw_input_contents[:]
    for tensor, each in zip(request.inputs, site.inputs, strict=True):
        getattr(tensor.contents, fields[each.datatype]).extend(each.flat)
    expect(answered(site, "ModelInfer", request).outputs, "no outputs")


def _added(name: str, says: str, codes: tuple[str, ...], spoil: Callable[[Any], object]) -> None:
    @check(f"grpc.{name}", f"{says} is {' or '.join(codes)}", _SOURCE)
    def _(site: Site) -> str:
        request = infer_request(site)
        spoil(request)
        return refused(site, codes, "ModelInfer", request)


_BAD = ("INVALID_ARGUMENT",)
_added("raw_count", "a raw entry too many", _BAD, lambda request: request.raw_input_contents.append(b""))
_added("mixed", "contents beside raw contents", _BAD, lambda request: request.inputs[0].contents.int_contents.append(1))
_added(
    "raw_length",
    "raw contents of a wrong length",
    _BAD,
    lambda request: request.raw_input_contents[0:1] and request.raw_input_contents.__setitem__(0, b"123"),
)
_added("unknown_input", "an unknown input", _BAD, lambda request: setattr(request.inputs[0], "name", "no-such-input"))
_added(
    "unknown_model",
    "infer of an unknown model",
    ("NOT_FOUND",),
    lambda request: setattr(request, "model_name", "no-such-model"),
)


@check("grpc.unknown_metadata", "ModelMetadata of an unknown model is NOT_FOUND", _SOURCE)
def _(site: Site) -> str:
    return refused(site, ("NOT_FOUND",), "ModelMetadata", name="no-such-model")


@check("grpc.stream", "a stream answers each request", "grpc_service.proto", extension="statistics")
def _(site: Site) -> None:
    found = answered(site, "ModelStreamInfer", infer_request(site))
    expect(len(found) == 1 and not found[0].error_message, str(found)[:200])


@check("grpc.index", "RepositoryIndex says READY, as a plain word", "grpc_service.proto", extension="model_repository")
def _(site: Site) -> None:
    states = [each.state for each in answered(site, "RepositoryIndex").models if each.name == site.model]
    expect("READY" in states, str(states))


@check("grpc.config", "ModelConfig names the model", "grpc_service.proto", extension="model_configuration")
def _(site: Site) -> None:
    expect(answered(site, "ModelConfig", name=site.model).config.name == site.model, "another name")


@check("grpc.statistics", "ModelStatistics lists the model", "grpc_service.proto", extension="statistics")
def _(site: Site) -> None:
    names = [each.name for each in answered(site, "ModelStatistics", name=site.model).model_stats]
    expect(site.model in names, str(names))
