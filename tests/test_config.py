from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from piaccel import config
from piaccel.errors import ModelError, NotFoundError, OptionError


@dataclass(frozen=True, kw_only=True)
class Knobs:
    threads: int | None = None
    precision: Literal["f32", "f16"] = "f32"
    fast: bool = False


def test_texts_become_typed_options() -> None:
    knobs = config.options(Knobs, ["threads=2", "precision = f16", "fast=true"])
    assert knobs == Knobs(threads=2, precision="f16", fast=True)


def test_a_given_none_leaves_the_default() -> None:
    assert config.options(Knobs, (), threads=None, fast=True) == Knobs(fast=True)


def test_an_unknown_option_is_named_with_those_that_exist() -> None:
    with pytest.raises(OptionError, match="no option 'thread'") as caught:
        config.options(Knobs, ["thread=2"])
    assert "threads, precision, fast" in caught.value.hint


def test_a_wrong_value_names_its_key() -> None:
    with pytest.raises(OptionError, match="threads"):
        config.options(Knobs, ["threads=many"])
    with pytest.raises(OptionError, match="precision"):
        config.options(Knobs, ["precision=f8"])


def test_two_numbers_are_written_with_an_x() -> None:
    from piaccel.backends.ncnn import NcnnOptions

    assert config.options(NcnnOptions, ["input_size=240x320"]).input_size == (240, 320)
    with pytest.raises(OptionError, match=r"^ncnn: input_size"):
        config.options(NcnnOptions, ["input_size=240"])


def test_an_option_without_a_value_is_refused() -> None:
    with pytest.raises(OptionError, match="'fast' is not key=value"):
        config.options(Knobs, ["fast"])


def test_a_toml_file_is_read_into_its_type(tmp_path: Path) -> None:
    path = tmp_path / "knobs.toml"
    path.write_text('threads = 3\nprecision = "f16"\n')
    assert config.read_toml(path, Knobs) == Knobs(threads=3, precision="f16")


@pytest.mark.parametrize("text", ["threads = ", 'threads = "many"', "\x00", "threads = 1\nthreads = 2"])
def test_a_wrong_toml_file_is_one_line_that_names_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "knobs.toml"
    path.write_text(text)
    with pytest.raises(ModelError) as caught:
        config.read_toml(path, Knobs)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_and_no_file_at_all_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "knobs.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="TOML"):
        config.read_toml(path, Knobs)
    with pytest.raises(NotFoundError, match="no such file"):
        config.read_toml(tmp_path / "other.toml", Knobs)
