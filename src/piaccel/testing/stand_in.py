"""Lets a fake stand in for a vendor's Python module, in this process and its children."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def stand_in(module: str, folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Make ``import module`` find the one in ``folder`` and let it see ``environment``; all is as before afterwards."""
    before = {name: os.environ.get(name) for name in (*environment, "PYTHONPATH")}
    _forget(module)
    os.environ.update(environment)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), before["PYTHONPATH"]]))
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        _forget(module)


def _forget(module: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        del sys.modules[name]
