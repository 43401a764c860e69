import os
from pathlib import Path
from typing import Any

import onnx
import pytest

from piaccel import models, packing, trial
from piaccel.bundles import Bundle
from piaccel.errors import ModelError, OptionError, UnavailableError, WriteError
from piaccel.tasks import Classification
from tests.backends.networks import ncnn_file
from tests.classifiers import colour, labels_file, onnx_classifier


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return labels_file(tmp_path / "labels.txt")


def test_files_become_a_bundle_that_answers(tmp_path: Path, labels: Path) -> None:
    nets = [onnx_classifier(tmp_path / name) for name in ("a.onnx", "b.onnx")]
    manifest, guesses = packing.pack(nets, tmp_path / "out", labels=labels, licence="MIT")
    assert any("mean" in guess for guess in guesses)
    bundle = Bundle.open(tmp_path / "out")
    assert bundle.manifest == manifest
    assert (bundle.name, manifest.licence) == ("out", "MIT")
    assert [variant.name for variant in bundle.variants] == ["a.onnx", "b.onnx"]
    assert all(variant.precision == "fp32" for variant in bundle.variants)
    with models.load(tmp_path / "out", "opencv", variant="b.onnx") as model:
        result = model.predict(colour("green"))
        assert isinstance(result, Classification)
        assert result.labels[int(result.scores.argmax())] == "green"
        assert model.guesses == []


def test_every_check_of_a_fresh_bundle_passes(tmp_path: Path, labels: Path) -> None:
    packing.pack([onnx_classifier(tmp_path / "net.onnx")], tmp_path / "out", labels=labels)
    checks = list(packing.check(Bundle.open(tmp_path / "out")))
    assert [(check.variant, check.what) for check in checks] == [("net.onnx", "files"), ("net.onnx", "answers")]
    assert not any(check.error for check in checks)


def test_a_check_finds_a_changed_file_and_labels_that_do_not_fit(tmp_path: Path, labels: Path) -> None:
    packing.pack([onnx_classifier(tmp_path / "net.onnx")], tmp_path / "out", labels=labels)
    (tmp_path / "out" / "labels.txt").write_text("good\nbad\n")
    errors = [check.error for check in packing.check(Bundle.open(tmp_path / "out")) if check.error]
    assert len(errors) == 1
    assert "2" in str(errors[0])
    with open(tmp_path / "out" / "net.onnx", "ab") as file:
        file.write(b"x")
    errors = [check.error for check in packing.check(Bundle.open(tmp_path / "out")) if check.error]
    assert "sha256" in str(errors[0])


def test_a_dry_run_makes_nothing(tmp_path: Path, labels: Path) -> None:
    manifest, _ = packing.pack([onnx_classifier(tmp_path / "net.onnx")], tmp_path / "out", labels=labels, dry_run=True)
    assert manifest.variants[0].file == "net.onnx"
    assert not (tmp_path / "out").exists()


def test_files_of_two_networks_do_not_share_a_bundle(tmp_path: Path) -> None:
    nets = [onnx_classifier(tmp_path / "a.onnx"), onnx_classifier(tmp_path / "b.onnx", size=16)]
    with pytest.raises(ModelError, match="classification at 16x16"):
        packing.pack(nets, tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["a.onnx", "b.onnx"]


def test_a_broken_file_leaves_no_bundle_behind(tmp_path: Path) -> None:
    broken = tmp_path / "net.onnx"
    broken.write_bytes(b"\x08\x08garbage")
    with pytest.raises(ModelError, match=r"net\.onnx"):
        packing.pack([broken], tmp_path / "out")
    assert os.listdir(tmp_path) == ["net.onnx"]


def test_an_existing_folder_is_never_overwritten(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="exists"):
        packing.pack([onnx_classifier(tmp_path / "net.onnx")], tmp_path)


def test_a_bundle_is_not_made_from_a_bundle(tmp_path: Path, labels: Path) -> None:
    packing.pack([onnx_classifier(tmp_path / "net.onnx")], tmp_path / "one", labels=labels)
    with pytest.raises(ModelError, match="one is a folder, not a model file"):
        packing.pack([tmp_path / "one"], tmp_path / "two")


def test_weights_in_files_of_their_own_are_refused(tmp_path: Path, labels: Path) -> None:
    onnx_classifier(tmp_path / "net.onnx")
    apart = {"save_as_external_data": True, "size_threshold": 0, "location": "net.data"}
    onnx.save(onnx.load(tmp_path / "net.onnx"), tmp_path / "apart.onnx", **apart)
    with pytest.raises(ModelError, match=r"apart\.onnx keeps weights in other files"):
        packing.pack([tmp_path / "apart.onnx"], tmp_path / "out", labels=labels)
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, labels: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file" / "out", Path("/proc/out")):
        with pytest.raises(WriteError, match=f"^{out} cannot be written: [^.]*$"):
            packing.pack([onnx_classifier(tmp_path / "net.onnx")], out, labels=labels)


def test_weights_named_beside_their_network_are_not_a_second_network(tmp_path: Path) -> None:
    param = ncnn_file(tmp_path / "net.ncnn.param")
    assert packing._without_weights([param, param.with_suffix(".bin")]) == [param]


def test_a_file_whose_runtime_is_not_here_is_taken_untried(
    tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nets = [onnx_classifier(tmp_path / name) for name in ("a.onnx", "b.onnx")]
    tried = trial.answer

    def answer(path: Path, **overrides: Any) -> trial.Answered:
        if path == nets[0]:
            raise UnavailableError("no such device")
        return tried(path, **overrides)

    monkeypatch.setattr(trial, "answer", answer)
    manifest, guesses = packing.pack(nets, tmp_path / "out", labels=labels)
    assert [table.name for table in manifest.variants] == ["a.onnx", "b.onnx"]
    assert guesses[0] == "that a.onnx is a variant of it: it cannot be tried here (no such device)"
    with pytest.raises(UnavailableError, match="no such device"):
        packing.pack(nets[:1], tmp_path / "other", labels=labels)


def test_a_bundle_keeps_the_order_of_its_backends(tmp_path: Path, labels: Path) -> None:
    net = onnx_classifier(tmp_path / "net.onnx")
    packing.pack([net], tmp_path / "out", labels=labels, fallback=("openvino", "onnxruntime"))
    assert Bundle.open(tmp_path / "out").fallback == ("openvino", "onnxruntime")
    with pytest.raises(OptionError, match="'tpu'"):
        packing.pack([net], tmp_path / "other", labels=labels, fallback=("tpu",))
    assert not (tmp_path / "other").exists()
