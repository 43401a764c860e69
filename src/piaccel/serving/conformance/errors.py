"""How a server refuses: the status, and always ``{"error": "..."}``.

Sources: kserve/open-inference-protocol, specification/protocol/inference_rest.md ("OIP"), "Inference Response JSON
Error Object"; triton-inference-server/server, src/http_server.cc. A client that reads ["error"] breaks on other shapes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from piaccel.serving.conformance.core import answered, json_can
from piaccel.serving.conformance.site import Answer, Site
from piaccel.serving.conformance.suite import SkippedError, check, expect

_ERROR = "OIP REST, Error"
_JSON = {"Content-Type": "application/json"}


def refused(answer: Answer, *statuses: int) -> str:
    """An answer that must be an error by its status."""
    expect(answer.status in statuses if statuses else 400 <= answer.status < 500, str(answer))
    return str(answer)


def shaped(answer: Answer) -> str:
    """An error that must have the protocol's shape."""
    expect(answer.status >= 400, str(answer))
    found = answer.json() if answer.body else None
    expect(isinstance(found, dict) and isinstance(found.get("error"), str) and found["error"], str(answer))
    return str(answer)


def spoilt(site: Site, change: Callable[[dict[str, Any]], object]) -> Answer:
    """A request of which one thing is wrong."""
    json_can(site)
    document = site.document()
    change(document)
    return site.ask("POST", site.path("infer"), json.dumps(document).encode(), _JSON)


def _first(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["inputs"][0].update(values)


_WRONG: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "unknown_input": ("an input that the model has not", _first(name="no-such-input")),
    "no_inputs": ("a request without inputs", lambda document: document.pop("inputs")),
    "empty_inputs": ("a request with an empty list of inputs", lambda document: document["inputs"].clear()),
    "unknown_datatype": ("a datatype that does not exist", _first(datatype="FP128")),
    "no_datatype": ("an input without datatype", lambda document: document["inputs"][0].pop("datatype")),
    "no_shape": ("an input without shape", lambda document: document["inputs"][0].pop("shape")),
    "negative_shape": ("a negative size in a shape", _first(shape=[-1])),
    "few_elements": ("fewer elements than the shape says", _first(data=[])),
    "no_data": ("an input without data", lambda document: document["inputs"][0].pop("data")),
    "huge_shape": ("a shape whose product overflows", _first(shape=[2**32, 2**32, 2**32])),
    "object_data": ("data that are no list", _first(data={"a": 1})),
}


def _add(name: str, what: str, change: Callable[[dict[str, Any]], object]) -> None:
    @check(f"errors.{name}", f"{what} is refused with a 4xx", _ERROR)
    def _(site: Site) -> str:
        return refused(spoilt(site, change))


for _name, (_what, _change) in _WRONG.items():
    _add(_name, _what, _change)


@check("errors.unknown_output", "an output that the model has not is refused with a 4xx", _ERROR)
def _(site: Site) -> str:
    return refused(spoilt(site, lambda document: document.update(outputs=[{"name": "no-such-output"}])))


@check("errors.wrong_datatype", "another datatype than the model's is refused with a 4xx", _ERROR)
def _(site: Site) -> str:
    other = "INT64" if site.inputs[0].datatype != "INT64" else "FP64"
    return refused(spoilt(site, _first(datatype=other)))


@check("errors.wrong_rank", "a shape of another rank is refused with a 4xx", _ERROR)
def _(site: Site) -> str:
    if not site.metadata.get("inputs"):
        raise SkippedError("the metadata describes no input")
    return refused(spoilt(site, _first(shape=[*site.inputs[0].shape, 1, 1])))


@check("errors.empty_body", "an empty body of infer is refused with a 4xx", _ERROR)
def _(site: Site) -> str:
    return refused(site.ask("POST", site.path("infer"), b"", _JSON))


@check("errors.no_json", "a body that is no JSON is refused with a 4xx", _ERROR)
def _(site: Site) -> str:
    return refused(site.ask("POST", site.path("infer"), b"{not json", _JSON))


@check("errors.deep_json", "JSON that is nested 100 000 deep is refused with a 4xx", "RFC 8259, 9")
def _(site: Site) -> str:
    return refused(site.ask("POST", site.path("infer"), b'{"inputs":' + b"[" * 100_000, _JSON))


@check("errors.unknown_model", "infer of an unknown model is refused with a 4xx", _ERROR)
def _(site: Site) -> str:
    return refused(
        site.post(site.path("infer", model="no-such-model"), site.document(), Content_Type="application/json")
    )


@check("errors.unknown_metadata", "metadata of an unknown model is refused with a 4xx", _ERROR)
def _(site: Site) -> str:
    return refused(site.get(site.path(model="no-such-model")))


@check("errors.unknown_version", "an unknown version is refused with a 4xx", _ERROR)
def _(site: Site) -> str:
    return refused(site.get(site.path(version="99999")))


@check("errors.traversal", "a name that leads out of the repository is refused with a 4xx", "CVE-2026-24208")
def _(site: Site) -> str:
    return refused(site.get("v2/models/..%2f..%2fetc"))


@check("errors.wrong_verb", "GET of infer is 405", "Triton, http_server.cc")
def _(site: Site) -> str:
    return refused(site.get(site.path("infer")), 405)


@check("errors.unknown_path", "an unknown path is 404", "Triton, http_server.cc")
def _(site: Site) -> str:
    return refused(site.get("v2/no-such-path"), 404)


@check("errors.shape_400", 'the body of a bad request is {"error": "..."}', _ERROR)
def _(site: Site) -> str:
    return shaped(site.ask("POST", site.path("infer"), b"{not json", _JSON))


@check("errors.shape_field", 'the body where a field lacks is {"error": "..."}', _ERROR)
def _(site: Site) -> str:
    return shaped(spoilt(site, _WRONG["no_shape"][1]))


@check("errors.shape_404", 'the body for an unknown path is {"error": "..."}', _ERROR)
def _(site: Site) -> str:
    return shaped(site.get("v2/no-such-path"))


@check("errors.shape_model", 'the body for an unknown model is {"error": "..."}', _ERROR)
def _(site: Site) -> str:
    return shaped(site.get(site.path(model="no-such-model")))


@check("errors.shape_405", 'the body for a wrong verb is {"error": "..."}', _ERROR)
def _(site: Site) -> str:
    return shaped(site.get(site.path("infer")))


@check("errors.too_large", "a declared length of a terabyte is refused, not waited for", "RFC 9110, 15.5.14")
def _(site: Site) -> str:
    headers = {**_JSON, "Content-Length": str(1 << 40)}
    try:
        return shaped(site.ask("POST", site.path("infer"), b"", headers))
    except TimeoutError:
        raise SkippedError("the server waits for the body: no limit on declared lengths was seen") from None


@check("errors.keep_alive", "the connection serves on after a refusal", "RFC 9112, 9.3")
def _(site: Site) -> None:
    connection = site.connect()
    try:
        refused(site.ask("POST", site.path("infer"), b"{not json", _JSON, connection=connection))
        answered(site.ask("GET", "v2", connection=connection))
    finally:
        connection.close()


@check("errors.no_paths", "an error tells no path and no traceback", "CVE-2025-23319")
def _(site: Site) -> None:
    texts = [
        str(site.get(site.path(model="no-such-model"))),
        str(site.ask("POST", site.path("infer"), b"{not json", _JSON)),
    ]
    for words in ("Traceback", "/home/", "/usr/", "/var/", "/tmp/", "/dev/shm", ".py"):
        expect(not any(words in text for text in texts), f"{words} in {texts}")
