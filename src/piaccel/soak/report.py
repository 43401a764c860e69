"""Soaks as JSON: written whole or not at all, read with one clear line for whatever is wrong."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from piaccel.errors import InputError, NotFoundError
from piaccel.files import write_atomic
from piaccel.soak import SCHEMA, Soak
from piaccel.soak.findings import find
from piaccel.soak.verdict import judge


def document(soak: Soak) -> dict[str, Any]:
    """The soak with what follows from it: ``verdict`` and ``findings`` are for readers, and not read back."""
    found = find(soak)
    return {"schema": SCHEMA, "verdict": asdict(judge(soak, found)), "findings": asdict(found), "soak": asdict(soak)}


def write(soak: Soak, path: str | os.PathLike[str]) -> None:
    """Write the JSON; what was at ``path`` stays until the new file is whole."""
    import msgspec

    write_atomic(Path(path), msgspec.json.format(msgspec.json.encode(document(soak)), indent=1) + b"\n")


def from_json(data: bytes, name: str = "soak") -> Soak:
    """Read it back. Raises InputError, one line that starts with ``name``."""
    import msgspec

    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: not JSON: {error}", hint="give the file that `piaccel soak --json` wrote") from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise InputError(
            f'{name}: not a soak (no "schema": "{SCHEMA}")', hint="give the file that `piaccel soak --json` wrote"
        )
    try:
        return msgspec.convert(found.get("soak"), Soak)
    except msgspec.ValidationError as error:
        raise InputError(f"{name}: not a whole soak: {error}", hint="run it again") from error


def read(path: str | os.PathLike[str]) -> Soak:
    """Read a file. Raises NotFoundError, or InputError naming the file and what is wrong with it."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no such file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return from_json(data, str(path))
