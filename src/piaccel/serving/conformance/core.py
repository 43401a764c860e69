"""The core over REST: health, metadata, inference in JSON.

Source: kserve/open-inference-protocol, specification/protocol/inference_rest.md ("OIP" below) and its OpenAPI file.
"""

from __future__ import annotations

import json
from math import prod
from typing import Any

from piaccel.serving.conformance.site import SIZES, Answer, Site
from piaccel.serving.conformance.suite import SkippedError, check, expect

_HEALTH, _META, _INFER = "OIP REST, Health", "OIP REST, Metadata", "OIP REST, Inference"


def answered(answer: Answer) -> Any:
    """The JSON of an answer that must be 200."""
    expect(answer.status == 200, str(answer))
    return answer.json()


def version_of(site: Site) -> str:
    if not site.version:
        raise SkippedError("the metadata names no version")
    return site.version


def json_can(site: Site) -> None:
    """Raises SkippedError where JSON cannot say the input."""
    if any(each.datatype in ("FP16", "BF16") for each in site.inputs):
        raise SkippedError("FP16 and BF16 have no JSON")


def infer(site: Site, **more: Any) -> Any:
    json_can(site)
    return answered(site.post(site.path("infer"), site.document(**more), Content_Type="application/json"))


@check("health.live", "GET v2/health/live is 200", _HEALTH)
def _(site: Site) -> str:
    answer = site.get("v2/health/live")
    expect(answer.status == 200, str(answer))
    return str(answer)


@check("health.ready", "GET v2/health/ready is 200 once the models are", _HEALTH)
def _(site: Site) -> str:
    answer = site.get("v2/health/ready")
    expect(answer.status == 200, str(answer))
    return str(answer)


@check("health.body", "the body of v2/health/live is empty or a JSON object", _HEALTH)
def _(site: Site) -> None:
    answer = site.get("v2/health/live")
    expect(not answer.body.strip() or isinstance(answer.json(), dict), str(answer))


@check("health.head", "HEAD v2/health/live has no body, and is 200 or 405", "RFC 9110, 9.3.2")
def _(site: Site) -> None:
    answer = site.ask("HEAD", "v2/health/live")
    expect(answer.status in (200, 405) and not answer.body, str(answer))


@check("server.metadata", "GET v2 has name, version and extensions", _META)
def _(site: Site) -> str:
    found = answered(site.get("v2"))
    kinds = (found["name"], str), (found["version"], str), (found["extensions"], list)
    expect(all(isinstance(value, kind) for value, kind in kinds), json.dumps(found))
    return f"{found['name']} {found['version']}: {', '.join(map(str, found['extensions'])) or 'no extensions'}"


@check("server.extensions", "extensions are strings", _META)
def _(site: Site) -> None:
    found = answered(site.get("v2"))["extensions"]
    expect(all(isinstance(each, str) for each in found), str(found))


@check("server.slash", "GET v2/ is the same as v2", "OIP OpenAPI, /v2/")
def _(site: Site) -> None:
    answer = site.get("v2/")
    if 300 <= answer.status < 400 and "location" in answer.headers:
        raise SkippedError(f"it leads to {answer.headers['location']}")
    expect(answered(answer)["name"] == answered(site.get("v2"))["name"], str(answer))


@check("server.type", "JSON is sent as application/json", _META)
def _(site: Site) -> None:
    kind = site.get("v2").headers.get("content-type", "")
    expect(kind.startswith("application/json"), f"Content-Type: {kind}")


@check("model.ready", "GET v2/models/M/ready is 200 for a model that is", _HEALTH)
def _(site: Site) -> None:
    answer = site.get(site.path("ready"))
    expect(answer.status == 200, str(answer))


@check("model.ready_unknown", "ready of an unknown model is no success", _HEALTH)
def _(site: Site) -> None:
    answer = site.get(site.path("ready", model="no-such-model"))
    expect(400 <= answer.status < 500, str(answer))


@check("model.ready_version", "GET v2/models/M/versions/V/ready is 200", _HEALTH)
def _(site: Site) -> None:
    answer = site.get(site.path("ready", version=version_of(site)))
    expect(answer.status == 200, str(answer))


@check("model.metadata", "GET v2/models/M has name, platform, inputs, outputs", _META)
def _(site: Site) -> None:
    found = answered(site.get(site.path()))
    expect(isinstance(found["name"], str) and isinstance(found["platform"], str), json.dumps(found))
    expect(isinstance(found["inputs"], list) and isinstance(found["outputs"], list), json.dumps(found))


@check("model.name", "the metadata's name is the model's", _META)
def _(site: Site) -> None:
    found = answered(site.get(site.path()))["name"]
    expect(found == site.model, str(found))


@check("model.versions", "versions, where given, is a list of strings", _META)
def _(site: Site) -> None:
    found = answered(site.get(site.path()))
    if "versions" not in found:
        raise SkippedError("versions is optional, and absent")
    versions = found["versions"]
    expect(isinstance(versions, list) and all(isinstance(each, str) for each in versions), f"versions: {versions}")


@check("model.tensors", "inputs and outputs are described: name, datatype, shape", _META)
def _(site: Site) -> None:
    found = answered(site.get(site.path()))
    for side in ("inputs", "outputs"):
        expect(found[side], f"{side}: {found[side]}")
        for each in found[side]:
            whole = isinstance(each["name"], str) and each["name"] and isinstance(each["shape"], list)
            expect(whole and all(type(size) is int and size >= -1 for size in each["shape"]), json.dumps(each))


@check("model.datatypes", "datatypes are the protocol's", "OIP REST, Tensor Data Types")
def _(site: Site) -> None:
    found = answered(site.get(site.path()))
    names = [each["datatype"] for each in (*found["inputs"], *found["outputs"])]
    expect(all(name in SIZES for name in names), str(names))


@check("model.version_path", "GET v2/models/M/versions/V is the version's metadata", _META)
def _(site: Site) -> None:
    found = answered(site.get(site.path(version=version_of(site))))["name"]
    expect(found == site.model, str(found))


@check("model.percent", "a model's name may be percent-encoded", "RFC 3986, 2.4")
def _(site: Site) -> None:
    encoded = "".join(f"%{byte:02X}" for byte in site.model.encode())
    answer = site.get(f"v2/models/{encoded}")
    expect(answer.status == 200, str(answer))


@check("infer.no_content_type", "a JSON request needs no Content-Type (Triton's client sends none)", _INFER)
def _(site: Site) -> None:
    json_can(site)
    answered(site.post(site.path("infer"), site.document()))


@check("infer.content_type", "application/json is taken", _INFER)
def _(site: Site) -> None:
    json_can(site)
    answered(site.post(site.path("infer"), site.document(), Content_Type="application/json"))


@check("infer.charset", "application/json; charset=utf-8 is taken", "RFC 9110, 8.3.1")
def _(site: Site) -> None:
    json_can(site)
    answered(site.post(site.path("infer"), site.document(), Content_Type="application/json; charset=utf-8"))


@check("infer.model_name", "the answer names the model", _INFER)
def _(site: Site) -> None:
    found = infer(site)["model_name"]
    expect(found == site.model, str(found))


@check("infer.model_version", "model_version, where given, is a string", _INFER)
def _(site: Site) -> None:
    found = infer(site)
    if "model_version" not in found:
        raise SkippedError("model_version is optional, and absent")
    expect(isinstance(found["model_version"], str), f"model_version: {found['model_version']}")


@check("infer.outputs", "without outputs in the request every output is returned", _INFER)
def _(site: Site) -> None:
    names = [each["name"] for each in infer(site)["outputs"]]
    expect(names and set(site.output_names) <= set(names), str(names))


@check("infer.datatype", "the outputs have the metadata's datatypes", _INFER)
def _(site: Site) -> None:
    told = {each["name"]: each["datatype"] for each in site.metadata.get("outputs") or []}
    found = {each["name"]: each["datatype"] for each in infer(site)["outputs"]}
    expect(all(found.get(name) == told[name] for name in told), f"{found}, metadata {told}")


@check("infer.shape", "the outputs' shapes fit the metadata's", _INFER)
def _(site: Site) -> None:
    told = {each["name"]: each["shape"] for each in site.metadata.get("outputs") or []}
    for each in infer(site)["outputs"]:
        shape = told.get(each["name"], each["shape"])
        fits = len(shape) == len(each["shape"]) and all(a in (-1, b) for a, b in zip(shape, each["shape"], strict=True))
        expect(fits, f"{each['name']}: {each['shape']}, metadata {shape}")


@check("infer.elements", "the outputs have as many elements as their shapes say", _INFER)
def _(site: Site) -> None:
    for each in infer(site)["outputs"]:
        expect(_count(each["data"]) == prod(each["shape"]), f"{_count(each['data'])} for {each['shape']}")


def _count(data: Any) -> int:
    return sum(map(_count, data)) if isinstance(data, list) else 1


@check("infer.id", "the answer has the request's id", _INFER)
def _(site: Site) -> None:
    found = infer(site, id="an id-7").get("id")
    expect(found == "an id-7", f"id: {found}")


@check("infer.nested", "data may be nested as the shape or flat, with the same result", "OIP REST, Tensor Data")
def _(site: Site) -> None:
    flat, nested = infer(site)["outputs"], infer(site, nested=True)["outputs"]
    expect(flat == nested, f"{flat} {nested}")


@check("infer.subset", "outputs in the request chooses", _INFER)
def _(site: Site) -> None:
    if not site.output_names:
        raise SkippedError("the metadata names no output")
    wanted = site.output_names[-1]
    found = [each["name"] for each in infer(site, outputs=[{"name": wanted}])["outputs"]]
    expect(found == [wanted], str(found))


@check("infer.version_path", "POST v2/models/M/versions/V/infer answers", _INFER)
def _(site: Site) -> None:
    json_can(site)
    path = site.path("infer", version=version_of(site))
    answered(site.post(path, site.document(), Content_Type="application/json"))


@check("infer.parameters", "parameters that the server does not know do no harm", "OIP REST, Parameters")
def _(site: Site) -> None:
    infer(site, parameters={"x_unknown": 1})


@check("infer.type", "a JSON answer is sent as application/json", _INFER)
def _(site: Site) -> None:
    json_can(site)
    answer = site.post(site.path("infer"), site.document(), Content_Type="application/json")
    kind = answer.headers.get("content-type", "")
    expect(kind.startswith("application/json"), f"Content-Type: {kind}")


@check("infer.chunked", "a body may be sent in chunks", "RFC 9112, 7.1")
def _(site: Site) -> None:
    json_can(site)
    data = json.dumps(site.document()).encode()
    headers = {"Content-Type": "application/json"}
    answered(site.ask("POST", site.path("infer"), data, headers, chunked=True))


@check("infer.header_case", "names of headers may be in lower or upper case", "RFC 9110, 5.1")
def _(site: Site) -> None:
    json_can(site)
    data = json.dumps(site.document()).encode()
    for name in ("content-type", "CONTENT-TYPE"):
        answered(site.ask("POST", site.path("infer"), data, {name: "application/json"}))


@check("infer.keep_alive", "one connection takes many requests", "RFC 9112, 9.3")
def _(site: Site) -> None:
    json_can(site)
    connection = site.connect()
    try:
        for _ in range(3):
            data = json.dumps(site.document()).encode()
            headers = {"Content-Type": "application/json"}
            answered(site.ask("POST", site.path("infer"), data, headers, connection=connection))
            expect(connection.sock is not None, "the server closed the connection")
    finally:
        connection.close()


@check("infer.percent", "the model's name may be percent-encoded", "RFC 3986, 2.4")
def _(site: Site) -> None:
    json_can(site)
    encoded = "".join(f"%{byte:02X}" for byte in site.model.encode())
    answered(site.post(f"v2/models/{encoded}/infer", site.document(), Content_Type="application/json"))
