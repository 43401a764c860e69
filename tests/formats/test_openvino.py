from pathlib import Path

import pytest

from piaccel import formats
from piaccel.errors import ModelError
from tests.formats import samples

BOMB = """<?xml version="1.0"?>
<!DOCTYPE net [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<net name="&c;" version="11"><layers/></net>
"""


def test_a_network_is_described_with_its_weights_beside_it(tmp_path: Path) -> None:
    network = formats.read(samples.openvino(tmp_path / "net.xml"))
    assert network.format == "openvino"
    assert network.operators == {"Convolution": 1, "MatMul": 1, "Reshape": 1}
    assert network.parameters == samples.PARAMETERS - samples.FILTERS - samples.CLASSES  # the sample has no biases
    assert network.macs == samples.MACS
    assert network.precision == "fp32"
    assert (network.inputs[0].name, network.inputs[0].shape) == ("image", (1, 3, 8, 8))
    assert (network.outputs[0].name, network.outputs[0].shape) == ("scores", (1, 5))
    assert network.size_bytes == sum((tmp_path / name).stat().st_size for name in ("net.xml", "net.bin"))
    assert network.facts == {"IR version": "11"}


def test_a_free_batch_counts_as_one(tmp_path: Path) -> None:
    path = samples.openvino(tmp_path / "net.xml")
    path.write_text(path.read_text().replace("<dim>1</dim><dim>3</dim>", "<dim>-1</dim><dim>3</dim>"))
    network = formats.read(path)
    assert network.inputs[0].shape == (None, 3, 8, 8)
    assert network.macs == samples.MACS


def test_missing_and_truncated_weights_are_named(tmp_path: Path) -> None:
    path = samples.openvino(tmp_path / "net.xml")
    weights = tmp_path / "net.bin"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"net\.bin is truncated: it has 5567 bytes, the network needs 5568"):
        formats.read(path)
    weights.unlink()
    with pytest.raises(ModelError, match=r"net\.bin is missing"):
        formats.read(path)


def test_exploding_entities_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xml"
    path.write_text(BOMB)
    with pytest.raises(ModelError, match="document type"):
        formats.read(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<?xml version='1.0'?><svg/>", "<net> is expected"),
        ("<net name='x' version='11'><layers/></net>", "not an OpenVINO model"),
        ("<net name='x' version='11'><layers><layer id='0'/></layers></net>", "'type'"),
        ("<net name='x' version='11'><layers>", "truncated"),
        ("<net>" + "<a>" * 100_000, "nested too deep"),
    ],
)
def test_other_xml_is_refused_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "other.xml"
    path.write_text(text)
    with pytest.raises(ModelError, match=said) as caught:
        formats.read(path)
    assert "\n" not in str(caught.value)


def test_real_conversions_agree_with_what_they_were_made_from(tmp_path: Path, shared: Path) -> None:
    ov = pytest.importorskip("openvino")
    for name in ("face/rfb_320_raw.onnx", "imagenet/mobilenet_v1_0.25_128_quant.tflite"):
        source = shared / "models" / name
        ov.save_model(ov.convert_model(source), tmp_path / "net.xml", compress_to_fp16=name.endswith("onnx"))
        original, converted = formats.read(source), formats.read(tmp_path / "net.xml")
        assert converted.macs == original.macs
        assert converted.parameters == original.parameters
        assert converted.precision == {"fp32": "fp16", "uint8": "uint8"}[original.precision]
        assert [spec.name for spec in converted.outputs] == [spec.name for spec in original.outputs]
        assert "producer" in converted.facts
