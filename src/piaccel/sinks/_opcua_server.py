"""An OPC UA server that shows results and takes no orders. Runs in an asyncio loop."""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncua import Server, ua

from piaccel.errors import OptionError
from piaccel.sinks import Event
from piaccel.sinks._condition import Fault, best, faults

NAMESPACE = "urn:piaccel:results"
VARIABLES = {
    "label": ua.VariantType.String,
    "score": ua.VariantType.Double,
    "age_ms": ua.VariantType.Double,
    "late": ua.VariantType.Boolean,
    "fault": ua.VariantType.UInt16,
    "heartbeat": ua.VariantType.UInt32,
    "event": ua.VariantType.String,
    "sequence": ua.VariantType.UInt32,
}
"""Of each stream, in the order they are written: whoever waits for a new ``sequence`` finds the rest in place."""
_EMPTY: dict[ua.VariantType, Any] = {
    ua.VariantType.String: "",
    ua.VariantType.Double: math.nan,
    ua.VariantType.Boolean: False,
    ua.VariantType.UInt16: 0,
    ua.VariantType.UInt32: 0,
}
_GOOD = ua.StatusCodes.Good
_Value = tuple[Any, int]
"""A value and its status code."""


class ResultServer:
    """Variables of streams under Objects/piaccel, whose node ids ("ns=2;s=STREAM.label") outlive a restart."""

    def __init__(self) -> None:
        self._server = Server()
        self._namespace = 0
        self._folder: Any = None
        self._nodes: dict[str, dict[str, ua.NodeId]] = {}
        self._values: dict[str, dict[str, _Value]] = {}
        self._stamps: dict[str, datetime] = {}

    async def start(self, url: str, security: Mapping[str, str], streams: Sequence[str]) -> None:
        """Listen. ``security``: policy, certificate, private_key, trusted (a folder), or nothing for none."""
        server = self._server
        await server.init()
        server.set_endpoint(url)
        server.set_server_name("piaccel")
        # asyncua takes anybody who calls himself "admin" for one, without a password, unless told otherwise.
        server.allow_remote_admin(False)
        server.set_identity_tokens([ua.AnonymousIdentityToken])
        await server.set_application_uri(f"urn:{socket.gethostname()}:piaccel")
        if security:
            await self._secure(security)
        else:
            server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        self._namespace = await server.register_namespace(NAMESPACE)
        self._folder = await server.nodes.objects.add_folder(ua.NodeId("piaccel", self._namespace), "piaccel")
        for stream in streams:
            await self._add(stream)
        await server.start()

    async def stop(self) -> None:
        await self._server.stop()

    @property
    def sessions(self) -> int:
        server = self._server.bserver
        return 0 if server is None else len(server.clients)

    async def _secure(self, security: Mapping[str, str]) -> None:
        from asyncua.crypto.truststore import TrustStore
        from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions

        server = self._server
        try:
            await server.load_certificate(security["certificate"])
            await server.load_private_key(security["private_key"])
        except (ValueError, TypeError) as error:
            raise OptionError(f"opcua: the certificate or the private key is broken: {error}") from error
        # A client compares the certificate's URI with the server's.
        await server.set_application_uri(_uri(server.iserver.certificate, security["certificate"]))
        server.set_security_policy([ua.SecurityPolicyType[f"{security['policy']}_SignAndEncrypt"]])
        checks = CertificateValidatorOptions.BASIC_VALIDATION | CertificateValidatorOptions.PEER_CLIENT
        store = None
        if security["trusted"]:
            checks |= CertificateValidatorOptions.TRUSTED
            store = TrustStore([Path(security["trusted"])], [])
            await store.load()
        server.set_certificate_validator(CertificateValidator(checks, store))

    async def _add(self, stream: str) -> None:
        parent = await self._folder.add_object(ua.NodeId(stream, self._namespace), stream)
        nodes = self._nodes[stream] = {}
        self._values[stream] = {}
        self._stamps[stream] = datetime.now(UTC)
        for name, kind in VARIABLES.items():
            node_id = ua.NodeId(f"{stream}.{name}", self._namespace)
            node = await parent.add_variable(node_id, name, _EMPTY[kind], kind)
            nodes[name] = node.nodeid
            await self._write(stream, name, (_EMPTY[kind], ua.StatusCodes.BadWaitingForInitialData))
        await self.beat(stream, 0)

    async def show(self, event: Event, sequence: int, heartbeat: int) -> None:
        """Write all variables of an event's stream; they carry the time of the exposure."""
        stream = event.stream
        if stream not in self._nodes:
            await self._add(stream)
        self._stamps[stream] = datetime.fromtimestamp(event.at, UTC)
        for name, value in _values(event, sequence, heartbeat).items():
            await self._write(stream, name, value)

    async def beat(self, stream: str, heartbeat: int) -> None:
        await self._write(stream, "heartbeat", (heartbeat, _GOOD), datetime.now(UTC))

    async def spoil(self, stream: str) -> None:
        """Mark what is shown as old: nothing new came for too long."""
        for name, (value, _) in list(self._values[stream].items()):
            if name == "fault":
                await self._write(stream, name, (value | Fault.STALE, _GOOD), datetime.now(UTC))
            elif name != "heartbeat":
                await self._write(stream, name, (value, ua.StatusCodes.BadNoCommunication))

    async def _write(self, stream: str, name: str, value: _Value, at: datetime | None = None) -> None:
        self._values[stream][name] = value
        await self._server.write_attribute_value(
            self._nodes[stream][name],
            ua.DataValue(
                ua.Variant(value[0], VARIABLES[name]),
                ua.StatusCode(value[1]),
                SourceTimestamp=(at or self._stamps[stream]).replace(tzinfo=None),
                ServerTimestamp=datetime.now(UTC).replace(tzinfo=None),
            ),
        )


def _values(event: Event, sequence: int, heartbeat: int) -> dict[str, _Value]:
    """What the variables of a stream are after ``event``, in the order of ``VARIABLES``."""
    found = None if event.result is None else best(event.result)
    old = ua.StatusCodes.UncertainLastUsableValue if event.held else _GOOD
    none = ua.StatusCodes.BadNoData
    age_ms = math.nan if event.age_ns is None else event.age_ns / 1e6
    return {
        "label": (found.label if found else "", none if event.result is None else old),
        "score": (found.score if found else math.nan, old if found else none),
        "age_ms": (age_ms, none if event.age_ns is None else _GOOD),
        "late": (event.late, _GOOD),
        "fault": (int(faults(event)), _GOOD),
        "heartbeat": (heartbeat, _GOOD),
        "event": (json.dumps(event.to_dict()), old),
        "sequence": (sequence, _GOOD),
    }


def _uri(certificate: Any, path: str) -> str:
    """Return the URI of an application's certificate (OPC 10000-6, 6.2.2: it must have one)."""
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return str(names.get_values_for_type(x509.UniformResourceIdentifier)[0])
    except (x509.ExtensionNotFound, IndexError) as error:
        raise OptionError(
            f"opcua: {path} names no application URI",
            hint="an OPC UA certificate has a URI among its subject alternative names",
        ) from error
