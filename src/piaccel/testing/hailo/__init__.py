"""A fake of the Python module ``hailo_platform``, for tests of code that drives a Hailo accelerator without one.

It keeps the contract of HailoRT's InferModel API as of 4.23 and 5.2 (signatures, callbacks on another thread, status
codes and exceptions, buffer checks, layouts of suppressed boxes) and computes what ``hefs.FUNCTIONS`` says::

    with hailo.fake(architecture="HAILO8L") as board:
        ...  # import hailo_platform, load a file made by hefs.write
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from piaccel.testing.hailo.settings import VARIABLE, Settings
from piaccel.testing.stand_in import stand_in

FOLDER = Path(__file__).parent
"""What to put on ``sys.path`` (or PYTHONPATH) so that ``import hailo_platform`` finds the fake."""


@contextmanager
def fake(**settings: object) -> Iterator[Settings]:
    """Make ``import hailo_platform`` find the fake, in this process and its children; fields as in ``Settings``."""
    chosen = Settings(**settings)  # type: ignore[arg-type]
    with stand_in("hailo_platform", FOLDER, {VARIABLE: chosen.to_text()}):
        yield chosen
