"""The whole search with real networks, kept short."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

import piaccel
from piaccel.bench.run import Progress
from piaccel.cli import main
from piaccel.device.power import EVERYTHING, PowerSource
from piaccel.errors import InputError, ModelError, NotFoundError, OptionError
from piaccel.selection import Selection, html, pictures
from piaccel.selection import choose as chooser
from piaccel.selection.choose import choose
from piaccel.selection.limits import parse
from piaccel.selection.search import Round
from piaccel.selection.writing import for_bundle
from piaccel.testing.fake_board import FakeBoard

FEW: dict[str, Any] = {"backends": ["litert", "opencv"], "threads": [1]}
QUICK = (Round(0.02, 1, 4, slack=2.0, keep=3), Round(0.05, 1, 12))


class Meter(PowerSource):
    name, how, leaves_out = "a made-up meter", "made up", "the supply's losses"
    accuracy, uncertainty, covers, cost_ms = "made up", None, EVERYTHING, 0.0

    def watts(self) -> float:
        return 4.5


@pytest.fixture(scope="module")
def bundle(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo bundle with its LiteRT variants only: fewer ways to run it."""
    folder = tmp_path_factory.mktemp("models") / "parts"
    shutil.copytree(demo / "bundle", folder)
    head, *variants = (folder / "model.toml").read_text().split("[[variants]]")
    tail = "[accuracy]" + variants[-1].partition("[accuracy]")[2]
    kept = [each for each in variants if 'format = "tflite"' in each]
    (folder / "model.toml").write_text("[[variants]]".join([head, *kept]) + tail)
    return folder


@pytest.fixture(scope="module")
def found(bundle: Path, demo: Path) -> Selection:
    limits = parse({"--max-memory": "4GB", "--max-power": "5", "--max-temp": "90"})
    return choose([bundle.parent], limits, images=demo / "images", power=Meter(), rounds=QUICK, **FEW)


def test_real_networks_are_measured_and_each_figure_says_how(found: Selection) -> None:
    assert 1 <= len(found.options) <= 3
    assert {each.round for each in found.options} == {2}
    for each in found.options:
        assert each.figures["accuracy"].how == "measured here: top-1 of 12 pictures"
        assert each.figures["power_w"].value == pytest.approx(4.5)
        assert "leaves out the supply's losses" in each.figures["power_w"].how
        assert each.figures["latency_p99_ms"].how.startswith("measured here: picture to result, ")
        assert all(figure.how for figure in each.figures.values())
    assert found.pick is not None
    assert found.pick.value("accuracy") == max(each.value("accuracy") or 0 for each in found.options)
    assert set(found.front) <= {each.name for each in found.options}


def test_everything_that_was_left_out_has_a_reason(found: Selection) -> None:
    assert {each.name for each in found.left_out}.isdisjoint(each.name for each in found.options)
    assert found.left_out
    assert all(each.why for each in found.left_out)
    assert any("OpenCV reads float" in each.why for each in found.left_out)


def test_what_the_board_cannot_tell_keeps_the_pick_in_doubt(found: Selection) -> None:
    assert found.pick is not None
    known = found.pick.value("temp_c") is not None
    assert found.fits == known
    assert found.unjudged == ([] if known else ["--max-temp"])


def test_the_page_shows_the_front_and_needs_nothing_else(found: Selection) -> None:
    page = html.render(found)
    assert page.count("<circle") == len(found.options)
    assert "http" not in page
    assert "prefers-color-scheme: dark" in page
    assert found.pick is not None
    assert found.pick.name in page


def test_a_selection_survives_the_way_to_json_and_back(found: Selection) -> None:
    assert msgspec.json.decode(msgspec.json.encode(found), type=Selection) == found


def test_the_temperature_of_the_board_is_held_against_its_limit(bundle: Path, tmp_path: Path) -> None:
    board = FakeBoard(tmp_path / "pi", "pi5", state="cool")
    few: dict[str, Any] = {"backends": ["litert"], "threads": [1], "rounds": QUICK[1:], "root": board.root}
    model = bundle / "int8.tflite"
    found = choose([model], parse({"--max-temp": "95"}), **few)
    assert found.fits
    assert found.pick is not None
    temperature = found.pick.value("temp_c")
    assert temperature is not None
    assert found.pick.figures["temp_c"].how.endswith("not a sustained one")
    assert "piaccel soak" in found.notes[0]
    hot = choose([model], parse({"--max-temp": "20"}), **few)
    assert hot.pick is None
    assert hot.ruled_out == {"--max-temp": 1}
    assert hot.changes[0].bound == temperature


def test_ctrl_c_keeps_what_was_measured_and_says_so(bundle: Path) -> None:
    said: list[str] = []

    def stop(step: Progress) -> None:
        said.append(step.text)
        if sum("loading" in text for text in said) == 2:
            raise KeyboardInterrupt

    found = choose([bundle], rounds=QUICK, progress=stop, **FEW)
    assert found.interrupted
    assert len(found.options) == 1
    assert {each.round for each in found.options} == {1}
    assert found.pick in found.options
    assert "interrupted" in found.notes[0]
    assert found.options[0].figures["accuracy"].how.startswith("as published in the manifest (top1, 2400 samples")


def test_pictures_without_classes_are_judged_by_agreement(bundle: Path, demo: Path, tmp_path: Path) -> None:
    for index, name in enumerate(("gear_good", "nut_good", "washer_chipped")):
        shutil.copy(demo / "images" / f"{name}.jpg", tmp_path / f"seen{index}.jpg")
    found = choose([bundle], parse({"--max-accuracy-drop": "50%"}), images=tmp_path, rounds=QUICK[1:], **FEW)
    assert found.pick is not None
    assert found.pick.figures["accuracy"].how.startswith("agreement with the fp32 reference")
    assert found.pick.figures["accuracy"].how.endswith("on 3 pictures")
    assert found.fits


def test_a_picture_tells_its_class_by_its_folder_or_its_name(tmp_path: Path) -> None:
    labels = ["gear good", "nut"]
    paths = [tmp_path / "Gear_Good" / "a.jpg", tmp_path / "nut_17.jpg", tmp_path / "nut (2).jpg"]
    assert pictures.label(paths, labels).truth == (0, 1, 1)
    assert pictures.label([tmp_path / "a.jpg"], labels).truth == ()
    with pytest.raises(InputError, match=r"a\.jpg: tells no class"):
        pictures.label([*paths, tmp_path / "a.jpg"], labels)


def test_what_is_not_there_is_said_before_anything_is_measured(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(NotFoundError, match="holds no bundle"):
        choose([tmp_path])
    with pytest.raises(NotFoundError, match="no such folder of pictures"):
        choose([bundle], images=tmp_path / "none")
    with pytest.raises(ModelError, match="two models are called"):
        choose([bundle, bundle])
    with pytest.raises(OptionError, match="prefer"):
        choose([bundle], prefer="cost")  # type: ignore[arg-type]


def test_a_written_choice_is_what_the_model_is_loaded_with(found: Selection, bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    shutil.copytree(bundle, folder)
    assert found.pick is not None
    pick = replace(found.pick, path=str(folder))
    for_bundle(pick, found.board).apply()
    with piaccel.load(folder) as model:
        assert (model.variant.name, model.backend) == (pick.variant, pick.backend)
        assert "[choice]" in model.why


def test_the_command_answers_with_its_exit_code(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = dict(chooser.choose.__kwdefaults__ or {})
    monkeypatch.setattr(chooser.choose, "__kwdefaults__", {**defaults, "rounds": QUICK[1:]})
    config = tmp_path / "piaccel.toml"
    model = str(bundle / "int8.tflite")
    service = ["--write", "service", "--config", str(config)]
    assert main(["choose", model, "--backend", "litert", "--max-memory", "4GB", "--json", *service, "--dry-run"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["schema"] == "piaccel.choice/1"
    assert "+[models.int8]" in said.err
    assert not config.exists()
    assert main(["choose", model, "--backend", "litert", "--max-memory", "1MB", *service]) == 1
    said = capsys.readouterr()
    assert "nothing fits" in said.out
    assert "with --max-memory" in said.out
    assert "nothing written" in said.err
    assert not config.exists()


@pytest.mark.parametrize(
    "words", [["--fps", "fast"], ["--prefer", "cost"], ["--write", "cloud"], ["--dry-run"], ["--max-power", "0"]]
)
def test_a_wrong_command_is_exit_code_2(bundle: Path, words: list[str]) -> None:
    assert main(["choose", str(bundle), *words]) == 2
