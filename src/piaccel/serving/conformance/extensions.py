"""Triton's extensions over REST; each is checked where the server claims it.

Source: triton-inference-server/server, docs/protocol/extension_*.md.
"""

from __future__ import annotations

import gzip
import json
import zlib
from math import prod
from typing import Any

from piaccel.serving.conformance.core import answered, infer, json_can, version_of
from piaccel.serving.conformance.errors import refused, shaped
from piaccel.serving.conformance.site import SIZES, Answer, Site
from piaccel.serving.conformance.suite import SkippedError, check, expect

_BINARY, _REPOSITORY = "extension_binary_data.md", "extension_model_repository.md"
_STATS, _CONFIG = "extension_statistics.md", "extension_model_configuration.md"
_STATES = ("READY", "UNAVAILABLE", "LOADING", "UNLOADING", "UNKNOWN", "")


def parts(answer: Answer) -> tuple[dict[str, Any], bytes]:
    """The JSON and the blobs of a binary answer."""
    expect(answer.status == 200, str(answer))
    length = answer.headers.get("inference-header-content-length")
    expect(length is not None, f"no Inference-Header-Content-Length: {answer}")
    size = int(length or 0)
    document: dict[str, Any] = json.loads(answer.body[:size])
    return document, answer.body[size:]


@check("binary.refused", "without the extension a binary request is refused in the protocol's shape", "OIP REST, Error")
def _(site: Site) -> str:
    if "binary_tensor_data" in site.extensions:
        raise SkippedError("the server claims binary_tensor_data")
    answer = site.post_binary(*site.binary())
    return str(answer) if answer.status == 200 else shaped(answer)


@check("binary.both", "tensors go in and out as bytes", _BINARY, extension="binary_tensor_data")
def _(site: Site) -> None:
    document, blobs = parts(site.post_binary(*site.binary(parameters={"binary_data_output": True})))
    sizes = [each["parameters"]["binary_data_size"] for each in document["outputs"]]
    expect(sum(sizes) == len(blobs), f"sizes {sizes}, {len(blobs)} bytes")


@check("binary.sizes", "binary_data_size fits datatype and shape", _BINARY, extension="binary_tensor_data")
def _(site: Site) -> None:
    document, _ = parts(site.post_binary(*site.binary(parameters={"binary_data_output": True})))
    for each in document["outputs"]:
        size = each["parameters"]["binary_data_size"]
        wanted = SIZES[each["datatype"]] * prod(each["shape"])
        expect(size == wanted or (each["datatype"] == "BYTES" and size >= wanted), json.dumps(each))


@check("binary.in", "bytes in, JSON out unless asked otherwise", _BINARY, extension="binary_tensor_data")
def _(site: Site) -> None:
    found = answered(site.post_binary(*site.binary()))
    expect(all("data" in each for each in found["outputs"]), str(found)[:200])


@check("binary.out", "JSON in, bytes out", _BINARY, extension="binary_tensor_data")
def _(site: Site) -> None:
    json_can(site)
    answer = site.post(
        site.path("infer"), site.document(parameters={"binary_data_output": True}), Content_Type="application/json"
    )
    expect(all("data" not in each for each in parts(answer)[0]["outputs"]), str(answer))


@check("binary.one_output", "binary_data asks for one output as bytes", _BINARY, extension="binary_tensor_data")
def _(site: Site) -> None:
    wish = [{"name": site.output_names[0], "parameters": {"binary_data": True}}]
    expect("data" not in parts(site.post_binary(*site.binary(outputs=wish)))[0]["outputs"][0], "data in JSON")


@check(
    "binary.override", "binary_data of an output overrides binary_data_output", _BINARY, extension="binary_tensor_data"
)
def _(site: Site) -> None:
    wish = [{"name": site.output_names[0], "parameters": {"binary_data": False}}]
    body, length = site.binary(outputs=wish, parameters={"binary_data_output": True})
    answer = site.post_binary(body, length)
    expect("data" in answered(answer)["outputs"][0], str(answer))


@check("binary.type", "no Content-Type is needed: the header's length decides", _BINARY, extension="binary_tensor_data")
def _(site: Site) -> None:
    body, length = site.binary()
    answered(site.ask("POST", site.path("infer"), body, {"inference-header-content-length": str(length)}))


@check("binary.same", "bytes and JSON give the same numbers of elements", _BINARY, extension="binary_tensor_data")
def _(site: Site) -> None:
    by_bytes = [each["shape"] for each in answered(site.post_binary(*site.binary()))["outputs"]]
    by_json = [each["shape"] for each in infer(site)["outputs"]]
    expect(by_bytes == by_json, f"{by_bytes} {by_json}")


@check("binary.raw", "a header's length of 0: the body is the only input", _BINARY, extension="binary_tensor_data")
def _(site: Site) -> None:
    if len(site.inputs) != 1 or site.inputs[0].datatype == "BYTES":
        raise SkippedError("only for models with one input of numbers")
    document, _ = parts(site.post_binary(site.inputs[0].raw, 0))
    expect(document["outputs"], str(document))


for _label, _length in (("long", "9999999"), ("negative", "-1"), ("word", "many")):

    @check(
        f"binary.header_{_label}",
        f"Inference-Header-Content-Length: {_length} is refused with a 4xx",
        _BINARY,
        extension="binary_tensor_data",
    )
    def _(site: Site, length: str = _length) -> str:
        return refused(site.post_binary(site.binary()[0], length))


@check(
    "binary.short", "fewer bytes than binary_data_size are refused with a 4xx", _BINARY, extension="binary_tensor_data"
)
def _(site: Site) -> str:
    body, length = site.binary()
    return refused(site.post_binary(body[:-1], length))


@check(
    "binary.wrong_size",
    "a binary_data_size that does not fit the shape is refused with a 4xx",
    _BINARY,
    extension="binary_tensor_data",
)
def _(site: Site) -> str:
    inputs = [each.described(parameters={"binary_data_size": len(each.raw) + 1}) for each in site.inputs]
    body, length = site.binary({"inputs": inputs})
    return refused(site.post_binary(body + b"\0" * len(inputs), length))


@check("binary.gzip", "Content-Encoding: gzip is taken, or refused as 415", _BINARY, extension="binary_tensor_data")
def _(site: Site) -> str:
    body, length = site.binary()
    answer = site.post_binary(gzip.compress(body), length, Content_Encoding="gzip")
    expect(answer.status in (200, 415), str(answer))
    return str(answer.status)


@check(
    "binary.deflate", "Content-Encoding: deflate is taken, or refused as 415", _BINARY, extension="binary_tensor_data"
)
def _(site: Site) -> str:
    body, length = site.binary()
    answer = site.post_binary(zlib.compress(body), length, Content_Encoding="deflate")
    expect(answer.status in (200, 415), str(answer))
    return str(answer.status)


@check(
    "classification.bytes",
    'the answer is BYTES "value:index[:label]"',
    "extension_classification.md",
    extension="classification",
)
def _(site: Site) -> None:
    wish = [{"name": site.output_names[0], "parameters": {"classification": 1}}]
    found = infer(site, outputs=wish)["outputs"][0]
    text = found["data"]
    while isinstance(text, list):
        text = text[0]
    value, index = text.split(":")[:2]
    expect(found["datatype"] == "BYTES" and int(index) >= 0 and float(value) is not None, str(found))


@check(
    "schedule.timeout",
    "a timeout in us that is met changes nothing",
    "extension_schedule_policy.md",
    extension="schedule_policy",
)
def _(site: Site) -> None:
    infer(site, parameters={"timeout": 20_000_000})


@check("schedule.priority", "priority 1 is taken", "extension_schedule_policy.md", extension="schedule_policy")
def _(site: Site) -> None:
    infer(site, parameters={"priority": 1})


def index(site: Site, body: bytes = b"") -> list[dict[str, str]]:
    found = answered(site.ask("POST", "v2/repository/index", body))
    expect(isinstance(found, list), str(found)[:200])
    rows: list[dict[str, str]] = found
    return rows


@check(
    "repository.empty_body",
    "the index is given for an empty body (Triton's client sends one)",
    _REPOSITORY,
    extension="model_repository",
)
def _(site: Site) -> None:
    index(site)


@check("repository.body", "the index is given for {}", _REPOSITORY, extension="model_repository")
def _(site: Site) -> None:
    index(site, b"{}")


@check("repository.listed", "the index lists the model", _REPOSITORY, extension="model_repository")
def _(site: Site) -> None:
    names = [row["name"] for row in index(site, b"{}")]
    expect(site.model in names, str(names))


@check("repository.states", "states are the protocol's words", _REPOSITORY, extension="model_repository")
def _(site: Site) -> None:
    states = [row.get("state", "") for row in index(site, b"{}")]
    expect(all(state in _STATES for state in states), str(states))


@check("repository.ready", '{"ready": true} lists only what is ready', _REPOSITORY, extension="model_repository")
def _(site: Site) -> None:
    rows = index(site, b'{"ready": true}')
    expect(all(row.get("state", "READY") == "READY" for row in rows), str(rows))


@check("repository.load_unknown", "loading an unknown model is refused", _REPOSITORY, extension="model_repository")
def _(site: Site) -> str:
    return shaped(site.post("v2/repository/models/no-such-model/load", {}))


@check(
    "repository.unload",
    "an unloaded model stays in the index as UNAVAILABLE, and is not ready",
    _REPOSITORY,
    extension="model_repository",
    admin=True,
)
def _(site: Site) -> None:
    answer = site.post(f"v2/repository/models/{site.model}/unload", {"parameters": {"unload_dependents": False}})
    expect(answer.status == 200, str(answer))
    states = [row.get("state", "") for row in index(site, b"{}") if row["name"] == site.model]
    expect(states and "READY" not in states, f"index: {states}")
    ready = site.get(site.path("ready"))
    expect(ready.status >= 400, str(ready))


@check("repository.load", "it can be loaded again", _REPOSITORY, extension="model_repository", admin=True)
def _(site: Site) -> None:
    answer = site.ask("POST", f"v2/repository/models/{site.model}/load", b"")
    expect(answer.status == 200, str(answer))
    ready = site.get(site.path("ready"))
    expect(ready.status == 200, str(ready))


@check("statistics.model", "GET v2/models/M/stats lists the model", _STATS, extension="statistics")
def _(site: Site) -> None:
    found = answered(site.get(site.path("stats")))["model_stats"]
    expect(found and all(each["name"] == site.model for each in found), str(found)[:200])


@check("statistics.all", "GET v2/models/stats lists every model", _STATS, extension="statistics")
def _(site: Site) -> None:
    names = [each["name"] for each in answered(site.get("v2/models/stats"))["model_stats"]]
    expect(site.model in names, str(names))


@check("statistics.durations", "each duration has a count and ns", _STATS, extension="statistics")
def _(site: Site) -> None:
    stats = answered(site.get(site.path("stats")))["model_stats"][0]["inference_stats"]
    for name in ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"):
        expect({"count", "ns"} <= set(stats[name]), f"{name}: {stats[name]}")


@check("statistics.count", "a request is counted", _STATS, extension="statistics")
def _(site: Site) -> None:
    def count() -> int:
        rows = answered(site.get(site.path("stats")))["model_stats"]
        return sum(each["inference_stats"]["success"]["count"] for each in rows)

    before = count()
    infer(site)
    after = count()
    expect(after > before, f"{before}, then {after}")


@check("configuration.model", "GET v2/models/M/config names the model", _CONFIG, extension="model_configuration")
def _(site: Site) -> None:
    found = answered(site.get(site.path("config")))
    expect(found["name"] == site.model and type(found.get("max_batch_size", 0)) is int, str(found)[:200])


@check("configuration.tensors", "its inputs and outputs are the metadata's", _CONFIG, extension="model_configuration")
def _(site: Site) -> None:
    found = answered(site.get(site.path("config")))
    for ours, theirs in (("input", "inputs"), ("output", "outputs")):
        names = [each["name"] for each in found[ours]], [each["name"] for each in site.metadata[theirs]]
        expect(set(names[0]) == set(names[1]), str(names))


@check("configuration.version", "GET v2/models/M/versions/V/config answers", _CONFIG, extension="model_configuration")
def _(site: Site) -> None:
    answered(site.get(site.path("config", version=version_of(site))))


@check(
    "configuration.unknown",
    "that of an unknown model is refused in the protocol's shape",
    _CONFIG,
    extension="model_configuration",
)
def _(site: Site) -> str:
    return shaped(site.get(site.path("config", model="no-such-model")))
