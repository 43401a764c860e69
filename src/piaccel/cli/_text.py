"""What every command prints: JSON, and text that is safe in a terminal."""

from __future__ import annotations

from typing import Any

import typer

from piaccel.errors import OptionError


def printable(text: str) -> str:
    """Return text from a file or a path in one line, without what a terminal would take as a command."""
    return "".join(each if each.isprintable() else "?" for each in text)


def print_json(document: Any) -> None:
    """Print plain data, dataclasses or msgspec structs. Raises OptionError for a path that is not UTF-8."""
    import msgspec

    try:
        text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    except UnicodeEncodeError as error:
        raise OptionError(f"a path is not UTF-8, and JSON holds nothing else: {error.object!r}") from error
    typer.echo(text)
