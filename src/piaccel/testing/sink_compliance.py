"""The tests that every sink passes, ours and other packages': subclass ``SinkCompliance`` and run pytest.

class TestJsonl(SinkCompliance):
    def spec(self, folder): return f"jsonl:{folder}/results.jsonl"

    def arrived(self, folder): ...    # ids of the events that are there, in order; None where that cannot be told
"""

from __future__ import annotations

import dataclasses
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from piaccel import sinks
from piaccel.errors import OptionError
from piaccel.sinks import Delivery, Event, Sink
from piaccel.tasks import Classification

FLUSH_S = 20.0


def judged(number: int, **changes: Any) -> Event:
    """An event with a picture of 48 x 64 pixels, in which a crack was found."""
    now_ns = time.monotonic_ns()
    given: dict[str, Any] = {
        "id": f"pi/boot/{number}",
        "stream": "line1",
        "index": number,
        "exposed_ns": now_ns - 20_000_000,
        "published_ns": now_ns,
        "at": time.time(),
        "result": Classification(np.array([0.1, 0.9], np.float32), ("good", "crack")),
        "image": np.full((48, 64, 3), 90, np.uint8),
    }
    return Event(**{**given, **changes})


class SinkCompliance(ABC):
    """What a sink promises. A fixture of the subclass starts what it talks to."""

    @abstractmethod
    def spec(self, folder: Path) -> str | Mapping[str, Any]:
        """The text or table that names the sink; the same at each call within a test."""

    def arrived(self, folder: Path) -> list[str] | None:
        """Ids of the events at the other end, in their order; None where that cannot be told."""
        return None

    @pytest.fixture
    def sink(self, tmp_path: Path) -> Iterator[Sink]:
        sink = sinks.make(self.spec(tmp_path))
        yield sink
        sink.close()

    def delivered(self, sink: Sink, *events: Event) -> None:
        for event in events:
            sink.deliver(event if sink.wants_image else event.without_image())
            sink.tick()
        assert sink.flush(FLUSH_S) == 0, "everything is safe"

    def test_it_says_what_it_is(self, sink: Sink) -> None:
        assert str(sink)
        assert sink.delivery in get_args(Delivery)
        assert sink.queue > 0
        assert sink.tick_s > 0
        assert not sink.wants_image or sink.queue <= 100, "pictures that wait cost memory"
        assert isinstance(sink.chosen, type(sink).options)

    def test_its_options_have_a_default_and_end_in_their_unit(self, sink: Sink) -> None:
        for option in dataclasses.fields(type(sink).options):
            assert not option.name.endswith(("_seconds", "_ms", "_mb", "_kb")), option.name

    def test_an_option_it_does_not_have_is_named(self, tmp_path: Path) -> None:
        given = self.spec(tmp_path)
        wrong = {**given, "colour": "red"} if isinstance(given, Mapping) else f"{given},colour=red"
        with pytest.raises(OptionError, match="colour"):
            sinks.make(wrong)

    def test_it_opens_delivers_flushes_and_closes(self, sink: Sink, tmp_path: Path) -> None:
        events = [judged(number) for number in range(3)]
        sink.open()
        self.delivered(sink, *events)
        sink.close()
        arrived = self.arrived(tmp_path)
        assert arrived is None or arrived == [event.id for event in events]

    def test_closing_twice_or_before_opening_is_fine(self, sink: Sink) -> None:
        sink.close()
        sink.open()
        sink.close()
        sink.close()

    def test_it_opens_again_after_it_was_closed(self, sink: Sink, tmp_path: Path) -> None:
        sink.open()
        self.delivered(sink, judged(0))
        sink.close()
        sink.open()
        self.delivered(sink, judged(1))
        sink.close()
        arrived = self.arrived(tmp_path)
        assert arrived is None or arrived == ["pi/boot/0", "pi/boot/1"]

    def test_opening_twice_leaves_nothing_behind(self, sink: Sink, tmp_path: Path) -> None:
        sink.open()
        sink.open()
        self.delivered(sink, judged(0))
        sink.close()
        arrived = self.arrived(tmp_path)
        assert arrived is None or arrived == ["pi/boot/0"]

    def test_it_takes_an_event_without_a_result_or_an_age(self, sink: Sink) -> None:
        sink.open()
        self.delivered(
            sink,
            judged(0, result=None, cause="expired"),
            judged(1, exposed_ns=None),
            judged(2, result=None, cause="not answered", image=None, part=7),
        )

    def test_it_leaves_the_picture_as_it_is(self, sink: Sink) -> None:
        event = judged(0)
        assert event.image is not None
        before = event.image.copy()
        sink.open()
        self.delivered(sink, event)
        assert np.array_equal(event.image, before)

    def test_its_facts_are_numbers_at_any_time(self, sink: Sink) -> None:
        def numbers() -> None:
            for name, value in sink.facts().items():
                assert isinstance(name, str)
                assert isinstance(value, int | float), name

        numbers()
        sink.open()
        self.delivered(sink, judged(0))
        numbers()
        sink.close()
        numbers()
