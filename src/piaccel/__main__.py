"""``python -m piaccel``."""

import sys

from piaccel.cli import main

if __name__ == "__main__":
    sys.exit(main())
