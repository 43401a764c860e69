"""Made-up pictures."""

from __future__ import annotations

import numpy as np

from piaccel.bench.pictures import COUNT, SIZE, synthetic


def test_the_same_seed_makes_the_same_pictures_and_another_makes_others() -> None:
    first, again, other = synthetic(1), synthetic(1), synthetic(2)
    assert len(first) == COUNT
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0], first[1])


def test_a_picture_is_neither_flat_nor_pure_noise() -> None:
    picture = synthetic(0, count=1)[0]
    assert picture.dtype == np.uint8
    assert picture.shape == (*SIZE, 3)
    assert picture.std() > 15
    neighbours = picture.astype(int)
    assert np.abs(np.diff(neighbours, axis=1)).mean() < picture.std() / 2
