"""A choice is written where it takes effect, and nothing else in the file changes."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piaccel.bundles import Bundle
from piaccel.errors import InputError, OptionError
from piaccel.selection import Option
from piaccel.selection.writing import for_bundle, for_service, set_keys
from piaccel.serving import settings

CONFIG = """# the line's service
[server]
port = 8000  # behind the proxy

[models.parts]  # two cameras
backend = "openvino"  # was litert
golden = "required"
# room for more

[models."a b"]
required = false
"""


def pick(path: Path, threads: int = 2, options: tuple[str, ...] = ()) -> Option:
    return Option("parts", str(path), "int8-tflite", "litert", threads, {}, backend_options=options)


def test_a_choice_comes_back_from_the_manifest_and_its_comments_stay(demo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    shutil.copytree(demo / "bundle", folder)
    manifest = folder / "model.toml"
    manifest.write_text("# ours\n" + manifest.read_text())
    before = manifest.read_text()
    edit = for_bundle(pick(folder), board="Raspberry Pi 5")
    assert manifest.read_text() == before  # until it is applied
    assert '+variant = "int8-tflite"' in edit.diff()
    edit.apply()
    assert manifest.read_text().startswith(before)
    choice = Bundle.open(folder).choice
    assert choice is not None
    assert (choice.variant, choice.backend, choice.threads, choice.board) == (
        "int8-tflite",
        "litert",
        2,
        "Raspberry Pi 5",
    )
    again = for_bundle(pick(folder), board="Raspberry Pi 5")
    assert again.diff() == ""
    for_bundle(pick(folder, threads=1), board="Raspberry Pi 5").apply()
    assert manifest.read_text() == edit.after.replace("threads = 2", "threads = 1")


def test_a_bare_model_file_has_no_manifest_to_write_into(demo: Path) -> None:
    with pytest.raises(OptionError, match="no manifest"):
        for_bundle(pick(demo / "bundle" / "int8.tflite"))


def test_a_choice_comes_back_from_the_service_s_configuration(tmp_path: Path) -> None:
    path = tmp_path / "piaccel.toml"
    path.write_text(CONFIG)
    for_service(pick(path, options=("xnnpack=false",)), path, "parts").apply()
    found = settings.read(tmp_path, path).model("parts")
    assert (found.backend, found.variant, found.threads) == ("litert", "int8-tflite", 2)
    assert found.options == ("xnnpack=false",)
    assert found.golden == "required"
    for_service(pick(path), path, "parts").apply()
    assert settings.read(tmp_path, path).model("parts").options == ()
    text = path.read_text()
    assert 'backend = "litert"  # was litert\n' in text
    assert [line for line in CONFIG.splitlines() if line not in text] == ['backend = "openvino"  # was litert']


def test_a_new_model_and_a_new_file_get_their_table(tmp_path: Path) -> None:
    path = tmp_path / "piaccel.toml"
    for_service(pick(path), path, "line 1").apply()
    assert path.read_text() == '[models."line 1"]\nbackend = "litert"\nvariant = "int8-tflite"\nthreads = 2\n'
    for_service(pick(path), path, "pose").apply()
    assert settings.read(tmp_path, path).model("pose").threads == 2


@pytest.mark.parametrize(
    "text",
    [
        'models = {parts = {backend = "auto"}}\n',
        '[models]\nparts.backend = "auto"\n',
        "[models.parts]\noptions = [\n]\n",
    ],
)
def test_what_cannot_be_edited_safely_is_refused_with_the_lines_to_write(tmp_path: Path, text: str) -> None:
    path = tmp_path / "piaccel.toml"
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        for_service(pick(path, options=("a=b",)), path, "parts")
    assert "[models.parts]" in raised.value.hint
    assert path.read_text() == text


def test_a_file_that_changed_since_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "piaccel.toml"
    path.write_text(CONFIG)
    edit = for_service(pick(path), path, "parts")
    path.write_text(CONFIG + "# mine\n")
    with pytest.raises(InputError, match="changed meanwhile"):
        edit.apply()
    assert path.read_text() == CONFIG + "# mine\n"


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8")))
def test_any_name_and_any_value_survive(name: str, value: str) -> None:
    text = set_keys(CONFIG, ("models", name), {"variant": value})
    assert tomllib.loads(text)["models"][name]["variant"] == value
