"""A fake of the Python module ``hailo_platform``, for tests of code that drives a Hailo accelerator without one.

It keeps the contract of HailoRT's InferModel API as of 4.23 and 5.2 (signatures, callbacks on another thread, status
codes and exceptions, buffer checks, layouts of suppressed boxes) and computes what ``hefs.FUNCTIONS`` says::

    with hailo.fake(architecture="HAILO8L") as board:
        ...  # import hailo_platform, load a file made by hefs.write
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from piaccel.testing.hailo.settings import VARIABLE, Settings

FOLDER = Path(__file__).parent
"""What to put on ``sys.path`` (or PYTHONPATH) so that ``import hailo_platform`` finds the fake."""


@contextmanager
def fake(**settings: object) -> Iterator[Settings]:
    """Make ``import hailo_platform`` find the fake, in this process and its children; fields as in ``Settings``."""
    chosen = Settings(**settings)  # type: ignore[arg-type]
    before = {name: os.environ.get(name) for name in (VARIABLE, "PYTHONPATH")}
    _forget()
    os.environ[VARIABLE] = chosen.to_text()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(FOLDER), before["PYTHONPATH"]]))
    sys.path.insert(0, str(FOLDER))
    try:
        yield chosen
    finally:
        sys.path.remove(str(FOLDER))
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "hailo_platform"]:
        del sys.modules[name]
