"""The messages of gRPC, built from ``inference.binpb`` (compiled from ``inference.proto`` and ``health.proto``).

They live in a pool of their own: a program that also imports tritonclient or kserve, whose files declare the same names
in protobuf's default pool, meets no duplicate symbols.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

SERVICE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    found = descriptor_pb2.FileDescriptorSet.FromString(
        files("piaccel.serving").joinpath("inference.binpb").read_bytes()
    )
    pool = descriptor_pool.DescriptorPool()
    for file in found.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


@cache
def message(name: str) -> Any:
    """The class of a message: "ModelInferRequest", or a full name such as "grpc.health.v1.HealthCheckRequest"."""
    full = name if "." in name else f"inference.{name}"
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(full))


def methods(service: str) -> list[tuple[str, Any, Any, bool, bool]]:
    """(name, request class, response class, whether the client streams, whether the server streams) of a service."""
    found = _pool().FindServiceByName(service)
    return [
        (
            each.name,
            message(each.input_type.full_name),
            message(each.output_type.full_name),
            each.client_streaming,
            each.server_streaming,
        )
        for each in found.methods
    ]
