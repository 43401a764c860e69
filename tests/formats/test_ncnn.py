from pathlib import Path

import pytest

from piaccel import formats
from piaccel.errors import ModelError
from piaccel.formats.ncnn_layers import parse
from piaccel.formats.ncnn_shapes import Shapes
from tests.formats import samples


def test_a_network_is_described_with_its_weights_beside_it(tmp_path: Path) -> None:
    network = formats.read(samples.ncnn(tmp_path / "net.param"))
    assert network.format == "ncnn"
    assert network.operators == {"Convolution": 1, "InnerProduct": 1, "Softmax": 1}
    assert network.parameters == samples.PARAMETERS
    assert network.macs == samples.MACS
    assert network.precision == "fp32"
    assert network.inputs[0].shape == (1, 3, 8, 8)
    assert network.outputs[0].shape == (1, 5)


def test_a_free_size_leaves_the_multiplications_unknown_until_it_is_given(tmp_path: Path) -> None:
    path = samples.ncnn(tmp_path / "net.param", stated=False)
    network = formats.read(path)
    assert network.inputs[0].shape == (1, 3, None, None)  # the channels follow from the first convolution
    assert network.macs is None
    assert formats.read(path, (8, 8)).macs == samples.MACS


def test_an_unknown_layer_is_a_custom_operator_and_its_weights_are_unknown(tmp_path: Path) -> None:
    network = formats.read(samples.ncnn(tmp_path / "net.param", kind="YoloV5Focus"))
    assert network.custom_operators == ("YoloV5Focus",)
    assert network.parameters is None
    assert network.macs is None


@pytest.mark.parametrize("missing", [1, 100, 5000])
def test_truncated_weights_are_named(missing: int, tmp_path: Path) -> None:
    path = samples.ncnn(tmp_path / "net.param")
    weights = path.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:-missing])
    with pytest.raises(ModelError, match=r"net\.bin is truncated") as caught:
        formats.read(path)
    assert "made together" in caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("4 4\n", "9 4\n", "truncated: line 2 promises 9 layers, 4 follow"),
        ("4 4\n", "2 4\n", "damaged: line 2 promises 2 layers, 4 follow"),
        ("4 4\n", "many\n", "line 2 does not hold"),
        ("1 1 image features", "999999999 1 image features", "line 4 is not a layer"),
        ("1 1 image features", "1 1 nothing features", "wants 'nothing', which nothing makes"),
        ("6=108", "6=abc", "line 4 is not a layer"),
        ("6=108", "6=-5", "has -5 weights"),
        ("6=108", "6=" + "9" * 5000, "line 4 is not a layer"),
        ("7767517", "7767518", "first line is not 7767517"),
    ],
)
def test_a_damaged_param_file_is_refused_in_one_line(old: str, new: str, said: str, tmp_path: Path) -> None:
    path = samples.ncnn(tmp_path / "net.param")
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ModelError, match=said) as caught:
        formats.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ("Convolution x 1 1 in out 0=7 1=3 3=2 4=1 6=189", (7, 3, 5)),
        ("Convolution x 1 1 in out 0=7 1=3 2=2 3=1 4=-233 6=189", (7, 6, 10)),
        ("Convolution x 1 1 in out 0=7 1=5 11=1 6=105", (7, 6, 6)),
        ("ConvolutionDepthWise x 1 1 in out 0=3 1=3 7=3 6=27", (3, 4, 8)),
        ("Deconvolution x 1 1 in out 0=7 1=4 3=2 4=1 6=336", (7, 12, 20)),
        ("Pooling x 1 1 in out 1=3 2=2", (3, 3, 5)),
        ("Pooling x 1 1 in out 1=3 2=2 5=1", (3, 2, 4)),
        ("Pooling x 1 1 in out 0=1 4=1", (3,)),
        ("Pooling x 1 1 in out 7=1 8=2 18=4", (3, 4, 2)),
        ("Permute x 1 1 in out 0=3", (6, 10, 3)),
        ("Permute x 1 1 in out 0=1", (3, 10, 6)),
        ("Reshape x 1 1 in out 0=-1 1=3", (3, 60)),
        ("Reshape x 1 1 in out 0=4 1=-1", (45, 4)),
        ("Interp x 1 1 in out 0=2 1=2.0 2=2.0", (3, 12, 20)),
        ("Padding x 1 1 in out 0=1 1=1 2=2 3=2", (3, 8, 14)),
        ("PixelShuffle x 1 1 in out 0=1", (3, 6, 10)),
        ("Reorg x 1 1 in out 0=2", (12, 3, 5)),
        ("Flatten x 1 1 in out", (180,)),
        ("InnerProduct x 1 1 in out 0=9 2=1620", (9,)),
        ("Concat x 2 1 in in out 0=0", (6, 6, 10)),
        ("BinaryOp x 2 1 in in out 0=2", (3, 6, 10)),
        ("Slice x 1 2 in out rest -23300=2,2,-233 1=1", (3, 2, 10)),
    ],
)
def test_shapes_are_what_ncnn_itself_computes(layer: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    ncnn = pytest.importorskip("ncnn")
    path = tmp_path / "one.param"
    blobs = 1 + int(layer.split()[3])
    path.write_text(f"7767517\n2 {blobs}\nInput in 0 1 in 0=10 1=6 2=3\n{layer}\n")
    assert Shapes(parse(path), None).blobs["out"] == shape
    path.with_suffix(".bin").write_bytes(bytes(1 << 16))
    net = ncnn.Net()
    net.opt.num_threads = 1
    assert net.load_param(str(path)) == 0
    assert net.load_model(str(path.with_suffix(".bin"))) == 0
    extractor = net.create_extractor()
    extractor.input("in", ncnn.Mat(10, 6, 3))
    status, out = extractor.extract("out")
    assert status == 0
    assert tuple((out.c, out.h, out.w)[3 - out.dims :]) == shape


@pytest.mark.parametrize(("name", "size"), [("coco/fastestdet", (352, 352)), ("face/rfb_320", (240, 320))])
def test_a_real_network_has_the_figures_of_its_onnx_twin(name: str, size: tuple[int, int], shared: Path) -> None:
    pytest.importorskip("onnx")
    twin = formats.read(shared / "models" / f"{name}{'_raw' if 'rfb' in name else ''}.onnx")
    network = formats.read(shared / "models" / f"{name}.ncnn.param", size)
    assert network.macs == twin.macs
    assert network.parameters == twin.parameters
    assert {spec.shape for spec in network.outputs} == {spec.shape for spec in twin.outputs}
