"""Hailo, against a fake ``hailo_platform`` that keeps the vendor's contract. Not proven on hardware."""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import piaccel
from piaccel import backends
from piaccel.backends import Availability, Session, _hailo_board, _hailo_device, _hailo_nms
from piaccel.backends.hailo import HailoOptions
from piaccel.errors import InferenceError, ModelError, OptionError, PiaccelError, UnavailableError
from piaccel.fallback import FallbackModel
from piaccel.models import Model
from piaccel.selftest.soak import soak
from piaccel.tensors import Array, Quantization
from piaccel.testing import hailo
from piaccel.testing.compliance import BackendCompliance, _probed
from piaccel.testing.hailo import hefs
from tests.classifiers import colour, labels_file, onnx_classifier

BACKEND = backends.get("hailo")
SIZE = (6, 8, 3)


def picture(seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (1, *SIZE), np.uint8)


def inverted(image: Array) -> Array:
    return ((255 - image).astype(np.float32) - hefs.ZERO_POINT) * np.float32(hefs.SCALE)


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own to work in, a system without Hailo's files, and nothing held afterwards."""
    monkeypatch.setenv("PIACCEL_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("HAILORT_LOGGER_PATH", "NONE")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    yield
    assert not _hailo_device._open


class Hailo(BackendCompliance):
    name = "hailo"
    settings: ClassVar[dict[str, object]] = {}
    probed_for: ClassVar[type | None] = None

    @pytest.fixture(autouse=True)
    def board(self) -> Iterator[None]:
        if Hailo.probed_for is not type(self):
            _probed.cache_clear()
            Hailo.probed_for = type(self)
        with hailo.fake(**self.settings):
            yield

    def model(self, folder: Path) -> Path:
        architecture = str(self.settings.get("architecture", "HAILO8L"))
        return hefs.write(folder / "tiny.hef", architecture=architecture, size=SIZE)

    def feeds(self) -> dict[str, Array]:
        return {"invert/input_layer1": picture()}

    def expected(self) -> dict[str, Array]:
        return {"invert/conv1": inverted(picture())}


class TestHailoRT4(Hailo):
    settings: ClassVar[dict[str, object]] = {"version": "4.23.0", "architecture": "HAILO8L"}


class TestHailoRT5(Hailo):
    settings: ClassVar[dict[str, object]] = {"version": "5.2.0", "architecture": "HAILO10H"}


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return hefs.write(tmp_path / "net.hef", size=SIZE)


def opened(path: Path, **options: Any) -> Session:
    return BACKEND.load(path, HailoOptions(**options))


def refused(path: Path, kind: type[PiaccelError], **options: Any) -> PiaccelError:
    """Open and return the error: of the kind, in one line."""
    with pytest.raises(kind) as caught:
        opened(path, **options)
    assert "\n" not in str(caught.value)
    return caught.value


def feeds(session: Session, seed: int = 0) -> dict[str, Array]:
    return {session.inputs[0].name: picture(seed)}


def system(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


# What goes in and out


def test_several_outputs_are_told_apart(tmp_path: Path) -> None:
    mean = picture()[0].mean((0, 1)).astype(np.uint8)[None]
    with hailo.fake(), opened(hefs.write(tmp_path / "net.hef", "both", size=SIZE)) as session:
        found = session.run(feeds(session))
    np.testing.assert_array_equal(found["both/conv1"], inverted(picture()))
    np.testing.assert_array_equal(found["both/fc1"], inverted(255 - mean))


def test_quantized_outputs_tell_scale_and_zero_point(net: Path) -> None:
    with hailo.fake(), opened(net, output="quantized") as session:
        np.testing.assert_array_equal(session.run(feeds(session))["invert/conv1"], 255 - picture())
        assert session.outputs[0].dtype == np.uint8
        assert session.outputs[0].quantization == Quantization((0.5,), (10,))
    with hailo.fake(), opened(net) as session:
        assert session.outputs[0].quantization is None


@pytest.mark.parametrize(("version", "architecture"), [("4.23.0", "HAILO8"), ("5.2.0", "HAILO10H")])
def test_boxes_by_class_and_by_score_are_one_array(version: str, architecture: str, tmp_path: Path) -> None:
    found = {}
    with hailo.fake(version=version, architecture=architecture):
        for function in ("boxes", "scored"):
            path = hefs.write(tmp_path / f"{function}.hef", function, architecture=architecture, size=SIZE)
            with opened(path) as session:
                assert session.outputs[0].shape == (1, hefs.CLASSES, 5, hefs.MOST)
                (found[function],) = session.run(feeds(session)).values()
        network = importlib.import_module("hailo_platform.pyhailort._network")
        right = network.boxes(picture()[0])
    np.testing.assert_array_equal(found["boxes"], found["scored"])
    assert sum(map(len, right)) > 0
    for number, rows in enumerate(right):
        np.testing.assert_array_equal(found["boxes"][0, number, :, : len(rows)], rows.T)
        assert not found["boxes"][0, number, :, len(rows) :].any()


def test_boxes_are_read_as_the_binding_reads_them(tmp_path: Path) -> None:
    """Its get_buffer, in each form, against our own reading of the raw buffer."""
    with hailo.fake():
        module = importlib.import_module("hailo_platform")
        for function in ("boxes", "scored"):
            path = hefs.write(tmp_path / f"{function}.hef", function, size=SIZE)
            with module.VDevice() as device:
                model = device.create_infer_model(str(path))
                stream = model.output()
                _hailo_nms.prepare(stream, module.FormatType)
                dtype = np.uint8 if function == "scored" else np.float32
                with model.configure() as configured:
                    bindings = configured.create_bindings(output_buffers={stream.name: np.zeros(stream.shape, dtype)})
                    bindings.input().set_buffer(picture()[0])
                    configured.run([bindings], 1000)
                _, read = _hailo_nms.reader(stream, model.hef)
                ours = read(bindings.output().get_buffer(None))[0]
                if function == "boxes":
                    np.testing.assert_array_equal(ours, bindings.output().get_buffer(tf_format=True))
                    counts = [len(rows) for rows in bindings.output().get_buffer()]
                else:
                    records = bindings.output().get_buffer()
                    counts = [sum(each.class_id == number for each in records) for number in range(hefs.CLASSES)]
                assert (ours[:, 4] > 0).sum(axis=1).tolist() == counts


def test_boxes_become_detections_without_a_manifest(tmp_path: Path) -> None:
    path = hefs.write(tmp_path / "boxes.hef", "boxes", size=(64, 64, 3))
    frame = np.full((64, 64, 3), 2, np.uint8)  # two boxes of each class
    with hailo.fake(), piaccel.load(path, backend="hailo") as model:
        found = model.predict(frame)
    assert isinstance(found, piaccel.tasks.Detections)
    assert sorted(found.class_id.tolist()) == [0, 0, 1, 1, 2, 2]
    np.testing.assert_allclose(found.xyxy[0], [64 * 2 / 512, 0, 64 * (2 / 512 + 0.25), 64 * 0.2], atol=1e-3)


def test_boxes_with_masks_are_refused_with_advice(tmp_path: Path) -> None:
    with hailo.fake():
        error = refused(hefs.write(tmp_path / "net.hef", "masks"), ModelError)
    assert "HAILO_NMS_WITH_BYTE_MASK" in str(error)
    assert "by class" in error.hint


# Several runs in flight


@pytest.mark.parametrize(("queue", "wanted", "depth"), [(4, 4, 4), (2, 4, 2), (8, 3, 3), (1, 4, 1)])
def test_the_depth_is_what_the_device_queues_and_the_option_allows(
    queue: int, wanted: int, depth: int, net: Path
) -> None:
    with hailo.fake(queue=queue), opened(net, depth=wanted) as session:
        assert session.depth == depth


def test_runs_in_flight_are_answered_in_order_and_do_not_share_buffers(net: Path) -> None:
    with hailo.fake(delay_ms=1), opened(net) as session:
        answers = []
        for start in range(0, 20, session.depth):
            batch = [feeds(session, seed) for seed in range(start, start + session.depth)]
            answers += [future.result() for future in [session.submit(each) for each in batch]]
        for seed, answer in enumerate(answers):
            np.testing.assert_array_equal(answer["invert/conv1"], inverted(picture(seed)))


def test_submit_returns_before_the_answer_is_there(net: Path) -> None:
    with hailo.fake(delay_ms=50), opened(net) as session:
        futures = [session.submit(feeds(session)) for _ in range(session.depth)]
        assert not futures[-1].done()
        called: list[str] = []
        futures[0].add_done_callback(lambda _: called.append(threading.current_thread().name))
        assert [future.result() is not None for future in futures] == [True] * session.depth
        assert called == ["hailort"]


def test_closing_waits_for_what_is_in_flight(net: Path) -> None:
    with hailo.fake(delay_ms=20):
        session = opened(net)
        future = session.submit(feeds(session))
        session.close()
        np.testing.assert_array_equal(future.result()["invert/conv1"], inverted(picture()))


# One device for the process


def test_sessions_share_one_device_which_the_last_releases(net: Path) -> None:
    with hailo.fake():
        held = importlib.import_module("hailo_platform.pyhailort.pyhailort").OPEN
        with opened(net):
            with opened(net):
                assert len(held) == 1
            assert len(held) == 1
        assert not held


def test_a_session_that_does_not_open_leaves_the_device_free(net: Path) -> None:
    with hailo.fake(configure_status=8):
        held = importlib.import_module("hailo_platform.pyhailort.pyhailort").OPEN
        refused(net, UnavailableError)
        assert not held


def test_a_device_is_taken_by_its_address(net: Path) -> None:
    with hailo.fake(devices=("0000:01:00.0", "0001:01:00.0")):
        held = importlib.import_module("hailo_platform.pyhailort.pyhailort").OPEN
        with opened(net, device_id="0001:01:00.0") as session:  # the scheduler stays on: no activate() is needed
            assert held[0].get_physical_devices_ids() == ["0001:01:00.0"]
            assert session.run(feeds(session))
        error = refused(net, UnavailableError, device_id="0009:01:00.0")
    assert "0009:01:00.0" in str(error)
    assert "0001:01:00.0" in error.hint


def test_the_service_is_for_hailort_4(net: Path, tmp_path: Path) -> None:
    with hailo.fake(), opened(net, multi_process_service=True) as session:
        assert session.run(feeds(session))
    path = hefs.write(tmp_path / "h10.hef", architecture="HAILO10H")
    with hailo.fake(version="5.2.0", architecture="HAILO10H"):
        error = refused(path, OptionError, multi_process_service=True)
    assert "5.2.0" in str(error)
    assert "without a service" in str(error)


def test_the_scheduler_takes_priority_and_limits(net: Path) -> None:
    with hailo.fake(), opened(net, priority=20, scheduler_timeout_ms=5, scheduler_threshold=2) as session:
        assert session.run(feeds(session))
    with pytest.raises(OptionError, match="priority is 32"):
        HailoOptions(priority=32)


@pytest.mark.parametrize("option", ["depth", "timeout_ms"])
def test_options_of_nothing_are_refused(option: str) -> None:
    with pytest.raises(OptionError, match=f"{option} is 0"):
        HailoOptions(**{option: 0})  # type: ignore[arg-type]


# Files for other chips


@pytest.mark.parametrize(
    ("version", "device", "compiled"),
    [
        ("4.23.0", "HAILO8", "HAILO8"),
        ("4.23.0", "HAILO8", "HAILO8L"),
        ("4.23.0", "HAILO8L", "HAILO8L"),
        ("5.2.0", "HAILO10H", "HAILO10H"),
        ("5.2.0", "HAILO10H", "HAILO15H"),
        ("5.2.0", "HAILO10H", "HAILO15M"),
    ],
)
def test_files_for_this_chip_run(version: str, device: str, compiled: str, tmp_path: Path) -> None:
    path = hefs.write(tmp_path / "net.hef", architecture=compiled, size=SIZE)
    with hailo.fake(version=version, architecture=device), opened(path) as session:
        assert session.run(feeds(session))


@pytest.mark.parametrize(
    ("version", "device", "compiled"),
    [
        ("4.23.0", "HAILO8L", "HAILO8"),
        ("4.23.0", "HAILO8", "HAILO10H"),
        ("5.2.0", "HAILO10H", "HAILO8"),
        ("5.2.0", "HAILO10H", "HAILO8L"),
        ("4.23.0", "HAILO8L", "HAILO15L"),
    ],
)
def test_files_for_another_chip_are_refused_with_both_named(
    version: str, device: str, compiled: str, tmp_path: Path
) -> None:
    path = hefs.write(tmp_path / "net.hef", architecture=compiled)
    with hailo.fake(version=version, architecture=device):
        error = refused(path, ModelError)
    assert str(error).startswith(f"{path} is compiled for {compiled}; this board has {device} (")
    assert f"piaccel compile --target {device.lower()}" in error.hint


def test_a_chip_that_hailort_refuses_itself_is_explained(net: Path) -> None:
    with hailo.fake(configure_status=93):
        error = refused(net, ModelError)
    assert "another chip" in str(error)
    assert "Hailo-8L only for HAILO8L" in error.hint


# What the device says, and what we say


@pytest.mark.parametrize(
    ("status", "kind", "said", "advice"),
    [
        (73, UnavailableError, "in use by another program", "hailort.service"),
        (74, UnavailableError, "in use by another program", "sudo lsof /dev/hailo0"),
        (76, UnavailableError, "driver (4.22.0) is not of HailoRT's version (4.23.0)", "sudo reboot"),
        (79, UnavailableError, "does not drive this chip", "sudo apt install dkms"),
        (13, UnavailableError, "does not answer", "dmesg | grep hailo"),
        (36, UnavailableError, "driver ioctl", "dmesg | grep hailo"),
        (8, UnavailableError, "failed inside", "HAILORT_LOGGER_PATH"),
        (6, UnavailableError, "Invalid operation", "HAILORT_LOGGER_PATH"),
    ],
)
def test_a_device_that_does_not_open_is_unavailable_and_the_fix_is_named(
    status: int, kind: type[PiaccelError], said: str, advice: str, net: Path, tmp_path: Path
) -> None:
    system(tmp_path / "root", {"sys/module/hailo_pci/version": "4.22.0\n"})
    with hailo.fake(open_status=status):
        error = refused(net, kind)
    assert said in str(error)
    assert advice in error.hint


@pytest.mark.parametrize(("status", "said"), [(26, "no valid HEF"), (91, "corrupted"), (92, "not supported")])
def test_a_file_that_hailort_cannot_read_is_named(status: int, said: str, net: Path) -> None:
    with hailo.fake(configure_status=status):
        error = refused(net, ModelError)
    assert str(error).startswith(f"{net} ")
    assert said in str(error)
    assert "again" in error.hint


def test_large_pages_are_named_where_they_are_the_cause(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", lambda _: 16384)
    with hailo.fake(configure_status=8):
        error = refused(net, UnavailableError)
    assert "options hailo_pci force_desc_page_size=4096" in error.hint


def test_no_permission_is_told_with_the_rule_that_mends_it(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system(tmp_path / "root", {"dev/h1x-0": ""})
    monkeypatch.setattr(os, "access", lambda *_: False)
    with hailo.fake(open_status=13):
        error = refused(net, UnavailableError)
    assert "no permission to open" in str(error)
    assert 'SUBSYSTEM=="hailo1x"' in error.hint
    assert "/etc/udev/rules.d" in error.hint


def test_no_device_is_told(net: Path) -> None:
    with hailo.fake(devices=()):
        error = refused(net, UnavailableError)
    assert str(error) == "no Hailo device was found"
    assert "1e60" in error.hint


def test_a_torn_binding_is_told_with_the_command(net: Path) -> None:
    with hailo.fake(binding="4.22.0"):
        error = refused(net, UnavailableError)
    assert "_pyhailort version (4.22.0) does not match pyhailort version (4.23.0)" in str(error)
    assert "apt install --reinstall dkms hailo-all" in error.hint


@pytest.mark.parametrize("status", [62, 63, 36, 18])
def test_a_device_that_is_lost_fails_the_run_and_those_behind_it(status: int, net: Path) -> None:
    with hailo.fake(good_runs=3, run_status=status), opened(net) as session:
        for _ in range(3):
            session.run(feeds(session))
        with pytest.raises(InferenceError, match="lost while it ran") as caught:
            session.run(feeds(session))
        assert "power supply" in caught.value.hint
        with pytest.raises(InferenceError):
            session.submit(feeds(session)).result()
        assert not _hailo_device._open  # whoever opens now gets a device anew


def test_each_run_in_flight_is_answered_when_the_device_is_lost(net: Path) -> None:
    with hailo.fake(good_runs=2, run_status=62, delay_ms=5), opened(net) as session:
        futures = [session.submit(feeds(session)) for _ in range(4)]
        ends = [type(future.exception()).__name__ for future in futures]
        assert ends == ["NoneType", "NoneType", "InferenceError", "InferenceError"]


def test_a_device_that_hangs_fails_the_run_in_time(net: Path) -> None:
    with hailo.fake(good_runs=1, hangs=True, queue=2):
        session = opened(net, timeout_ms=100)
        session.run(feeds(session))
        for _ in range(3):  # the third finds every buffer with the device
            with pytest.raises(InferenceError, match="did not answer within 100 ms"):
                session.run(feeds(session))
        session.close()


def test_what_is_in_flight_when_a_session_is_closed_fails(net: Path) -> None:
    with hailo.fake(hangs=True):
        session = opened(net, timeout_ms=50)
        future = session.submit(feeds(session))
        session.close()
        with pytest.raises(InferenceError, match="closed while this ran"):
            future.result(10)


def test_a_lost_device_is_followed_by_the_next_backend_and_taken_back(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    labels = labels_file(tmp_path / "labels.txt")
    files = {
        "hailo": hefs.write(tmp_path / "net.hef", "mean", size=(32, 32, 3)),
        "opencv": onnx_classifier(tmp_path / "net.onnx"),
    }

    def open_backend(name: str, again: bool) -> Model:
        return piaccel.load(files[name], backend=name, labels=labels, task="classification")

    with hailo.fake(good_runs=2, run_status=62):
        model = FallbackModel(("hailo", "opencv"), open_backend, patience_s=(0.01, 0.01))
        answered = [model.predict(colour("red")) for _ in range(3)]
        assert [result.backend for result in answered] == ["hailo", "hailo", "opencv"]
        assert "lost while it ran" in model.status.reason
        ends = time.monotonic() + 30
        while (result := model.predict(colour("red"))).backend != "hailo":
            assert time.monotonic() < ends
            time.sleep(0.01)
        for each in (*answered, result):
            assert isinstance(each, piaccel.tasks.Classification)
            assert each.labels[int(each.scores.argmax())] == "red"
        model.close()


def test_a_run_aborted_by_hailort_s_own_timeout_is_told_as_late(net: Path) -> None:
    with (
        hailo.fake(run_status=4),
        opened(net, timeout_ms=700) as session,
        pytest.raises(InferenceError, match="did not answer within 700 ms"),
    ):
        session.run(feeds(session))


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (2, "Invalid argument"),
        (8, "failed inside"),
        (25, "An invalid frame"),
        (48, "unsupported opcode"),
        (69, "Network group is not activated"),
        (74, "HAILO_OUT_OF_PHYSICAL_DEVICES"),
    ],
)
def test_any_other_failure_of_a_run_says_what_hailort_said(status: int, said: str, net: Path) -> None:
    with hailo.fake(run_status=status), opened(net) as session:
        with pytest.raises(InferenceError, match=said) as caught:
            session.run(feeds(session))
        assert str(caught.value).startswith(f"{net}: ")
        assert "HAILORT_LOGGER_PATH" in caught.value.hint


def test_a_binding_built_for_another_numpy_is_told(net: Path) -> None:
    with hailo.fake(numpy_clash=True):
        error = refused(net, UnavailableError)
    assert f"NumPy {np.__version__}" in str(error)
    assert error.hint.startswith("pip install 'numpy<2'")


def test_a_network_that_the_file_does_not_hold_is_told(net: Path) -> None:
    with hailo.fake(configure_status=61):
        error = refused(net, ModelError, network="absent")
    assert "no such network" in str(error)


# The probe


def probed(**settings: object) -> Availability:
    with hailo.fake(**settings):
        return BACKEND.probe()


def test_a_device_is_listed_with_its_chip_and_hailort_s_version() -> None:
    found = probed(architecture="HAILO8", devices=("0001:01:00.0",))
    assert found.ok
    assert found.version == "4.23.0"
    assert found.devices == ("0001:01:00.0 HAILO8",)
    assert probed(version="5.2.0", architecture="HAILO10H").devices == ("0000:01:00.0 HAILO10H",)


def test_no_device_is_a_state_of_its_own() -> None:
    found = probed(devices=())
    assert (found.state, found.reason) == ("no device", "no Hailo device was found")


def test_a_driver_of_another_version_is_found_before_the_device_is_opened(tmp_path: Path) -> None:
    system(tmp_path / "root", {"sys/module/hailo_pci/version": "4.22.0\n"})
    found = probed()
    assert found.state == "broken"
    assert "driver (4.22.0) is not of HailoRT's version (4.23.0)" in found.reason
    assert "sudo reboot" in found.hint
    system(tmp_path / "root", {"sys/module/hailo_pci/version": "4.23.0\n"})
    assert probed().ok


def test_a_chip_without_a_driver_is_told(tmp_path: Path) -> None:
    system(tmp_path / "root", PCI)
    found = probed(devices=())
    assert found.reason == "a Hailo-10H is there, but its driver is not loaded"
    assert "hailo-h10-all" in found.hint


def test_a_torn_binding_is_broken() -> None:
    found = probed(binding="4.22.0")
    assert found.state == "broken"
    assert "does not match" in found.reason


PCI = {"sys/bus/pci/devices/0001:01:00.0/vendor": "0x1e60\n", "sys/bus/pci/devices/0001:01:00.0/device": "0x45c4\n"}
NVME = {"sys/bus/pci/devices/0001:01:00.0/vendor": "0x144d\n"}


@pytest.mark.parametrize(
    ("files", "reason", "hint"),
    [
        ({}, "hailo_platform is not installed", "hailo-all (Hailo-8, 8L) or sudo apt install dkms hailo-h10-all"),
        (NVME, "hailo_platform is not installed", "hailo-all"),
        (PCI, "a Hailo-10H is there, but", "sudo apt install dkms hailo-h10-all, then reboot"),
        (
            {**PCI, "sys/bus/pci/devices/0001:01:00.0/device": "0x2864\n"},
            "a Hailo-8 or 8L is there, but",
            "sudo apt install dkms hailo-all, then reboot",
        ),
        (
            {"usr/lib/python3/dist-packages/hailo_platform/__init__.py": ""},
            "not for this Python",
            "--system-site-packages",
        ),
    ],
)
def test_what_is_not_installed_is_told_by_the_chip_that_is_there(
    files: dict[str, str], reason: str, hint: str, tmp_path: Path
) -> None:
    system(tmp_path / "root", files)
    if BACKEND.installed():
        pytest.skip("the true hailo_platform is installed here")
    found = BACKEND.probe()
    assert found.state == "not installed"
    assert reason in found.reason
    assert hint in found.hint


def test_hailort_writes_no_log_into_the_current_folder(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HAILORT_LOGGER_PATH")
    with hailo.fake(), opened(net):
        assert not list(Path.cwd().iterdir())


def test_the_log_stays_where_the_user_wants_it(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAILORT_LOGGER_PATH", ".")
    with hailo.fake(), opened(net):
        assert [file.name for file in Path.cwd().iterdir()] == ["hailort.log"]


# Sensors


def test_the_chip_s_temperature_and_power_are_read_while_it_runs(net: Path) -> None:
    with hailo.fake(temperature_c=61.5, power_w=2.5), opened(net) as session:
        readings = {sensor.name: (sensor.read(), sensor.unit) for sensor in session.sensors()}
    assert readings == {"hailo_temp": (62.5, "C"), "hailo_power": (2.5, "W")}


def test_the_benchmark_and_the_self_test_show_the_chip_s_sensors(net: Path) -> None:
    with hailo.fake(temperature_c=61.5, power_w=2.5):
        (row,) = piaccel.benchmark(net, task="classification", threads=[1], duration_s=0.1, repeats=1).measurements
        assert row.error == ""
        assert "hailo_temp 62.5 C, hailo_power 2.5 W" in row.note
        soaked = soak(piaccel.Bundle.open(net), net.name, "hailo", (), (), 0.1)
    assert soaked.error == ""
    assert soaked.device == {"hailo_temp": 62.5, "hailo_power": 2.5}


def test_a_module_without_a_sensor_reads_unknown_and_is_asked_once() -> None:
    asked: list[int] = []

    def read() -> float:
        asked.append(1)
        raise RuntimeError("opcode")

    sensor = _hailo_device.Sensor("hailo_power", "W", read)
    assert sensor.read() is None
    assert sensor.read() is None
    assert len(asked) == 1


def test_a_sensor_that_once_answered_is_asked_again_after_a_failure() -> None:
    values: Iterator[float | Exception] = iter([RuntimeError("busy"), 3.0])

    def read() -> float:
        value = next(values)
        if isinstance(value, Exception):
            raise value
        return value

    sensor = _hailo_device.Sensor("hailo_temp", "C", read)
    sensor._worked = True
    assert sensor.read() is None
    assert sensor.read() == 3.0


# The fake's own contract


def test_the_fake_wants_lists_contiguous_buffers_and_their_size(net: Path) -> None:
    with hailo.fake():
        module = importlib.import_module("hailo_platform")
        with module.VDevice() as device, device.create_infer_model(str(net)).configure() as configured:
            bindings = configured.create_bindings(output_buffers={"invert/conv1": np.empty(SIZE, np.uint8)})
            with pytest.raises(module.HailoRTException, match="C_CONTIGUOUS"):
                bindings.input().set_buffer(np.asfortranarray(picture()[0]))
            bindings.input().set_buffer(picture()[0])
            with pytest.raises(TypeError, match="not iterable"):
                configured.run(bindings, 1000)
            bindings.input().set_buffer(picture()[0][:2])
            with pytest.raises(module.HailoRTException, match="Invalid argument"):
                configured.run([bindings], 1000)


@pytest.mark.parametrize(("version", "active"), [("4.23.0", False), ("5.2.0", True)])
def test_the_fake_turns_the_scheduler_off_for_device_ids_in_4(version: str, active: bool, tmp_path: Path) -> None:
    architecture = "HAILO8L" if version.startswith("4") else "HAILO10H"
    path = hefs.write(tmp_path / "net.hef", architecture=architecture, size=SIZE)
    with hailo.fake(version=version, architecture=architecture):
        module = importlib.import_module("hailo_platform")
        device = module.VDevice(device_ids=["0000:01:00.0"])
        with device, device.create_infer_model(str(path)).configure() as configured:
            bindings = configured.create_bindings(output_buffers={"invert/conv1": np.empty(SIZE, np.uint8)})
            bindings.input().set_buffer(picture()[0])
            if not active:
                with pytest.raises(module.HailoRTException, match="not activated"):
                    configured.run([bindings], 1000)
                configured.activate()
            configured.run([bindings], 1000)


def test_the_fake_is_gone_afterwards() -> None:
    with hailo.fake():
        importlib.import_module("hailo_platform")
    assert "hailo_platform" not in sys.modules
    assert str(hailo.FOLDER) not in sys.path


def test_boards_are_told_apart_by_whole_names() -> None:
    assert set(_hailo_board.BOARDS) == {"HAILO8", "HAILO8L", "HAILO10H"}
