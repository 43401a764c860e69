"""Let piaccel find what is fastest and right on this board, and say why: python examples/fastest_backend.py"""

from pathlib import Path

import piaccel

DEMO = Path(__file__).parents[1] / "demo"

with piaccel.load(DEMO / "bundle") as model:  # measured once, then remembered for this board, model and versions
    print(f"{model.variant.name} on {model.backend}, {model.threads} threads: {model.why}")
