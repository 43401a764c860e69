"""A fake of the Python module ``picamera2`` with an IMX500, for tests of code that drives an AI Camera without one.

It keeps the contract of picamera2 0.3.38 (signatures, order of construction, metadata, outputs in Fortran order, frames
without a result, messages and types of errors). Frames are of one colour; see ``Settings`` for what it answers::

    with imx500.fake(silent_every=3):
        ...  # import picamera2, load a network
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from piaccel.testing.imx500.settings import VARIABLE
from piaccel.testing.imx500.settings import Settings as Settings
from piaccel.testing.stand_in import stand_in

FOLDER = Path(__file__).parent
"""What to put on ``sys.path`` (or PYTHONPATH) so that ``import picamera2`` finds the fake."""
COLOUR = (200, 100, 50)
"""Red, green and blue of each frame, but for the first pixel's blue, which is the frame's number."""


@contextmanager
def fake(**settings: object) -> Iterator[Settings]:
    """Make ``import picamera2`` find the fake, in this process and its children; fields as in ``Settings``."""
    chosen = Settings(**settings)  # type: ignore[arg-type]
    with stand_in("picamera2", FOLDER, {VARIABLE: chosen.to_text()}):
        yield chosen
