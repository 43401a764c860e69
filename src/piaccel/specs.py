"""One line of text that names a plug-in, what it is aimed at, and its options: ``jsonl:results.jsonl,max_size=100MB``.

``KIND:TARGET[,KEY=VALUE...]``; a URL whose scheme is a kind keeps its scheme: ``mqtt://broker/line1,qos=1``. In TOML
the same is a table: ``{kind = "jsonl", target = "results.jsonl", max_size = "100MB"}``, whose target is taken as it is.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from piaccel import config
from piaccel.errors import OptionError

T = TypeVar("T")
_ONLY_OPTION = re.compile(r"\A(?P<key>[a-z][a-z0-9_]*)=(?P<value>[^,]*)\Z")
_OPTION = re.compile(r"\A(?P<rest>.*),(?P<key>[a-z][a-z0-9_]*)=(?P<value>[^,]*)\Z", re.DOTALL)


@dataclass(frozen=True)
class Spec:
    """What a text or a TOML table asks for; ``kind`` is "" where the text names none (a path)."""

    kind: str
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.target if not self.kind or "://" in self.target else f"{self.kind}:{self.target}".rstrip(":")


def parse(given: str | Mapping[str, Any], kinds: Mapping[str, str]) -> Spec:
    """Read a text or a table. ``kinds`` maps what may stand before the colon to a plug-in's name.

    Raises OptionError for an empty text, or a table without a known kind.
    """
    if isinstance(given, Mapping):
        options = dict(given)
        kind, target = str(options.pop("kind", "")), str(options.pop("target", ""))
        if kind and kind not in kinds:
            raise OptionError(f"kind {kind!r} is unknown", hint=f"choose from {', '.join(sorted(kinds))}")
        if not kind and not target:
            raise OptionError("a table needs a kind or a target", hint=f"the kinds are {', '.join(sorted(kinds))}")
        return Spec(kinds.get(kind, ""), target, options)
    text, pairs = given.strip(), {}
    while found := _OPTION.match(text):
        text = found["rest"]
        pairs[found["key"]] = found["value"]
    if not text:
        raise OptionError("an empty text names nothing", hint="write KIND:TARGET,KEY=VALUE")
    head, _, rest = text.partition(":")
    if head not in kinds:
        return Spec("", text, dict(reversed(pairs.items())))
    target = text if rest.startswith("//") else rest
    if only := _ONLY_OPTION.match(target):  # "synthetic:fps=30" has no target
        pairs[only["key"]] = only["value"]
        target = ""
    return Spec(kinds[head], target, dict(reversed(pairs.items())))


def options(kind: type[T], owner: str, given: Mapping[str, Any]) -> T:
    """Build the options dataclass of a plug-in; ``delay = "80ms"`` fills ``delay_s``, ``max_size = "1MB"``
    ``max_size_bytes``.

    Raises OptionError naming the owner and the key, with the keys that exist as the hint.
    """
    types = {each.name: str(each.type) for each in dataclasses.fields(kind)}  # type: ignore[arg-type]
    names = set(types)
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in names and f"{key}_s" in names:
            values[f"{key}_s"] = duration_s(value, f"{owner}: {key}")
        elif key not in names and f"{key}_bytes" in names:
            values[f"{key}_bytes"] = size_bytes(value, f"{owner}: {key}")
        elif key not in names:
            known = ", ".join(sorted(_written(name) for name in names))
            raise OptionError(f"{owner} has no option {key!r}", hint=f"the keys are {known}")
        elif isinstance(value, str) and types[key].startswith("tuple"):  # 1280x720, or a|b
            values[key] = value.split("|") if "str" in types[key] else value.split("x")
        else:
            values[key] = value
    return config.structure(kind, values, owner)


def _written(name: str) -> str:
    return name.removesuffix("_s") if name.endswith("_s") else name.removesuffix("_bytes")


_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def duration_s(value: object, name: str) -> float:
    """Read "80ms", "2 s", "1.5min" or "12h" as seconds. Raises OptionError naming ``name``; a number needs its unit."""
    number, factor = _number(str(value), _SECONDS) or (None, None)
    if number is None or factor is None:
        raise OptionError(
            f"{name}: {value!r} is not a duration", hint="write it with its unit, such as 80ms, 2s or 5min"
        )
    return number * factor


def size_bytes(value: object, name: str) -> int:
    """Read "100MB" or "64KiB" as bytes. Raises OptionError naming ``name``; a number needs its unit."""
    number, factor = _number(str(value), _BYTES) or (None, None)
    if number is None or factor is None:
        raise OptionError(
            f"{name}: {value!r} is not a size", hint="write it with its unit, such as 500kB, 100MB or 2GB"
        )
    return round(number * factor)


def _number(text: str, units: Mapping[str, float]) -> tuple[float, float] | None:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([A-Za-z]+)\s*", text)
    return (float(found[1]), units[found[2]]) if found and found[2] in units else None
