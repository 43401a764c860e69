"""The Edge TPU: LiteRT's true loading path, on a library that keeps libedgetpu's contract without a TPU."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import piaccel
from piaccel import backends, config, models, tasks, trial
from piaccel.backends import Placement, _delegates, _edgetpu_errors
from piaccel.backends import edgetpu as backend_module
from piaccel.backends.edgetpu import EdgeTPUOptions
from piaccel.bench import plan
from piaccel.bundles import Bundle
from piaccel.errors import (
    CrashError,
    HangError,
    InferenceError,
    ModelError,
    OptionError,
    PiaccelError,
    UnavailableError,
)
from piaccel.fallback import FallbackModel
from piaccel.packing import pack
from piaccel.tensors import Array, Quantization
from piaccel.testing import edgetpu as fake
from piaccel.testing.compliance import BackendCompliance
from piaccel.testing.native import compile_library
from tests.backends import coral, networks

BACKEND = backends.get("edgetpu")
USB = "/sys/bus/usb/devices/2-1"


@pytest.fixture(autouse=True)
def coral_library(libedgetpu: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The system's libedgetpu is the one without a TPU; what piaccel remembers of it is this test's own."""
    monkeypatch.setenv(fake.PATH, str(libedgetpu))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return libedgetpu


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return coral.compiled_file(tmp_path / "net_edgetpu.tflite")


def pretend(monkeypatch: pytest.MonkeyPatch, mode: str, devices: str | None = None) -> None:
    monkeypatch.setenv(fake.MODE, mode)
    if devices is not None:
        monkeypatch.setenv(fake.DEVICES, devices)


class TestEdgeTPU(BackendCompliance):
    name = "edgetpu"

    def model(self, folder: Path) -> Path:
        return coral.compiled_file(folder / "net_edgetpu.tflite")

    def feeds(self) -> dict[str, Array]:
        return {"x": coral.picture()}

    def expected(self) -> dict[str, Array]:
        return {"y": coral.answer(coral.picture())}


def test_a_probe_tells_the_versions_and_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "", f"usb:{USB},pci:/dev/apex_0,usb:/sys/bus/usb/devices/2-2")
    found = BACKEND.probe()
    assert found.ok
    assert found.devices == (f"usb:0 {USB}", "pci:0 /dev/apex_0", "usb:1 /sys/bus/usb/devices/2-2")
    assert found.version is not None
    assert found.version.endswith(", runtime 14")


def test_a_library_without_a_tpu_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "no-device")
    found = BACKEND.probe()
    assert (found.ok, found.state) == (False, "no device")
    assert found.reason == "no Edge TPU is connected"
    assert "1a6e:089a" in found.hint


def test_a_missing_library_is_not_installed_with_the_command_that_installs_it(
    net: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for missing in ("libabsent.so.1", str(tmp_path / "libedgetpu.so.1")):
        monkeypatch.setenv(fake.PATH, missing)
        found = BACKEND.probe()
        assert (found.ok, found.state) == (False, "not installed")
        assert found.reason == f"the library {missing} is not installed"
        assert "github.com/feranick/libedgetpu" in found.hint
        assert "libedgetpu1-std_16.0tf2.19.1-1." in found.hint
        with pytest.raises(UnavailableError, match=f"the library {missing} is not there") as caught:
            BACKEND.load(net)
        assert caught.value.hint == found.hint


def test_a_library_is_found_by_name_where_the_linker_looks(
    libedgetpu: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(fake.PATH)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    without = BACKEND.stamp()
    assert backend_module._place(None) is None or not str(backend_module._place(None)).startswith(str(tmp_path))
    shutil.copy(libedgetpu, tmp_path / "libedgetpu.so.1")
    assert backend_module._place(None) == str(tmp_path / "libedgetpu.so.1")
    assert BACKEND.stamp() != without
    assert BACKEND.probe().ok


def test_a_new_library_is_another_stamp(tmp_path: Path, libedgetpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "libedgetpu.so.1"
    shutil.copy(libedgetpu, copy)
    monkeypatch.setenv(fake.PATH, str(copy))
    before = BACKEND.stamp()
    os.utime(copy, (1, 1))
    assert before is not None
    assert str(copy) in before
    assert BACKEND.stamp() != before


def test_a_missing_libusb_is_told_with_its_package(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "usb.c").write_text("int libusb_init(void) { return 0; }")
    (tmp_path / "needy.c").write_text("int libusb_init(void); int edgetpu_version(void) { return libusb_init(); }")
    # Its own name would be found where libusb is installed.
    needed, needy = tmp_path / "libusb-absent.so.0", tmp_path / "libedgetpu.so.1"
    monkeypatch.setitem(_delegates._PACKAGES, needed.name, _delegates._PACKAGES["libusb-1.0.so.0"])
    compile_library(tmp_path / "usb.c", needed, f"-Wl,-soname,{needed.name}")
    compile_library(tmp_path / "needy.c", needy, str(needed))
    needed.unlink()
    monkeypatch.setenv(fake.PATH, str(needy))
    with pytest.raises(UnavailableError, match=r"needs libusb-absent\.so\.0, which is not installed") as caught:
        BACKEND.load(net)
    assert caught.value.hint == "sudo apt install libusb-1.0-0"
    found = BACKEND.probe()
    assert (found.ok, found.state) == (False, "broken")
    assert found.reason == str(caught.value)


def test_another_library_is_no_libedgetpu(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.c").write_text("int other(void) { return 0; }")
    other = compile_library(tmp_path / "other.c", tmp_path / "other.so")
    with pytest.raises(UnavailableError, match="is no libedgetpu: it has no edgetpu_version"):
        BACKEND.load(net, EdgeTPUOptions(library=str(other)))
    (tmp_path / "text.so").write_text("text")
    with pytest.raises(UnavailableError, match="is no library that this computer can load"):
        BACKEND.load(net, EdgeTPUOptions(library=str(tmp_path / "text.so")))


def test_a_model_that_is_not_compiled_is_refused_with_the_command_that_compiles_it(tmp_path: Path) -> None:
    whole = networks.quantized_tflite_file(tmp_path / "net.tflite")
    reason = "it is not compiled for the Edge TPU: on an x86-64 Debian or Ubuntu run edgetpu_compiler net.tflite"
    assert BACKEND.refusal(whole) == reason
    with pytest.raises(ModelError, match="run edgetpu_compiler"):
        BACKEND.load(whole)
    floats = networks.tflite_file(tmp_path / "floats.tflite")
    assert BACKEND.refusal(floats).endswith("its weights are fp32: quantize it to full integers first")


def test_a_model_that_would_run_on_the_cpu_only_is_refused_even_where_no_reader_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(BACKEND), "looks_into", ())
    with pytest.raises(ModelError, match="it is not compiled for the Edge TPU"):
        BACKEND.load(networks.quantized_tflite_file(tmp_path / "net.tflite"))


def test_a_compiled_model_is_this_backend_s_alone(net: Path) -> None:
    assert [name for _, name in models.candidates(Bundle.open(net))] == ["edgetpu"]


def test_operators_left_to_the_cpu_are_counted(tmp_path: Path) -> None:
    with BACKEND.load(coral.compiled_file(tmp_path / "half.tflite", left=True)) as session:
        assert session.placement == Placement("Edge TPU", taken=1, left=1)
        answered = session.run({"x": coral.picture()})["z"]
    np.testing.assert_array_equal(answered, coral.answer(coral.picture()).reshape(1, 50))


@pytest.mark.parametrize("device", ["", ":0", ":1", "usb", "pci", "usb:0", "pci:0"])
def test_every_form_of_a_device_opens(net: Path, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "", f"usb:{USB},pci:/dev/apex_0")
    with BACKEND.load(net, EdgeTPUOptions(device=device)) as session:
        np.testing.assert_array_equal(session.run({"x": coral.picture()})["y"], coral.answer(coral.picture()))


@pytest.mark.parametrize("device", ["pci", "usb:1", ":1"])
def test_a_device_that_is_not_there_is_answered_with_those_that_are(net: Path, device: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        BACKEND.load(net, EdgeTPUOptions(device=device))
    assert str(caught.value) == f"there is no Edge TPU '{device}', there are usb:0 ({USB})"


@pytest.mark.parametrize("device", ["cpu", "usb:x", "0", "usb:-1"])
def test_a_device_that_is_written_wrongly_is_refused(device: str) -> None:
    with pytest.raises(OptionError, match="is none of '', usb, pci, :0"):
        EdgeTPUOptions(device=device)


def test_performance_goes_to_the_library_for_a_device_with_a_number_and_is_refused_for_others(
    net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, seen = _delegates.delegate, []

    def watched(module: Any, path: str, options: Any, opened: Any) -> Any:
        seen.append(dict(options))
        return make(module, path, options, opened)

    monkeypatch.setattr(_delegates, "delegate", watched)
    BACKEND.load(net, config.options(EdgeTPUOptions, ["device=usb:0", "performance=Low"])).close()
    BACKEND.load(net).close()
    assert seen == [{"device": "usb:0", "Performance": "Low"}, {"device": ""}]
    with pytest.raises(OptionError, match=r"libedgetpu ignores performance.*write device=usb:0"):
        config.options(EdgeTPUOptions, ["device=usb", "performance=Low"])
    with pytest.raises(OptionError, match="performance"):
        config.options(EdgeTPUOptions, ["device=usb:0", "performance=Turbo"])


def test_two_tpus_serve_two_sessions(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "", f"usb:{USB},usb:/sys/bus/usb/devices/2-2")
    sessions = [BACKEND.load(net, EdgeTPUOptions(device=f"usb:{number}")) for number in (0, 1)]
    for session in sessions:
        np.testing.assert_array_equal(session.run({"x": coral.picture()})["y"], coral.answer(coral.picture()))
        session.close()


@pytest.mark.parametrize(
    ("mode", "devices", "message", "hint"),
    [
        ("no-device", None, "no Edge TPU is connected", "1a6e:089a"),
        (
            "permission",
            None,
            f"at {USB} cannot be opened: this user may not open it (Not found: OpenDevice)",
            "plugdev",
        ),
        ("permission", "pci:/dev/apex_0", "at /dev/apex_0 cannot be opened: this user may not open it", "-aG apex"),
        ("busy", None, f"at {USB} cannot be opened: another process has it", "fuser"),
        ("refuse", None, f"at {USB} cannot be opened: Unknown: USB error -1 [SetConfiguration]", "pull it out"),
    ],
)
def test_a_tpu_that_does_not_open_says_why(
    net: Path,
    mode: str,
    devices: str | None,
    message: str,
    hint: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pretend(monkeypatch, mode, devices)
    with pytest.raises(UnavailableError) as caught:
        BACKEND.load(net)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert hint in caught.value.hint
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("said", "reason", "hint"),
    [
        (
            "I tflite/edgetpu_context_direct.cc:401] Failed to open device [Apex (PCIe)] at [/dev/apex_0]: "
            "Failed precondition: Could not partition page table. : 6 (Operation not permitted)",
            "its driver needs 4 KB pages",
            "kernel=kernel8.img",
        ),
        (
            "I x.cc:1] Failed to create driver [Apex (USB)] at [/sys/bus/usb/devices/1-1]: Permission denied: "
            "USB error -3 [LocalUsbDeviceFactory]",
            "this user may not open it",
            "plugdev",
        ),
        ("", "it is busy, or this user may not open it", "plugdev"),
    ],
)
def test_what_the_library_prints_becomes_a_reason(said: str, reason: str, hint: str) -> None:
    error = _edgetpu_errors.refused(said)
    assert reason in str(error)
    assert hint in error.hint


@pytest.mark.parametrize(
    ("text", "kind", "message", "hint"),
    [
        (
            "Failed to prepare for TPU. Failed precondition: Package requires runtime version (15), which is newer "
            "than this runtime version (14).Node number 1 (EdgeTpuDelegateForCustomOp) failed to prepare.",
            UnavailableError,
            "compiled for a newer libedgetpu",
            "feranick",
        ),
        ("Failed to prepare for TPU. Internal: x", UnavailableError, "the Edge TPU did not take it", "pull it out"),
        (
            "Encountered unresolved custom op: edgetpu-custom-op.\nSee instructions: https://x Node number 0 "
            "(edgetpu-custom-op) failed to prepare.",
            ModelError,
            "LiteRT does not hand it to the Edge TPU",
            "feranick",
        ),
    ],
)
def test_a_model_that_the_tpu_does_not_take_says_why(
    text: str, kind: type[PiaccelError], message: str, hint: str
) -> None:
    error = _edgetpu_errors.unprepared(Path("net.tflite"), RuntimeError(text))
    assert type(error) is kind
    assert message in str(error)
    assert len(str(error).splitlines()) == 1
    assert hint in error.hint


def test_a_compiled_model_without_the_delegate_is_refused_by_litert_in_one_line(net: Path) -> None:
    with pytest.raises(ModelError, match="it is compiled for the Edge TPU and needs the backend edgetpu"):
        backends.get("litert").load(net)


def test_a_tpu_lost_in_a_run_is_an_inference_error(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "lost-after:2")
    with BACKEND.load(net) as session:
        feeds: dict[str, Any] = {"x": coral.picture()}
        session.run(feeds)
        session.run(feeds)
        with pytest.raises(InferenceError, match=r"the Edge TPU stopped answering: unplugged.*USB transfer error 5"):
            session.run(feeds)
    with pytest.raises(UnavailableError, match="no Edge TPU is connected"):
        BACKEND.load(net)


@pytest.mark.parametrize("mode", ["crash-on-load", "crash-on-prepare", "crash-on-invoke"])
def test_a_crash_kills_only_a_child_and_is_remembered(mode: str, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shared / "models/imagenet/mobilenet_v1_0.25_128_quant_edgetpu.tflite"
    pretend(monkeypatch, mode)
    with pytest.raises(CrashError, match=r"edgetpu died of it \(SIGSEGV\)") as caught:
        piaccel.load(path, "edgetpu")
    assert "use 16.0TF2.19.1 of feranick" in caught.value.hint
    pretend(monkeypatch, "")
    with pytest.raises(CrashError, match=r"SIGSEGV.*, seen 20"):
        piaccel.load(path, "edgetpu")
    trial.forget()
    piaccel.load(path, "edgetpu").close()


def test_a_hang_ends_after_the_time_out_and_is_remembered(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shared / "models/imagenet/mobilenet_v1_0.25_128_quant_edgetpu.tflite"
    pretend(monkeypatch, "hang-on-load")
    monkeypatch.setattr(trial, "TIMEOUT_S", 5.0)
    with pytest.raises(HangError, match="edgetpu did not open it within 5 s"):
        piaccel.load(path, "edgetpu")
    pretend(monkeypatch, "")
    with pytest.raises(HangError, match="within 5 s, seen 20"):
        piaccel.load(path, "edgetpu")


def test_a_library_that_dies_while_it_is_probed_is_broken_with_the_known_cause(
    tmp_path: Path, libedgetpu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "old.c"
    source.write_text("#include <signal.h>\n__attribute__((constructor)) static void die(void) { raise(SIGSEGV); }\n")
    monkeypatch.setenv(fake.PATH, str(compile_library(source, tmp_path / "libedgetpu.so.1")))
    found = BACKEND.probe()
    assert (found.ok, found.state) == (False, "broken")
    assert "SIGSEGV" in found.reason
    assert "use 16.0TF2.19.1 of feranick" in found.hint
    assert "seen" in BACKEND.probe().reason


def test_a_library_that_hangs_while_it_is_probed_is_broken_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "slow.c"
    source.write_text("#include <unistd.h>\n__attribute__((constructor)) static void wait(void) { sleep(600); }\n")
    monkeypatch.setenv(fake.PATH, str(compile_library(source, tmp_path / "libedgetpu.so.1")))
    monkeypatch.setattr(type(BACKEND), "probe_timeout_s", 4.0)
    found = BACKEND.probe()
    assert (found.ok, found.reason) == (False, "starting it takes longer than 4 s")
    assert "pull the Coral out" in found.hint
    assert "seen" in BACKEND.probe().reason


def test_predict_info_and_bench_tell_how_much_is_left_to_the_cpu(shared: Path, tmp_path: Path) -> None:
    path = str(shared / "models/pose/movenet_single_pose_lightning_ptq_edgetpu.tflite")
    told = "1 of 60 operators on Edge TPU, 59 on the CPU"
    predicted = piaccel_command("predict", path, str(shared / "images/squat.bmp"), "--backend", "edgetpu")
    assert told in predicted.stderr.splitlines()[0]
    described = json.loads(piaccel_command("info", path, "--json").stdout)
    (opened,) = [each for each in described["variants"][0]["backends"] if each["opens"]]
    assert (opened["name"], opened["placement"]) == ("edgetpu", told)
    report = tmp_path / "report.json"
    piaccel_command("bench", path, "--backend", "edgetpu", "--duration", "0.1", "--repeats", "1", "--json", str(report))
    (row,) = json.loads(report.read_text())["measurements"]
    assert row["note"] == told


def test_the_cpu_is_the_reference_for_the_tpu(shared: Path, tmp_path: Path) -> None:
    pack(both_variants(shared), tmp_path / "bundle", labels=shared / "models/imagenet/imagenet_labels.txt")
    made = plan.make(Bundle.open(tmp_path / "bundle"))
    assert made.references[0].backend == "litert"
    assert "edgetpu" in [each.backend for each in made.references]


def both_variants(shared: Path) -> list[Path]:
    """One network, before compilation and after it."""
    return [shared / f"models/imagenet/mobilenet_v1_0.25_128_quant{end}.tflite" for end in ("", "_edgetpu")]


def piaccel_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "piaccel", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def test_coral_s_classifier_goes_through_the_ordinary_task(shared: Path) -> None:
    folder = shared / "models/imagenet"
    path = folder / "mobilenet_v1_0.25_128_quant_edgetpu.tflite"
    with piaccel.load(path, "edgetpu", labels=folder / "imagenet_labels.txt") as model:
        assert model.session.placement == Placement("Edge TPU", taken=1, left=0)
        picture = piaccel.read_image(shared / "images/parrot.jpg")
        result = model.predict(picture)
        assert isinstance(result, tasks.Classification)
        assert result.scores.shape == (1001,)
        assert result.backend == "edgetpu"
        given = next(iter(model.preprocess(picture)[0].values()))
        raw = fake.answer(given, np.zeros((1, 1001), np.uint8))[0]
        assert raw[result.scores.argmax()] == raw.max()


def test_coral_s_pose_model_runs_most_operators_on_the_cpu_and_says_so(shared: Path) -> None:
    path = shared / "models/pose/movenet_single_pose_lightning_ptq_edgetpu.tflite"
    with piaccel.load(path, "edgetpu") as model:
        assert model.session.placement == Placement("Edge TPU", taken=1, left=59)
        assert isinstance(model.predict(np.zeros((100, 200, 3), np.uint8)), tasks.Keypoints)


def test_coral_s_detector_goes_through_the_ordinary_task(tmp_path: Path) -> None:
    net = networks.TFLite()
    x = net.tensor("x", (1, 30, 30, 3), "UINT8", quantization=Quantization((1 / 128,), (128,)))
    part, whole = Quantization((1 / 255,), (0,)), Quantization((1.0,), (0,))
    kinds = (
        ("boxes", (1, 10, 4), part),
        ("classes", (1, 10), whole),
        ("scores", (1, 10), part),
        ("count", (1,), whole),
    )
    given = [net.tensor(f"{name}_int", shape, "UINT8", quantization=kind) for name, shape, kind in kinds]
    real = [net.tensor(name, shape) for name, shape, _ in kinds]
    net.operator("CUSTOM", [x], given, custom="edgetpu-custom-op")
    for integers, floats in zip(given, real, strict=True):
        net.operator("DEQUANTIZE", [integers], [floats], net.schema.DequantizeOptionsT())
    path = net.write(tmp_path / "ssd_edgetpu.tflite", [x], real)
    with piaccel.load(path, "edgetpu", task="detection", task_options={"threshold": 0.1}) as model:
        assert model.session.placement == Placement("Edge TPU", taken=1, left=4)
        assert isinstance(model.predict(np.full((60, 80, 3), 128, np.uint8)), tasks.Detections)


def test_coral_s_segmentation_goes_through_the_ordinary_task(tmp_path: Path) -> None:
    net = networks.TFLite()
    x = net.tensor("x", (1, 32, 32, 3), "UINT8")
    y = net.tensor("y", (1, 32, 32, 5), "UINT8", quantization=Quantization((1 / 255,), (0,)))
    net.operator("CUSTOM", [x], [y], custom="edgetpu-custom-op")
    path = net.write(tmp_path / "mask_edgetpu.tflite", [x], [y])
    with piaccel.load(path, "edgetpu", task="segmentation") as model:
        mask = model.predict(np.zeros((60, 80, 3), np.uint8))
        assert isinstance(mask, tasks.Mask)
        assert mask.class_id.shape == (60, 80)


def test_a_tpu_lost_in_the_middle_of_a_run_loses_no_frame(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(both_variants(shared), tmp_path / "bundle", labels=shared / "models/imagenet/imagenet_labels.txt")
    bundle = Bundle.open(tmp_path / "bundle")
    now = 0.0
    opened: list[str] = []

    def open_backend(backend: str) -> models.Model:
        opened.append(backend)
        return models.load(bundle.path, backend, threads=1)

    pretend(monkeypatch, "lost-after:3")
    model = FallbackModel(("edgetpu", "litert"), open_backend, clock=lambda: now)
    picture = piaccel.read_image(shared / "images/parrot.jpg")
    with model:
        answered = [model.predict(picture) for _ in range(6)]
        assert [result.backend for result in answered] == ["edgetpu"] * 3 + ["litert"] * 3
        assert isinstance(answered[-1], tasks.Classification)
        assert "macaw" in answered[-1].lines()[0]
        status = model.status
        assert status.degraded
        assert "the Edge TPU stopped answering" in status.reason
        assert (status.answered, status.retried, status.failed) == ({"edgetpu": 3, "litert": 3}, 1, 0)
        pretend(monkeypatch, "")
        now = 100.0
        model.predict(picture)  # starts a thread that tries
        for thread in [each for each in threading.enumerate() if each.name == "piaccel-fallback"]:
            thread.join()
        assert model.predict(picture).backend == "edgetpu"
        assert not model.status.degraded
    assert opened == ["edgetpu", "litert", "edgetpu"]
