"""What the doctor says of the runtimes that its caller has probed."""

from __future__ import annotations

from pathlib import Path

from piaccel.device.doctor import Report, diagnose
from piaccel.device.findings import Finding, Runtime
from piaccel.testing.fake_board import FakeBoard

LITERT = Runtime("litert", ok=True, version="2.3.0", state="ready")


def said_of(report: Report, words: str) -> list[Finding]:
    return [each for each in report.findings if each.section == "runtimes" and words in each.what]


def test_a_runtime_that_is_missing_is_a_note_and_one_that_is_broken_a_warning(tmp_path: Path) -> None:
    runtimes = [
        LITERT,
        Runtime("ncnn", ok=False, installed=False, reason="ncnn is not installed", hint="pip install ncnn"),
        Runtime("onnxruntime", ok=False, reason="loading it failed: SIGILL", hint="pip install -U onnxruntime"),
    ]
    report = diagnose(FakeBoard(tmp_path).root, runtimes)
    (missing,), (broken,) = said_of(report, "ncnn: "), said_of(report, "onnxruntime: ")
    assert (missing.severity, missing.command) == ("note", "pip install ncnn")
    assert (broken.severity, broken.command) == ("warning", "pip install -U onnxruntime")
    assert report.healthy


def test_a_crash_that_is_remembered_keeps_its_hint(tmp_path: Path) -> None:
    hint = "install another build; try it again with: piaccel backends --again"
    crashed = Runtime("ncnn", ok=False, reason="starting it kills the process (SIGSEGV), seen 2026-11-20", hint=hint)
    (found,) = said_of(diagnose(FakeBoard(tmp_path).root, [LITERT, crashed]), "SIGSEGV")
    assert found.command == hint


def test_no_runtime_at_all_is_a_problem(tmp_path: Path) -> None:
    report = diagnose(FakeBoard(tmp_path).root, [Runtime("litert", ok=False, installed=False, reason="not installed")])
    assert said_of(report, "no runtime works here")[0].severity == "problem"
    assert not report.healthy


def test_runtimes_that_had_no_time_to_answer_are_not_called_broken(tmp_path: Path) -> None:
    late = Runtime("litert", ok=False, reason="it did not answer in time", state="no answer")
    report = diagnose(FakeBoard(tmp_path).root, [late])
    assert [each.severity for each in said_of(report, "did not answer")] == ["note"]
    assert not said_of(report, "no runtime works here")


def test_a_backend_of_a_device_that_does_not_answer_is_a_warning(tmp_path: Path) -> None:
    late = Runtime("hailo", ok=False, reason="it did not answer in time", state="no answer")
    assert said_of(diagnose(FakeBoard(tmp_path).root, [LITERT, late]), "did not answer")[0].severity == "warning"


def test_backends_of_devices_that_nobody_has_are_not_mentioned(tmp_path: Path) -> None:
    absent = [
        Runtime("hailo", ok=False, installed=False, reason="hailo_platform is not installed", state="not installed"),
        Runtime("edgetpu", ok=False, reason="no Edge TPU", state="no device"),
    ]
    report = diagnose(FakeBoard(tmp_path).root, [LITERT, *absent])
    assert len(said_of(report, "")) == 1


def test_a_backend_that_is_broken_is_a_warning_even_without_its_device(tmp_path: Path) -> None:
    broken = Runtime("edgetpu", ok=False, reason="the library ends the process", hint="replace it", state="broken")
    report = diagnose(FakeBoard(tmp_path).root, [LITERT, broken])
    assert [each.severity for each in said_of(report, "edgetpu: the library")] == ["warning"]


def test_the_runtimes_are_asked_for_last_so_that_they_may_be_probed_meanwhile(tmp_path: Path) -> None:
    assert diagnose(FakeBoard(tmp_path).root, lambda: [LITERT]).runtimes == (LITERT,)


def test_runtimes_nobody_looked_for_are_not_mentioned(tmp_path: Path) -> None:
    report = diagnose(FakeBoard(tmp_path).root)
    assert report.runtimes is None
    assert not said_of(report, "")
