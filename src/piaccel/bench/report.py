"""Reports as JSON: written whole or not at all, read with one clear line for whatever is wrong.

The JSON holds the dataclasses of ``piaccel.bench`` as they are, every raw sample included; ``schema`` comes first and
names the version. A reader takes exactly the version it knows: numbers read under other rules would be silently wrong.
"""

from __future__ import annotations

import os
from inspect import cleandoc
from pathlib import Path
from typing import Any

from piaccel.bench import SCHEMA, STAGES, Measurement, Report
from piaccel.errors import InputError, NotFoundError
from piaccel.files import write_atomic


def to_json(report: Report) -> bytes:
    """Encode a report: UTF-8, one line a measurement so that a diff of two reports can be read."""
    import msgspec

    encode = msgspec.json.Encoder(enc_hook=_plain).encode
    fields = msgspec.to_builtins(report, enc_hook=_plain)
    rows = b",\n  ".join(encode(row) for row in fields.pop("measurements"))
    head = [encode(name) + b": " + encode(fields.pop(name)) for name in ("schema", "created")]
    body = [encode(name) + b": " + encode(value) for name, value in fields.items()]
    return b"{" + b",\n ".join([*head, *body, b'"measurements": [\n  ' + rows + b"\n ]"]) + b"}\n"


def write(report: Report, path: str | os.PathLike[str]) -> None:
    """Write a report's JSON; what was at ``path`` stays until the new file is whole."""
    write_atomic(Path(path), to_json(report))


def from_json(data: bytes, name: str = "report") -> Report:
    """Decode a report. Raises InputError, one line that starts with ``name``, for anything but a whole report."""
    import msgspec

    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        cut = "truncated" in str(error)
        raise InputError(
            f"{name}: the JSON ends in the middle of the report" if cut else f"{name}: not JSON: {error}",
            hint="copy the file again, or measure again" if cut else "give the file that `piaccel bench --json` wrote",
        ) from error
    _check_schema(found, name)
    try:
        report = msgspec.convert(found, Report)
    except msgspec.ValidationError as error:
        raise InputError(f"{name}: not a whole report: {_located(str(error))}", hint="measure again") from error
    for index, row in enumerate(report.measurements):
        _check_samples(row, f"{name}: measurements[{index}] ({row.backend}/{row.variant})")
    return report


def read(path: str | os.PathLike[str]) -> Report:
    """Read a report. Raises NotFoundError, or InputError naming the file and what is wrong with it."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no such file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return from_json(data, str(path))


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a report, made from the types; docs/schemas/report-1.schema.json holds it."""
    import msgspec

    schema = msgspec.json.schema(Report)
    schema["$defs"]["Report"]["properties"]["schema"] = {"const": SCHEMA}
    schema["$defs"]["Report"]["required"].append("schema")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SCHEMA,
        **_clean(schema),
    }


def _clean(schema: Any) -> Any:
    """Take the source's indentation out of the descriptions."""
    if isinstance(schema, dict):
        return {key: cleandoc(each) if key == "description" else _clean(each) for key, each in schema.items()}
    return [_clean(each) for each in schema] if isinstance(schema, list | tuple) else schema


def _check_schema(found: object, name: str) -> None:
    version = found.get("schema") if isinstance(found, dict) else None
    if version == SCHEMA:
        return
    family = SCHEMA.partition("/")[0]
    if isinstance(version, str) and version.startswith(f"{family}/"):
        raise InputError(
            f"{name}: its schema is {version!r}, this piaccel reads {SCHEMA!r}",
            hint="read it with the piaccel that wrote it, or measure again",
        )
    raise InputError(
        f'{name}: JSON, but not a piaccel report (no "schema": {SCHEMA!r})',
        hint="give the file that `piaccel bench --json` wrote",
    )


def _check_samples(row: Measurement, name: str) -> None:
    """What the types do not say but every statistic relies on."""
    for index, repeat in enumerate(row.repeats):
        if min(repeat.latency_ns, default=1) < 1:
            raise InputError(f"{name}: repeats[{index}].latency_ns holds a time below 1 ns")
        if repeat.latency_ns and repeat.duration_ns < 1:
            raise InputError(f"{name}: repeats[{index}].duration_ns is below 1 ns")
        unknown = sorted(set(repeat.stages_ns) - set(STAGES))
        if unknown:
            raise InputError(f"{name}: repeats[{index}].stages_ns has an unknown stage {unknown[0]!r}")
        if len({len(times) for times in repeat.stages_ns.values() if times}) > 1:
            raise InputError(f"{name}: repeats[{index}].stages_ns has stages of unequal length")
        for series in repeat.series:
            if len(series.at_ns) != len(series.values):
                raise InputError(f"{name}: repeats[{index}]: series {series.name!r} has unequal times and values")


def _plain(value: Any) -> Any:
    """Encode what options and conditions may hold beside JSON's own types: paths, NumPy scalars."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"a report cannot hold {value!r}")


def _located(message: str) -> str:
    """msgspec says "... - at `$.measurements[0].threads`"; put the place first."""
    text, at, where = message.partition(" - at `$")
    return f"{where.strip('`.')}: {text}" if at else text


if __name__ == "__main__":
    import json
    import sys

    sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
