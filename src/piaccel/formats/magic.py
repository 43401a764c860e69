"""Tells what a file is from its first bytes, then from its name; what is not a model gets a name and advice."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from piaccel.errors import ModelError
from piaccel.formats.network import Format

SUFFIXES: dict[Format, tuple[str, ...]] = {
    "tflite": (".tflite", ".lite"),
    "onnx": (".onnx",),
    "openvino": (".xml",),
    "ncnn": (".param",),
    "hef": (".hef",),
    "rpk": (".rpk",),
}
TITLES: dict[Format, str] = {
    "tflite": "a TensorFlow Lite model",
    "onnx": "an ONNX model",
    "openvino": "an OpenVINO model",
    "ncnn": "an ncnn model",
    "hef": "a Hailo executable",
    "rpk": "a network for the IMX500 camera",
}
DESCRIBED: frozenset[Format] = frozenset({"rpk"})
"""Formats whose files tell their task, labels and preprocessing, and are quick to read."""
_HEAD = 1024


class _Foreign(NamedTuple):
    what: str
    hint: str


_KERAS = (
    "convert it to TensorFlow Lite first: "
    "tf.lite.TFLiteConverter.from_keras_model(keras.models.load_model(FILE)).convert()"
)
_TORCH = "export it first: torch.onnx.export(model, example, 'model.onnx')"
_SAVED_MODEL = "convert it to TensorFlow Lite first: tf.lite.TFLiteConverter.from_saved_model(FOLDER).convert()"
_AGAIN = "download the model file itself (for GitHub: the 'raw' link)"
_PICK = "piaccel opens .tflite, .onnx, OpenVINO .xml + .bin, ncnn .param + .bin, Hailo .hef and IMX500 .rpk"

_BY_CONTENT: tuple[tuple[int, bytes, _Foreign], ...] = (
    (0, b"version https://git-lfs.github.com/spec/", _Foreign("a Git LFS pointer, not the model", "run: git lfs pull")),
    (0, b"\x89HDF\r\n\x1a\n", _Foreign("an HDF5 file, as Keras writes", _KERAS)),
    (4, b"ORTM", _Foreign("an ONNX Runtime ORT file", "use the .onnx file that it was made from")),
    (0, b"\x80\x02", _Foreign("a Python pickle, as old PyTorch writes", _TORCH)),
    (0, b"\x1f\x8b", _Foreign("a gzip archive", "unpack it first: tar xzf FILE, or gunzip FILE")),
    (0, b"\x89PNG", _Foreign("a PNG picture", _PICK)),
    (0, b"\xff\xd8\xff", _Foreign("a JPEG picture", _PICK)),
    (0, b"%PDF", _Foreign("a PDF document", _PICK)),
    (0, b"\x7fELF", _Foreign("a compiled program or library", _PICK)),
    (
        0,
        b"\xdd\xc6\x76\x00",
        _Foreign("an ncnn .param file in binary form", "use the text .param file that it was made from"),
    ),
)
_BY_SUFFIX: dict[str, _Foreign] = {
    ".h5": _Foreign("a Keras model", _KERAS),
    ".keras": _Foreign("a Keras model", _KERAS),
    ".pt": _Foreign("a PyTorch model", _TORCH),
    ".pth": _Foreign("a PyTorch model", _TORCH),
    ".pt2": _Foreign("a PyTorch model", _TORCH),
    ".torchscript": _Foreign("a PyTorch model", _TORCH),
    ".pb": _Foreign("a TensorFlow graph", _SAVED_MODEL),
    ".blob": _Foreign("a network for the Myriad VPU", "it needs the backend depthai and an OAK camera"),
    ".ort": _Foreign("an ONNX Runtime ORT file", "use the .onnx file that it was made from"),
    ".mlmodel": _Foreign("a Core ML model", "export the original model to ONNX"),
    ".mlpackage": _Foreign("a Core ML model", "export the original model to ONNX"),
    ".engine": _Foreign("a TensorRT engine", "export the original model to ONNX"),
    ".safetensors": _Foreign("a file of weights without a network", _TORCH),
    ".pdmodel": _Foreign("a PaddlePaddle model", "convert it first: paddle2onnx"),
    ".caffemodel": _Foreign("a Caffe model", "convert it to ONNX or ncnn first"),
}
_ZIP = b"PK\x03\x04"
_RPK = b"9464\0"  # a block shorter than 16 MB, as all are


def kind_of(path: Path) -> Format:
    """Return the format of a model file, judged by its content first.

    Raises ModelError, one line naming the file and what it is instead, with advice in ``hint``.
    """
    if path.is_dir():
        raise _directory(path)
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    if not head:
        raise ModelError(f"{path} is empty", hint="copy or download the file again")
    suffix = path.suffix.lower()
    if head[4:8] == b"TFL3":
        return "tflite"
    if head.startswith(_RPK):
        return "rpk"
    if head.startswith(b"\x01HEF"):
        return "hef"
    for offset, mark, foreign in _BY_CONTENT:
        if head[offset:].startswith(mark):
            raise ModelError(f"{path} is {foreign.what}", hint=foreign.hint)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:14].lower() == b"<!doctype html" or text[:5].lower() == b"<html":
        raise ModelError(f"{path} is a web page, saved in place of a model", hint=_AGAIN)
    if text.startswith(b"7767517"):
        return "ncnn"
    if suffix == ".bin":
        raise _weights(path)
    if suffix in _BY_SUFFIX:
        raise ModelError(f"{path} is {_BY_SUFFIX[suffix].what}", hint=_BY_SUFFIX[suffix].hint)
    if head.startswith(_ZIP):
        raise ModelError(f"{path} is a zip archive", hint="unpack it, or convert it if it is a Keras or PyTorch model")
    if suffix == ".onnx":
        return "onnx"
    if text.startswith((b"<?xml", b"<net")) and suffix not in (".tflite", ".param"):
        return "openvino"
    for kind, suffixes in SUFFIXES.items():
        if suffix in suffixes:
            raise ModelError(
                f"{path} is not {TITLES[kind]}: {_missing_mark(kind, head)}", hint="copy or download the file again"
            )
    if _is_text(head):
        raise ModelError(f"{path} is a text file, not a model", hint=_PICK)
    raise ModelError(f"{path} is not a model that piaccel knows", hint=_PICK)


def _directory(path: Path) -> ModelError:
    if (path / "saved_model.pb").exists():
        return ModelError(f"{path} is a TensorFlow SavedModel", hint=_SAVED_MODEL)
    if path.suffix == ".mlpackage":
        return ModelError(f"{path} is a Core ML model", hint=_BY_SUFFIX[".mlpackage"].hint)
    return ModelError(
        f"{path} is a folder, not a model file", hint="give the file, or a folder that holds a model.toml"
    )


def _weights(path: Path) -> ModelError:
    for suffix in (".xml", ".param"):
        graph = path.with_suffix(suffix)
        if graph.exists():
            return ModelError(f"{path} holds only the weights of a model", hint=f"give {graph} instead")
    return ModelError(
        f"{path} is not a model that piaccel knows", hint="give the .xml or .param file that belongs to it"
    )


def _missing_mark(kind: Format, head: bytes) -> str:
    if kind == "tflite":
        return "it is a text file" if _is_text(head) else "bytes 4 to 7 are not 'TFL3'"
    if kind == "hef":
        return "it does not begin with 01 'HEF'"
    if kind == "rpk":
        return "it does not begin with 9464"
    return "it is not XML" if kind == "openvino" else "its first line is not 7767517"


def _is_text(head: bytes) -> bool:
    return not any(byte < 9 for byte in head)
