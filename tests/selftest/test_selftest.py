"""What an owner runs on the real board: every way to run a model is measured, compared and soaked."""

import json
from pathlib import Path

import numpy as np
import pytest

from piaccel import cli, selftest
from piaccel.backends import Session
from piaccel.bundles import Bundle
from piaccel.errors import InputError, OptionError
from piaccel.selftest import Proof, report
from piaccel.selftest.soak import Soak, soak, soak_here
from piaccel.testing import imx500
from piaccel.testing.fake_board import FakeBoard
from tests.backends.conftest import strange as strange
from tests.classifiers import labels_file, onnx_classifier
from tests.formats import rpks


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    from piaccel import packing

    nets = [onnx_classifier(tmp_path / "net.onnx")]
    packing.pack(nets, tmp_path / "out", labels=labels_file(tmp_path / "labels.txt"))
    return tmp_path / "out"


@pytest.fixture
def board(tmp_path: Path) -> FakeBoard:
    return FakeBoard(tmp_path / "board", "pi5")


def test_every_runtime_that_opens_the_model_is_proved(bundle: Path, board: FakeBoard) -> None:
    told: list[str] = []
    result = selftest.run(
        [bundle],
        only=["onnxruntime", "opencv"],
        soak_s=0.5,
        duration_s=0.1,
        root=board.root,
        progress=lambda step: told.append(step.text),
    )
    assert result.passed
    assert result.board["model"].startswith("Raspberry Pi 5")
    assert {proof.backend for proof in result.proofs} == {"onnxruntime", "opencv"}
    assert all(proof.p50_ms and proof.p99_ms and proof.p99_ms >= proof.p50_ms for proof in result.proofs)
    assert all(proof.agreement and proof.agreement.agrees for proof in result.proofs)
    (soaked,) = [proof.soak for proof in result.proofs if proof.soak]
    assert soaked.frames > 0
    assert soaked.changed == 0
    assert soaked.hottest_c is not None, "the board has a sensor"
    assert soaked.throttled is False
    assert any("soaking" in text for text in told)


def test_a_runtime_that_does_not_work_is_told_and_not_tested(bundle: Path, strange: Path) -> None:
    with pytest.warns(UserWarning, match="does_not_import is left out"):
        result = selftest.run([bundle], only=["segfaults", "opencv"], soak_s=0, duration_s=0.1)
    assert [proof.backend for proof in result.proofs] == ["opencv"]
    (broken,) = [each for each in result.runtimes if each["name"] == "segfaults"]
    assert broken["state"] == "broken"
    assert "SIGSEGV" in broken["reason"]


def test_wrong_answers_do_not_pass(tmp_path: Path, bundle: Path) -> None:
    from piaccel import files

    liar = onnx_classifier(bundle / "liar.onnx", order=(2, 0, 1))
    with open(bundle / "model.toml", "a") as manifest:
        manifest.write(
            f'\n[[variants]]\nname = "liar"\nfile = "liar.onnx"\nformat = "onnx"\nprecision = "fp32"\n'
            f'sha256 = "{files.sha256(liar)}"\n'
        )
    result = selftest.run([bundle], only=["onnxruntime"], soak_s=0, duration_s=0.1)
    assert not result.passed
    (wrong,) = [proof for proof in result.proofs if not proof.passed]
    assert wrong.variant == "liar"
    assert "its answers are not those of onnxruntime/net.onnx" in wrong.reasons[0]


def test_without_a_model_there_is_nothing_to_test(board: FakeBoard) -> None:
    with pytest.raises(InputError, match="no model to test with"):
        selftest.run(root=board.root)
    with pytest.raises(OptionError, match="'tpu'"):
        selftest.run(only=["tpu"], root=board.root)


def test_what_fails_under_load_is_counted_and_told(bundle: Path) -> None:
    failed = soak(Bundle.open(bundle), "nobody", "opencv", (), (), 1.0)
    assert failed.frames == 0
    assert failed.first_ms is None
    assert "no variant 'nobody'" in failed.error
    assert "it failed after 0 s under load" in failed.reasons()[0]


def test_an_answer_that_changes_is_counted(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Session.run
    counted = [0]

    def flipping(self: Session, feeds: object) -> object:
        counted[0] += 1
        answer = run(self, feeds)  # type: ignore[arg-type]
        return {name: array + np.float32(counted[0] % 10 == 0) for name, array in answer.items()}

    monkeypatch.setattr(Session, "run", flipping)
    *_, last = soak_here(bundle, "net.onnx", "opencv", (), (), 1.2)
    assert last.changed > 0
    assert last.latency_ns


def test_heat_alone_is_no_reason() -> None:
    fine = Soak(60, 60, 1000, 0, 1.0, 2.0, 50.0, 86.0, True)
    assert fine.reasons() == []
    broken = Soak(60, 60, 1000, 3, 1.0, 2.0, None, None, None)
    assert broken.reasons() == ["3 of 1000 answers under load were not the first one to that picture"]


def test_the_page_holds_the_table_and_all_of_the_data(bundle: Path) -> None:
    result = selftest.run([bundle], only=["opencv"], soak_s=0.2, duration_s=0.1)
    page = report.markdown(result)
    assert "| out, net.onnx on opencv |" in page
    data = json.loads(page.partition("```json\n")[2].partition("\n```")[0])
    assert data["schema"] == "piaccel.selftest/1"
    assert data["proofs"][0]["backend"] == "opencv"
    assert data["passed"] == ("**All passed.**" in page)


def test_a_cell_cannot_break_the_table() -> None:
    proof = Proof("a|b", "c\nd", "opencv", None, False, True, ())
    assert report._row(proof).count("|") == 8
    assert "not measurable here" in report._soak(
        Proof("m", "v", "b", None, False, True, (), soak=Soak(1, 1, 1, 0, 1.0, 1.0, None, None, None))
    )


def test_the_command_writes_the_report_and_says_who_failed(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "selftest.md"
    quick = ["--soak", "0.2", "--duration", "0.1", "--backend", "opencv"]
    assert cli.main(["selftest", str(bundle), *quick, "--out", str(page)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("proved  out, net.onnx on opencv")
    assert f"wrote {page}" in err
    assert page.read_text().startswith("# piaccel self-test: ")
    assert cli.main(["selftest", str(bundle), *quick, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"]
    assert cli.main(["selftest", str(bundle), "--backend", "tpu"]) == 2
    assert "'tpu'" in capsys.readouterr().err


def test_a_camera_that_answers_itself_is_watched(tmp_path: Path, board: FakeBoard) -> None:
    net = rpks.write(tmp_path / "net.rpk")
    with imx500.fake():
        found = selftest.run([net], only=["imx500"], soak_s=0.5, root=board.root)
    (proof,) = found.proofs
    assert proof.passed, proof.reasons
    assert proof.accelerator
    assert proof.soak is not None
    assert proof.soak.frames > 10
    assert "what its own camera saw" in proof.notes[0]


def test_a_camera_that_is_lost_does_not_pass(tmp_path: Path, board: FakeBoard) -> None:
    net = rpks.write(tmp_path / "net.rpk")
    with imx500.fake(lost_after=30, loss="error"):
        (proof,) = selftest.run([net], only=["imx500"], soak_s=30, root=board.root).proofs
    assert not proof.passed
    assert "the camera is lost" in proof.reasons[0]
