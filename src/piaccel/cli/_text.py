"""What every command prints: JSON, and text that is safe in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from piaccel.chatter import printable as printable
from piaccel.errors import OptionError

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 160


def wide_console() -> Console:
    """Return a console for tables: as wide as the terminal, and wide in a file or a pipe, which have no edge."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=max(console.width, _WIDE))


def print_json(document: Any) -> None:
    """Print plain data, dataclasses or msgspec structs. Raises OptionError for a path that is not UTF-8."""
    import msgspec

    try:
        text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    except UnicodeEncodeError as error:
        raise OptionError(f"a path is not UTF-8, and JSON holds nothing else: {error.object!r}") from error
    typer.echo(text)
