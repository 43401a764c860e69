"""A source that stalls, comes back, changes, or tells impossible times."""

from collections.abc import Iterator

import numpy as np

from piaccel.errors import OptionError, PiaccelError, UnavailableError
from piaccel.frames import Frame
from piaccel.pipeline.camera import Camera
from piaccel.pipeline.mailbox import Mailbox
from piaccel.pipeline.policies import Every
from piaccel.sources import Options, Source
from tests.pipeline.clock import Clock

MS = 1_000_000


class Scripted(Source):
    """Each ``open`` plays the next part of the script: frames (index, exposed ms, height) and at last an error."""

    def __init__(self, *parts: list[tuple[int, int | None, int] | PiaccelError]) -> None:
        super().__init__("scripted", Options())
        self._parts = iter(parts)
        self._steps: Iterator[tuple[int, int | None, int] | PiaccelError] = iter(())
        self.opened = self.closed = 0

    def open(self) -> None:
        self.opened += 1
        self._steps = iter(next(self._parts))

    def read(self) -> Frame | None:
        step = next(self._steps, None)
        if isinstance(step, PiaccelError):
            raise step
        if step is None:
            return None
        index, exposed, height = step
        return Frame(np.zeros((height, 4, 3), np.uint8), index, None if exposed is None else exposed * MS)

    def close(self) -> None:
        self.closed += 1


def play(*parts: list[tuple[int, int | None, int] | PiaccelError], now_ms: int = 1000) -> tuple[Camera, list[Frame]]:
    source = Scripted(*parts)
    camera = Camera(source, patience_s=(0.001, 0.01), clock=Clock(now_ms * MS))
    mailbox = Mailbox(lambda drop: Every(drop, bound=10_000))
    camera.mailboxes.append(mailbox)
    camera.start()
    assert camera.ended.wait(10)
    camera.stop()
    frames = []
    while (taken := mailbox.take()) is not None:
        frames.append(taken.frame)
    return camera, frames


def test_a_lost_source_is_opened_again_and_its_indices_go_on_rising() -> None:
    lost = UnavailableError("no frame for 2 s")
    camera, frames = play([(0, 10, 4), (1, 20, 4), lost], [lost], [(0, 30, 4), (1, 40, 4)])
    numbers = camera.numbers()
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert (numbers.reconnects, numbers.state, numbers.produced, numbers.lost) == (2, "ended", 4, 0)


def test_what_the_source_says_was_lost_is_counted() -> None:
    camera, frames = play([(0, 10, 4), (3, 20, 4), (7, 30, 4)])
    assert [frame.index for frame in frames] == [0, 3, 7]
    assert (camera.numbers().produced, camera.numbers().lost) == (8, 5)


def test_a_time_that_goes_backwards_or_lies_ahead_becomes_the_time_of_arrival() -> None:
    camera, frames = play([(0, 10, 4), (1, 5, 4), (2, 2000, 4), (3, None, 4)])
    assert [frame.exposed_ns for frame in frames] == [10 * MS, 1000 * MS, 1000 * MS, 1000 * MS]
    assert camera.numbers().restamped == 2


def test_a_change_of_size_goes_on_and_is_counted() -> None:
    camera, frames = play([(0, 10, 4), (1, 20, 8), (2, 30, 8)])
    assert [frame.image.shape[0] for frame in frames] == [4, 8, 8]
    assert (camera.numbers().resized, camera.numbers().size) == (1, (8, 4))


def test_what_will_never_work_ends_the_camera_and_is_told() -> None:
    camera, _ = play([OptionError("no such format")])
    assert isinstance(camera.fatal, OptionError)
    assert camera.numbers().state == "broken"


def test_whatever_a_driver_raises_ends_the_camera_in_one_line() -> None:
    class Broken(Scripted):
        def read(self) -> Frame | None:
            raise MemoryError("two\nlines")

    camera = Camera(Broken([]))
    camera.start()
    assert camera.ended.wait(10)
    assert str(camera.fatal) == "scripted: MemoryError: two lines"


def test_the_source_is_closed_after_each_time_it_was_opened() -> None:
    lost = UnavailableError("gone")
    source = Scripted([lost], [lost], [])
    camera = Camera(source, patience_s=(0.001, 0.01))
    camera.start()
    assert camera.ended.wait(10)
    assert (source.opened, source.closed) == (3, 3)
