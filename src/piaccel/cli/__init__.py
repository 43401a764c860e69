"""The command line: one file in this folder is one command, defined by the function of the same name."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import warnings
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated, Any

import typer

from piaccel import chatter
from piaccel.cli._text import printable
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
    _mend_streams()
    warnings.showwarning = _warn
    arguments = list(sys.argv[1:] if argv is None else argv)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    if {"-v", "--verbose"} & set(arguments[:end]):  # taken before or after the command's name
        arguments = [each for each in arguments[:end] if each not in ("-v", "--verbose")] + arguments[end:]
        chatter.set_verbose(True)
    try:
        try:
            code = build()(arguments, prog_name="piaccel", standalone_mode=True)
        except SystemExit as done:
            code = done.code
        if sys.stdout is not None:
            sys.stdout.flush()
    except PiaccelError as error:
        _complain(error)
        return 2 if isinstance(error, _USAGE_ERRORS) else 1
    except KeyboardInterrupt:
        print("piaccel: interrupted", file=sys.stderr)  # noqa: T201 - this is the command line
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `piaccel ... | head` does
        _drop_output()
        return 1
    except OSError as error:  # of a file that may not be read, or of our own output on a full disk
        reason = error.strerror or str(error)
        if error.filename is None:
            _drop_output()
        _complain(PiaccelError(f"{error.filename or 'the output cannot be written'}: {reason}"))
        return 1
    return code if isinstance(code, int) else 0


def _complain(error: PiaccelError) -> None:
    print(f"piaccel: error: {printable(str(error))}", file=sys.stderr)  # noqa: T201
    if error.hint:
        print(f"  -> {printable(error.hint)}", file=sys.stderr)  # noqa: T201


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"piaccel: warning: {printable(str(message))}", file=sys.stderr)  # noqa: T201


def _mend_streams() -> None:
    """Open what the caller left closed, else the next file gets its number; escape what the output cannot encode."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Send what is still to be printed nowhere: the interpreter would try, and fail, once more at its end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


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
