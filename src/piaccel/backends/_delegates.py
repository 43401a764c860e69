"""Native libraries that LiteRT takes in: delegates, and registrations of operators; each failure with its reason.

A delegate's interface: tensorflow/lite/delegates/external/external_delegate_interface.h. A registration is a C function
that gets a ``tflite::MutableOpResolver*``, as ``custom_op_registerers`` of LiteRT's Python interpreter calls it.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any

from piaccel import chatter
from piaccel.backends import Placement
from piaccel.errors import UnavailableError

REGISTERER = "RegisterSelectedOps"
"""The function's name in TensorFlow Lite's own tools (benchmark_model, selective builds)."""
_PLUGIN = ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate")
_PACKAGES = {"libusb-1.0.so.0": "libusb-1.0-0", "libstdc++.so.6": "libstdc++6", "libc++.so.1": "libc++1"}
_one_at_a_time = Lock()


class Refused(Exception):
    """The library did not make a delegate; the text is what it said, which may be nothing."""


def library(path: str, install: str = "give the path of a library that is there") -> ctypes.CDLL:
    """Load a shared library. Raises UnavailableError that says what is missing, and what installs it."""
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        said = str(error)
    missing = said.partition(": cannot open shared object file: No such file")[0]
    if missing == said:
        reason = said.removeprefix(f"{path}: ")
        raise UnavailableError(f"{path} is no library that this computer can load: {reason}", hint=install)
    if missing == path:
        raise UnavailableError(f"the library {path} is not there", hint=install)
    package = _PACKAGES.get(missing)
    hint = f"sudo apt install {package}" if package else f"install the package that has {missing}: apt-file search"
    raise UnavailableError(f"{path} needs {missing}, which is not installed", hint=hint)


def delegate(module: Any, path: str, options: Mapping[str, str], opened: ctypes.CDLL) -> Any:
    """Make a delegate of the runtime ``module``. Raises UnavailableError for no delegate's library, and Refused."""
    for symbol in _PLUGIN:  # looked for here: Delegate.__del__ would complain on stderr
        if not hasattr(opened, symbol):
            hint = "give a library with TensorFlow Lite's external delegate interface"
            raise UnavailableError(f"{path} is no delegate: it has no {symbol}", hint=hint)
    load = getattr(module, "load_delegate", None) or module.experimental.load_delegate
    said: list[str] = []
    try:
        with _overheard(said):
            return load(path, dict(options))
    except ValueError as error:
        told = str(error).partition("\n")[2].strip()
        raise Refused("\n".join([*said, *([told] if told else [])])) from error


def registerers(text: str) -> list[Callable[[int], None]]:
    """The functions that "LIB[:FUNCTION,...]" names. Raises UnavailableError when one of the two is not there."""
    path, _, names = text.partition(":")
    opened = library(path)
    found = []
    for name in names.split(",") if names else [REGISTERER]:
        try:
            function = getattr(opened, name)
        except AttributeError:
            hint = f'export it as extern "C" void {name}(tflite::MutableOpResolver*), or name another: {path}:FUNCTION'
            raise UnavailableError(f"{path} registers no operators: it has no function {name}", hint=hint) from None
        function.argtypes, function.restype = [ctypes.c_void_p], None
        found.append(function)
    return found


def placement(interpreter: Any, accelerator: str) -> tuple[Placement | None, list[str]]:
    """What a delegate took of a network, and the operators it left; before ``allocate_tensors``, which adds XNNPACK.

    None where the runtime does not tell.
    """
    if not hasattr(interpreter, "_get_ops_details"):
        return None, []
    producer: dict[int, int] = {}
    ours, delegated = {}, []
    for number, node in enumerate(interpreter._get_ops_details()):
        outputs = [int(tensor) for tensor in node["outputs"]]
        if outputs and all(tensor in producer for tensor in outputs):  # a second source: it stands for the first
            delegated.append(node)
            continue
        ours[number] = node
        producer.update((tensor, number) for tensor in outputs)
    taken: set[int] = set()
    for node in delegated:
        entry = {int(tensor) for tensor in node["inputs"]}
        open_ends = [int(tensor) for tensor in node["outputs"]]
        while open_ends:
            number = producer.get(open_ends.pop(), -1)
            if number >= 0 and number not in taken:
                taken.add(number)
                open_ends += [int(tensor) for tensor in ours[number]["inputs"] if int(tensor) not in entry]
    left = [str(node["op_name"]) for number, node in ours.items() if number not in taken]
    return Placement(accelerator, len(taken), len(left)), left


@contextmanager
def _overheard(said: list[str]) -> Iterator[None]:
    """Collect in ``said`` what is written to stderr meanwhile: where delegates say why they refuse."""
    with _one_at_a_time, tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            file.seek(0)
            text = file.read()
            if chatter.verbose():
                os.write(kept, text)
            os.close(kept)
            said += [line for line in re.split(r"[\r\n]+", text.decode(errors="replace")) if line.strip()]
