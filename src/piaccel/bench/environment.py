"""The fingerprint of what a benchmark ran on: two reports may be compared only where it is equal."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np

from piaccel.bundles import Bundle
from piaccel.files import sha256
from piaccel.version import __version__


def fingerprint(board: Mapping[str, Any], runtimes: Mapping[str, str | None]) -> dict[str, Any]:
    """Return ``board`` (what the device layer calls its fingerprint), the cores this process may use, all versions."""
    import cv2

    return {
        "board": dict(board),
        "usable_cores": usable_cores(),
        "versions": {
            "piaccel": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "opencv-python": cv2.__version__,
            **runtimes,
        },
    }


def describe(bundle: Bundle, precisions: Mapping[str, str]) -> dict[str, Any]:
    """Return the model as a report holds it; a bare file's sha256 is computed. Raises NotFoundError."""
    return {
        "name": bundle.name,
        "path": str(bundle.path),
        "variants": {
            variant.name: {
                "file": variant.path.name,
                "format": variant.format,
                "precision": precisions[variant.name],
                "sha256": variant.sha256 or sha256(variant.path),
                "weights_sha256": variant.weights_sha256 or (sha256(variant.weights) if variant.weights else None),
                "accuracy": variant.accuracy,
            }
            for variant in bundle.variants
        },
    }


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))
