"""Fake of HailoRT's Python module; see ``piaccel.testing.hailo``."""

from .pyhailort import _pyhailort

__version__ = _pyhailort.SETTINGS.version
if _pyhailort.__version__ != __version__:
    raise ImportError(f"_pyhailort version ({_pyhailort.__version__}) does not match pyhailort version ({__version__})")

from .pyhailort._pyhailort import FormatOrder as FormatOrder
from .pyhailort._pyhailort import FormatType as FormatType
from .pyhailort._pyhailort import SchedulingAlgorithm as _SchedulingAlgorithm
from .pyhailort.pyhailort import HEF as HEF
from .pyhailort.pyhailort import Device as Device
from .pyhailort.pyhailort import HailoRTException as HailoRTException
from .pyhailort.pyhailort import VDevice as VDevice

HailoSchedulingAlgorithm = _SchedulingAlgorithm
