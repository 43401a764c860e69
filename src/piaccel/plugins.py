"""Finds what can be added to piaccel: a file in one of our plug-in folders, or another package's entry point.

The file name is the registration: ``backends/ncnn.py`` is the backend ``ncnn``. The file defines one
public subclass of its folder's seam. Another package registers ``piaccel.backends`` entry points in the same way
(name = "package.module"). Listing names imports none of them.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from typing import TypeVar

from piaccel.errors import OptionError

T = TypeVar("T")


@cache
def names(kind: str) -> tuple[str, ...]:
    """Return the sorted names of all plug-ins of ``kind`` ("backends", "tasks", ...)."""
    return tuple(sorted({**_others(kind), **_ours(kind)}))


def load(kind: str, name: str, seam: type[T]) -> type[T]:
    """Import the plug-in ``name`` and return its class.

    Raises OptionError when there is no such plug-in, when it does not import, or when it does not define exactly one
    public subclass of ``seam``.
    """
    found_in = _ours(kind).get(name) or _others(kind).get(name)
    if found_in is None:
        raise OptionError(f"no {kind.rstrip('s')} is called {name!r}", hint=f"choose from {', '.join(names(kind))}")
    try:
        module = importlib.import_module(found_in)
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise OptionError(f"{found_in} does not import: {type(error).__name__}: {lines[-1]}") from error
    found = [
        value
        for key, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, seam) and value is not seam and not key.startswith("_")
        if value.__module__ == module.__name__ and not inspect.isabstract(value)
    ]
    if len(found) != 1:
        raise OptionError(f"{module.__name__} must define one {seam.__name__}, it defines {len(found)}")
    return found[0]


@cache
def _ours(kind: str) -> dict[str, str]:
    package = importlib.import_module(f"piaccel.{kind}")
    return {
        info.name: f"{package.__name__}.{info.name}"
        for info in pkgutil.iter_modules(package.__path__)
        if not info.name.startswith("_")
    }


@cache
def _others(kind: str) -> dict[str, str]:
    """Other packages' plug-ins; a name of ours never needs the look through all that is installed."""
    import importlib.metadata

    return {point.name: point.value for point in importlib.metadata.entry_points(group=f"piaccel.{kind}")}
