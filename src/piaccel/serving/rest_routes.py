"""What the paths of the REST interface mean. Nothing of a path is ever a file's name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import unquote_to_bytes

from piaccel.errors import ServiceError
from piaccel.serving import repository
from piaccel.serving.access import Scope

Kind = Literal[
    "missing", "bad_name", "unsupported", "other",
    "server", "live", "ready", "service", "model_ready", "metadata", "config", "stats", "infer", "predict",
    "index", "load", "unload", "promote", "rollback", "label", "shadow", "release",
]  # fmt: skip

SCOPES: dict[Kind, tuple[Scope, ...]] = {
    "server": (),
    "live": (),
    "ready": (),
    "model_ready": ("infer", "read"),
    "metadata": ("infer", "read"),
    "config": ("infer", "read"),
    "infer": ("infer",),
    "predict": ("infer",),
    "stats": ("read",),
    "service": ("read",),
    "index": ("read",),
}
"""A key needs one of these (admin holds all); none: no key is asked. What is not listed needs admin."""
CONTROL: tuple[Kind, ...] = ("load", "unload", "promote", "rollback", "label", "shadow", "release")


@dataclass(frozen=True, slots=True)
class Route:
    """A path, read."""

    kind: Kind
    method: str = "GET"
    model: str = ""
    version: str = ""


_FIXED = {
    "": Route("server"),
    "health/live": Route("live"),
    "health/ready": Route("ready"),
    "service": Route("service"),
    "models/stats": Route("stats"),
    "repository/index": Route("index", "POST"),
}
_MODEL: dict[str, tuple[Kind, str]] = {
    "": ("metadata", "GET"),
    "ready": ("model_ready", "GET"),
    "config": ("config", "GET"),
    "stats": ("stats", "GET"),
    "infer": ("infer", "POST"),
    "predict": ("predict", "POST"),
}
_UNSUPPORTED = ("trace", "logging", "systemsharedmemory", "cudasharedmemory")


@lru_cache(maxsize=256)
def read(raw_path: bytes) -> Route:
    """The route of a path as it was sent. It is split before it is decoded, so that an encoded slash stays part of a
    name, and is refused there."""
    if len(raw_path) > 2048:
        return Route("missing")
    first, *parts = raw_path.strip(b"/").split(b"/") if raw_path.startswith(b"/") else [b""]
    if first != b"v2":
        return Route("other")
    try:
        words = [unquote_to_bytes(part).decode() for part in parts]
    except UnicodeDecodeError:
        return Route("bad_name")
    if fixed := _FIXED.get("/".join(words)) if b"%" not in raw_path else None:
        return fixed
    if words and words[0] == "models" and len(words) > 1:
        return _model(words[1:])
    if words and words[0] == "repository" and len(words) > 1:
        return _repository(words[1:])
    if words and (words[0] in _UNSUPPORTED):
        return Route("unsupported")
    return Route("missing")


def _model(words: list[str]) -> Route:
    model, *rest = words
    version = ""
    if rest and rest[0] == "versions" and len(rest) > 1:
        version, *rest = rest[1:]
        if not _is_name(version):
            return Route("bad_name")
    if not _is_name(model):
        return Route("bad_name")
    if rest[:1] == ["trace"]:
        return Route("unsupported")
    if len(rest) > 1 or (found := _MODEL.get(rest[0] if rest else "")) is None:
        return Route("missing")
    return Route(found[0], found[1], model, version)


def _repository(words: list[str]) -> Route:
    """``index``, ``models/NAME/VERB``; with the name of a repository before them Triton answers 501, as we do."""
    if words[0] == "models" and len(words) == 3:
        for kind in CONTROL:
            if words[2] == kind:
                return Route(kind, "POST", words[1]) if _is_name(words[1]) else Route("bad_name")
    if words[1:2] == ["models"] or words[1:] == ["index"]:
        return Route("unsupported", "POST")
    return Route("missing")


def _is_name(text: str) -> bool:
    try:
        repository.check_name(text)
    except ServiceError:
        return False
    return True
