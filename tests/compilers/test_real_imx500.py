"""Sony's own converter, where it is installed (pip install 'imx500-converter[pt]', and Java 17)."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piaccel.compilers import _compilation as compilation
from piaccel.errors import ModelError

pytestmark = pytest.mark.skipif(shutil.which("imxconv-pt") is None, reason="imxconv-pt is not installed")
DOMAIN = "mct_quantizers"


def network(path: Path, channels: int = 16, opset: int = 17) -> Path:
    """Write two convolutions as Sony's Model Compression Toolkit 2.5 writes them: PyTorch's, with quantizers."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, values = [], [], {}

    def add(kind: str, inputs: Sequence[str], output: str, shape: tuple[int, ...], **attributes: Any) -> str:
        version = {"mctq_version": "1.6.0", "num_bits": 8, "domain": DOMAIN} if "Quantizer" in kind else {}
        nodes.append(helper.make_node(kind, inputs, [output], name=f"/{output}/{kind}", **version, **attributes))
        values[output] = shape
        return output

    random = np.random.default_rng(0)
    last, shape = add("ActivationPOTQuantizer", ["image"], "image_q", (1, 3, 64, 64), signed=0, threshold=8.0), (3, 64)
    for layer in range(2):
        kernel = random.normal(0, 0.2, (channels, shape[0], 3, 3)).astype(np.float32)
        shape = (channels, shape[1] // 2)
        constants = {"w": kernel, "b": np.zeros(channels, np.float32), "t": np.ones(channels, np.float32)}
        weights += [numpy_helper.from_array(array, f"{key}{layer}") for key, array in constants.items()]
        whole = (1, channels, shape[1], shape[1])
        kernels = add("WeightsPOTQuantizer", [f"w{layer}", f"t{layer}"], f"wq{layer}", kernel.shape, per_channel=1,
                      channel_axis=0, signed=1)  # fmt: skip
        last = add("Conv", [last, kernels, f"b{layer}"], f"c{layer}", whole, kernel_shape=[3, 3], pads=[1] * 4,
                   strides=[2, 2], dilations=[1, 1], group=1)  # fmt: skip
        last = add("Relu", [last], f"r{layer}", whole)
        last = add("ActivationPOTQuantizer", [last], f"rq{layer}", whole, signed=0, threshold=8.0)

    def told(name: str, shape: tuple[int, ...]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(nodes, "main_graph", [told("image", (1, 3, 64, 64))], [told(last, values[last])], weights)
    graph.value_info.extend(told(name, shape) for name, shape in values.items() if name != last)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)]
    told_by = {"producer_name": "pytorch", "producer_version": "2.6.0"}
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8, **told_by), path)
    return path


@pytest.fixture
def bundle(tmp_path: Path, demo: Path) -> Path:
    return Path(shutil.copytree(demo / "bundle", tmp_path / "parts"))


def test_a_network_is_converted_for_the_board_to_pack(bundle: Path, tmp_path: Path) -> None:
    if shutil.which("imx500-package"):
        pytest.skip("the second step is installed too")
    done = compilation.build(compilation.plan(bundle, "imx500", source=network(tmp_path / "net.onnx")))
    assert done.carry == bundle / "net_packerOut.zip"
    assert done.carry.read_bytes().startswith(b"PK")


def test_what_the_converter_refuses_is_told_in_its_words(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="ONNX opset version 13 is not supported") as caught:
        compilation.build(compilation.plan(bundle, "imx500", source=network(tmp_path / "old.onnx", opset=13)))
    assert "opset_version=17" in caught.value.hint
