"""TOML, JSON and ``key=value`` options into typed structures; errors name the key and say what was expected."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from piaccel.errors import ModelError, NotFoundError, OptionError

T = TypeVar("T")


def read_toml(path: Path, kind: type[T]) -> T:
    """Read a TOML file as ``kind`` (a dataclass or msgspec Struct).

    Raises NotFoundError, or ModelError naming the file and the key that is wrong.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return msgspec.convert(data, kind)
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no such file") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"{path}: not valid TOML: {error}") from error
    except (msgspec.ValidationError, ValueError) as error:
        raise ModelError(f"{path}: {_plain(str(error))}") from error


def options(kind: type[T], pairs: Iterable[str], **given: Any) -> T:
    """Build the options dataclass ``kind`` from ``key=value`` texts and from ``given`` values that are not None.

    A text such as 240x320 is two numbers. Raises OptionError naming the plug-in and the key, with the keys that exist
    as the hint.
    """
    owner = kind.__module__.rpartition(".")[2]
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    values: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise OptionError(f"option {pair!r} is not key=value", hint=f"the keys are {', '.join(names)}")
        values[key.strip()] = _value(value.strip())
    for key in values:
        if key not in names:
            raise OptionError(f"{owner} has no option {key!r}", hint=f"the keys are {', '.join(names)}")
    return structure(kind, values, owner)


def structure(kind: type[T], values: Mapping[str, Any], owner: str) -> T:
    """Build ``kind`` from plain values, texts of numbers too. Raises OptionError naming the owner and the key."""
    try:
        return msgspec.convert(values, kind, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise OptionError(f"{owner}: {_plain(str(error))}") from error


def _value(text: str) -> Any:
    return [int(number) for number in text.split("x")] if re.fullmatch(r"\d{1,9}(x\d{1,9})+", text) else text


def _plain(message: str) -> str:
    """msgspec says '... - at `$.preprocess.size`'; users know keys, not JSON paths."""
    text, at, where = message.partition(" - at `$")
    return f"{where.strip('`.')}: {text}" if at else text
