"""What is no model is named, with advice."""

import io
import os
import zipfile
from pathlib import Path

import pytest

from piaccel import formats
from piaccel.errors import ModelError, NotFoundError
from tests.formats import samples

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3610798\n"


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("config.json", "{}")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said", "advice"),
    [
        ("a.tflite", b"", "is empty", "again"),
        ("a.tflite", LFS, "Git LFS pointer", "git lfs pull"),
        ("a.onnx", b"\n\n<!DOCTYPE html><html><title>404</title>", "web page", "raw"),
        ("a.tflite", b"good\nscratched\n", "it is a text file", "again"),
        ("a.tflite", b"\0\1\2\3ABCDEFGH", "not a TensorFlow Lite model", "again"),
        ("labels.txt", b"good\nscratched\n", "is a text file, not a model", ".tflite"),
        ("a.keras", zipped(), "Keras model", "from_keras_model"),
        ("a.h5", b"\x89HDF\r\n\x1a\n\0\0\0\0", "HDF5", "from_keras_model"),
        ("a.pt", zipped(), "PyTorch model", "torch.onnx.export"),
        ("a.bin", b"\0\1\2\3\4\5\6\7", "not a model that piaccel knows", ".xml or .param"),
        ("a.zip", zipped(), "zip archive", "unpack"),
        ("a.pb", b"\x08\x01\x12\x04serv", "TensorFlow graph", "from_saved_model"),
        ("a.hef", b"HEF\1\0\0\0\0", "not a Hailo executable", "again"),
        ("a.rpk", b"\0\1\2\3ABCDEFGH", "not a network for the IMX500 camera", "again"),
        ("a.blob", b"\x7fELF\1\1\1\0", "compiled program", ".tflite"),
        ("a.blob", b"\0\0\0\0\0\0\0\0", "Myriad", "depthai"),
        ("a.ort", b"\x18\0\0\0ORTM\0\0", "ORT file", ".onnx"),
        ("a.xml", b"7767518", "not an OpenVINO model", "again"),
        ("a.param", b"\xdd\xc6\x76\0\5\0\0\0", "binary form", "text"),
        ("photo.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG", ".tflite"),
    ],
)
def test_what_is_no_model_is_named_with_advice(
    name: str, content: bytes, said: str, advice: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        formats.read(path)
    text = str(caught.value)
    assert text.startswith(f"{path} ")
    assert said in text
    assert "\n" not in text
    assert advice in caught.value.hint


def test_the_content_counts_more_than_the_name(tmp_path: Path) -> None:
    assert formats.kind_of(samples.tflite(tmp_path / "model.bin")) == "tflite"
    assert formats.kind_of(samples.ncnn(tmp_path / "model.txt")) == "ncnn"
    assert formats.kind_of(samples.onnx(tmp_path / "model.onnx")) == "onnx"
    assert formats.kind_of(samples.openvino(tmp_path / "model.xml")) == "openvino"


def test_the_weights_alone_point_to_the_file_that_is_wanted(tmp_path: Path) -> None:
    samples.ncnn(tmp_path / "net.param")
    with pytest.raises(ModelError) as caught:
        formats.read(tmp_path / "net.bin")
    assert caught.value.hint == f"give {tmp_path / 'net.param'} instead"


def test_folders_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a folder"):
        formats.read(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(ModelError, match="SavedModel"):
        formats.read(tmp_path)


def test_a_path_with_nothing_behind_it_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        formats.read(tmp_path / "nothing.tflite")


def test_every_format_has_a_suffix_of_its_own() -> None:
    suffixes = [suffix for group in formats.SUFFIXES.values() for suffix in group]
    assert len(suffixes) == len(set(suffixes))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    secret = tmp_path / "net.tflite"
    secret.write_bytes(b"\x1c\x00\x00\x00TFL3")
    secret.chmod(0)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(ModelError, match=r"net\.tflite cannot be read: Permission denied"):
            formats.kind_of(secret)
    finally:
        os.seteuid(0)
