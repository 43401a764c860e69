"""The Edge TPU: LiteRT's true loading path, on a library that keeps libedgetpu's contract without a TPU."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piaccel import backends, config, models
from piaccel.backends import Placement, _delegates
from piaccel.backends import edgetpu as backend_module
from piaccel.backends.edgetpu import EdgeTPUOptions
from piaccel.bundles import Bundle
from piaccel.errors import (
    ModelError,
    OptionError,
    UnavailableError,
)
from piaccel.tensors import Array
from piaccel.testing import edgetpu as fake
from piaccel.testing.compliance import BackendCompliance
from piaccel.testing.native import compile_library
from tests.backends import coral, networks

BACKEND = backends.get("edgetpu")
pytestmark = pytest.mark.usefixtures("coral_library")


class TestEdgeTPU(BackendCompliance):
    name = "edgetpu"

    def model(self, folder: Path) -> Path:
        return coral.compiled_file(folder / "net_edgetpu.tflite")

    def feeds(self) -> dict[str, Array]:
        return {"x": coral.picture()}

    def expected(self) -> dict[str, Array]:
        return {"y": coral.answer(coral.picture())}


def test_a_probe_tells_the_versions_and_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    coral.pretend(monkeypatch, "", f"usb:{coral.USB},pci:/dev/apex_0,usb:/sys/bus/usb/devices/2-2")
    found = BACKEND.probe()
    assert found.ok
    assert found.devices == (f"usb:0 {coral.USB}", "pci:0 /dev/apex_0", "usb:1 /sys/bus/usb/devices/2-2")
    assert found.version is not None
    assert found.version.endswith(", runtime 14")


def test_a_library_without_a_tpu_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    coral.pretend(monkeypatch, "no-device")
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
    reason = "it is not compiled for the Edge TPU: on a PC run: piaccel compile net.tflite --target edgetpu"
    assert BACKEND.refusal(whole) == reason
    with pytest.raises(ModelError, match="piaccel compile"):
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
    coral.pretend(monkeypatch, "", f"usb:{coral.USB},pci:/dev/apex_0")
    with BACKEND.load(net, EdgeTPUOptions(device=device)) as session:
        np.testing.assert_array_equal(session.run({"x": coral.picture()})["y"], coral.answer(coral.picture()))


@pytest.mark.parametrize("device", ["pci", "usb:1", ":1"])
def test_a_device_that_is_not_there_is_answered_with_those_that_are(net: Path, device: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        BACKEND.load(net, EdgeTPUOptions(device=device))
    assert str(caught.value) == f"there is no Edge TPU '{device}', there are usb:0 ({coral.USB})"


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
    coral.pretend(monkeypatch, "", f"usb:{coral.USB},usb:/sys/bus/usb/devices/2-2")
    sessions = [BACKEND.load(net, EdgeTPUOptions(device=f"usb:{number}")) for number in (0, 1)]
    for session in sessions:
        np.testing.assert_array_equal(session.run({"x": coral.picture()})["y"], coral.answer(coral.picture()))
        session.close()
