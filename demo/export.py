"""Turns the trained network into the bundle's files: float and int8, for every runtime piaccel knows."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import measure
import numpy as np
import parts
import torch
from network import Deployed, Inspector
from numpy.typing import NDArray
from pool import SIDE

CALIBRATION = 480
"""Pictures, forty of each label: ranges found on good parts only would miss what defects look like."""

MANIFEST = """\
format = 1
name = "parts-inspection"
description = "Tells washers, gears and nuts apart and finds scratches, chips and missing holes (MobileNetV2 0.35)"
licence = "Apache-2.0"
labels = "labels.txt"

[task]
family = "classification"

[preprocess]
size = [{side}, {side}]
resize = "stretch"
colour = "RGB"
mean = [127.5, 127.5, 127.5]
std = [127.5, 127.5, 127.5]
{variants}
[accuracy]
metric = "top1"
samples = {samples}
data = "procedural parts, test seed {seed}, see demo/train.py"
"""


def bundle(
    network: Inspector,
    calibration: NDArray[np.uint8],
    test: NDArray[np.uint8],
    labels: NDArray[np.int64],
    seed: int,
    out: Path,
) -> None:
    """Write labels, all variants and model.toml, with the accuracy each file reaches in its own runtime."""
    out.mkdir(parents=True, exist_ok=True)
    deployed = Deployed(network).eval()
    few = measure.real(calibration[:CALIBRATION])
    (out / "labels.txt").write_text("\n".join(parts.LABELS) + "\n")
    fp32_tflite(deployed, out / "fp32.tflite")
    int8_tflite(out / "fp32.tflite", few, out / "int8.tflite")
    fp32_onnx(deployed, out / "fp32.onnx")
    int8_onnx(out / "fp32.onnx", few, out / "int8.onnx")
    fp32_ncnn(deployed, out / "fp32.ncnn.param", out / "fp32.ncnn.bin")
    variants = ""
    for name in (
        "fp32.tflite",
        "int8.tflite",
        "fp32.onnx",
        "int8.onnx",
        "fp32.ncnn.param",
    ):
        precision, family = name.split(".")[:2]
        right = measure.accuracy(measure.open_variant(out / name), test, labels)
        print(f"{name:16s} {right:.4f}", flush=True)
        variants += f'\n[[variants]]\nname = "{precision}-{family}"\nfile = "{name}"\nformat = "{family}"\n'
        variants += f'precision = "{precision}"\nsha256 = "{sha256(out / name)}"\n'
        if family == "ncnn":
            weights = name.replace(".param", ".bin")
            variants += f'weights = "{weights}"\nweights_sha256 = "{sha256(out / weights)}"\n'
        variants += f"accuracy = {right:.4f}\n"
    manifest = MANIFEST.format(side=SIDE, variants=variants, samples=len(test), seed=seed)
    (out / "model.toml").write_text(manifest)


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def fp32_tflite(deployed: Deployed, file: Path) -> None:
    """(1, 96, 96, 3) float32 to (1, 12) float32; pictures stay channel-last, as cameras and TFLite have them."""
    import litert_torch

    channel_last = litert_torch.to_channel_last_io(deployed, args=[0]).eval()
    litert_torch.convert(channel_last, (torch.zeros(1, SIDE, SIDE, 3),)).export(str(file))


def int8_tflite(source: Path, pictures: NDArray[np.float32], file: Path) -> None:
    """Static int8, input and output too, ranges from the true least and greatest values.

    The quantizer's own `calibrate` smooths ranges with a moving average, which loses points on small defects;
    hence its lower-level Calibrator. The input's range is set to the whole of -1..1, so that a raw picture
    is the quantized input (to within half a step) after flipping the top bit of each byte.
    """
    from litert_quantizer import calibrator, quantizer, recipe, recipe_manager
    from litert_quantizer.utils import qsv_utils

    wanted = recipe.static_wi8_ai8()
    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(wanted)
    ranges = calibrator.Calibrator(source.read_bytes(), num_threads=2, qsv_update_func=qsv_utils.min_max_update)
    signature, names, tensor = measure.signature(source)
    ranges.calibrate({signature: [{names: picture[None]} for picture in pictures]}, manager)
    found = ranges.get_model_qsvs()
    for bound, value in (("min", -1), ("max", 1)):
        found[tensor][bound] = np.full_like(found[tensor][bound], value)
    file.write_bytes(bytes(quantizer.Quantizer(str(source), wanted).quantize(found).quantized_model))


def fp32_onnx(deployed: Deployed, file: Path) -> None:
    """(1, 3, 96, 96) float32 to (1, 12) float32, opset 13: old enough for OpenCV 4, new enough for per-channel QDQ."""
    torch.onnx.export(
        deployed, (torch.zeros(1, 3, SIDE, SIDE),), str(file), dynamo=False, opset_version=13,
        input_names=["image"], output_names=["scores"],
    )  # fmt: skip


def int8_onnx(source: Path, pictures: NDArray[np.float32], file: Path) -> None:
    """QDQ int8, weights per channel, ranges from least and greatest values; the softmax stays float."""
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest = iter(pictures)

        def get_next(self) -> dict[str, Any] | None:
            picture = next(self.rest, None)
            return None if picture is None else {"image": picture.transpose(2, 0, 1)[None]}

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared))
        last = [node.name for node in onnx.load(prepared).graph.node if node.op_type == "Softmax"]
        quantization.quantize_static(
            str(prepared), str(file), Reader(), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
            activation_type=quantization.QuantType.QInt8, weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax, nodes_to_exclude=last,
        )  # fmt: skip


def fp32_ncnn(deployed: Deployed, param: Path, weights: Path) -> None:
    """Blob "in0" (3, 96, 96) to "out0" (12), weights stored as float32."""
    import pnnx

    with tempfile.TemporaryDirectory() as folder:
        pnnx.export(deployed, f"{folder}/net.pt", torch.zeros(1, 3, SIDE, SIDE), fp16=False)
        shutil.copyfile(f"{folder}/net.ncnn.param", param)
        shutil.copyfile(f"{folder}/net.ncnn.bin", weights)
