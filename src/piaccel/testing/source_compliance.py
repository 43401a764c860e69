"""The tests that every source passes, ours and other packages': subclass ``SourceCompliance`` and run pytest.

class TestImages(SourceCompliance):
    name = "images"

    def source(self, folder): ...     # a source of at least ten frames, not opened yet
"""

from __future__ import annotations

import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from piaccel import sources
from piaccel.errors import PiaccelError
from piaccel.frames import Frame
from piaccel.sources import Source

_FUTURE_NS = 2_000_000
_FRAMES = 8


class SourceCompliance(ABC):
    """What a source promises. Skip in ``source`` where its device or program is absent."""

    name: ClassVar[str]
    """The source's name."""
    endless: ClassVar[bool] = False
    """It never ends by itself, as a camera."""
    libraries: ClassVar[tuple[str, ...]] = ("cv2",)
    """Modules that looking the source up must not load."""

    @abstractmethod
    def source(self, folder: Path) -> Source:
        """Make a source that is not open yet and gives at least ten frames; ``folder`` is for files it needs."""

    @pytest.fixture
    def made(self, tmp_path: Path) -> Iterator[Source]:
        source = self.source(tmp_path)
        yield source
        source.close()

    @pytest.fixture
    def opened(self, made: Source) -> Source:
        made.open()
        return made

    def test_it_is_listed_and_its_class_says_what_it_takes(self) -> None:
        assert self.name in sources.names()
        kind = sources.get(self.name)
        assert issubclass(kind.options, sources.Options)
        assert kind.delivery_clock in ("sensor", "schedule", "arrival")

    def test_looking_it_up_loads_no_library(self) -> None:
        script = f"import sys; from piaccel import sources; sources.get({self.name!r}); print(*sys.modules)"
        loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        assert not set(self.libraries) & set(loaded.split())

    def test_its_name_is_one_short_line(self, made: Source) -> None:
        assert str(made)
        assert len(str(made).splitlines()) == 1

    def test_frames_are_rgb_bytes_in_one_piece(self, opened: Source) -> None:
        for frame in taken(opened):
            assert frame.image.dtype == np.uint8
            assert frame.image.ndim == 3
            assert frame.image.shape[2] == 3
            assert frame.image.flags.c_contiguous
            assert frame.image.size

    def test_it_knows_the_size_of_its_frames_once_it_is_open(self, opened: Source) -> None:
        assert opened.size is not None
        assert opened.size == taken(opened, 1)[0].image.shape[:2]

    def test_indices_begin_near_0_and_rise(self, opened: Source) -> None:
        indices = [frame.index for frame in taken(opened)]
        assert indices[0] >= 0
        assert all(later > earlier for earlier, later in pairwise(indices))

    def test_times_of_exposure_rise_and_are_not_in_the_future(self, opened: Source) -> None:
        before: int | None = None
        for _ in range(_FRAMES):
            frame = taken(opened, 1)[0]
            now = time.monotonic_ns()
            if frame.exposed_ns is None:
                continue
            assert before is None or frame.exposed_ns >= before
            assert frame.exposed_ns <= now + _FUTURE_NS
            before = frame.exposed_ns

    def test_an_image_is_not_overwritten_while_it_is_held(self, opened: Source) -> None:
        held = taken(opened, 1)[0].image
        copy = held.copy()
        later = [frame.image for frame in taken(opened)]
        np.testing.assert_array_equal(held, copy)
        assert not any(np.shares_memory(held, image) for image in later)

    def test_a_view_of_an_image_keeps_it_too(self, opened: Source) -> None:
        view = taken(opened, 1)[0].image[::2, ::2]
        copy = view.copy()
        taken(opened)
        np.testing.assert_array_equal(view, copy)

    def test_the_caller_may_draw_on_an_image(self, opened: Source) -> None:
        for frame in taken(opened):
            frame.image[...] = 0

    def test_it_closes_again_and_again(self, opened: Source) -> None:
        taken(opened, 1)
        opened.close()
        opened.close()

    def test_it_closes_without_having_been_opened(self, made: Source) -> None:
        made.close()

    def test_a_closed_source_says_so(self, opened: Source) -> None:
        opened.close()
        with pytest.raises(PiaccelError) as caught:
            opened.read()
        assert len(str(caught.value).splitlines()) == 1

    def test_it_opens_again_after_it_was_closed_and_counts_anew(self, opened: Source) -> None:
        first = taken(opened, 3)
        opened.close()
        opened.open()
        again = taken(opened, 3)
        assert again[0].index <= first[-1].index or self.endless
        assert again[0].image.shape == first[0].image.shape

    def test_an_image_outlives_the_source(self, opened: Source) -> None:
        image = taken(opened, 1)[0].image
        copy = image.copy()
        opened.close()
        np.testing.assert_array_equal(image, copy)

    def test_the_end_is_told_again_and_again(self, opened: Source) -> None:
        if self.endless:
            pytest.skip("it never ends")
        while opened.read() is not None:
            pass
        assert [opened.read() for _ in range(3)] == [None] * 3

    def test_nothing_is_printed(self, made: Source, capfd: pytest.CaptureFixture[str]) -> None:
        made.open()
        taken(made, 2)
        made.close()
        assert capfd.readouterr() == ("", "")


def taken(source: Source, count: int = _FRAMES) -> list[Frame]:
    """Read ``count`` frames, all of which are held; the source must not end before."""
    frames = []
    for _ in range(count):
        frame = source.read()
        assert frame is not None, "the source ended too early"
        frames.append(frame)
    return frames
