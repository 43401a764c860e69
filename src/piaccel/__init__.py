"""piaccel: the fastest correct way to run a vision model on a Raspberry Pi."""

from piaccel.version import __version__ as __version__
