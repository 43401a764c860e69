"""OpenVINO: ONNX, TensorFlow Lite and its own .xml."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piaccel import backends
from piaccel.backends import Options
from piaccel.backends import openvino as module
from piaccel.backends.openvino import OpenVINOOptions
from piaccel.errors import InferenceError, ModelError, UnavailableError
from piaccel.tensors import Array
from piaccel.testing import old_openvino
from piaccel.testing.compliance import BackendCompliance
from tests.backends import networks

pytest.importorskip("openvino")
pytest.importorskip("onnx")

BACKEND = backends.get("openvino")
ONE = Options(threads=1)


class TestOpenVINO(BackendCompliance):
    name = "openvino"

    def model(self, folder: Path) -> Path:
        return networks.onnx_file(folder / "tiny.onnx")

    def feeds(self) -> dict[str, Array]:
        return {"x": networks.nchw(networks.picture())}

    def expected(self) -> dict[str, Array]:
        return networks.onnx_answers(networks.picture())


class TestOpenVINOOnItsOwnFiles(TestOpenVINO):
    def model(self, folder: Path) -> Path:
        return networks.ir_file(folder / "tiny.xml")


@pytest.mark.parametrize("dtype", ["INT8", "UINT8"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_quantized_tflite_carries_its_quantization(tmp_path: Path, dtype: str, per_channel: bool) -> None:
    if dtype == "UINT8" and per_channel:
        pytest.skip("TensorFlow Lite has no such networks")
    path = networks.quantized_tflite_file(tmp_path / "q.tflite", dtype, per_channel)
    with BACKEND.load(path, ONE) as session:
        (given,), (result,) = session.inputs, session.outputs
        assert given.dtype == result.dtype == np.dtype(dtype.lower())
        assert given.quantization is not None
        assert result.quantization is not None
        fed = given.quantization.quantize(networks.picture(), given.dtype)
        real = result.quantization.dequantize(session.run({"x": fed})["y"])
    np.testing.assert_allclose(real, networks.answer(networks.picture()), atol=1.5 * networks.OUTPUT.scale[0])


def test_a_quantized_network_with_float_ends_takes_and_gives_floats(tmp_path: Path) -> None:
    path = networks.quantized_tflite_file(tmp_path / "q.tflite", float_ends=True)
    with BACKEND.load(path, ONE) as session:
        real = session.run({"x_float": networks.picture()})["y_float"]
    np.testing.assert_allclose(real, networks.answer(networks.picture()), atol=1.5 * networks.OUTPUT.scale[0])


@pytest.mark.parametrize(("dtype", "zero_point"), [("uint8", True), ("int8", True), ("uint8", False)])
def test_integers_at_the_ends_carry_the_quantization_that_the_graph_tells(
    tmp_path: Path, dtype: str, zero_point: bool
) -> None:
    path = networks.quantized_onnx_file(tmp_path / "q.onnx", dtype, zero_point)
    picture = np.maximum(networks.picture(), 0) if not zero_point else networks.picture()
    with BACKEND.load(path, ONE) as session:
        (given,), (result,) = session.inputs, session.outputs
        assert given.quantization is not None
        assert result.quantization is not None
        fed = given.quantization.quantize(networks.nchw(picture), given.dtype)
        real = result.quantization.dequantize(session.run({"x": fed})["y"])
    right = networks.nchw(networks.answer(picture))
    low = 0 if not zero_point else -np.inf
    np.testing.assert_allclose(real, np.maximum(right, low), atol=1.5 * networks.OUTPUT.scale[0])


def test_free_dimensions_take_any_length(tmp_path: Path) -> None:
    path = networks.onnx_file(tmp_path / "free.onnx", ("batch", 3, "height", "width"))
    with BACKEND.load(path, ONE) as session:
        assert session.inputs[0].shape == (None, 3, None, None)
        answers = []
        for batch in (2, 1):
            picture = networks.picture(batch)
            answers.append((session.run({"x": networks.nchw(picture)})["y"], networks.onnx_answers(picture)["y"]))
        for answer, right in answers:
            np.testing.assert_allclose(answer, right, atol=1e-5)


def test_float_networks_are_computed_in_f32_unless_f16_is_asked_for(tmp_path: Path) -> None:
    path = networks.onnx_file(tmp_path / "tiny.onnx")
    assert _property(path, OpenVINOOptions(threads=1), "INFERENCE_PRECISION_HINT") == "<Type: 'float32'>"
    with BACKEND.load(path, OpenVINOOptions(threads=1, precision="f16")) as session:
        answer = session.run({"x": networks.nchw(networks.picture())})["y"]
    np.testing.assert_allclose(answer, networks.onnx_answers(networks.picture())["y"], atol=1e-2)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_is_the_runtime_s(tmp_path: Path, threads: int) -> None:
    path = networks.onnx_file(tmp_path / "tiny.onnx")
    assert _property(path, OpenVINOOptions(threads=threads), "INFERENCE_NUM_THREADS") == str(threads)


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="openvino does not know its operator 'acme:Odd'"):
        BACKEND.load(networks.onnx_file(tmp_path / "odd.onnx", op="Odd"), ONE)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    path = networks.ir_file(tmp_path / "tiny.xml")
    path.with_suffix(".bin").unlink()
    with pytest.raises(ModelError, match=r"tiny\.bin"):
        BACKEND.load(path, ONE)


def test_an_edge_tpu_model_is_refused(tmp_path: Path) -> None:
    path = networks.custom_tflite_file(tmp_path / "compiled.tflite", "edgetpu-custom-op")
    assert "needs the backend edgetpu" in BACKEND.refusal(path)


def _property(path: Path, options: OpenVINOOptions, name: str) -> str:
    with BACKEND.load(path, options) as session:
        compiled: Any = session._compiled  # type: ignore[attr-defined]
        return str(compiled.get_property(name))


def usb(folder: Path, vendor: str, product: str) -> Path:
    """What the kernel lists of one USB device; gives the folder of all."""
    device = folder / "usb" / "1-1.2"
    device.mkdir(parents=True)
    (device / "idVendor").write_text(f"{vendor}\n")
    (device / "idProduct").write_text(f"{product}\n")
    return folder / "usb"


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """OpenVINO 2022.3 with the stick's plug-in is installed in place of today's."""

    def forget() -> dict[str, Any]:
        names = [name for name in sys.modules if name.partition(".")[0] == "openvino"]
        return {name: sys.modules.pop(name) for name in names}

    today = forget()
    monkeypatch.syspath_prepend(old_openvino.path())
    yield
    forget()
    sys.modules.update(today)


def test_the_stick_is_unsupported_and_the_message_says_since_when_and_what_instead(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"unsupported since OpenVINO 2023.*no stick is found") as caught:
        BACKEND.load(networks.onnx_file(tmp_path / "tiny.onnx"), OpenVINOOptions(threads=1, device="MYRIAD"))
    assert "for this Python" in str(caught.value)
    for other in ("CPU", "Hailo", "Coral"):
        assert other in caught.value.hint


@pytest.mark.parametrize(("product", "name"), [("2485", "NCS2"), ("2150", "NCS"), ("0001", "a Movidius device")])
def test_a_stick_on_usb_is_listed_as_unsupported_and_openvino_stays_ready(
    product: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_USB", usb(tmp_path, "03e7", product))
    found = backends.probe_in_this_process("openvino")
    assert found.ok
    assert found.state == "ready"
    assert found.devices == ("CPU", f"{name} (unsupported)")
    assert found.reason.startswith(f"{name} found on USB")
    with pytest.raises(UnavailableError, match=f"{name} is found on USB"):
        BACKEND.load(networks.onnx_file(tmp_path / "tiny.onnx"), OpenVINOOptions(threads=1, device="myriad"))


def test_other_usb_devices_are_no_sticks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_USB", usb(tmp_path, "1a6e", "089a"))
    assert backends.probe_in_this_process("openvino").devices == ("CPU",)


def test_what_was_found_is_said_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from piaccel.cli import backends as command

    row = {"name": "openvino", "state": "ready", "version": "1", "devices": ["CPU"], "opens": [".xml"]}
    command._print(Console(width=200), [{**row, "reason": module.NCS2, "hint": module.NCS2_INSTEAD}])
    printed = capsys.readouterr().out
    assert module.NCS2 in printed
    assert f"-> {module.NCS2_INSTEAD}" in printed


def test_a_device_that_openvino_does_not_know_is_named_with_those_it_has(tmp_path: Path) -> None:
    path = networks.onnx_file(tmp_path / "tiny.onnx")
    with pytest.raises(UnavailableError, match="knows no device 'MOON' here") as caught:
        BACKEND.load(path, OpenVINOOptions(threads=1, device="moon"))
    assert caught.value.hint == "it has CPU"


def test_a_part_of_a_device_that_openvino_does_not_know_is_named(tmp_path: Path) -> None:
    path = networks.onnx_file(tmp_path / "tiny.onnx")
    with pytest.raises(UnavailableError, match="unsupported since OpenVINO 2023"):
        BACKEND.load(path, OpenVINOOptions(threads=1, device="HETERO:MYRIAD,CPU"))


def test_a_device_may_be_a_choice_of_openvino_s_own(tmp_path: Path) -> None:
    path = networks.onnx_file(tmp_path / "tiny.onnx")
    with BACKEND.load(path, OpenVINOOptions(threads=1, device="HETERO:CPU")) as session:
        answer = session.run({"x": networks.nchw(networks.picture())})["y"]
    np.testing.assert_allclose(answer, networks.onnx_answers(networks.picture())["y"], atol=1e-5)


def test_an_old_openvino_with_the_plug_in_runs_on_the_stick(
    old: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_USB", usb(tmp_path, "03e7", "2485"))
    found = backends.probe_in_this_process("openvino")
    assert (found.version, found.devices, found.reason) == ("2022.3.1", ("CPU", "MYRIAD"), "")
    path = networks.onnx_file(tmp_path / "tiny.onnx")
    picture = networks.nchw(networks.picture())
    with BACKEND.load(path, OpenVINOOptions(threads=1, device="MYRIAD")) as session:
        answer = session.run({"x": picture})["y"]
        np.testing.assert_allclose(answer, picture.mean(), rtol=1e-5)
        monkeypatch.setenv("PIACCEL_FAKE_MYRIAD", "lost")
        with pytest.raises(InferenceError, match="NC_ERROR"):
            session.run({"x": picture})


@pytest.mark.parametrize(("product", "said"), [("2485", "does not start"), (None, "no Neural Compute Stick is found")])
def test_an_old_openvino_without_a_stick_says_so(
    product: str | None, said: str, old: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIACCEL_FAKE_MYRIAD", "absent")
    monkeypatch.setattr(module, "_USB", usb(tmp_path, "03e7", product) if product else tmp_path)
    with pytest.raises(UnavailableError, match=said) as caught:
        BACKEND.load(networks.onnx_file(tmp_path / "tiny.onnx"), OpenVINOOptions(threads=1, device="MYRIAD"))
    assert caught.value.hint


def test_a_signal_after_two_sessions_were_closed_is_handled(tmp_path: Path) -> None:
    """Where the CPU has AMX, a plug-in that goes away may take the memory with it that signals are handled on."""
    child = """if True:
        import os, signal, sys
        from pathlib import Path
        from piaccel import backends
        plugin = backends.get("openvino")
        sessions = [plugin.load(Path(sys.argv[1]), plugin.options(threads=1)) for _ in range(2)]
        for session in sessions:
            session.close()
        del session, sessions
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            print("handled")
    """
    path = networks.onnx_file(tmp_path / "tiny.onnx")
    done = subprocess.run([sys.executable, "-c", child, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
