"""Finds what can be added to piaccel: a file in one of our plug-in folders, or another package's entry point.

The file name is the registration: ``backends/ncnn.py`` is the backend ``ncnn``. The file defines one
public subclass of its folder's seam. Another package registers ``piaccel.backends`` entry points in the same way
(name = "package.module"). Listing names imports none of them.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import pkgutil
from functools import cache
from typing import TypeVar

from piaccel.errors import OptionError

T = TypeVar("T")


@cache
def names(kind: str) -> tuple[str, ...]:
    """Return the sorted names of all plug-ins of ``kind`` ("backends", "tasks", ...)."""
    return tuple(sorted(_modules(kind)))


def load(kind: str, name: str, seam: type[T]) -> type[T]:
    """Import the plug-in ``name`` and return its class.

    Raises OptionError when there is no such plug-in, when it does not import, or when it does not define exactly one
    public subclass of ``seam``.
    """
    modules = _modules(kind)
    if name not in modules:
        raise OptionError(f"no {kind.rstrip('s')} is called {name!r}", hint=f"choose from {', '.join(sorted(modules))}")
    try:
        module = importlib.import_module(modules[name])
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise OptionError(f"{modules[name]} does not import: {type(error).__name__}: {lines[-1]}") from error
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
def _modules(kind: str) -> dict[str, str]:
    package = importlib.import_module(f"piaccel.{kind}")
    ours = {
        info.name: f"{package.__name__}.{info.name}"
        for info in pkgutil.iter_modules(package.__path__)
        if not info.name.startswith("_")
    }
    others = {point.name: point.value for point in importlib.metadata.entry_points(group=f"piaccel.{kind}")}
    return {**others, **ours}
