"""Vendors' compilers are driven, read and refused; the programs are stand-ins with the vendors' manners."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from piaccel import compilers, formats
from piaccel.bundles import Bundle
from piaccel.compilers import _compilation as compilation
from piaccel.errors import ModelError, NotFoundError, OptionError, UnavailableError, WriteError
from piaccel.testing import fake_compilers
from tests.formats import rpks, samples


@pytest.fixture
def bundle(tmp_path: Path, demo: Path) -> Path:
    return Path(shutil.copytree(demo / "bundle", tmp_path / "parts"))


@pytest.fixture
def quantized(tmp_path: Path) -> Path:
    """An ONNX file as Sony's toolkit quantizes: with operators of its own."""
    return samples.onnx(tmp_path / "quantized.onnx", domain="mct_quantizers", kind="ActivationPOTQuantizer")


def installed(monkeypatch: pytest.MonkeyPatch, folder: Path, *names: str, mood: str = "") -> None:
    programs = fake_compilers.install(folder / "programs", *names)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PIACCEL_FAKE_COMPILER", mood)
    monkeypatch.setenv("PIACCEL_FAKE_RPK", str(rpks.write(folder / "made.rpk")))


def inside(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_target_of_the_accelerators_has_a_compiler() -> None:
    assert compilers.targets() == ("edgetpu", "hailo10h", "hailo8", "hailo8l", "imx500")
    with pytest.raises(OptionError, match="nothing compiles for 'hailo9'"):
        compilers.compiler_for("hailo9")


def test_an_int8_variant_is_compiled_for_the_edge_tpu_and_the_rest_stays(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path)
    before = inside(bundle)
    told: list[str] = []
    done = compilation.build(compilation.plan(bundle, "edgetpu"), tell=told.append)
    assert [command.split()[0] for command in told] == ["edgetpu_compiler"]
    after = inside(bundle)
    assert {name: after[name] for name in before if name != "model.toml"} == {
        name: content for name, content in before.items() if name != "model.toml"
    }
    variant = Bundle.open(bundle).variant("int8_edgetpu.tflite")
    variant.check()
    assert formats.read(variant.path).edgetpu
    assert (variant.format, variant.precision) == ("tflite", "int8")
    assert done.variant is not None
    compiled = done.variant.compiled
    assert compiled is not None
    assert (compiled.target, compiled.source, compiled.fits) == ("edgetpu", "int8.tflite", True)
    assert compiled.compiler == "Edge TPU Compiler 16.0.384591198"
    assert (compiled.left, compiled.facts["memory used on the chip"]) == (0, "7.14 MiB")
    assert compiled.taken is not None
    assert compiled.taken > 1
    assert len(Bundle.open(bundle).variants) == len(before) - 2


def test_operators_left_to_the_cpu_and_weights_that_do_not_fit_are_told(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path, mood="partial")
    report = compilation.build(compilation.plan(bundle, "edgetpu")).report
    assert report is not None
    assert (report.left, report.fits) == (1, False)
    assert "More than one subgraph is not supported" in report.facts["stays on the CPU"]
    assert report.facts["weights sent anew for each inference"] == "6.63 MiB"
    assert len(report.notes) == 2


@pytest.mark.parametrize(
    ("mood", "said"),
    [
        ("none", "none of its operators can run on the Edge TPU"),
        ("silent", "none of its operators can run on the Edge TPU"),
        ("refuses", "edgetpu_compiler failed: the network is not fully quantized"),
        ("slow", "edgetpu_compiler failed: the compiler fell over it"),
    ],
)
def test_what_the_edge_tpu_compiler_refuses_leaves_the_bundle_as_it_was(
    mood: str, said: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path, mood=mood)
    before = inside(bundle)
    with pytest.raises(ModelError, match=said) as caught:
        compilation.build(compilation.plan(bundle, "edgetpu"))
    assert caught.value.hint
    assert inside(bundle) == before


def test_a_float_network_is_refused_before_the_compiler_starts(bundle: Path) -> None:
    with pytest.raises(ModelError, match=r"are not integers \(fp32\): quantize it to int8 first"):
        compilation.plan(bundle, "edgetpu", variant="fp32-tflite")
    with pytest.raises(ModelError, match=r"it is no \.tflite file"):
        compilation.plan(bundle / "fp32.onnx", "edgetpu")


def test_a_compiled_network_is_not_compiled_again(shared: Path) -> None:
    compiled = shared / "models" / "imagenet" / "mobilenet_v1_0.25_128_quant_edgetpu.tflite"
    with pytest.raises(ModelError, match="compiled for the Edge TPU already"):
        compilation.plan(compiled, "edgetpu")


def test_an_onnx_variant_becomes_a_hef_that_takes_raw_pixels(
    bundle: Path, tmp_path: Path, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path)
    plan = compilation.plan(bundle, "hailo8l", calibration=demo / "images")
    assert plan.source.name == "fp32.onnx"
    told: list[str] = []
    done = compilation.build(plan, tell=told.append)
    assert [command.split()[1] for command in told] == ["parser", "optimize", "compiler"]
    assert all("--hw-arch hailo8l" in command for command in told)
    opened = Bundle.open(bundle)
    variant = opened.variant("fp32_hailo8l.hef")
    variant.check()
    assert variant.format == "hef"
    assert variant.preprocess is not None
    assert (set(variant.preprocess.mean), set(variant.preprocess.std)) == ({0.0}, {1.0})
    assert opened.preprocess is not None
    assert variant.preprocess.size == opened.preprocess.size
    assert done.report is not None
    assert done.report.facts["control, compute, memory used"] == "46.9 %, 19.9 %, 15.6 %"
    assert done.report.facts["calibration pictures"] == "12"
    assert any("below 1024" in note for note in done.report.notes)


def test_a_network_of_several_contexts_does_not_fit(
    bundle: Path, tmp_path: Path, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path, mood="partial")
    report = compilation.build(compilation.plan(bundle, "hailo10h", calibration=demo / "images")).report
    assert report is not None
    assert (report.fits, report.facts["contexts"]) == (False, "2")
    assert any("its 2 parts are loaded in turn" in note for note in report.notes)


def test_calibration_data_that_the_disk_cannot_hold_is_refused(
    bundle: Path, tmp_path: Path, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = compilation.plan(bundle, "hailo8", calibration=demo / "images")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(WriteError, match=r"takes 0\.0 GB") as caught:
        plan.compiler.prepare(plan.job(plan.bundle, tmp_path))
    assert "TMPDIR" in caught.value.hint


def test_a_compiler_for_another_cpu_is_named(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, tmp_path)
    (tmp_path / "programs" / "edgetpu_compiler").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(60))
    with pytest.raises(UnavailableError, match="edgetpu_compiler does not start: Exec format error") as caught:
        compilation.build(compilation.plan(bundle, "edgetpu"))
    assert "x86-64" in caught.value.hint


def test_calibration_data_is_the_pictures_as_the_chip_gets_them(bundle: Path, tmp_path: Path, demo: Path) -> None:
    plan = compilation.plan(bundle, "hailo8", calibration=demo / "images")
    plan.compiler.prepare(plan.job(plan.bundle, tmp_path))
    array = np.load(tmp_path / "calibration.npy")
    assert plan.bundle.preprocess is not None
    assert array.shape == (12, *plan.bundle.preprocess.size, 3)
    assert array.dtype == np.float32
    assert array.min() >= 0
    assert 200 < array.max() <= 255
    assert (tmp_path / "net.alls").read_text().startswith("normalization1 = normalization([")


@pytest.mark.parametrize(
    ("mood", "said", "hint"),
    [
        ("refuses", "UnsupportedShuffleLayerError in op /head/Reshape", "/head/conv1, /head/conv2"),
        ("slow", "BackendAllocatorException", "a smaller input or a smaller network"),
        ("silent", "made no .hef file", "-v"),
        ("stranger", "asked for hailo8, the compiler made a file for HAILO15L", "3.x"),
    ],
)
def test_what_hailo_s_compiler_refuses_is_one_line_with_what_to_do(
    mood: str, said: str, hint: str, bundle: Path, tmp_path: Path, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path, mood=mood)
    before = inside(bundle)
    with pytest.raises(ModelError, match=said) as caught:
        compilation.build(compilation.plan(bundle, "hailo8", calibration=demo / "images"))
    assert hint in caught.value.hint
    assert "\n" not in str(caught.value)
    assert inside(bundle) == before


def test_hailo_s_compiler_gets_no_random_calibration(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path)
    with pytest.raises(OptionError, match="needs pictures of what it will see"):
        compilation.build(compilation.plan(bundle, "hailo8"))
    with pytest.raises(NotFoundError):
        compilation.plan(bundle, "hailo8", calibration=tmp_path / "none")
    with pytest.raises(OptionError, match="quantized already"):
        compilation.plan(bundle, "edgetpu", calibration=tmp_path)


def test_a_quantized_network_is_converted_and_packed_for_the_camera(
    bundle: Path, quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path)
    done = compilation.build(compilation.plan(bundle, "imx500", source=quantized))
    variant = Bundle.open(bundle).variant("quantized_imx500.rpk")
    variant.check()
    assert variant.format == "rpk"
    assert done.report is not None
    assert done.report.fits is True
    assert done.report.facts["memory used"] == "5.11MB"


def test_the_camera_s_second_step_is_left_to_the_board(
    bundle: Path, quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path, "imxconv-pt")
    done = compilation.build(compilation.plan(bundle, "imx500", source=quantized))
    assert done.variant is None
    assert done.carry == bundle / "quantized_packerOut.zip"
    assert [step.command[0] for step in done.left] == ["imx500-package"]
    installed(monkeypatch, tmp_path, "imx500-package")
    finished = compilation.build(compilation.plan(bundle, "imx500", source=done.carry), name="camera")
    assert finished.variant is not None
    assert Bundle.open(bundle).variant("camera").path.name == "camera.rpk"


@pytest.mark.parametrize(
    ("mood", "said", "hint"),
    [
        ("partial", "imxconv-pt failed: it needs 10.39MB of memory, the sensor has 8.00MB", "smaller"),
        ("refuses", "imxconv-pt failed: ONNX opset version 13 is not supported", "opset_version=17"),
        ("slow", "imxconv-pt failed: it does not find Java", "openjdk-17-jre"),
        ("none", "imxconv-pt failed: Caught exception while converting'f': List is empty.$", "-v"),
    ],
)
def test_what_sony_s_converter_refuses_is_told(
    mood: str, said: str, hint: str, bundle: Path, quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path, mood=mood)
    with pytest.raises(ModelError, match=said) as caught:
        compilation.build(compilation.plan(bundle, "imx500", source=quantized))
    assert hint in caught.value.hint


def test_the_camera_takes_no_network_that_sony_s_toolkit_did_not_quantize(bundle: Path) -> None:
    with pytest.raises(ModelError, match="not quantized with Sony's Model Compression Toolkit"):
        compilation.plan(bundle, "imx500", variant="fp32-onnx")


def test_a_bare_file_becomes_a_bundle_with_both_variants(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path)
    plan = compilation.plan(bundle / "int8.tflite", "edgetpu")
    with pytest.raises(OptionError, match="is a bare file"):
        compilation.build(plan)
    compilation.build(plan, tmp_path / "made")
    assert [variant.name for variant in Bundle.open(tmp_path / "made").variants] == [
        "int8.tflite",
        "int8_edgetpu.tflite",
    ]
    with pytest.raises(OptionError, match="exists"):
        compilation.build(plan, tmp_path / "made")


def test_a_new_bundle_leaves_the_old_one_alone_and_appears_whole_or_not_at_all(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path)
    before = inside(bundle)
    compilation.build(compilation.plan(bundle, "edgetpu"), tmp_path / "made")
    assert inside(bundle) == before
    assert len(Bundle.open(tmp_path / "made").variants) == len(Bundle.open(bundle).variants) + 1
    monkeypatch.setenv("PIACCEL_FAKE_COMPILER", "none")
    with pytest.raises(ModelError):
        compilation.build(compilation.plan(bundle, "edgetpu"), tmp_path / "second")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "made.rpk", "parts", "programs"]


def test_a_name_that_is_taken_is_refused(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, tmp_path)
    plan = compilation.plan(bundle, "edgetpu")
    with pytest.raises(OptionError, match="has a variant 'int8-tflite'"):
        compilation.build(plan, name="int8-tflite")
    with pytest.raises(OptionError, match="file of another variant"):
        compilation.build(plan, name="int8.tflite")
    with pytest.raises(OptionError, match="not a plain name"):
        compilation.build(plan, name="../up")


def test_a_changed_source_is_noticed_before_hours_are_spent(bundle: Path) -> None:
    with open(bundle / "int8.tflite", "ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match="sha256"):
        compilation.plan(bundle, "edgetpu")


def test_a_missing_compiler_is_an_error_with_the_host_it_needs(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UnavailableError, match="edgetpu_compiler is not installed") as caught:
        compilation.build(compilation.plan(bundle, "edgetpu"))
    assert "x86-64" in caught.value.hint
