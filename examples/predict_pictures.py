"""Say what the demo model sees in its sample pictures: python examples/predict_pictures.py"""

from pathlib import Path

import piaccel

DEMO = Path(__file__).parents[1] / "demo"

with piaccel.load(DEMO / "bundle", backend="litert", threads=1) as model:
    for path in sorted((DEMO / "images").glob("*.jpg")):
        result = model.predict(piaccel.read_image(path))
        print(f"{path.name:32} {result.lines()[0]}")
