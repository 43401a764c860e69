"""Runs the bundle's files in their own runtimes, without piaccel: what they answer is what model.toml states.

    python demo/measure.py [--pictures 2400] [BUNDLE]

draws the test pictures anew and prints the accuracy of every variant and how often it agrees with the first.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Run = Callable[[NDArray[np.uint8]], Scores]
"""One picture, (96, 96, 3) uint8 RGB, to the probability of each label, (12,) float32."""


def real(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixels 0..255 to -1..1."""
    return (pictures.astype(np.float32) - 127.5) / 127.5


def signature(file: Path) -> tuple[str, str, str]:
    """Of a one-input TFLite file: the signature's key, its input's name there, and the name of the tensor."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file), num_threads=1)
    (key,) = interpreter.get_signature_list()
    (name,) = interpreter.get_signature_list()[key]["inputs"]
    return key, name, interpreter.get_input_details()[0]["name"]


def open_variant(file: Path) -> Run:
    """The function that runs this file; ncnn's weights lie beside its .param under the same name."""
    return {".tflite": _litert, ".onnx": _onnxruntime, ".param": _ncnn}[file.suffix](file)


def _litert(file: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file), num_threads=1)
    interpreter.allocate_tensors()
    (source,), (sink,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )

    def run(picture: NDArray[np.uint8]) -> Scores:
        values = real(picture)[None]
        if source["dtype"] != np.float32:
            scale, zero = source["quantization"]
            values = np.clip(np.round(values / scale + zero), -128, 127).astype(source["dtype"])
        interpreter.set_tensor(source["index"], values)
        interpreter.invoke()
        scores = interpreter.get_tensor(sink["index"])[0]
        if sink["dtype"] != np.float32:
            scale, zero = sink["quantization"]
            scores = (scores.astype(np.float32) - zero) * scale
        return np.asarray(scores, np.float32)

    return run


def _onnxruntime(file: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    (name,) = [tensor.name for tensor in session.get_inputs()]
    return lambda picture: np.asarray(session.run(None, {name: real(picture).transpose(2, 0, 1)[None]})[0][0])


def _ncnn(file: Path) -> Run:
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = 1
    if net.load_param(str(file)) or net.load_model(str(file.with_suffix(".bin"))):
        raise ValueError(f"ncnn cannot read {file} with its .bin")

    def run(picture: NDArray[np.uint8]) -> Scores:
        # A Mat borrows the array's memory: the array has to live until extract is done.
        values = np.ascontiguousarray(real(picture).transpose(2, 0, 1))
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(values))
        return np.array(extractor.extract("out0")[1], np.float32)

    return run


def guesses(run: Run, pictures: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.array([int(np.argmax(run(picture))) for picture in pictures])


def accuracy(run: Run, pictures: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
    """Share of pictures, 0 to 1, whose most probable label is the right one."""
    return float(np.mean(guesses(run, pictures) == labels))


def main() -> None:
    import pool

    parser = argparse.ArgumentParser(description="Measure every variant of the demo's bundle on the test pictures.")
    parser.add_argument("bundle", type=Path, nargs="?", default=Path(__file__).with_name("bundle"))
    parser.add_argument("--pictures", type=int, default=2400)
    parser.add_argument("--cache", type=Path, default=Path("build/demo"))
    wanted = parser.parse_args()
    pictures, labels = pool.pool("test", wanted.pictures, wanted.cache)
    manifest = tomllib.loads((wanted.bundle / "model.toml").read_text())
    first: NDArray[np.int64] | None = None
    print("variant       stated  measured  agrees    bytes")
    for variant in manifest["variants"]:
        found = guesses(open_variant(wanted.bundle / variant["file"]), pictures)
        first = found if first is None else first
        size = sum((wanted.bundle / variant[key]).stat().st_size for key in ("file", "weights") if key in variant)
        print(f"{variant['name']:12s}  {variant['accuracy']:.4f}    {np.mean(found == labels):.4f}  "
              f"{np.mean(found == first):.4f}  {size:7d}")  # fmt: skip


if __name__ == "__main__":
    main()
