import json
import os
from pathlib import Path

import cv2
import pytest

from piaccel import cli
from piaccel.images import read_image, write_image
from tests.classifiers import LABELS, colour, labels_file, onnx_classifier
from tests.formats import samples


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


def test_pictures_of_one_name_are_saved_under_two(files: Path) -> None:
    write_image(files / "more" / "red.png", colour("red", 64))
    write_image(files / "pictures" / "red-2.png", colour("red", 64))
    folders = [str(files / "pictures"), str(files / "more")]
    assert predict(files, *folders, folders[0], "--save", str(files / "out")) == 0
    assert sorted(os.listdir(files / "out")) == ["blue.jpg", "green.jpg", "red-2.jpg", "red-3.jpg", "red.jpg"]


def test_no_given_picture_is_written_over(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = files / "pictures" / "red.jpg"
    write_image(picture, colour("red", 64))
    before = picture.read_bytes()
    assert predict(files, str(picture), "--save", str(files / "pictures")) == 2
    assert "would write over the picture" in capsys.readouterr().err
    assert predict(files, str(picture), "--save", str(picture)) == 2
    assert picture.read_bytes() == before


def test_what_is_no_place_for_a_picture_is_refused_before_anything_runs(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("out.xyz", "labels.txt"):
        assert predict(files, str(files / "pictures" / "red.png"), "--save", str(files / place)) == 2
        assert "neither a folder nor a picture" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_one_line(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(files, str(files / "pictures" / "red.png"), "--save", str(files / "net.onnx" / "out.jpg")) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "out.jpg cannot be written" in last
    assert "net.onnx is not a folder" in last


def test_a_missing_picture_is_a_usage_error(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(files, str(files / "gone.jpg"), str(files / "pictures")) == 2
    assert "gone.jpg: no such file" in capsys.readouterr().err


def test_a_name_with_a_new_line_stays_on_one(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(files / "a\nb.png", colour("red", 64))
    assert predict(files, str(files / "a\nb.png"), "--top", "1") == 0
    assert capsys.readouterr().out.splitlines() == [f"{files}/a?b.png: 100.0%  red"]


def test_a_file_that_kills_its_runtime_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if int(cv2.__version__.partition(".")[0]) < 5:
        pytest.skip("OpenCV 4 survives this file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    net = samples.tflite(tmp_path / "net.tflite", graph_name=None)  # OpenCV 5 dies of a graph without a name
    write_image(tmp_path / "red.png", colour("red", 64))
    assert cli.main(["predict", str(net), str(tmp_path / "red.png"), "--backend", "opencv"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"piaccel: error: {net}: opencv died of it (SIGSEGV)"
    assert said[1].startswith("  -> ")
    assert len(said) == 2


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


def test_a_list_of_backends_answers_with_the_first_that_works(
    files: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    pictures = str(files / "pictures")
    assert predict(files, pictures, "--json", backend="ncnn > opencv") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["status"]["backend"] == "opencv"
    assert document["status"]["wanted"] == "ncnn"
    assert document["status"]["degraded"]
    assert document["status"]["answered"] == {"opencv": 3}
    assert {each["backend"] for each in document["results"]} == {"opencv"}
    assert "FALLBACK: opencv answers in place of ncnn" in caplog.text
    assert predict(files, pictures, "--no-fallback", backend="ncnn > opencv") == 1
    assert "ncnn" in capsys.readouterr().err
    assert predict(files, pictures, backend="ncnn > ") == 2
    assert "no list of backends" in capsys.readouterr().err
