"""The list in the package, and lists of a user's own."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w

import piaccel
from piaccel import catalogue, files
from piaccel.bundles import build_task
from piaccel.catalogue import Entry, entries
from piaccel.catalogue.entries import RemoteFile
from piaccel.errors import ModelError, NotFoundError

OWN = catalogue.read()
PERMISSIVE = {"Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Unlicense", "CC0-1.0", "CC-BY-4.0"}
PLACES = {
    "7aad0c74c5e3": "imagenet/mobilenet_v2_1.0_224_quant.tflite",
    "b8aaeb5630c6": "imagenet/imagenet_labels.txt",
    "34cd7e60aeff": "face/rfb_320.onnx",
    "31cb14c017fc": "coco/fastestdet.onnx",
    "cd7cc22fa946": "pose/movenet_single_pose_lightning_ptq.tflite",
}
"""Where the test material has the catalogue's files."""


def plain(**changes: Any) -> dict[str, Any]:
    """An entry of a user's list, as TOML has it."""
    entry = {
        "name": "gears",
        "title": "Good gears and bad ones",
        "licence": "LicenseRef-Acme",
        "licence_source": "https://models.acme.example/licence",
        "task": {"family": "classification"},
        "preprocess": {"size": [96, 96]},
        "precision": "int8",
        "file": {"name": "g.tflite", "urls": ["http://models.acme.example/g.tflite"], "size": 9, "sha256": "a" * 64},
    }
    return {key: value for key, value in {**entry, **changes}.items() if value is not None}


def listed(path: Path, *models: dict[str, Any]) -> Path:
    path.write_bytes(tomli_w.dumps({"format": 1, "models": list(models)}).encode())
    return path


@pytest.mark.parametrize("entry", OWN.values(), ids=list(OWN))
def test_what_the_package_lists_is_free_safe_and_has_its_sources(entry: Entry) -> None:
    assert entry.licence in PERMISSIVE
    assert entry.licence_source.startswith("https://")
    assert all(url.startswith("https://") for file in entry.files for url in file.urls)
    assert entry.accuracy is None or entry.accuracy.source.startswith("https://")
    build_task(entry.task)
    entry.preprocess.build()


def test_the_packages_list_is_not_empty_and_its_names_are_unique() -> None:
    names = [model["name"] for model in tomllib.loads(entries.OWN.read_text(encoding="utf-8"))["models"]]
    assert sorted(names) == sorted(OWN)
    assert len(names) >= 4


@pytest.mark.parametrize(
    "file", [pytest.param(file, id=f"{entry.name}-{file.name}") for entry in OWN.values() for file in entry.files]
)
def test_the_test_material_holds_the_very_files_that_are_listed(file: RemoteFile, shared: Path) -> None:
    path = shared / "models" / PLACES[file.sha256[:12]]
    assert files.sha256(path) == file.sha256
    assert path.stat().st_size == file.size


@pytest.mark.parametrize(
    ("name", "picture", "expected"),
    [
        ("mobilenet-v2", "cat.bmp", "Egyptian cat"),
        ("ultraface-rfb-320", "faces_3.jpg", "face"),
        ("fastestdet", "street_1.jpg", "bus"),
        ("movenet-lightning", "squat.bmp", "nose"),
    ],
)
def test_a_listed_model_does_its_task_as_its_entry_says(
    name: str, picture: str, expected: str, shared: Path, tmp_path: Path
) -> None:
    entry = OWN[name]
    staging = tmp_path / f".{name}.pull"
    staging.mkdir()
    for file in entry.files:
        (staging / file.name).write_bytes((shared / "models" / PLACES[file.sha256[:12]]).read_bytes())
    folder = catalogue.pull(entry, to=tmp_path / name, offline=True)
    with piaccel.load(
        folder, backend="onnxruntime" if name in ("ultraface-rfb-320", "fastestdet") else "litert"
    ) as model:
        result = model.predict(piaccel.read_image(shared / "images" / picture))
    assert expected in str(result.to_dict())


def test_a_list_of_ones_own_is_added_and_wins_over_a_name_of_the_package(tmp_path: Path) -> None:
    found = catalogue.read([listed(tmp_path / "own.toml", plain(), plain(name="mobilenet-v2"))])
    assert {"gears", *OWN} == set(found)
    assert found["mobilenet-v2"].title == "Good gears and bad ones"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sha": "x"}, "sha"),
        ({"name": "../gears"}, "name"),
        ({"licence": ""}, "licence"),
        ({"licence": None}, "licence"),
        ({"file": plain()["file"] | {"sha256": "A" * 64}}, "sha256"),
        ({"file": plain()["file"] | {"sha256": "a" * 63}}, "sha256"),
        ({"file": plain()["file"] | {"size": 0}}, "size"),
        ({"file": plain()["file"] | {"urls": []}}, "urls"),
        ({"file": plain()["file"] | {"urls": ["file:///etc/passwd"]}}, "is not an http or https address"),
        ({"file": plain()["file"] | {"name": "../g.tflite"}}, "name"),
        ({"file": plain()["file"] | {"name": "model.toml"}}, "called model.toml"),
        ({"weights": plain()["file"]}, "two files of one name"),
        ({"labels": ["a"], "labels_file": plain()["file"] | {"name": "labels.txt"}}, "one of them is enough"),
        ({"labels_file": plain()["file"] | {"name": "names.txt"}}, "is called labels.txt"),
    ],
)
def test_a_list_that_is_wrong_is_named_with_what_is_wrong(tmp_path: Path, changes: Any, expected: str) -> None:
    path = listed(tmp_path / "own.toml", plain(**changes))
    with pytest.raises(ModelError, match=expected) as refused:
        catalogue.read([path])
    assert str(path) in str(refused.value)


def test_two_models_of_one_name_in_one_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="two models are called gears"):
        catalogue.read([listed(tmp_path / "own.toml", plain(), plain())])


def test_a_list_that_is_not_there_and_a_name_that_is_in_none_are_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"own\.toml"):
        catalogue.read([tmp_path / "own.toml"])
    with pytest.raises(NotFoundError, match="no model 'yolo'") as refused:
        catalogue.entry_of("yolo", OWN)
    assert "mobilenet-v2" in refused.value.hint


PAGE = Path(__file__).parents[2] / "docs" / "catalogue.md"


def test_the_page_shows_every_model_with_its_licence_and_size() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    shown = {row[0].strip("`"): (row[2], row[3]) for row in rows if len(row) == 5 and row[0].startswith("`")}
    assert shown == {entry.name: (entry.licence, f"{entry.size / 1e6:.1f}") for entry in OWN.values()}


def test_the_list_that_the_page_shows_can_be_read(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "own.toml").write_text(text)
    entry = catalogue.read([tmp_path / "own.toml"])["gears"]
    assert entry.labels == ("good", "bad")
    assert entry.accuracy is not None
