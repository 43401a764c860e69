import json
import os
from pathlib import Path

import pytest

from piaccel import cli
from piaccel.images import read_image, write_image
from tests.classifiers import LABELS, colour, labels_file, onnx_classifier


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, its labels, and a folder of three pictures."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    onnx_classifier(tmp_path / "net.onnx")
    labels_file(tmp_path / "labels.txt")
    for name in LABELS:
        write_image(tmp_path / "pictures" / f"{name}.png", colour(name, 64))
    return tmp_path


def predict(files: Path, *arguments: str, backend: str = "opencv") -> int:
    net = [str(files / "net.onnx"), "--labels", str(files / "labels.txt"), "--backend", backend]
    return cli.main(["predict", *net, *arguments])


def test_each_picture_of_a_folder_is_answered(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(files, str(files / "pictures"), "--top", "1") == 0
    out, err = capsys.readouterr()
    assert [line.split()[-1] for line in out.splitlines()] == ["blue", "green", "red"]
    assert "guessed: mean" in err


def test_json_holds_the_answers_and_nothing_else_is_printed(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(files, str(files / "pictures" / "red.png"), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["backend"] == "opencv"
    assert document["results"][0]["kind"] == "classification"
    assert document["results"][0]["image"].endswith("red.png")


def test_an_annotated_picture_is_saved(files: Path) -> None:
    picture = files / "pictures" / "red.png"
    assert predict(files, str(picture), "--save", str(files / "out.jpg")) == 0
    assert read_image(files / "out.jpg").shape == (64, 64, 3)
    assert predict(files, str(files / "pictures"), "--save", str(files / "annotated")) == 0
    assert sorted(os.listdir(files / "annotated")) == ["blue.jpg", "green.jpg", "red.jpg"]


def test_several_pictures_are_not_written_over_each_other(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(files, str(files / "pictures"), "--save", str(files / "out.jpg")) == 2
    assert "3 pictures" in capsys.readouterr().err


def test_a_bad_picture_is_named_and_the_others_are_answered(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = files / "bad.jpg"
    bad.write_bytes(b"no picture")
    assert predict(files, str(bad), str(files / "pictures" / "red.png")) == 1
    out, err = capsys.readouterr()
    assert "red" in out
    assert str(bad) in err


def test_an_empty_folder_and_wrong_options_are_usage_errors(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "empty").mkdir()
    assert predict(files, str(files / "empty")) == 2
    assert predict(files, str(files / "pictures"), "--size", "8") == 0
    for wrong in (("--size", "axb"), ("--mean", "1,2"), ("--std", "0"), ("--colour", "CMYK"), ("--resize", "fit")):
        assert predict(files, str(files / "pictures"), *wrong) == 2
        assert wrong[0] in capsys.readouterr().err


def test_auto_measures_once_and_says_why(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert predict(files, str(files / "pictures" / "red.png"), backend="auto") == 0
        assert "fastest of" in capsys.readouterr().err
    assert len(os.listdir(files / "cache" / "piaccel" / "choices")) == 1
