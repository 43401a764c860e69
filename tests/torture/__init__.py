"""Long tests of the service, shortened unless PIACCEL_TORTURE is set: ``make torture``."""

import os

FULL = bool(os.environ.get("PIACCEL_TORTURE"))
