"""The server that is checked: asked with nothing but the standard library."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any
from urllib.parse import quote, urlsplit

SIZES = {
    "BOOL": 1, "UINT8": 1, "INT8": 1, "UINT16": 2, "INT16": 2, "FP16": 2, "BF16": 2, "UINT32": 4, "INT32": 4,
    "FP32": 4, "UINT64": 8, "INT64": 8, "FP64": 8, "BYTES": 4,
}  # fmt: skip
"""Bytes of an element; of BYTES, an empty one."""


@dataclass(frozen=True)
class Answer:
    """A response over HTTP; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def __str__(self) -> str:
        return f"{self.status} {self.body[:160].decode(errors='replace')}".strip()


@dataclass(frozen=True)
class Given:
    """An input that the suite makes: zeros."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def raw(self) -> bytes:
        return bytes(SIZES[self.datatype] * prod(self.shape))

    @property
    def flat(self) -> list[Any]:
        zero: Any = {"BOOL": False, "BYTES": ""}.get(self.datatype, 0)
        if self.datatype.startswith("FP"):
            zero = 0.0
        return [zero] * prod(self.shape)

    @property
    def nested(self) -> Any:
        made: Any = self.flat
        for size in reversed(self.shape[1:]):
            made = [made[at : at + size] for at in range(0, len(made), size)]
        return made

    def described(self, **more: Any) -> dict[str, Any]:
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape), **more}


@dataclass
class Site:
    """Where the server is, which model is asked, and what is known of them."""

    url: str
    model: str = ""
    grpc: str = ""
    timeout_s: float = 10.0
    key: str = ""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    own_inputs: tuple[Given, ...] = ()
    extensions: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[Given, ...] = ()

    def connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url if "//" in self.url else f"http://{self.url}")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=self.timeout_s)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        connection: http.client.HTTPConnection | None = None,
        chunked: bool = False,
    ) -> Answer:
        """Send exactly these headers (with Host and Content-Length); no content type is made up."""
        used = connection or self.connect()
        try:
            used.putrequest(method, "/" + path, skip_accept_encoding=True)
            for name, value in {**({"X-API-Key": self.key} if self.key else {}), **(headers or {})}.items():
                used.putheader(name, value)
            if chunked:
                used.putheader("Transfer-Encoding", "chunked")
                used.endheaders(body, encode_chunked=True)
            else:
                if body is not None and "content-length" not in {name.lower() for name in headers or {}}:
                    used.putheader("Content-Length", str(len(body)))
                used.endheaders(body)
            got = used.getresponse()
            return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
        finally:
            if connection is None:
                used.close()

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, document: Any, **headers: str) -> Answer:
        data = json.dumps(document).encode()
        return self.ask("POST", path, data, {name.replace("_", "-"): value for name, value in headers.items()})

    def path(self, tail: str = "", *, model: str | None = None, version: str = "") -> str:
        name = quote(self.model if model is None else model, safe="")
        middle = f"/versions/{quote(version, safe='')}" if version else ""
        return f"v2/models/{name}{middle}" + (f"/{tail}" if tail else "")

    def document(self, *, nested: bool = False, **more: Any) -> dict[str, Any]:
        """A request of zeros in JSON."""
        inputs = [each.described(data=each.nested if nested else each.flat) for each in self.inputs]
        return {"inputs": inputs, **more}

    def binary(self, document: Mapping[str, Any] | None = None, **more: Any) -> tuple[bytes, int]:
        """A request of zeros in binary: the body, and how long its JSON is."""
        blobs = [each.raw for each in self.inputs]
        inputs = [
            each.described(parameters={"binary_data_size": len(blob)})
            for each, blob in zip(self.inputs, blobs, strict=True)
        ]
        header = json.dumps(document or {"inputs": inputs, **more}).encode()
        return header + b"".join(blobs), len(header)

    def post_binary(self, body: bytes, length: int | str, **headers: str) -> Answer:
        return self.ask(
            "POST",
            self.path("infer"),
            body,
            {
                "Content-Type": "application/octet-stream",
                "Inference-Header-Content-Length": str(length),
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )

    @property
    def version(self) -> str:
        """A version of the model, "" where none is named."""
        versions = self.metadata.get("versions")
        return str(versions[-1]) if isinstance(versions, list) and versions else ""

    @property
    def output_names(self) -> list[str]:
        return [each["name"] for each in self.metadata.get("outputs") or []]

    def learn(self) -> str:
        """Read what the server and the model say of themselves; return what is lacking, "" when the suite can run.

        Raises OSError when nobody answers.
        """
        server = self.get("v2")
        self.extensions = tuple(_field(server, "extensions", list) or ())
        if not self.model:
            index = self.ask("POST", "v2/repository/index", b"")
            rows = index.json() if index.status == 200 and index.body.startswith(b"[") else []
            self.model = next((row["name"] for row in rows if row.get("state", "READY") == "READY"), "")
            if not self.model:
                return "no model can be found: name one, as in oip-check URL MODEL"
        answer = self.get(self.path())
        self.metadata = answer.json() if answer.status == 200 and answer.body.startswith(b"{") else {}
        inputs = list(self.own_inputs)
        for each in [] if inputs else self.metadata.get("inputs") or []:
            shape = self.shapes.get(each["name"], tuple(each["shape"]))
            if shape and shape[0] < 0:
                shape = (1, *shape[1:])
            if any(size < 0 for size in shape):
                return f"input {each['name']!r} has free sizes {each['shape']}: give --shape {each['name']}:1,..."
            if each["datatype"] not in SIZES:
                return f"input {each['name']!r} has an unknown datatype {each['datatype']!r}"
            inputs.append(Given(each["name"], each["datatype"], shape))
        self.inputs = tuple(inputs)
        if not inputs:
            return f"{self.model!r} describes no inputs: give --input NAME:DATATYPE:SHAPE"
        return ""


def _field(answer: Answer, name: str, kind: type) -> Any:
    try:
        found = answer.json().get(name) if answer.status == 200 else None
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, kind) else None
