"""A frame in tiles: everything is looked at, and what lies on a seam is counted once."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from piaccel.errors import OptionError
from piaccel.images import read_image
from piaccel.pipeline.region import Region
from piaccel.pipeline.tiles import Tiled, Tiles, spans
from piaccel.tasks import Classification, Detections, Mask
from tests.pipeline.stubs import Image, Stub, classification, detections, found_in, numbered, painted, single


@given(st.integers(1, 5000), st.integers(1, 12), st.floats(0, 0.95))
def test_spans_cover_everything_and_share_what_is_asked(length: int, count: int, overlap: float) -> None:
    parts = spans(length, count, overlap)
    sides = {stop - start for start, stop in parts}
    assert len(sides) == 1
    assert parts[0][0] == 0
    assert parts[-1][1] == length
    side = sides.pop()
    for (_, stop), (start, _) in pairwise(parts):
        assert start <= stop  # no pixel between two
        assert stop - start >= overlap * side - 1  # to a pixel


@given(
    st.tuples(st.integers(8, 250), st.integers(8, 250)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)).filter(lambda grid: grid != (1, 1)),
    st.floats(0, 0.6),
)
def test_every_pixel_is_looked_at_and_stands_where_it_was(
    size: tuple[int, int], grid: tuple[int, int], overlap: float
) -> None:
    # A mask that repeats the picture must give the picture.
    lane = Stub("segmentation", lambda part: Mask(part[..., 0] ^ part[..., 1]))
    image = numbered(*size)
    result = Tiles(lane, *grid, overlap).answer(image, {})
    assert isinstance(result, Mask)
    np.testing.assert_array_equal(result.class_id, image[..., 0] ^ image[..., 1])
    assert len(lane.seen) == grid[0] * grid[1]
    assert all(part.base is image for part in lane.seen)


@given(st.data())
def test_a_thing_smaller_than_the_overlap_is_found_once_and_whole(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(100, 250)), data.draw(st.integers(100, 250))
    columns, rows = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)).filter(lambda grid: grid != (1, 1)))
    wide, high = data.draw(st.integers(2, 6)), data.draw(st.integers(2, 6))
    x, y = data.draw(st.integers(0, width - wide)), data.draw(st.integers(0, height - high))
    image = numbered(height, width)
    image[y : y + high, x : x + wide, 2] = 255
    whole = data.draw(st.booleans())
    lane = Stub("detection", lambda part: detections(painted(part)))
    result = Tiles(lane, columns, rows, 0.4, whole_frame=whole).answer(image, {})
    assert isinstance(result, Detections)
    assert result.xyxy.tolist() == [[x, y, x + wide, y + high]]
    assert len(lane.seen) == columns * rows + whole


def scripted(answers: list[Detections], width: int, columns: int, overlap: float, **options: bool) -> Detections:
    """What becomes of these answers of the tiles of a frame of one row, 100 pixels high."""
    left = iter(answers)
    tiles = Tiles(Stub("detection", lambda _: next(left)), columns, 1, overlap, **options)
    result = tiles.answer(np.zeros((100, width, 3), np.uint8), {})
    assert isinstance(result, Detections)
    return result


def test_two_pieces_of_one_object_become_one_box() -> None:
    assert spans(180, 2, 0.2) == [(0, 100), (80, 180)]
    result = scripted([detections([[70, 10, 100, 40]], [0.6]), detections([[0, 11, 30, 41]], [0.8])], 180, 2, 0.2)
    assert result.xyxy.tolist() == [[70, 10, 110, 41]]
    assert result.confidence.tolist() == pytest.approx([0.8])


def test_a_tile_that_saw_the_whole_object_is_right_though_a_fragment_scores_higher() -> None:
    result = scripted([detections([[82, 10, 100, 40]], [0.99]), detections([[4, 10, 40, 40]], [0.5])], 180, 2, 0.2)
    assert result.xyxy.tolist() == [[84, 10, 120, 40]]
    assert result.confidence.tolist() == pytest.approx([0.5])


def test_the_whole_frame_settles_what_no_tile_saw_whole() -> None:
    parts = [detections([[10, 10, 100, 90]], [0.9]), detections([[0, 10, 90, 90]], [0.8])]
    assert len(scripted(parts, 180, 2, 0.2)) == 2  # they share too little to be known as one
    parts.append(detections([[10, 10, 170, 90]], [0.7]))
    assert scripted(parts, 180, 2, 0.2, whole_frame=True).xyxy.tolist() == [[10, 10, 170, 90]]


def test_boxes_of_two_classes_and_of_one_tile_are_left_alone() -> None:
    result = scripted([detections([[82, 10, 96, 40]]), detections([[4, 10, 16, 40]], class_id=[1])], 180, 2, 0.2)
    assert len(result) == 2
    crowd = detections([[20, 10, 60, 50], [24, 10, 64, 50]])  # the model's own suppression let both through
    assert len(scripted([crowd, detections([])], 180, 2, 0.2)) == 2


def test_a_small_object_before_a_large_cut_one_does_not_end_it() -> None:
    car, truck = [86.0, 40.0, 96.0, 50.0], [10.0, 10.0, 100.0, 90.0]
    result = scripted([detections([truck]), detections([[car[0] - 80, car[1], car[2] - 80, car[3]]])], 180, 2, 0.2)
    assert sorted(result.xyxy.tolist()) == sorted([car, truck])


def test_boxes_come_best_first_and_none_at_all_is_a_result() -> None:
    result = scripted([detections([[10, 10, 20, 20]], [0.3]), detections([[50, 10, 60, 20]], [0.9])], 180, 2, 0.2)
    assert result.confidence.tolist() == pytest.approx([0.9, 0.3])
    assert result.labels == ("a", "b")
    assert result.backend == "stub"
    empty = scripted([detections([]), detections([])], 180, 2, 0.2)
    assert empty.lines() == ["nothing found"]


def bright(part: Image) -> Classification:
    return classification(0.1, 0.9) if part[..., 2].any() else classification(0.8, 0.2)


def test_each_tile_is_classified_and_says_where_it_is() -> None:
    image = numbered(100, 200)
    image[70:80, 150:160, 2] = 255
    tiles = Tiles(Stub("classification", bright), 2, 2, 0)
    assert tiles.kind == "tiles"
    stages: dict[str, int] = {}
    result = tiles.answer(image, stages)
    assert isinstance(result, Tiled)
    assert stages == {"inference": 4}
    assert found_in(result) == [("crack", 0.9), *[("good", 0.8)] * 3]
    assert result.to_dict()["tiles"][3]["xyxy"] == [100, 50, 200, 100]
    assert result.to_dict()["tiles"][3]["top"][0]["label"] == "crack"
    assert result.lines()[0] == " 90.0%  crack  [100, 50, 200, 100]"
    assert (result.draw(image) != image).any()

    moved = Region(tiles, (20, 10, 180, 90)).answer(image, {})
    assert moved.to_dict()["tiles"][0]["xyxy"] == [20, 10, 110, 55]


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("pose", (2, 2), "kind 'pose'"),
        ("cascade", (2, 2), "kind 'cascade'"),
        ("detection", (1, 1), "1x1 tiles: at least 2"),
        ("detection", (0, 2), "0x2 tiles"),
        ("detection", (2, 2, 1.0), "overlap is 1"),
        ("detection", (2, 2, -0.1), "overlap is -0.1"),
    ],
)
def test_what_cannot_be_tiled_is_refused(kind: str, arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Tiles(Stub(kind, lambda _: detections([])), *arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["classification", "segmentation"])
def test_the_whole_frame_beside_tiles_is_for_boxes_only(kind: str) -> None:
    with pytest.raises(OptionError, match=f"not with {kind}"):
        Tiles(Stub(kind, lambda _: detections([])), 2, 2, whole_frame=True)


def test_tiles_find_the_faces_of_the_whole_picture_and_smaller_ones(shared: Path) -> None:
    pytest.importorskip("onnxruntime")
    lane = single(shared / "models" / "face" / "rfb_320.onnx", "onnxruntime", labels=["face"])
    image = read_image(shared / "images" / "faces_1.jpg")
    whole = lane.answer(image, {})
    assert isinstance(whole, Detections)
    assert len(whole) == 46
    for grid, overlap in (((2, 1), 0.2), ((2, 2), 0.2), ((3, 2), 0.1), ((3, 2), 0.3)):
        tiled = Tiles(lane, *grid, overlap).answer(image, {})
        assert isinstance(tiled, Detections)
        assert 48 <= len(tiled) <= 54  # five small faces more; nobody twice
        middles = (tiled.xyxy[:, :2] + tiled.xyxy[:, 2:]) / 2
        inside = (middles >= whole.xyxy[:, np.newaxis, :2]) & (middles <= whole.xyxy[:, np.newaxis, 2:])
        found = inside.all(axis=2).sum(axis=1)
        assert (found == 1).sum() >= 45  # each face of the whole picture once


def test_with_the_whole_frame_tiles_find_large_and_small_things_of_a_street(shared: Path) -> None:
    pytest.importorskip("onnxruntime")
    labels = shared / "models" / "coco" / "coco_labels.txt"
    lane = single(shared / "models" / "coco" / "fastestdet.onnx", "onnxruntime", labels=labels)
    image = read_image(shared / "images" / "street_1.jpg")
    alone = Tiles(lane, 2, 2, 0.2).answer(image, {})
    both = Tiles(lane, 2, 2, 0.2, whole_frame=True).answer(image, {})
    assert isinstance(both, Detections)
    assert [label for label, _ in alone.findings()].count("bus") == 2  # in pieces: larger than any tile
    assert [label for label, _ in both.findings()].count("bus") == 1
    np.testing.assert_allclose(both.xyxy[0], [46, 82, 581, 416], atol=3)
    assert "person" in dict(both.findings())  # a small one beside the bus, which the whole frame alone does not show


def test_a_tile_for_each_part_on_a_tray_gives_each_its_class(demo: Path) -> None:
    lane = single(demo / "bundle", "litert")
    names = ["washer_good", "washer_chipped", "nut_good", "gear_good"]
    pictures = [read_image(demo / "images" / f"{name}.jpg") for name in names]
    tray = np.vstack((np.hstack(pictures[:2]), np.hstack(pictures[2:])))
    result = Tiles(lane, 2, 2, 0).answer(tray, {})
    assert isinstance(result, Tiled)
    alone = [lane.answer(picture, {}).findings()[0][0] for picture in pictures]
    assert [answer.findings()[0][0] for answer in result.answers] == alone
