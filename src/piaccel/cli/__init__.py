"""The command line: one file in this folder is one command, defined by the function of the same name."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from piaccel import chatter
from piaccel.errors import ConditionsError, InputError, NotFoundError, OptionError, PiaccelError
from piaccel.version import __version__

_USAGE_ERRORS = (ConditionsError, InputError, NotFoundError, OptionError)


def build() -> typer.Typer:
    """Make the application with every command; importing a command's file imports nothing heavy."""
    app = typer.Typer(
        name="piaccel",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_piaccel)
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            command = getattr(importlib.import_module(f"{__name__}.{module.name}"), module.name)
            app.command(name=module.name.replace("_", "-"))(command)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code: 0 done, 1 it failed, 2 wrong usage or input, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    if {"-v", "--verbose"} & set(arguments[:end]):  # taken before or after the command's name
        arguments = [each for each in arguments[:end] if each not in ("-v", "--verbose")] + arguments[end:]
        chatter.set_verbose(True)
    try:
        code = build()(arguments, prog_name="piaccel", standalone_mode=True)
    except SystemExit as done:
        code = done.code
    except PiaccelError as error:
        _complain(error)
        return 2 if isinstance(error, _USAGE_ERRORS) else 1
    except KeyboardInterrupt:
        print("piaccel: interrupted", file=sys.stderr)  # noqa: T201 - this is the command line
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `piaccel ... | head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


def _complain(error: PiaccelError) -> None:
    print(f"piaccel: error: {error}", file=sys.stderr)  # noqa: T201
    if error.hint:
        print(f"  -> {error.hint}", file=sys.stderr)  # noqa: T201


def _version(asked: bool) -> None:
    if asked:
        print(f"piaccel {__version__}")  # noqa: T201
        raise typer.Exit


def _piaccel(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show what the runtimes print; works after the command too.")
    ] = False,
) -> None:
    """The fastest correct way to run a vision model on a Raspberry Pi, proved by honest measurements."""
