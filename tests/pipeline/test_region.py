"""A part of the frame, and its result in the frame's pixels."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from piaccel.errors import InputError, OptionError
from piaccel.images import read_image
from piaccel.pipeline.moved import moved
from piaccel.pipeline.region import Region
from piaccel.tasks import Detections, Keypoints, Mask, Result
from tests.pipeline.stubs import Image, Stub, classification, detections, numbered, painted, single


@given(
    size=st.tuples(st.integers(1, 250), st.integers(1, 250)),
    x=st.floats(0, 0.99),
    y=st.floats(0, 0.99),
    share=st.tuples(st.floats(0.001, 1), st.floats(0.001, 1)),
)
def test_fractions_are_a_part_of_any_frame_to_half_a_pixel(
    size: tuple[int, int], x: float, y: float, share: tuple[float, float]
) -> None:
    height, width = size
    box = (x, y, share[0] * (1 - x), share[1] * (1 - y))
    lane = Stub("classification", lambda _: classification(1, 0))
    Region(lane, box).answer(numbered(height, width), {})
    part = lane.seen[0]
    assert part.size
    left, top = int(part[0, 0, 0]), int(part[0, 0, 1])
    for begin, length, first, pixels, whole in (
        (box[0], box[2], left, part.shape[1], width),
        (box[1], box[3], top, part.shape[0], height),
    ):
        assert abs(first - begin * whole) <= 1
        assert abs(first + pixels - (begin + length) * whole) <= 1 or pixels == 1


@given(st.data())
def test_a_box_found_in_a_region_lies_where_it_is_in_the_frame(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(4, 200)), data.draw(st.integers(4, 200))
    x, y = data.draw(st.integers(0, width - 3)), data.draw(st.integers(0, height - 3))
    wide, high = data.draw(st.integers(3, width - x)), data.draw(st.integers(3, height - y))
    thing = (x + 1, y + 1, x + wide - 1, y + high - 1)
    image = numbered(height, width)
    image[thing[1] : thing[3], thing[0] : thing[2], 2] = 255
    result = Region(Stub("detection", lambda part: detections(painted(part))), (x, y, wide, high)).answer(image, {})
    assert isinstance(result, Detections)
    assert result.xyxy.tolist() == [list(thing)]
    assert result.backend == "stub"


def test_the_region_is_handed_on_without_a_copy() -> None:
    image = numbered(100, 100)
    lane = Stub("classification", lambda _: classification(1, 0))
    Region(lane, (0.25, 0.5, 0.5, 0.25)).answer(image, {})
    assert lane.seen[0].base is image
    assert lane.seen[0].shape == (25, 50, 3)


def test_points_and_masks_are_moved_too() -> None:
    body = Keypoints(np.zeros((1, 2, 2), np.float32), np.ones((1, 2), np.float32))
    result = Region(Stub("pose", lambda _: body), (10, 20, 30, 30)).answer(numbered(60, 60), {})
    assert isinstance(result, Keypoints)
    assert result.xy.tolist() == [[[10, 20], [10, 20]]]

    mask = Mask(np.full((30, 40), 2, np.uint8), ("nothing", "a", "b"))
    result = Region(Stub("segmentation", lambda _: mask), (10, 20, 40, 30)).answer(numbered(60, 60), {})
    assert isinstance(result, Mask)
    assert result.class_id.shape == (60, 60)
    assert (result.class_id[20:50, 10:50] == 2).all()
    assert np.count_nonzero(result.class_id) == 30 * 40


def test_a_region_in_a_region_is_moved_twice() -> None:
    inner = Region(Stub("detection", lambda _: detections([[1, 2, 3, 4]])), (5, 6, 20, 20))
    result = Region(inner, (10, 20, 40, 40)).answer(numbered(100, 100), {})
    assert result.to_dict()["boxes"][0]["xyxy"] == [16, 28, 18, 30]


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((0, 0, 1), "is not a box"),
        ((0, 0, 0, 1), "is not a box"),
        ((-0.1, 0, 1, 1), "is not a box"),
        ((0, 0, float("nan"), 1), "is not a box"),
        ((0.5, 0, 0.6, 1), "reaches beyond the frame"),
        ((0.5, 0, 640, 480), "mixes fractions and pixels"),
    ],
)
def test_a_box_that_is_none_is_refused(box: tuple[float, ...], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Region(Stub("classification", lambda _: classification(1, 0)), box)


def test_pixels_outside_a_frame_of_another_size_are_an_error_of_that_frame() -> None:
    region = Region(Stub("classification", lambda _: classification(1, 0)), (40, 0, 60, 50))
    region.answer(numbered(50, 100), {})
    with pytest.raises(InputError, match=r"region \[40, 0, 60, 50\] does not lie in the frame of 80x50"):
        region.answer(numbered(50, 80), {})


def test_a_result_of_an_unknown_kind_is_refused() -> None:
    class Odd(Result):
        kind = "odd"

        def to_dict(self) -> dict[str, object]:
            return {}

        def lines(self) -> list[str]:
            return []

        def draw(self, image: Image) -> Image:
            return image

        def findings(self) -> list[tuple[str, float]]:
            return []

    with pytest.raises(OptionError, match="kind 'odd'"):
        moved(Odd(), 1, 2, (3, 4))


def test_a_real_model_sees_in_a_region_what_it_sees_in_the_part_alone(demo: Path) -> None:
    lane = single(demo / "bundle", "litert")
    image = read_image(demo / "images" / "washer_chipped.jpg")
    height, width = image.shape[:2]
    frame = np.zeros((2 * height, 3 * width, 3), np.uint8)
    frame[height:, width : 2 * width] = image
    alone = lane.answer(image, {})
    for box in ((width, height, width, height), (1 / 3, 1 / 2, 1 / 3, 1 / 2)):
        assert Region(lane, box).answer(frame, {}).to_dict() == alone.to_dict()
    assert alone.findings()[0][0] == "washer chipped"
