"""Golden samples: made by the reference variant, passed by what answers alike, refused by what does not."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from piaccel import images, models, packing
from piaccel.bundles import Bundle
from piaccel.errors import InputError, ModelError, OptionError
from piaccel.serving import golden
from piaccel.serving.runner import GoldenCheck
from piaccel.testing.fake_board import FakeBoard


@pytest.fixture
def pictures(demo: Path) -> list[Path]:
    return sorted((demo / "images").glob("*.jpg"))[:4]


@pytest.fixture
def bundle(demo: Path, tmp_path: Path, pictures: list[Path]) -> Path:
    """The demo model with golden samples."""
    folder = tmp_path / "bundle"
    shutil.copytree(demo / "bundle", folder)
    golden.make(folder, pictures, latency_ms={"any": 1e6}, memory_mb={"any": 1e5})
    return folder


def checked(bundle: Path, variant: str = "fp32-tflite", samples: Path | None = None, **given: Any) -> GoldenCheck:
    with models.load(bundle, variant=variant, threads=1) as model:
        return golden.check(model, samples or bundle, **given)


def change(bundle: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = bundle / "golden" / "expected.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def test_a_bundle_without_samples_passes_with_none(demo: Path) -> None:
    assert checked(demo / "bundle") == GoldenCheck(samples=0, reason="")


def test_the_reference_is_the_first_float32_variant_and_is_written_down(bundle: Path) -> None:
    expected = golden.read(bundle)
    assert expected is not None
    assert expected.made_by.variant == "fp32-tflite"
    assert expected.kind == "classification"
    assert len(expected.samples) == 4
    assert sorted(path.name for path in (bundle / "golden").iterdir()) == sorted(
        ["expected.json", *(sample.file for sample in expected.samples)]
    )
    assert not [path for path in bundle.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("variant", ["fp32-tflite", "int8-tflite", "fp32-onnx", "int8-onnx", "fp32-ncnn"])
def test_every_variant_of_a_sound_bundle_passes(bundle: Path, variant: str) -> None:
    found = checked(bundle, variant, alone=True)
    assert found.reason == ""
    assert (found.samples, found.failed) == (4, 0)
    assert found.latency_ms
    assert found.memory_bytes


def test_memory_that_is_shared_with_others_is_not_told(bundle: Path) -> None:
    change(bundle, lambda document: document.update(memory_mb={"any": 0.001}))
    found = checked(bundle)
    assert found.memory_bytes is None
    assert found.reason == ""


def test_labels_in_another_order_are_another_answer(bundle: Path) -> None:
    labels = (bundle / "labels.txt").read_text().splitlines()
    (bundle / "labels.txt").write_text("\n".join(reversed(labels)) + "\n")
    found = checked(bundle)
    assert found.failed == 4
    assert "instead of" in found.reason


def test_labels_swapped_before_the_samples_were_made_are_found_by_the_samples_of_the_version_before(
    bundle: Path, tmp_path: Path, pictures: list[Path]
) -> None:
    new = tmp_path / "new"
    shutil.copytree(bundle, new)
    labels = (new / "labels.txt").read_text().splitlines()
    (new / "labels.txt").write_text("\n".join(reversed(labels)) + "\n")
    golden.make(new, pictures)
    assert checked(new).reason == ""
    assert checked(new, samples=bundle).failed == 4


def test_scores_that_moved_are_a_fault_of_the_same_network_and_none_of_another(bundle: Path, tmp_path: Path) -> None:
    def move(document: dict[str, Any]) -> None:
        for sample in document["samples"]:
            for rank, each in enumerate(sample["result"]["top"]):
                each["score"] = 0.4 / (rank + 1)

    other = tmp_path / "other"
    shutil.copytree(bundle, other)
    change(other, move)
    assert "cosine" in checked(other).reason
    assert checked(bundle, samples=other).reason == ""


def test_a_sample_may_have_a_tolerance_of_its_own(bundle: Path) -> None:
    def loosen(document: dict[str, Any]) -> None:
        for sample in document["samples"]:
            sample["result"]["top"][0]["score"] *= 0.9
            sample["result"]["top"][1]["score"] += 0.1
            sample["tolerance"] = {"cosine": 0.5, "tie": 0.5, "overlap": 0.5, "share": 0.5, "distance": 0.5}

    change(bundle, loosen)
    assert checked(bundle).reason == ""


def test_a_version_slower_than_its_budget_is_refused(bundle: Path) -> None:
    change(bundle, lambda document: document.update(latency_ms={"any": 1e-6}))
    assert "the budget for any is 1e-06 ms" in checked(bundle).reason


def test_a_version_that_takes_more_memory_than_its_budget_is_refused(bundle: Path) -> None:
    change(bundle, lambda document: document.update(memory_mb={"any": 0.5}))
    assert "the budget for any is 0.5 MB" in checked(bundle, alone=True).reason


def test_the_budget_of_this_board_counts_and_not_that_of_another(bundle: Path, tmp_path: Path) -> None:
    change(bundle, lambda document: document.update(latency_ms={"pi5": 1e-6, "any": 1e6}))
    assert checked(bundle, root=FakeBoard(tmp_path / "pi4", "pi4").root).reason == ""
    assert "the budget for pi5" in checked(bundle, root=FakeBoard(tmp_path / "pi5", "pi5").root).reason


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda document: document.update(format=2), "format"),
        (lambda document: document.update(extra=1), "extra"),
        (lambda document: document.update(kind="pose"), "not of the kind"),
        (lambda document: document.update(samples=[]), "length"),
        (lambda document: document.update(samples=document["samples"] * 40), "length"),
        (lambda document: document.update(samples=document["samples"] * 2), "same file"),
        (lambda document: document.update(latency_ms={"pi9": 5}), "pi9"),
        (lambda document: document.update(latency_ms={"any": "5"}), "str"),
        (lambda document: document["samples"][0].update(file="../labels.txt"), "file"),
        (lambda document: document["samples"][0].update(file="/etc/passwd"), "file"),
        (lambda document: document["samples"][0].update(sha256="0" * 64), "sha256"),
        (lambda document: document["samples"][0].update(file="absent.jpg"), "No such file"),
        (lambda document: document["samples"][0].update(result={"kind": "classification"}), "is no classification"),
        (lambda document: document["samples"][0].update(result={"kind": "classification", "top": 3}), "is no class"),
    ],
)
def test_what_is_expected_is_read_strictly(bundle: Path, edit: Callable[[dict[str, Any]], object], reason: str) -> None:
    change(bundle, edit)
    assert reason in checked(bundle).reason


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000, '{"format": NaN}', '{"format": 1e999}', "\ud800"])
def test_what_is_no_document_is_a_reason_and_no_crash(bundle: Path, text: str) -> None:
    (bundle / "golden" / "expected.json").write_bytes(text.encode(errors="surrogatepass"))
    assert checked(bundle).reason.startswith("golden/expected.json")


def test_a_sample_that_is_no_picture_is_a_reason(bundle: Path) -> None:
    blob = b"no picture"

    def edit(document: dict[str, Any]) -> None:
        (bundle / "golden" / document["samples"][0]["file"]).write_bytes(blob)
        document["samples"][0]["sha256"] = hashlib.sha256(blob).hexdigest()

    change(bundle, edit)
    assert "not a picture" in checked(bundle).reason


@pytest.mark.parametrize("what", ["folder", "document", "picture", "pipe"])
def test_no_link_and_no_pipe_is_followed(bundle: Path, tmp_path: Path, what: str) -> None:
    folder = bundle / "golden"
    victim = {"folder": folder, "document": folder / "expected.json"}.get(what, next(folder.glob("*.jpg")))
    victim.rename(tmp_path / "elsewhere")
    if what == "pipe":
        os.mkfifo(victim)
    else:
        victim.symlink_to(tmp_path / "elsewhere")
    found = checked(bundle)
    assert found.reason
    assert found.samples == 0


def test_samples_can_be_made_anew(bundle: Path, pictures: list[Path]) -> None:
    golden.make(bundle, pictures[:1], variant="int8-tflite", backend="litert")
    expected = golden.read(bundle)
    assert expected is not None
    assert (expected.made_by.variant, len(expected.samples)) == ("int8-tflite", 1)
    assert len(list((bundle / "golden").iterdir())) == 2


def test_samples_are_pictures_with_names_of_their_own(bundle: Path, tmp_path: Path, pictures: list[Path]) -> None:
    text = tmp_path / "text.txt"
    text.write_text("no picture")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    namesake = tmp_path / pictures[0].name
    shutil.copy(pictures[0], namesake)
    for given, kind in (([text], OptionError), ([broken], InputError), ([pictures[0], namesake], OptionError)):
        with pytest.raises(kind):
            golden.make(bundle, given)
    with pytest.raises(OptionError, match="pi9"):
        golden.make(bundle, pictures, latency_ms={"pi9": 3.0})
    assert checked(bundle).reason == ""


def test_a_bare_file_has_no_place_for_samples(demo: Path, pictures: list[Path]) -> None:
    with pytest.raises(OptionError, match="is no bundle") as told:
        golden.make(demo / "bundle" / "fp32.onnx", pictures)
    assert "piaccel bundle" in told.value.hint


def test_verify_lets_each_variant_answer_in_a_child(bundle: Path) -> None:
    checks = list(golden.verify(Bundle.open(bundle)))
    assert [(each.variant, each.what, each.error, each.note) for each in checks] == [
        (each.name, "golden", None, "") for each in Bundle.open(bundle).variants
    ]
    change(bundle, lambda document: document.update(format=2))
    (broken,) = golden.verify(Bundle.open(bundle))
    assert isinstance(broken.error, ModelError)


@pytest.mark.parametrize(
    ("files", "picture", "another"),
    [
        (["models/coco/fastestdet.onnx", "models/coco/fastestdet.ncnn.param"], "street_3.jpg", "street_1.jpg"),
        (["models/face/rfb_320.onnx"], "faces_3.jpg", "faces_1.jpg"),
        (["models/segmentation/deeplabv3_mnv2_dm05_pascal_quant.tflite"], "bird_segmentation.png", "squat.png"),
        (["models/pose/movenet_single_pose_lightning_ptq.tflite"], "squat.png", "bird_segmentation.png"),
    ],
)
def test_boxes_masks_and_keypoints_pass_on_every_runtime_and_those_of_another_picture_do_not(
    shared: Path, tmp_path: Path, files: list[str], picture: str, another: str
) -> None:
    pictures = {}
    for name in (picture, another):
        found = next(shared.glob(f"images/{Path(name).stem}.*"))
        pictures[name] = tmp_path / name
        images.write_image(tmp_path / name, images.read_image(found))
    out = tmp_path / "bundle"
    told: dict[str, Any] = (
        {"labels": shared / "models/coco/coco_labels.txt", "size": (352, 352)} if "coco" in files[0] else {}
    )
    packing.pack([shared / each for each in files], out, **told)
    golden.make(out, [pictures[picture]])
    for check in golden.verify(Bundle.open(out)):
        assert check.error is None, check
    shutil.copy(pictures[another], out / "golden" / picture)
    digest = hashlib.sha256(pictures[another].read_bytes()).hexdigest()
    change(out, lambda document: document["samples"][0].update(sha256=digest))
    for check in golden.verify(Bundle.open(out)):
        assert isinstance(check.error, ModelError)
        assert "golden samples" in str(check.error)
