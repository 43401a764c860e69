"""What the backends on LiteRT (TensorFlow Lite) share: finding the runtime, and a session round its interpreter.

API: ai_edge_litert.interpreter, the same as tflite_runtime.interpreter and tensorflow.lite.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from piaccel import chatter
from piaccel.backends import Placement, Session, distinct
from piaccel.errors import UnavailableError
from piaccel.tensors import Array, Quantization, TensorSpec, guess_layout

MODULES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow.lite")
INSTALL = "pip install ai-edge-litert"


class TFLiteSession(Session):
    """An interpreter, ready to run. Raises what its ``allocate_tensors`` raises."""

    def __init__(self, interpreter: Any, placement: Placement | None = None) -> None:
        ins, outs = interpreter.get_input_details(), interpreter.get_output_details()
        self.inputs = _specs(ins, True)
        self.outputs = _specs(outs, False)
        self.placement = placement
        self._fed = tuple((spec.name, detail["index"]) for spec, detail in zip(self.inputs, ins, strict=True))
        self._given = tuple((spec.name, detail["index"]) for spec, detail in zip(self.outputs, outs, strict=True))
        self._interpreter = interpreter
        self._set, self._invoke, self._get = interpreter.set_tensor, interpreter.invoke, interpreter.get_tensor
        self._free = any(None in spec.shape for spec in self.inputs)
        self._shapes: tuple[tuple[int, ...], ...] | None = None
        try:
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            # Free dimensions stand at 1 until the first run, which not every network survives.
            if not self._free or "custom op" in str(error):
                raise

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        if self._free:
            self._resize(feeds)
        for name, index in self._fed:
            self._set(index, feeds[name])
        self._invoke()
        return {name: self._get(index) for name, index in self._given}

    def _resize(self, feeds: Mapping[str, Array]) -> None:
        shapes = tuple(feeds[name].shape for name, _ in self._fed)
        if shapes == self._shapes:
            return
        self._shapes = None
        with chatter.quiet():
            for (_, index), shape in zip(self._fed, shapes, strict=True):
                self._interpreter.resize_tensor_input(index, shape, strict=True)
            self._interpreter.allocate_tensors()
        self._shapes = shapes

    def _close(self) -> None:
        del self._set, self._invoke, self._get, self._interpreter


def runtime() -> Any:
    """Import the first of ``MODULES`` that is installed. Raises ImportError when none is, or one does not import."""
    failure: ImportError | None = None
    for name in MODULES:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            failure = failure or error
    assert failure is not None
    raise failure


def version(module: Any) -> str | None:
    """The version of the package that ``runtime`` found."""
    module.Interpreter  # noqa: B018 - tensorflow loads it only now
    package = module.__name__.partition(".")[0]
    return getattr(importlib.import_module(package), "__version__", None) or _metadata_version(package)


def interpreter(
    module: Any,
    path: Path,
    threads: int,
    *,
    xnnpack: bool = True,
    delegates: Sequence[Any] = (),
    registerers: Sequence[Callable[[int], None]] = (),
) -> Any:
    """Open a file; ``registerers`` add operators to the resolver whose address they get. Raises what LiteRT raises."""
    given: dict[str, Any] = {
        "model_path": str(path),
        "num_threads": threads,
        "experimental_op_resolver_type": _resolver(module, xnnpack),
    }
    if delegates:
        given["experimental_delegates"] = list(delegates)
    if not registerers:
        return module.Interpreter(**given)
    kind = getattr(module, "InterpreterWithCustomOps", None)
    if kind is None:
        raise UnavailableError(f"{module.__name__} takes no operators of others", hint=INSTALL)
    return kind(custom_op_registerers=list(registerers), **given)


def _resolver(module: Any, xnnpack: bool) -> Any:
    kinds = getattr(module, "OpResolverType", None)
    if kinds is None:  # tensorflow.lite keeps it in experimental
        kinds = module.experimental.OpResolverType
    return kinds.AUTO if xnnpack else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES


def _metadata_version(package: str) -> str | None:
    from importlib.metadata import packages_distributions, version

    found = packages_distributions().get(package)
    return version(found[0]) if found else None


def _specs(details: list[dict[str, Any]], is_input: bool) -> tuple[TensorSpec, ...]:
    names = distinct(detail["name"] for detail in details)
    return tuple(_spec(name, detail, is_input) for name, detail in zip(names, details, strict=True))


def _spec(name: str, detail: dict[str, Any], is_input: bool) -> TensorSpec:
    signature = detail.get("shape_signature", detail["shape"])
    if len(signature) != len(detail["shape"]):  # absent in the file
        signature = detail["shape"]
    shape = tuple(None if size < 0 else int(size) for size in signature)
    layout = guess_layout(shape) if is_input else ""
    return TensorSpec(name, shape, np.dtype(detail["dtype"]), layout, _quantization(detail))


def _quantization(detail: dict[str, Any]) -> Quantization | None:
    found = detail["quantization_parameters"]
    if not len(found["scales"]) or not found["scales"].any() or np.dtype(detail["dtype"]).kind not in "iu":
        return None
    return Quantization(
        tuple(found["scales"].tolist()), tuple(found["zero_points"].tolist()), int(found["quantized_dimension"])
    )
