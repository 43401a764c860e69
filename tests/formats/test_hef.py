"""Hailo executables, written by ``piaccel.testing.hailo.hefs`` after the vendor's public hef.proto."""

import struct
from pathlib import Path

import numpy as np
import pytest

from piaccel import formats
from piaccel.errors import ModelError
from piaccel.formats import hef
from piaccel.tensors import Quantization
from piaccel.testing.hailo import hefs


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_every_version_of_the_header_is_read(version: int, tmp_path: Path) -> None:
    network = formats.read(hefs.write(tmp_path / "net.hef", version=version))
    assert network.format == "hef"
    assert network.facts["HEF version"] == str(version)
    assert network.facts["compiler"] == "3.31.0"
    assert network.facts["network groups"] == "invert"
    assert network.facts["contexts"] == "1"


def test_inputs_and_outputs_are_described_with_their_quantization(tmp_path: Path) -> None:
    network = formats.read(hefs.write(tmp_path / "net.hef", "both", size=(6, 8, 3)))
    (image,) = network.inputs
    assert (image.name, image.shape, image.layout) == ("both/input_layer1", (1, 6, 8, 3), "NHWC")
    assert image.dtype == np.uint8
    assert [spec.name for spec in network.outputs] == ["both/conv1", "both/fc1"]
    assert [spec.shape for spec in network.outputs] == [(1, 6, 8, 3), (1, 1, 1, 3)]
    assert network.outputs[0].quantization == Quantization((0.5,), (10,))


def test_boxes_that_are_suppressed_behind_the_network_are_its_output(tmp_path: Path) -> None:
    network = formats.read(hefs.write(tmp_path / "net.hef", "boxes"))
    assert [(spec.name, spec.shape) for spec in network.outputs] == [("boxes/nms_postprocess", (1, 3, 5, 4))]


@pytest.mark.parametrize(
    ("architecture", "chips"),
    [
        (0, ("HAILO8",)),
        ("HAILO8", ("HAILO8",)),
        ("HAILO8L", ("HAILO8L", "HAILO8")),
        ("HAILO10H", ("HAILO10H",)),
        ("HAILO15H", ("HAILO15H", "HAILO10H")),
        ("HAILO15M", ("HAILO15M", "HAILO15H", "HAILO10H")),
        (999, ()),
    ],
)
def test_the_chips_that_run_it_are_told(architecture: str | int, chips: tuple[str, ...], tmp_path: Path) -> None:
    assert hef.runs_on(formats.read(hefs.write(tmp_path / "net.hef", architecture=architecture))) == chips


def test_the_first_chip_of_all_is_meant_where_the_number_is_left_out(tmp_path: Path) -> None:
    """proto3 does not write zeros, and 0 is HAILO8."""
    path = tmp_path / "net.hef"
    proto = b"\x0a\x08\x1a\x063.31.0"
    path.write_bytes(struct.pack(">III", hef.MAGIC, 0, len(proto)) + bytes(20) + proto)
    network = formats.read(path)
    assert hef.runs_on(network) == ("HAILO8",)
    assert network.facts["compiler"] == "3.31.0"


def test_a_file_that_states_nothing_is_unknown_and_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "net.hef"
    path.write_bytes(struct.pack(">III", hef.MAGIC, 1, 0) + bytes(16))
    network = formats.read(path)
    assert hef.runs_on(network) == ()
    assert (network.inputs, network.outputs) == ((), ())
    assert network.facts["runs on"] == network.facts["contexts"] == "unknown"


@pytest.mark.parametrize("length", [5, 11, 20, 40, 100])
def test_a_truncated_file_is_named_in_one_line(length: int, tmp_path: Path) -> None:
    path = hefs.write(tmp_path / "net.hef")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ModelError, match="truncated or damaged") as caught:
        formats.read(path)
    assert str(caught.value).startswith(f"{path} ")
    assert "again" in caught.value.hint


def test_a_version_of_the_future_is_named(tmp_path: Path) -> None:
    path = tmp_path / "net.hef"
    path.write_bytes(struct.pack(">III", hef.MAGIC, 9, 0) + bytes(64))
    with pytest.raises(ModelError, match="version 9"):
        formats.read(path)


@pytest.mark.parametrize(
    ("proto", "said"),
    [
        (b"\xff" * 20, "does not end"),
        (b"\x0b", "unknown kind 3"),
        (b"\x0a\x7f", "outside the file"),
        (b"\x08\x01", "number stands where"),
        (b"\x0a\x02\x0a\x00", "no number"),
        (b"\x0a\x02\x18\x01", "no text"),
        (b"\x12\x00" * 200_001, "more than"),
    ],
)
def test_a_damaged_network_is_refused_in_one_line(proto: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "net.hef"
    path.write_bytes(struct.pack(">III", hef.MAGIC, 1, len(proto)) + bytes(16) + proto)
    with pytest.raises(ModelError, match=said) as caught:
        formats.read(path)
    assert "\n" not in str(caught.value)
