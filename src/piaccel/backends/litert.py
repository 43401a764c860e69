"""LiteRT (TensorFlow Lite): the default runtime for .tflite files, with the XNNPACK delegate or one of your own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piaccel.backends import Availability, Backend, Options, Placement, Session, _delegates, _tflite
from piaccel.errors import ModelError, OptionError, UnavailableError

_MOST_NAMED = 6


@dataclass(frozen=True, kw_only=True)
class LiteRTOptions(Options):
    xnnpack: bool = True
    """Use the XNNPACK delegate; False runs the built-in kernels."""
    delegate: str | None = None
    """"LIB[:key=value,...]": an external delegate, which takes what it can; the rest stays on the CPU."""
    require_full_delegation: bool = False
    """Refuse a network of which the delegate leaves an operator to the CPU."""
    custom_ops: str | None = None
    """"LIB[:FUNCTION,...]": a library whose functions register operators that LiteRT does not know."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.require_full_delegation and self.delegate is None:
            raise OptionError("require_full_delegation needs a delegate: delegate=LIB[:key=value,...]")
        if self.delegate is not None:
            _split(self.delegate)


class LiteRT(Backend):
    suffixes = (".tflite", ".lite")
    looks_into = suffixes
    priority = 100
    options = LiteRTOptions
    modules = _tflite.MODULES
    install = _tflite.INSTALL

    def _probe(self) -> Availability:
        return Availability(True, version=_tflite.version(_tflite.runtime()), devices=("CPU",))

    def _load(self, path: Path, options: LiteRTOptions) -> Session:
        module = _tflite.runtime()
        delegates = [_delegate(module, options.delegate)] if options.delegate else []
        registerers = _delegates.registerers(options.custom_ops) if options.custom_ops else []
        interpreter = _tflite.interpreter(
            module,
            path,
            options.thread_count,
            xnnpack=options.xnnpack,
            delegates=delegates,
            registerers=registerers,
        )
        return _tflite.TFLiteSession(interpreter, _placement(interpreter, path, options))


def _split(text: str) -> tuple[str, dict[str, str]]:
    """Read "LIB[:key=value,...]". Raises OptionError for anything else."""
    path, _, rest = text.partition(":")
    pairs = [pair.partition("=") for pair in rest.split(",")] if rest else []
    if not path or not all(key and equals for key, equals, _ in pairs):
        raise OptionError(f"delegate {text!r} is not LIB[:key=value,...]")
    return path, {key: value for key, _, value in pairs}


def _delegate(module: Any, text: str) -> Any:
    path, options = _split(text)
    try:
        return _delegates.delegate(module, path, options, _delegates.library(path))
    except _delegates.Refused as error:
        said = str(error).splitlines()
        reason = f"it says: {said[-1]}" if said else "it does not say why"
        hint = "see what the delegate's own documentation says of its device and options; -v shows all that it prints"
        raise UnavailableError(f"the delegate {path} refuses to start: {reason}", hint=hint) from error


def _placement(interpreter: Any, path: Path, options: LiteRTOptions) -> Placement | None:
    if options.delegate is None:
        return None
    accelerator = Path(_split(options.delegate)[0]).name
    found, left = _delegates.placement(interpreter, accelerator)
    if options.require_full_delegation and (found is None or left):
        what = f"{found.left} of {found.taken + found.left} operators" if found else "an unknown number of operators"
        names = ", ".join(list(dict.fromkeys(left))[:_MOST_NAMED])
        raise ModelError(
            f"{path}: {accelerator} leaves {what} to the CPU{': ' + names if names else ''}",
            hint="leave require_full_delegation out, or convert the network to operators that the delegate knows",
        )
    return found
