"""What an Edge TPU, its library and its models do wrong, each with its own message."""

from pathlib import Path
from typing import Any

import pytest

import piaccel
from piaccel import backends, trial
from piaccel.backends import _edgetpu_errors
from piaccel.errors import (
    CrashError,
    HangError,
    InferenceError,
    ModelError,
    PiaccelError,
    UnavailableError,
)
from piaccel.testing import edgetpu as fake
from piaccel.testing.native import compile_library
from tests.backends import coral

BACKEND = backends.get("edgetpu")
pytestmark = pytest.mark.usefixtures("coral_library")


@pytest.mark.parametrize(
    ("mode", "devices", "message", "hint"),
    [
        ("no-device", None, "no Edge TPU is connected", "1a6e:089a"),
        (
            "permission",
            None,
            f"at {coral.USB} cannot be opened: this user may not open it (Not found: OpenDevice)",
            "plugdev",
        ),
        ("permission", "pci:/dev/apex_0", "at /dev/apex_0 cannot be opened: this user may not open it", "-aG apex"),
        ("busy", None, f"at {coral.USB} cannot be opened: another process has it", "fuser"),
        ("refuse", None, f"at {coral.USB} cannot be opened: Unknown: USB error -1 [SetConfiguration]", "pull it out"),
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
    coral.pretend(monkeypatch, mode, devices)
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
    coral.pretend(monkeypatch, "lost-after:2")
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
    coral.pretend(monkeypatch, mode)
    with pytest.raises(CrashError, match=r"edgetpu died of it \(SIGSEGV\)") as caught:
        piaccel.load(path, "edgetpu")
    assert "use 16.0TF2.19.1 of feranick" in caught.value.hint
    coral.pretend(monkeypatch, "")
    with pytest.raises(CrashError, match=r"SIGSEGV.*, seen 20"):
        piaccel.load(path, "edgetpu")
    trial.forget()
    piaccel.load(path, "edgetpu").close()


def test_a_hang_ends_after_the_time_out_and_is_remembered(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shared / "models/imagenet/mobilenet_v1_0.25_128_quant_edgetpu.tflite"
    coral.pretend(monkeypatch, "hang-on-load")
    monkeypatch.setattr(trial, "TIMEOUT_S", 5.0)
    with pytest.raises(HangError, match="edgetpu did not open it within 5 s"):
        piaccel.load(path, "edgetpu")
    coral.pretend(monkeypatch, "")
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
