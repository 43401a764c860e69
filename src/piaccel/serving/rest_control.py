"""What operators ask over REST (repository, versions), and how numbers are told: statistics and health."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from piaccel.errors import ServiceError
from piaccel.serving.rest_routes import Route
from piaccel.serving.rest_tensors import parsed
from piaccel.serving.service import Service
from piaccel.serving.settings import Settings
from piaccel.serving.snapshot import ServiceNumbers, VersionNumbers

_Name = Annotated[str, msgspec.Meta(pattern=r"^(?!\.)[A-Za-z0-9._-]{1,128}$")]


class _Order(msgspec.Struct):
    """The body of every call; each reads what it needs."""

    ready: bool = False
    version: _Name | Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None
    label: _Name | None = None
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    parameters: dict[str, Any] = {}


_DECODER = msgspec.json.Decoder(_Order)


async def do(service: Service, route: Route, text: bytes) -> Any:
    """Do what the route says; return what is answered, None for an empty body. Raises ServiceError."""
    order = parsed(_DECODER, text) if text.strip() else _Order()
    if route.kind == "index":
        return service.index(order.ready)
    if not service.settings.server.repository_api:
        raise ServiceError("permission_denied", "the repository API is off", hint="piaccel serve --repository-api")
    model, version = route.model, "" if order.version is None else str(order.version)
    match route.kind:
        case "load":
            _no_override(order.parameters)
            await service.load(model, version)
            return None
        case "unload":
            await service.unload(model, version)
            return None
        case "promote":
            await service.promote(model, _needed(version, "version"))
            return {"model": model, "version": version}
        case "rollback":
            return {"model": model, "version": await service.rollback(model)}
        case "label":
            label = _needed(order.label or "", "label")
            await service.label(model, label, version, order.share)
            return {"model": model, "label": label, "version": version, "share": order.share}
        case "shadow":
            await service.shadow(model, version)
            return {"model": model, "version": version}
        case "release":
            await service.release(model, _needed(version, "version"))
            return {"model": model, "version": version}
    raise ServiceError("unsupported", f"{route.kind} is not offered")


def _needed(value: str, what: str) -> str:
    if not value:
        raise ServiceError("invalid_argument", f"the body must name a {what}, such as {{{what!r}: ...}}")
    return value


def _no_override(parameters: dict[str, Any]) -> None:
    if any(name == "config" or name.startswith("file:") for name in parameters):
        raise ServiceError(
            "unsupported", "a model is loaded as its bundle says: config and file: overrides are not offered"
        )


def statistics(rows: Sequence[tuple[str, VersionNumbers]]) -> dict[str, Any]:
    """The statistics extension (docs/protocol/extension_statistics.md); durations in ns, ``last_inference`` in ms."""

    def duration(count: int, ns: int) -> dict[str, int]:
        return {"count": count, "ns": ns}

    return {
        "model_stats": [
            {
                "name": model,
                "version": each.version,
                "last_inference": round((each.last_request_at or 0) * 1000),
                "inference_count": each.succeeded,
                "execution_count": each.runs,
                "inference_stats": {
                    "success": duration(each.succeeded, each.total_ns),
                    "fail": duration(sum(each.failed.values()), each.failed_ns),
                    "queue": duration(each.succeeded, each.queue_ns),
                    "compute_input": duration(each.succeeded, each.input_ns),
                    "compute_infer": duration(each.succeeded, each.infer_ns),
                    "compute_output": duration(each.succeeded, each.output_ns),
                    "cache_hit": duration(0, 0),
                    "cache_miss": duration(0, 0),
                },
                "response_stats": {},
                "batch_stats": [],
                "memory_usage": [],
            }
            for model, each in rows
        ]
    }


def health(numbers: ServiceNumbers) -> dict[str, Any]:
    """What ``ready?verbose`` adds: the reasons, the board, and every version's state."""
    return {
        "reasons": numbers.reasons,
        "draining": numbers.draining,
        "alarms": numbers.alarms,
        "throttled": numbers.throttled,
        "board": numbers.board,
        "disk_free_bytes": numbers.disk_free_bytes,
        "read_only": numbers.read_only,
        "models": [
            {
                "name": model.name,
                "ready": model.ready,
                "required": model.required,
                "serving": model.serving,
                "previous": model.previous,
                "swapping": model.swapping,
                "rung": model.rung,
                "versions": [
                    {
                        "version": each.version,
                        "state": each.state,
                        "stage": each.stage,
                        "reason": each.reason,
                        "variant": each.variant,
                        "queued": each.queued,
                        "golden_at": each.golden_at,
                    }
                    for each in model.versions
                ],
            }
            for model in numbers.models
        ],
        "happenings": numbers.happenings[:10],
    }


def folders(settings: Settings) -> list[bytes]:
    """The folders that no answer may name, with the slash after them; the longest first."""
    found = {os.path.abspath(settings.repository), os.path.abspath(settings.state_dir), os.getcwd()}
    found |= {os.path.realpath(each) for each in found}
    found = {os.path.expanduser("~"), *found} - {"/"}
    return [f"{each}/".encode() for each in sorted(found, key=len, reverse=True)]
