"""piaccel: the fastest correct way to run a vision model on a Raspberry Pi, proved by honest measurements.

    import piaccel

    model = piaccel.load("demo/bundle")
    result = model.predict(piaccel.read_image("washer.jpg"))

The names below are imported when they are first used, so that ``import piaccel`` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from piaccel.version import __version__ as __version__

if TYPE_CHECKING:
    from piaccel.auto import load as load
    from piaccel.bench.compare import compare as compare
    from piaccel.bench.run import benchmark as benchmark
    from piaccel.bundles import Bundle as Bundle
    from piaccel.errors import PiaccelError as PiaccelError
    from piaccel.frames import Frame as Frame
    from piaccel.frames import Preprocess as Preprocess
    from piaccel.images import read_image as read_image
    from piaccel.images import write_image as write_image
    from piaccel.models import Model as Model
    from piaccel.pipeline.runner import Pipeline as Pipeline

_HOMES = {
    "load": "piaccel.auto",
    "compare": "piaccel.bench.compare",
    "benchmark": "piaccel.bench.run",
    "Bundle": "piaccel.bundles",
    "PiaccelError": "piaccel.errors",
    "Frame": "piaccel.frames",
    "Preprocess": "piaccel.frames",
    "read_image": "piaccel.images",
    "write_image": "piaccel.images",
    "Model": "piaccel.models",
    "Pipeline": "piaccel.pipeline.runner",
}
__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
