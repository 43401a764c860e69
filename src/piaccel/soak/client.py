"""Questions to a service over the network: the Open Inference Protocol's REST, binary tensors or a picture.

Source: kserve/open-inference-protocol, specification/protocol/inference_rest.md; triton-inference-server/server,
docs/protocol/extension_binary_data.md. ``/predict`` is piaccel's own.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

import numpy as np

from piaccel.errors import InferenceError, ModelError, NotFoundError, OptionError, UnavailableError

TIMEOUT_S = 60.0
_DTYPES = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
_BUSY = (429, 503)


@dataclass(frozen=True)
class Target:
    """A model of a service."""

    scheme: str
    host: str
    port: int
    path: str
    """``/v2/models/NAME``, with ``/versions/N`` where one is asked for."""

    @classmethod
    def parse(cls, url: str, model: str | None = None) -> Target:
        """Read http://HOST:PORT/v2/models/NAME, or http://HOST:PORT with ``model``. Raises OptionError."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise OptionError(f"{url!r} is not a URL: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise OptionError(f"{url!r} is not a URL", hint="write it as http://HOST:8000/v2/models/NAME")
        path = parts.path.rstrip("/")
        named = path.startswith("/v2/models/") and len(path.split("/")) in (4, 6)
        if not named and path not in ("", "/v2"):
            raise OptionError(f"{url!r} names no model", hint="write it as http://HOST:8000/v2/models/NAME")
        if not named and not model:
            raise OptionError(f"{url} is a service: which of its models?", hint="add --model NAME")
        if named and model and unquote(path.split("/")[3]) != model:
            raise OptionError(f"--model {model} is not the model of {url}")
        whole = path if named else f"/v2/models/{quote(model or '', safe='')}"
        return cls(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), whole)

    @property
    def name(self) -> str:
        return unquote(self.path.split("/")[3])

    @property
    def is_here(self) -> bool:
        """Whether the service runs on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class Client:
    """One connection that is kept; call it to ask the question it was given. Not for several threads."""

    def __init__(self, target: Target, key: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self._target = target
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(target.host, target.port, timeout=timeout_s)
        self._question: tuple[str, bytes, dict[str, str]] | None = None

    def metadata(self) -> dict[str, Any]:
        """What the service says of the model. Raises NotFoundError, UnavailableError, InferenceError, ModelError."""
        answer = self._send("GET", self._target.path, b"", {})
        try:
            document = json.loads(answer)
        except ValueError as error:
            raise ModelError(f"{self._target.path}: the metadata is not JSON") from error
        if not isinstance(document, dict) or not isinstance(document.get("inputs"), list):
            raise ModelError(f"{self._target.path}: the answer is no model's metadata")
        return document

    def ask_tensors(self, metadata: Mapping[str, Any], seed: int = 0) -> None:
        """Ask for inference on made-up tensors from now on: seeded noise of the shapes and types of the inputs."""
        rng = np.random.default_rng(seed)
        inputs, blobs = [], []
        for each in metadata["inputs"]:
            name, datatype = str(each.get("name")), str(each.get("datatype"))
            if datatype not in _DTYPES:
                raise ModelError(f"input {name} is {datatype}, which cannot be made up", hint="add --image FILE")
            shape = [max(int(size), 1) for size in each.get("shape", [])]  # -1 is a size that is free
            noise = rng.integers(0, 100, shape) if datatype not in ("FP16", "FP32", "FP64") else rng.random(shape)
            blob = noise.astype(_DTYPES[datatype]).tobytes()
            inputs.append(
                {"name": name, "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": len(blob)}}
            )
            blobs.append(blob)
        head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
        headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
        self._question = f"{self._target.path}/infer", b"".join([head, *blobs]), headers

    def ask_picture(self, image: bytes) -> None:
        """Ask what is in a picture, a JPEG, PNG or WebP file's bytes, from now on."""
        self._question = f"{self._target.path}/predict", image, {"Content-Type": "application/octet-stream"}

    def __call__(self) -> None:
        """Ask once. Raises UnavailableError where it is not reached or busy, InferenceError for another refusal."""
        assert self._question is not None, "call ask_tensors or ask_picture first"
        path, body, headers = self._question
        self._send("POST", path, body, headers)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        where = f"{self._target.scheme}://{self._target.host}:{self._target.port}"
        try:
            self._connection.request(method, path, body or None, {**self._headers, **headers})
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()  # the next request opens another
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise UnavailableError(
                f"{where} does not answer: {reason or type(error).__name__}", hint="is the service running?"
            ) from error
        if response.status == 200:
            return answer
        said = f"{path}: {response.status} {_message(answer) or response.reason}"
        if response.status in _BUSY:
            busy = UnavailableError(said)
            busy.retry_after_s = _seconds(response.headers.get("Retry-After"))
            raise busy
        if response.status == 404:
            raise NotFoundError(said)
        raise InferenceError(said)


def _message(answer: bytes) -> str:
    try:
        document = json.loads(answer)
    except ValueError:
        return ""
    return str(document.get("error", ""))[:200] if isinstance(document, dict) else ""


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isdecimal() else None
