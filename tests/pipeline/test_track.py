"""Objects keep their number from frame to frame."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piaccel import specs
from piaccel.errors import OptionError, UnavailableError
from piaccel.images import read_image
from piaccel.pipeline.cascade import Cascaded
from piaccel.pipeline.region import Region
from piaccel.pipeline.track import _MOST, Options, Tracked, Tracker
from piaccel.pipeline.tripwire import Tripwire
from piaccel.tasks import Detections
from tests.pipeline.stubs import Stub, classification, detections, found_in, numbered, single

pytest.importorskip("lap")
S = 1_000_000_000
FRAME = (1000, 1000)


def square(x: float, y: float, side: float = 100) -> list[float]:
    """A box by its centre."""
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


def follow(tracker: Tracker, found: Detections, exposed_ns: int | None) -> Tracked:
    result = tracker.update(found, exposed_ns, FRAME)
    assert isinstance(result, Tracked)
    return result


def walk(tracker: Tracker, path: list[list[float]], step_ns: int = S // 10) -> list[int]:
    """The numbers that one thing has on its way; an empty box is a frame without it."""
    numbers = []
    for i, box in enumerate(path):
        result = follow(tracker, detections([box] if box else []), i * step_ns)
        numbers.append(int(result.track[0]) if len(result) else -1)
    return numbers


def test_a_thing_gets_its_number_when_it_is_seen_twice_and_keeps_it() -> None:
    assert walk(Tracker(), [square(100 + 30 * i, 500) for i in range(20)]) == [0] + [1] * 19


def test_what_flashes_up_once_gets_no_number() -> None:
    tracker = Tracker()
    for i in range(50):
        result = follow(tracker, detections([square(100 + 130 * (i % 7), 200)]), i * S // 10)
        assert result.track.tolist() == [0]
    assert len(tracker) == 1


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 6))
def test_things_on_ways_apart_keep_their_numbers_in_whatever_order_they_are_given(random: object, count: int) -> None:
    rng = np.random.default_rng(random.randrange(2**32))  # type: ignore[attr-defined]
    speeds = rng.uniform(-300, 300, count)
    tracker = Tracker()
    number_of: dict[int, int] = {}
    for frame in range(30):
        boxes = [square(500 + speeds[i] * frame / 30, 150 * i + 100, 80) for i in range(count)]
        order = rng.permutation(count)
        trembling = np.array(boxes)[order] + rng.normal(0, 1, (count, 4))
        result = follow(tracker, detections(trembling.tolist()), frame * S // 30)
        for i, track in zip(order.tolist(), result.track.tolist(), strict=True):
            if track:
                assert number_of.setdefault(i, track) == track
    assert sorted(number_of.values()) == list(range(1, count + 1))


def test_two_that_pass_each_other_keep_their_numbers() -> None:
    tracker = Tracker()
    for i in range(41):
        boxes = [square(100 + 20 * i, 480), square(900 - 20 * i, 540)]
        result = follow(tracker, detections(boxes), i * S // 30)
        if i == 5:
            first = result.track.tolist()
    assert result.track.tolist() == first


def test_frames_that_were_dropped_do_no_harm_for_speed_counts_in_seconds() -> None:
    tracker = Tracker()
    at_ms = [0, 100, 200, 300, 400, 900, 1000, 1700, 1750]  # 300 px/s: up to two sides between two frames
    numbers = [
        follow(tracker, detections([square(100 + 0.3 * ms, 500)]), ms * S // 1000).track.tolist()[0] for ms in at_ms
    ]
    assert numbers == [0] + [1] * 8


def test_a_thing_that_is_hidden_for_a_while_is_found_again_where_it_should_be() -> None:
    path = [square(100 + 30 * i, 500) for i in range(28)]
    hidden = [*path[:10], *[[]] * 8, *path[18:]]
    assert walk(Tracker(), hidden) == [0] + [1] * 9 + [-1] * 8 + [1] * 10


def test_what_is_lost_for_longer_is_gone_and_comes_back_under_a_new_number() -> None:
    path = [square(500, 500)] * 5 + [[]] * 25 + [square(500, 500)] * 3
    assert walk(Tracker(), path)[-3:] == [0, 2, 2]
    assert walk(Tracker(Options(lost_s=5.0)), path)[-3:] == [1, 1, 1]


def test_a_poor_box_continues_a_track_and_begins_none() -> None:
    tracker = Tracker()
    for i, score in enumerate((0.9, 0.9, 0.2, 0.2, 0.9)):
        boxes = [square(500, 500), square(100, 100)]
        result = follow(tracker, detections(boxes, [score, 0.2]), i * S // 30)
        assert result.track.tolist() == [0 if i == 0 else 1, 0]


def test_boxes_of_two_classes_are_two_things() -> None:
    tracker = Tracker()
    for i in range(3):
        result = follow(tracker, detections([square(500, 500)] * 2, class_id=[0, 1]), i * S // 30)
    assert sorted(result.track.tolist()) == [1, 2]
    assert follow(tracker, detections([square(500, 500)], class_id=[1]), S // 10).track.tolist() == [
        result.track.tolist()[1]
    ]


def test_clocks_that_are_missing_stand_still_or_go_backwards_do_not_end_tracks() -> None:
    for times in ([None] * 6, [7] * 6, [5 * S, 4 * S, 3 * S, 2 * S, S, 0], [None, S, None, 2 * S, S, None]):
        tracker = Tracker()
        numbers = [follow(tracker, detections([square(500, 500)]), each).track.tolist()[0] for each in times]
        assert numbers == [0] + [1] * 5


def test_boxes_that_are_none_are_passed_on_without_a_number() -> None:
    tracker = Tracker()
    nan = float("nan")
    for i in range(3):
        boxes: list[list[float]] = [[nan, 0, 1, 1], [5, 5, 5, 9], square(500, 500), [0, 0, float("inf"), 9]]
        result = follow(tracker, detections(boxes), i * S // 30)
        assert result.track.tolist() == [0, 0, min(i, 1), 0]
    assert len(tracker) == 1


def test_what_is_kept_is_bounded_whatever_comes() -> None:
    rng = np.random.default_rng(1)
    tracker, most = Tracker(Options(confirm=1, lost_s=3600)), 0
    for i in range(60):
        corners = rng.uniform(0, 5000, (100, 2)).tolist()
        follow(tracker, detections([square(x, y, 20) for x, y in corners]), i * S)
        most = max(most, len(tracker))
    assert most == _MOST
    for i in range(60, 63):
        follow(tracker, detections([]), i * 3600 * S)
    assert len(tracker) == 0


def test_the_result_is_still_that_of_the_detector_with_the_numbers_in_it() -> None:
    tracker = Tracker()
    found = detections([square(300, 300), square(700, 700)], [0.9, 0.8], [0, 1])
    object.__setattr__(found, "backend", "litert")
    follow(tracker, found, 0)
    result = follow(tracker, detections([*found.xyxy.tolist(), [1, 1, 9, 9]], [0.9, 0.8, 0.7], [0, 1, 1]), S // 30)
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain["kind"] == "detection"
    assert [box["track"] for box in plain["boxes"]] == [1, 2, None]
    assert "lines" not in plain
    assert result.lines()[0] == "#1  90.0%  a  [250, 250, 350, 350]"
    assert found_in(result) == [("a", 0.9), ("b", 0.8), ("b", 0.7)]
    assert (result.draw(numbered(200, 200)) != numbered(200, 200)).any()
    assert follow(tracker, found, S // 15).backend == "litert"
    assert follow(tracker, detections([]), S // 10).lines() == ["nothing found"]
    moved = Region(Stub("detection", lambda _: result), (10, 20, 50, 50)).answer(numbered(100, 100), {})
    assert moved.to_dict()["boxes"][0]["track"] == 1


def test_the_boxes_of_a_cascade_are_followed_and_other_results_left_alone() -> None:
    tracker = Tracker()
    found = detections([square(100, 100)])
    for i in range(2):
        result = tracker.update(Cascaded(found, (0,), (classification(0.1, 0.9),)), i * S // 30)
    box = result.to_dict()["boxes"][0]
    assert box["track"] == 1
    assert box["then"]["top"][0]["label"] == "crack"
    assert found_in(result) == [("crack", 0.9)]
    assert (result.draw(numbered(200, 200)) != numbered(200, 200)).any()
    alone = classification(1, 0)
    assert tracker.update(alone, S) is alone
    assert set(Tracker.kinds) == {"detection", "cascade"}


def test_the_faces_of_a_picture_that_slides_by_keep_their_numbers(shared: Path) -> None:
    pytest.importorskip("onnxruntime")
    lane = single(shared / "models" / "face" / "rfb_320.onnx", "onnxruntime", labels=["face"])
    image = read_image(shared / "images" / "faces_3.jpg")
    height, width = image.shape[:2]
    tracker, orders = Tracker(), []
    for i in range(12):
        found = lane.answer(image[:, 10 * i : width - 110 + 10 * i], {})
        result = tracker.update(found, i * S // 15, (height, width - 110))
        assert isinstance(result, Tracked)
        if i:
            assert sorted(result.track.tolist()) == [1, 2, 3, 4, 5]
        places = result.xyxy[:, 0] + 10 * i
        order = result.track[np.argsort(places)].tolist()
        orders.append(order)
    assert orders[1:] == [orders[1]] * 11


def counted(path: list[list[float]], line: tuple[float, float, float, float]) -> tuple[tuple[int, int], list[str]]:
    tracker = Tracker(Options(lines={"door": line}))
    crossed = []
    for i, box in enumerate(path):
        result = follow(tracker, detections([box] if box else []), i * S // 10)
        crossed += [f"{crossing.track} {crossing.to}" for crossing in result.crossed]
        assert [label for label, _ in result.findings()].count("door") == len(result.crossed)
    return result.counts["door"], crossed


@pytest.mark.parametrize("line", [(0.1, 0.5, 0.9, 0.5), (100, 500, 900, 500)])
def test_what_goes_over_a_line_counts_once_on_the_side_it_goes_to(line: tuple[float, float, float, float]) -> None:
    down = [square(500, 200 + 30 * i) for i in range(20)]
    assert counted(down, line) == ((0, 1), ["1 right"])
    assert counted(down[::-1], line) == ((1, 0), ["1 left"])
    assert counted([*down, *down[::-1]], line) == ((1, 1), ["1 right", "1 left"])


def test_what_trembles_on_a_line_or_passes_beside_it_does_not_count() -> None:
    line = (100.0, 500.0, 400.0, 500.0)
    assert counted([square(250, 500 + 6 * (-1) ** i) for i in range(40)], line) == ((0, 0), [])
    assert counted([square(700, 200 + 30 * i) for i in range(20)], line) == ((0, 0), [])


def test_what_goes_over_a_line_while_it_is_hidden_counts_when_it_is_found_again() -> None:
    path = [square(500, 200 + 30 * i) for i in range(20)]
    assert counted([*path[:8], *[[]] * 5, *path[13:]], (0, 0.5, 1, 0.5)) == ((0, 1), ["1 right"])


def test_lines_and_their_counts_are_in_the_plain_result() -> None:
    tracker = Tracker(Options(lines={"door": (0, 0.5, 1, 0.5)}))
    for i in range(20):
        result = follow(tracker, detections([square(500, 200 + 30 * i)]), i * S // 10)
        if result.crossed:
            assert result.to_dict()["crossed"] == [{"line": "door", "track": 1, "to": "right"}]
    assert result.to_dict()["lines"] == {"door": {"to_left": 0, "to_right": 1}}
    assert result.to_dict()["crossed"] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("lost_s", -1.0), ("confirm", 0), ("min_iou", 0.0), ("lines", {"a": (1, 2, 3)}), ("lines", {"a": (5, 5, 5, 5)})],
)
def test_options_that_mean_nothing_are_refused(name: str, value: object) -> None:
    with pytest.raises(OptionError):
        Tracker(Options(**{name: value}))  # type: ignore[arg-type]


def test_options_are_written_as_a_table() -> None:
    table = {"lost": "3s", "confirm": 3, "lines": {"door": [0, 0.5, 1, 0.5]}}
    assert specs.options(Options, "track", table) == Options(lost_s=3.0, confirm=3, lines={"door": (0, 0.5, 1, 0.5)})
    with pytest.raises(OptionError, match="track has no option 'lots'"):
        specs.options(Options, "track", {"lots": "3s"})


def test_a_line_has_its_right_side_below_when_it_is_drawn_from_left_to_right() -> None:
    side, between = Tripwire("door", (0, 500, 1000, 500)).sides(
        np.array([[500.0, 900.0], [500.0, 100.0], [500.0, 500.0], [1200.0, 900.0]]), np.full((4, 2), 50.0), FRAME
    )
    assert side.tolist() == [1, -1, 0, 1]
    assert between.tolist() == [True, True, True, False]


def test_without_lap_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lap", None)
    with pytest.raises(UnavailableError, match="tracking needs lap") as caught:
        Tracker()
    assert caught.value.hint == "pip install 'piaccel[track]'"
