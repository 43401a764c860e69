"""``python -m piaccel.serving.conformance``."""

import sys

from piaccel.serving.conformance import main

sys.exit(main())
