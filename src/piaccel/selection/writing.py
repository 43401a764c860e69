"""Writes a pick where it takes effect: into a bundle's ``model.toml`` or a service's ``piaccel.toml``.

Only the lines of the keys are touched, so that comments and the order of all else stay. What such an edit cannot do
safely (a table written inline, a value over several lines) is refused with the lines to write by hand: the edited text
is parsed, and must say what the old one said and the new keys, nothing else.
"""

from __future__ import annotations

import copy
import difflib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piaccel import files
from piaccel.bundles import MANIFEST
from piaccel.errors import InputError, ModelError, NotFoundError, OptionError
from piaccel.selection import Option

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


@dataclass(frozen=True)
class Edit:
    """A file as it is and as it shall be."""

    path: Path
    before: str
    after: str

    def diff(self) -> str:
        """Return the change as a unified diff; "" where the file says it already."""
        old, new = (text.splitlines(keepends=True) for text in (self.before, self.after))
        return "".join(difflib.unified_diff(old, new, str(self.path), f"{self.path} (new)"))

    def apply(self) -> None:
        """Write the file whole. Raises InputError if it changed since it was read, WriteError."""
        if self.after == self.before:
            return
        now = self.path.read_bytes().decode() if self.path.exists() else ""
        if now != self.before:
            raise InputError(f"{self.path}: was changed meanwhile", hint="write the choice again")
        files.write_atomic(self.path, self.after)


def for_bundle(pick: Option, board: str = "") -> Edit:
    """Return the edit that writes ``[choice]`` into the bundle's manifest. Raises OptionError for a bare model file."""
    path = Path(pick.path) / MANIFEST
    if not path.is_file():
        raise OptionError(
            f"{pick.path}: a model file has no manifest", hint="make a bundle with: piaccel bundle FILE..."
        )
    return _edit(path, ("choice",), {**_keys(pick), **({"board": board} if board else {})})


def for_service(pick: Option, path: Path, name: str) -> Edit:
    """Return the edit that writes ``[models.NAME]`` into the service's file, a new one where there is none."""
    return _edit(path, ("models", name), _keys(pick))


def _keys(pick: Option) -> dict[str, Any]:
    options = {"options": list(pick.backend_options)} if pick.backend_options else {}
    return {"backend": pick.backend, "variant": pick.variant, "threads": pick.threads, **options}


def _edit(path: Path, table: tuple[str, ...], values: Mapping[str, Any]) -> Edit:
    try:
        before = path.read_bytes().decode() if path.exists() else ""
        old = tomllib.loads(before)
    except IsADirectoryError as error:
        raise NotFoundError(f"{path}: a folder, a TOML file is needed") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"{path}: not valid TOML: {error}") from error
    there: Any = old
    for each in table:
        there = there.get(each, {}) if isinstance(there, dict) else {}
    if "options" in there and "options" not in values:  # those of another backend
        values = {**values, "options": []}
    after = set_keys(before, table, values)
    try:
        new = tomllib.loads(after)
    except tomllib.TOMLDecodeError:
        new = None
    if new != _wanted(old, table, values):
        lines = "; ".join([_header(table), *_lines(values)])
        raise InputError(f"{path}: is written in a way that cannot be edited safely", hint=f"write by hand: {lines}")
    return Edit(path, before, after)


def set_keys(text: str, table: Sequence[str], values: Mapping[str, Any]) -> str:
    """Return ``text`` with the keys of ``[table]`` set; the table comes to the end where there is none."""
    lines = text.splitlines(keepends=True)
    end_of_line = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    new = dict(zip(values, (line + end_of_line for line in _lines(values)), strict=True))
    start = next((at for at, line in enumerate(lines) if _names(line) == tuple(table)), None)
    if start is None:
        gap = end_of_line if text.endswith("\n") or not text else end_of_line * 2
        return text + (gap if text else "") + _header(table) + end_of_line + "".join(new.values())
    end = next((at for at in range(start + 1, len(lines)) if lines[at].lstrip().startswith("[")), len(lines))
    body = lines[start + 1 : end]
    for at, line in enumerate(body):
        key = line.partition("=")[0].strip()
        if key in new and "=" in line:
            comment = re.search(r"\s+#[^\"']*$", line.rstrip("\r\n"))
            body[at] = new.pop(key).rstrip("\r\n") + (comment[0] if comment else "") + end_of_line
    last = max((at for at, line in enumerate(body, 1) if line.strip() and not line.lstrip().startswith("#")), default=0)
    if new and last and not body[last - 1].endswith("\n"):
        body[last - 1] += end_of_line
    if not lines[start].endswith("\n"):
        lines[start] += end_of_line
    return "".join([*lines[: start + 1], *body[:last], *new.values(), *body[last:], *lines[end:]])


def _wanted(old: Mapping[str, Any], table: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    wanted = copy.deepcopy(dict(old))
    inner = wanted
    for name in table:
        inner = inner.setdefault(name, {})
        if not isinstance(inner, dict):
            raise InputError(f"{name!r} is no table", hint="rename that key")
    inner.update(values)
    return wanted


def _names(line: str) -> tuple[str, ...] | None:
    """The dotted name of a table's header, None for any other line."""
    if not line.lstrip().startswith("[") or line.lstrip().startswith("[["):
        return None
    try:
        found: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return None
    names: list[str] = []
    while isinstance(found, dict) and found:
        name, found = next(iter(found.items()))
        names.append(name)
    return tuple(names)


def _header(table: Sequence[str]) -> str:
    return f"[{'.'.join(name if _BARE.match(name) else _text(name) for name in table)}]"


def _lines(values: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_text(value)}" for key, value in values.items()]


def _text(value: Any) -> str:
    """A string, a number or a list of strings as TOML, whose basic strings are those of JSON but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
