import hashlib
from pathlib import Path

import pytest

from piaccel import bundles
from piaccel.bundles import Bundle
from piaccel.errors import ChecksumError, ModelError, NotFoundError, OptionError
from piaccel.tasks.classification import ClassificationTask
from tests.classifiers import labels_file, onnx_classifier

MANIFEST = """
format = 1
name = "colours"
labels = "labels.txt"
[task]
family = "classification"
top = 1
[preprocess]
size = [8, 8]
mean = [127.5]
std = [127.5]
[[variants]]
name = "fp32"
file = "net.onnx"
format = "onnx"
precision = "fp32"
sha256 = "{sha256}"
accuracy = 1.0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    net = onnx_classifier(tmp_path / "net.onnx")
    labels_file(tmp_path / "labels.txt")
    text = MANIFEST.format(sha256=hashlib.sha256(net.read_bytes()).hexdigest())
    (tmp_path / "model.toml").write_text(text)
    return tmp_path


def change(folder: Path, old: str, new: str) -> None:
    path = folder / "model.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_bundle_says_everything_about_its_model(folder: Path) -> None:
    bundle = Bundle.open(folder)
    assert bundle.name == "colours"
    assert bundle.labels == ("red", "green", "blue")
    assert bundle.task == ClassificationTask(top=1)
    assert bundle.preprocess is not None
    assert (bundle.preprocess.size, bundle.preprocess.mean) == ((8, 8), (127.5,))
    variant = bundle.variant("fp32")
    variant.check()
    assert (variant.format, variant.precision, variant.accuracy) == ("onnx", "fp32", 1.0)


def test_the_manifest_itself_opens_the_bundle(folder: Path) -> None:
    assert Bundle.open(folder / "model.toml") == Bundle.open(folder)


def test_a_manifest_survives_being_written_and_read_again(folder: Path) -> None:
    manifest = Bundle.open(folder).manifest
    assert manifest is not None
    (folder / "model.toml").write_bytes(manifest.to_toml())
    assert Bundle.open(folder).manifest == manifest


def test_a_changed_file_is_not_the_one_the_manifest_states(folder: Path) -> None:
    with open(folder / "net.onnx", "ab") as file:
        file.write(b"x")
    with pytest.raises(ChecksumError, match=r"net\.onnx: sha256 is"):
        Bundle.open(folder).variant("fp32").check()


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "net.onnx").unlink()
    with pytest.raises(NotFoundError, match=r"net\.onnx"):
        Bundle.open(folder).variant("fp32").check()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('family = "classification"', 'family = "clasification"', "clasification"),
        ("top = 1", "tap = 1", "tap"),
        ("size = [8, 8]", "size = [8]", "preprocess.size"),
        ("size = [8, 8]", "size = [0, 8]", "preprocess.size"),
        ("std = [127.5]", "std = [0]", "std"),
        ('format = "onnx"', 'format = "caffe"', "caffe"),
        ("format = 1", "format = 2", "format"),
        ("accuracy = 1.0", "acuracy = 1.0", "acuracy"),
        ('file = "net.onnx"', 'file = "../net.onnx"', "outside"),
        ('file = "net.onnx"', 'file = "/etc/passwd"', "outside"),
        ('labels = "labels.txt"', 'labels = "../labels.txt"', "outside"),
    ],
)
def test_a_wrong_manifest_is_one_line_that_names_the_mistake(folder: Path, old: str, new: str, said: str) -> None:
    change(folder, old, new)
    with pytest.raises(ModelError, match=said) as caught:
        Bundle.open(folder)
    assert "model.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_link_may_not_lead_out_of_the_bundle(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "net.onnx"
    (folder / "net.onnx").rename(elsewhere)
    (folder / "net.onnx").symlink_to(elsewhere)
    with pytest.raises(ModelError, match="outside"):
        Bundle.open(folder)


def test_two_variants_cannot_share_a_name(folder: Path) -> None:
    text = (folder / "model.toml").read_text()
    (folder / "model.toml").write_text(text + text[text.index("[[variants]]") :])
    with pytest.raises(ModelError, match="same name"):
        Bundle.open(folder)


def test_a_folder_without_a_manifest_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        Bundle.open(tmp_path)
    assert "piaccel bundle" in caught.value.hint


def test_a_bare_file_is_a_bundle_of_one_that_tells_nothing(tmp_path: Path) -> None:
    bundle = Bundle.open(onnx_classifier(tmp_path / "net_0.25.onnx"))
    assert (bundle.name, bundle.task, bundle.preprocess, bundle.labels) == ("net_0.25", None, None, ())
    assert [variant.format for variant in bundle.variants] == ["onnx"]


def test_an_unknown_variant_is_refused_with_those_that_exist(folder: Path) -> None:
    with pytest.raises(OptionError, match="int8") as caught:
        Bundle.open(folder).variant("int8")
    assert "fp32" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\xff"])
def test_labels_must_be_lines_of_text(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"labels\.txt"):
        bundles.read_labels(path)


def test_labels_keep_their_order_and_inner_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("background\n\n cat \n\n")
    assert bundles.read_labels(path) == ("background", "", "cat")
