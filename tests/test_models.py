import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piaccel import files, models
from piaccel.errors import InputError, ModelError, OptionError, UnavailableError
from piaccel.frames import Frame
from piaccel.models import Model
from piaccel.tasks import Classification, Mask
from tests.backends import networks
from tests.backends.conftest import strange as strange
from tests.classifiers import LABELS, colour, labels_file, onnx_classifier
from tests.formats import samples


@pytest.fixture
def net(tmp_path: Path) -> Path:
    labels_file(tmp_path / "labels.txt")
    return onnx_classifier(tmp_path / "net.onnx")


def open_net(net: Path, backend: str = "opencv", **overrides: Any) -> Model:
    return models.load(net, backend, threads=1, **{"labels": net.parent / "labels.txt", **overrides})


def best(result: object) -> str:
    assert isinstance(result, Classification)
    return result.labels[int(result.scores.argmax())]


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "opencv"])
def test_a_model_answers_a_picture_and_a_frame(net: Path, backend: str) -> None:
    with open_net(net, backend) as model:
        for name in LABELS:
            assert best(model.predict(colour(name, size=40))) == name
        assert best(model.predict(Frame(colour("blue")))) == "blue"
        assert [best(each) for each in model.predict_batch([colour("red"), colour("green")])] == ["red", "green"]


def test_a_bare_file_is_guessed_and_says_so(net: Path) -> None:
    with open_net(net) as model:
        said = "; ".join(model.guesses)
    assert "task classification" in said
    assert "colour RGB" in said
    assert "mean 123.675" in said
    assert "size 8x8" not in said, "the file states the size: that is no guess"


def test_what_the_caller_states_is_no_guess(net: Path) -> None:
    given: dict[str, Any] = {
        "task": "classification",
        "mean": (0.0,),
        "std": (255.0,),
        "colour": "BGR",
        "resize": "letterbox",
    }
    with open_net(net, **given) as model:
        assert model.guesses == []
        assert best(model.predict(colour("red"))) == "blue", "the model was told that it wants BGR"


def test_a_free_input_size_must_be_stated(tmp_path: Path) -> None:
    net = onnx_classifier(tmp_path / "free.onnx", size="side")
    with models.load(net, "onnxruntime", size=(12, 20)) as model:
        assert model.preprocessing.size == (12, 20)
        model.predict(colour("red"))


def test_labels_that_do_not_fit_the_output_are_counted(net: Path) -> None:
    with pytest.raises(ModelError, match=r"2 .*3|3 .*2"), open_net(net, labels=("good", "bad")) as model:
        model.predict(colour("red"))


@pytest.mark.parametrize(
    "wrong", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32), np.zeros((0, 8, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(net: Path, wrong: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    with open_net(net) as model, pytest.raises(InputError, match="frame must be uint8"):
        model.predict(wrong)


def test_options_and_overrides_that_do_not_exist_are_named(net: Path) -> None:
    with pytest.raises(OptionError, match="precison"):
        models.load(net, "openvino", options=["precison=f16"])
    with pytest.raises(OptionError, match="sizes"):
        models.load(net, "opencv", sizes=(8, 8))
    with pytest.raises(OptionError, match="no backend is called 'onyx'"):
        models.load(net, "onyx")


def test_a_backend_that_cannot_open_the_format_says_what_it_opens(net: Path) -> None:
    with pytest.raises(ModelError, match=r"by litert: it is no \.tflite or \.lite file"):
        models.load(net, "litert")


def test_a_file_under_the_name_of_another_format_is_told_which_it_is(net: Path) -> None:
    other = net.rename(net.with_name("model.tflite"))
    with pytest.raises(ModelError, match=r"model\.tflite is not a TensorFlow Lite model"):
        models.load(other)
    tflite = samples.tflite(net.with_name("model.bin"))
    with pytest.raises(ModelError, match=r"litert.*: .* under another name: .* model\.tflite"):
        models.load(tflite)


def test_a_broken_file_is_told_once_and_not_by_every_backend(net: Path) -> None:
    whole = samples.tflite(net.with_name("net.tflite")).read_bytes()
    net.with_name("net.tflite").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"^\S+net\.tflite is truncated or damaged") as caught:
        models.load(net.with_name("net.tflite"))
    assert "ncnn" not in str(caught.value)


def test_a_size_that_is_not_the_input_s_is_refused(net: Path) -> None:
    with pytest.raises(OptionError, match="its input is 8x8, not 200x100"):
        open_net(net, size=(200, 100))


def test_a_plug_in_that_does_not_import_is_left_out_with_a_warning(net: Path, strange: Path) -> None:
    with pytest.warns(UserWarning, match="does_not_import is left out"):
        pairs = models.candidates(models.Bundle.open(net))
    assert "onnxruntime" in [name for _, name in pairs]


def test_without_a_name_the_first_backend_that_works_is_taken(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from piaccel import backends

    order = [name for _, name in models.candidates(models.Bundle.open(net))]

    def missing(*_: object) -> None:
        raise UnavailableError(f"{order[0]} is not installed")

    monkeypatch.setattr(type(backends.get(order[0])), "load", missing)
    with models.load(net) as model:
        assert model.backend == order[1]


def test_a_frame_costs_no_memory_that_grows_with_it(net: Path) -> None:
    def peak(model: Model, side: int) -> int:
        frame = np.zeros((side, side, 3), np.uint8)
        model.predict(frame)
        tracemalloc.start()
        model.predict(frame)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    with open_net(net, "onnxruntime") as model:
        small, large = peak(model, 64), peak(model, 1024)
    assert large <= small + 4096
    assert large < 64 * 1024


def test_a_variant_s_own_size_holds_where_its_file_tells_none(tmp_path: Path) -> None:
    pytest.importorskip("ncnn")
    param = networks.ncnn_file(tmp_path / "tiny.param")
    (tmp_path / "model.toml").write_text(
        'format = 1\nname = "tiny"\n[task]\nfamily = "segmentation"\n[preprocess]\nsize = [5, 5]\n'
        '[[variants]]\nname = "large"\nfile = "tiny.param"\nweights = "tiny.bin"\nformat = "ncnn"\nprecision = "fp32"\n'
        f'sha256 = "{files.sha256(param)}"\nweights_sha256 = "{files.sha256(param.with_suffix(".bin"))}"\n'
        "[variants.preprocess]\nsize = [9, 7]\n"
    )
    with models.load(tmp_path, "ncnn") as model:
        assert model.preprocessing.size == (9, 7)
        seen = model.predict(colour("red"))
        assert isinstance(seen, Mask)
        assert seen.class_id.shape == (8, 8), "of the picture, not of the network"
