import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from piaccel import auto, fastest, packing
from piaccel.bench.run import Progress
from piaccel.bundles import Bundle
from piaccel.errors import ModelError, OptionError
from piaccel.fastest import Choice
from piaccel.testing.fake_board import FakeBoard
from tests.classifiers import colour, labels_file, onnx_classifier


@pytest.fixture(scope="module", autouse=True)
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of its own, and measurements as short as they can be: which pick they lead to is not asked here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for name in ("FIRST", "SECOND"):
            patch.setattr(fastest, name, replace(getattr(fastest, name), duration_s=0.01, repeats=1, min_queries=2))
        yield


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle")
    labels = labels_file(folder / "labels.txt")
    packing.pack([onnx_classifier(folder / "net.onnx")], folder / "made", labels=labels)
    return Bundle.open(folder / "made")


@pytest.fixture(scope="module")
def choice(bundle: Bundle) -> Choice:
    return fastest.choose(bundle, threads=1)


def test_a_choice_is_measured_once_and_then_remembered(bundle: Bundle, choice: Choice) -> None:
    assert choice.remembered is not None
    assert choice.remembered.is_relative_to(fastest.folder())
    assert fastest.choose(bundle, threads=1, progress=lambda _: pytest.fail("it was measured again")) == choice
    assert fastest.cached(bundle, threads=1) == choice
    assert {row.backend for row in choice.report.measurements if row.repeats} >= {choice.pick.backend, "opencv"}


def test_the_picked_model_says_why_it_was_picked(bundle: Bundle, choice: Choice) -> None:
    with auto.load(bundle.path, threads=1) as model:
        assert (model.backend, model.threads) == (choice.pick.backend, 1)
        assert f"agree with {choice.report.reference}" in model.why
        model.predict(colour("red"))
    with auto.load(bundle.path, "opencv") as model:
        assert model.why == "asked for"


def test_what_could_change_the_choice_is_measured_anew(bundle: Bundle, choice: Choice, tmp_path: Path) -> None:
    assert fastest.cached(bundle, threads=1) == choice
    pi5 = FakeBoard(tmp_path / "pi5", "pi5")
    assert fastest.cached(bundle, threads=1, root=pi5.root) is None, "another board"
    assert fastest.cached(bundle, threads=2) is None, "another question"
    assert fastest.cached(bundle, threads=1, mean=(1.0,)) is None, "another preprocessing"
    other = Bundle.open(onnx_classifier(tmp_path / "other.onnx", order=(2, 1, 0)))
    assert fastest.cached(other, threads=1) is None, "another file"


def test_a_damaged_memory_is_not_believed(bundle: Bundle, choice: Choice) -> None:
    assert choice.remembered is not None
    whole = choice.remembered.read_bytes()
    for damage in (b"", b"{}", b"[1]", whole[:-200]):
        choice.remembered.write_bytes(damage)
        assert fastest.cached(bundle, threads=1) is None
    choice.remembered.write_bytes(whole)
    assert fastest.cached(bundle, threads=1) == choice


def test_a_disk_that_takes_no_cache_does_not_keep_a_model_from_running(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    steps: list[Progress] = []
    assert fastest.choose(bundle, threads=1, progress=steps.append).remembered is None
    assert steps[-1].done == steps[-1].total


def test_a_variant_that_lies_is_never_picked(tmp_path: Path) -> None:
    nets = [onnx_classifier(tmp_path / "net.onnx"), onnx_classifier(tmp_path / "liar.onnx", order=(1, 2, 0))]
    packing.pack(nets, tmp_path / "bundle")
    report = fastest.choose(Bundle.open(tmp_path / "bundle"), threads=1)
    assert report.pick.variant == "net.onnx"
    liars = [row for row in report.report.measurements if row.variant == "liar.onnx" and row.agreement]
    assert liars
    assert not any(row.agreement.agrees for row in liars if row.agreement)


def test_an_option_that_no_backend_has_is_named(bundle: Bundle) -> None:
    with pytest.raises(OptionError, match="no backend here has an option 'colour'"):
        fastest.choose(bundle, options=["colour=red"])


def test_a_model_that_nothing_can_run_is_one_clear_error(tmp_path: Path) -> None:
    broken = tmp_path / "net.onnx"
    broken.write_bytes(os.urandom(500))
    with pytest.raises(ModelError, match=r"net\.onnx"):
        auto.load(broken)
