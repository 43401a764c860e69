"""Sets of drawn pictures as the network sees them: (n, 96, 96, 3) uint8 RGB, and their labels."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import parts
from numpy.typing import NDArray

SIDE = 96
Drawn = TypeVar("Drawn")
# The seeds of the four series; no picture is in two of them.
TRAIN, VALIDATION, TEST, SAMPLES = 1, 2, 3, 4


def stretch(picture: NDArray[np.uint8], interpolation: int = cv2.INTER_LINEAR) -> NDArray[np.uint8]:
    """The picture at the network's size, its aspect not kept (all are square here)."""
    return np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=interpolation))


def held_out_picture(index: int, seed: int = TEST) -> tuple[NDArray[np.uint8], int]:
    """As `piaccel predict` sees a 240x240 camera picture: bilinear, no averaging."""
    drawn, label = parts.picture(seed, index, 240)
    return stretch(drawn), label


def training_picture(index: int) -> tuple[NDArray[np.uint8], int]:
    """One of several camera sizes and ways of resizing, so that the network depends on neither."""
    rng = np.random.default_rng([99, index])
    drawn, label = parts.picture(TRAIN, index, int(rng.choice([128, 160, 240])))
    return stretch(drawn, int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_AREA]))), label


def pool(name: str, count: int, folder: Path, processes: int = 2) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """`count` pictures of the series "train", "validation" or "test", drawn once and kept in `folder`."""
    one = {
        "train": training_picture,
        "validation": partial(held_out_picture, seed=VALIDATION),
        "test": held_out_picture,
    }[name]
    stored = folder / f"{name}-{count}.npz"
    if stored.exists():
        with np.load(stored) as arrays:
            return arrays["pictures"], arrays["labels"]
    drawn = _in_processes(one, count, processes)
    pictures = np.stack([picture for picture, _ in drawn])
    labels = np.array([label for _, label in drawn], np.int64)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(stored, pictures=pictures, labels=labels)
    return pictures, labels


def damage_maps(count: int, cells: int, folder: Path, processes: int = 2) -> NDArray[np.bool_]:
    """Where each training picture's part is damaged: (count, cells, cells); see parts.damage_map."""
    stored = folder / f"damage-{count}-{cells}.npy"
    if not stored.exists():
        np.save(stored, np.stack(_in_processes(partial(parts.damage_map, TRAIN, cells=cells), count, processes)))
    return np.asarray(np.load(stored))


def _in_processes(one: Callable[[int], Drawn], count: int, processes: int) -> list[Drawn]:
    # Spawned, because a process forked after OpenCV has started its threads can wait for them for ever.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, cv2.setNumThreads, (1,)) as workers:
        return list(workers.map(one, range(count), chunksize=60))
