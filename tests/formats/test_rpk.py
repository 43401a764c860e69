"""Networks for the IMX500 camera are read without the camera."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piaccel import formats
from piaccel.bundles import Bundle
from piaccel.errors import ModelError
from piaccel.tasks.classification import ClassificationTask
from piaccel.tasks.ssd import SsdTask
from piaccel.tensors import TensorSpec
from tests.formats import rpks


def test_a_classifier_tells_its_input_labels_and_task(tmp_path: Path) -> None:
    network = formats.read(rpks.write(tmp_path / "net.rpk"))
    assert network.format == "rpk"
    (image,) = network.inputs
    assert image == TensorSpec("input", (1, 32, 48, 3), np.dtype(np.uint8), "NHWC")
    assert [(spec.name, spec.shape) for spec in network.outputs] == [("output0", (1, 3))]
    assert network.labels == ("background", "good", "scratched", "bent")
    assert network.task == {"family": "classification", "softmax": True}
    assert network.facts == {"network ID": "000123", "task": "classification", "frame rate": "30"}
    assert network.parameters is None
    assert network.macs is None


def test_a_detector_tells_how_its_boxes_are_written(tmp_path: Path) -> None:
    network = formats.read(rpks.detector(tmp_path / "net.rpk"))
    assert {spec.name: spec.shape for spec in network.outputs} == {
        "boxes": (1, 5, 4),
        "scores": (1, 5),
        "classes": (1, 5),
        "count": (1,),
    }
    assert network.task == {"family": "ssd", "box_order": "xy", "pixels": True}
    assert network.labels == ("person", "cat")
    assert network.preprocess is not None
    assert network.preprocess.resize == "crop"


def test_a_segmentation_and_a_nanodet_have_the_shapes_that_only_they_can_have(tmp_path: Path) -> None:
    mask = rpks.write(tmp_path / "mask.rpk", (40, 32), (40 * 32,), {"task": "segmentation"})
    assert formats.read(mask).outputs[0].shape == (1, 40, 32)
    nanodet = {"task": "object detection", "cpu": {"post_processing": "nanodet"}}
    raw = formats.read(rpks.write(tmp_path / "raw.rpk", (416, 416), (3598 * 112,), nanodet))
    assert raw.outputs[0].shape == (1, 3598, 112)
    assert raw.task == {"family": "nanodet"}
    assert raw.facts["post-processing on the CPU"] == "nanodet"


def test_a_network_without_intrinsics_has_no_task_and_no_labels(tmp_path: Path) -> None:
    network = formats.read(rpks.write(tmp_path / "net.rpk", intrinsics=None))
    assert (network.task, network.labels) == ({}, ())
    assert Bundle.open(network.path).task is None


def test_a_block_that_is_locked_to_a_device_is_passed_over(tmp_path: Path) -> None:
    assert formats.read(rpks.write(tmp_path / "net.rpk", locked=True)).inputs[0].shape == (1, 32, 48, 3)


def test_a_bare_file_is_a_bundle_with_its_own_task_labels_and_preprocessing(tmp_path: Path) -> None:
    bundle = Bundle.open(rpks.write(tmp_path / "net.rpk"))
    assert bundle.task == ClassificationTask(softmax=True)
    assert bundle.labels[1] == "good"
    assert bundle.preprocess is not None
    assert bundle.preprocess.size == (32, 48)
    assert Bundle.open(rpks.detector(tmp_path / "other.rpk")).task == SsdTask(box_order="xy", pixels=True)


def test_it_is_known_by_its_content_under_any_name(tmp_path: Path) -> None:
    assert formats.kind_of(rpks.write(tmp_path / "network.bin")) == "rpk"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"94641111", "does not begin with 9464"),
        (rpks.block(20, footer=b"oops"), "a block has no footer at byte 80"),
        (rpks.block(20), "no archive entry at byte 84"),
        (rpks.block(20) + rpks.entry("TRAILER!!!", b""), "firmware without a description of a network"),
        (rpks.block(20) + rpks.entry("network_info.txt", b"a=b\n" * 99)[:200], "cut off within 'network_info.txt'"),
        (b"9464\0\xff\xff\xff" + bytes(60), "has no footer"),
    ],
)
def test_what_is_no_network_is_named_with_advice(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "net.rpk"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        formats.read(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "again" in caught.value.hint or "anew" in caught.value.hint


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"inputTensorWidth": "0"}, "inputTensorWidth=0"),
        ({"inputTensorHeight": "tall"}, "inputTensorHeight=tall"),
        ({"outputTensorNum": "4000000"}, "outputTensorNum=4000000"),
        ({"outputTensorNum": "2"}, "outputTensorDimSize2=nothing"),
    ],
)
def test_a_wrong_number_is_named(changed: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=said):
        formats.read(rpks.write(tmp_path / "net.rpk", **changed))  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"task": "poetry"}, {"classes": {"labels": [1]}}, {"cpu": {"bbox_order": "zz"}}])
def test_wrong_intrinsics_are_named_in_one_line(wrong: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="its network_intrinsics are wrong: ") as caught:
        formats.read(rpks.write(tmp_path / "net.rpk", intrinsics=wrong))
    assert len(str(caught.value).splitlines()) == 1


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_bytes_are_safe_to_read(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = rpks.detector(tmp_path_factory.mktemp("rpk") / "net.rpk")
    whole = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        whole[place] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    with contextlib.suppress(ModelError):
        formats.read(path)
