"""Folders of pictures as a source."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from piaccel import images, sources
from piaccel.errors import NotFoundError, OptionError
from piaccel.sources import Source
from piaccel.sources.images import Images, Options
from piaccel.testing.source_compliance import SourceCompliance, taken


def pictures(folder: Path, count: int = 12) -> Path:
    for index in range(count):
        picture = np.full((40 + 4 * (index % 2), 60, 3), index, np.uint8)
        images.write_image(folder / f"{index:02}.png", picture)
    return folder


class TestImages(SourceCompliance):
    name = "images"

    def source(self, folder: Path) -> Source:
        return sources.make(str(pictures(folder)))


def test_pictures_come_in_the_order_of_their_names_each_in_its_own_size(tmp_path: Path) -> None:
    with sources.make(f"images:{pictures(tmp_path, 4)}") as source:
        seen = taken(source, 4)
        assert source.read() is None
    assert [int(frame.image[0, 0, 0]) for frame in seen] == [0, 1, 2, 3]
    assert [frame.image.shape[0] for frame in seen] == [40, 44, 40, 44]
    assert [frame.index for frame in seen] == [0, 1, 2, 3]


def test_with_loop_they_begin_anew_and_indices_rise_on(tmp_path: Path) -> None:
    with sources.make(f"images:{pictures(tmp_path, 3)},loop=true") as source:
        assert [(frame.index, int(frame.image[0, 0, 0])) for frame in taken(source, 5)] == [
            (0, 0), (1, 1), (2, 2), (3, 0), (4, 1),
        ]  # fmt: skip


def test_a_broken_picture_is_left_out_and_leaves_a_gap(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pictures(tmp_path, 5)
    (tmp_path / "00.png").write_bytes(b"")
    (tmp_path / "03.png").write_text("no picture")
    with caplog.at_level(logging.WARNING, "piaccel"), sources.make(str(tmp_path)) as source:
        assert [frame.index for frame in taken(source, 3)] == [1, 2, 4]
        assert source.read() is None
    assert "03.png" in caplog.text


def test_paced_pictures_lie_on_a_grid_and_wait_for_a_late_reader(tmp_path: Path) -> None:
    now = [1000]

    def sleep(seconds: float) -> None:
        now[0] += round(seconds * 1e9)

    source = Images(str(pictures(tmp_path, 4)), Options(fps=10), lambda: now[0], sleep)
    source.open()
    times = [frame.exposed_ns for frame in taken(source, 2)]
    now[0] += 250_000_000
    times += [frame.exposed_ns for frame in taken(source, 2)]
    assert times == [1000, 100_001_000, 350_001_000, 450_001_000]


def test_what_is_not_there_or_holds_no_picture_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"absent\.jpg"):
        sources.make(str(tmp_path / "absent.jpg")).open()
    with pytest.raises(OptionError, match="no pictures"):
        sources.make(str(tmp_path)).open()
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(OptionError, match="none of its 1 files"):
        sources.make(f"images:{tmp_path},loop=true").open()
