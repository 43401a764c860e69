"""A second model asked about what a first one found."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from piaccel.errors import OptionError
from piaccel.images import read_image
from piaccel.pipeline.cascade import Cascade, Cascaded
from piaccel.pipeline.region import Region
from piaccel.pipeline.tiles import Tiles
from piaccel.tasks import Detections, Keypoints, Mask
from tests.pipeline.stubs import Image, Stub, classification, detections, found_in, numbered, painted, single


def finder(*boxes: list[float], scores: list[float] | None = None, classes: list[int] | None = None) -> Stub:
    return Stub("detection", lambda _: detections(list(boxes), scores, classes, ("part", "hand")))


def judge() -> Stub:
    return Stub("classification", lambda part: classification(0.1, 0.9) if part[..., 2].any() else classification(1, 0))


@given(
    st.floats(-20, 120),
    st.floats(-20, 120),
    st.floats(0, 80),
    st.floats(0, 80),
    st.floats(0, 3),
)
def test_a_crop_holds_its_box_and_margin_as_far_as_the_frame_goes(
    x: float, y: float, wide: float, high: float, margin: float
) -> None:
    second = judge()
    Cascade(finder([x, y, x + wide, y + high]), second, margin=margin).answer(numbered(90, 100), {})
    part = second.seen[0]
    left, top = int(part[0, 0, 0]), int(part[0, 0, 1])
    assert part.size
    for first, pixels, begin, length, whole in (
        (left, part.shape[1], x, wide, 100),
        (top, part.shape[0], y, high, 90),
    ):
        wanted = max(0.0, begin - margin * length), min(float(whole), begin + length + margin * length)
        if wanted[0] < wanted[1] - 0.01:  # some of it is in the frame
            assert first - 0.01 <= wanted[0] < first + 1.01
            assert first + pixels - 1.01 < wanted[1] <= first + pixels + 0.01 or pixels == 1


def test_the_second_model_judges_each_box_and_its_word_counts() -> None:
    image = numbered(100, 200)
    image[50:60, 110:120, 2] = 255
    stages: dict[str, int] = {}
    cascade = Cascade(finder([10, 10, 40, 40], [100, 40, 140, 80]), judge())
    assert cascade.kind == "cascade"
    result = cascade.answer(image, stages)
    assert isinstance(result, Cascaded)
    assert stages == {"inference": 3}
    assert result.backend == "stub"
    assert found_in(result) == [("good", 1.0), ("crack", 0.9)]
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain["kind"] == "cascade"
    assert [box["then"]["top"][0]["label"] for box in plain["boxes"]] == ["good", "crack"]
    assert plain["left_out"] == 0
    assert result.lines()[:2] == [" 90.0%  part  [10, 10, 40, 40]", "        100.0%  good"]
    assert (result.draw(image) != image).any()


def test_only_boxes_of_the_labels_and_the_score_are_asked_about() -> None:
    second = judge()
    first = finder([0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], scores=[0.9, 0.8, 0.3], classes=[1, 0, 0])
    result = Cascade(first, second, labels=["part"], min_score=0.5).answer(numbered(50, 60), {})
    assert isinstance(result, Cascaded)
    assert result.asked == (1,)
    assert [box["then"] is None for box in result.to_dict()["boxes"]] == [True, False, True]
    assert result.left_out == 0
    assert len(second.seen) == 1


def test_more_boxes_than_it_may_ask_about_are_counted_and_the_best_asked() -> None:
    boxes = [[10.0 * i, 0, 10.0 * i + 8, 8] for i in range(5)]
    result = Cascade(finder(*boxes, scores=[0.9, 0.8, 0.7, 0.6, 0.5]), judge(), most=2).answer(numbered(20, 60), {})
    assert isinstance(result, Cascaded)
    assert result.asked == (0, 1)
    assert result.left_out == 3
    assert result.lines()[-1] == "3 more were left out"
    assert len(result.to_dict()["boxes"]) == 5


def test_nothing_found_is_a_result() -> None:
    result = Cascade(finder(), judge()).answer(numbered(20, 60), {})
    assert result.findings() == []
    assert result.lines() == ["nothing found"]
    assert result.draw(numbered(20, 60)).shape == (20, 60, 3)


def test_what_a_second_detector_finds_lies_where_it_is_in_the_frame() -> None:
    image = numbered(100, 200)
    image[52:60, 110:121, 2] = 255
    again = Stub("detection", lambda part: detections(painted(part), labels=("scratch",)))
    result = Cascade(finder([100, 40, 140, 80]), again, margin=0.25).answer(image, {})
    assert isinstance(result, Cascaded)
    assert result.to_dict()["boxes"][0]["then"]["boxes"][0]["xyxy"] == [110, 52, 121, 60]
    assert found_in(result) == [("scratch", 0.9)]
    assert (result.draw(image) != image).any()


def test_a_pose_of_each_person_lies_where_it_is_in_the_frame() -> None:
    body = Keypoints(np.full((1, 1, 2), 3, np.float32), np.ones((1, 1), np.float32), ("nose",))
    pose = Stub("pose", lambda _: body)
    result = Cascade(finder([100, 40, 140, 80]), pose, margin=0).answer(numbered(100, 200), {})
    assert result.to_dict()["boxes"][0]["then"]["poses"][0][0]["x"] == 103


def test_a_cascade_in_a_region_is_moved_with_what_is_in_it() -> None:
    again = Stub("detection", lambda part: detections([[1, 1, 2, 2]]))
    result = Region(Cascade(finder([10, 10, 20, 20]), again, margin=0), (50, 30, 100, 60)).answer(
        numbered(100, 200), {}
    )
    box = result.to_dict()["boxes"][0]
    assert box["xyxy"] == [60, 40, 70, 50]
    assert box["then"]["boxes"][0]["xyxy"] == [61, 41, 62, 42]
    assert result.backend == "stub"


def test_what_makes_no_cascade_is_refused() -> None:
    with pytest.raises(OptionError, match="begins with boxes, the first model gives results of kind 'classification'"):
        Cascade(judge(), judge())
    with pytest.raises(OptionError, match="may not give masks"):
        Cascade(finder(), Stub("segmentation", lambda part: Mask(part[..., 0])))
    for given_ in ({"min_score": 1.5}, {"margin": -0.1}, {"most": 0}):
        with pytest.raises(OptionError, match=next(iter(given_)) if "most" not in given_ else "at most 0"):
            Cascade(finder(), judge(), **given_)


def test_a_label_the_first_model_does_not_have_is_named(shared: Path) -> None:
    pytest.importorskip("onnxruntime")
    face = single(shared / "models" / "face" / "rfb_320.onnx", "onnxruntime", labels=["face"])
    with pytest.raises(OptionError, match="no label 'fase'") as caught:
        Cascade(face, judge(), labels=["fase"])
    assert caught.value.hint == "its labels are face"


def test_faces_are_cut_out_and_each_is_classified(shared: Path) -> None:
    pytest.importorskip("onnxruntime")
    face = single(shared / "models" / "face" / "rfb_320.onnx", "onnxruntime", labels=["face"])
    imagenet = shared / "models" / "imagenet"
    second = single(imagenet / "mobilenet_v2_1.0_224_quant.tflite", "litert", labels=imagenet / "imagenet_labels.txt")
    image = read_image(shared / "images" / "faces_3.jpg")
    stages: dict[str, int] = {}
    cascade = Cascade(face, second, margin=0.5, most=3)
    result = cascade.answer(image, stages)
    assert isinstance(result, Cascaded)
    assert len(result.found) == 5
    assert (result.asked, result.left_out) == ((0, 1, 2), 2)
    assert set(stages) == {"preprocess", "gate", "inference", "postprocess"}
    assert len(cascade.engines()) == 2
    # Each answer is that of the model on the same pixels.
    left, top, right, bottom = result.found.xyxy[0]
    x, y = (right - left) / 2, (bottom - top) / 2
    part = image[int(top - y) : int(np.ceil(bottom + y)), int(left - x) : int(np.ceil(right + x))]
    assert second.answer(part, {}).to_dict() == result.to_dict()["boxes"][0]["then"]


def test_parts_that_tiles_found_are_judged_by_the_second_model(demo: Path) -> None:
    good = read_image(demo / "images" / "washer_good.jpg")
    chipped = read_image(demo / "images" / "washer_chipped.jpg")
    height, width = good.shape[:2]
    frame = np.zeros((height, 2 * width, 3), np.uint8)
    frame[:, :width], frame[:, width:] = good, chipped

    def find(part: Image) -> Detections:
        return detections([[0, 0, part.shape[1], part.shape[0]]], labels=("part",))

    cascade = Cascade(Tiles(Stub("detection", find), 2, 1, 0), single(demo / "bundle", "litert"), margin=0)
    answers = [box["then"]["top"][0]["label"] for box in cascade.answer(frame, {}).to_dict()["boxes"]]
    assert sorted(answers) == ["washer chipped", "washer good"]
