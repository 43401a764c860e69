"""A stand-in for OpenVINO 2022.3 with the plug-in for Intel's Neural Compute Stick 2: its import path and its API.

Put ``path()`` first on ``sys.path``. ``PIACCEL_FAKE_MYRIAD`` chooses: "" a stick is there, "absent" none is, "lost"
it is pulled out while it works.
"""

from pathlib import Path


def path() -> Path:
    """The folder that holds the package ``openvino``."""
    return Path(__file__).parent
