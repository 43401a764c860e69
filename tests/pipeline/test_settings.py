"""A pipeline's settings from TOML, and what is wrong with them."""

from pathlib import Path

import pytest

from piaccel.errors import NotFoundError, OptionError
from piaccel.pipeline import settings
from piaccel.pipeline.settings import RungSettings, ThenSettings

WHOLE = """
name = "line1"
web = "127.0.0.1:8080"
drain = "2s"
sinks = ["jsonl:results.jsonl,max_size=1MB", {kind = "gpio", target = "17", delay = "120ms"}]

[stream.top]
source = "usb:0"
model = "parts"
deadline = "80ms"
roi = [0.25, 0.0, 0.5, 1.0]
then = {model = "kinds", labels = ["part"], margin = 0.2}
ladder = [{variant = "int8-320"}, {rate = 5}]

[stream.side]
source = {kind = "synthetic", fps = 30}
model = "parts"
policy = "paced"
period = "100ms"
sinks = ["jsonl:results.jsonl"]
"""


def test_a_file_says_everything(tmp_path: Path) -> None:
    path = tmp_path / "line.toml"
    path.write_text(WHOLE)
    read = settings.read(path)
    assert (read.name, read.web, read.drain_s) == ("line1", "127.0.0.1:8080", 2.0)
    assert list(read.sinks) == ["jsonl:results.jsonl", "gpio:17"]
    top, side = read.streams["top"], read.streams["side"]
    assert top.deadline_s == pytest.approx(0.08)
    assert top.roi == (0.25, 0.0, 0.5, 1.0)
    assert top.then == ThenSettings(model="kinds", labels=("part",), margin=0.2)
    assert top.ladder == (RungSettings(variant="int8-320"), RungSettings(rate=5))
    assert (side.policy, side.period_s, side.sinks) == ("paced", 0.1, ("jsonl:results.jsonl",))


def test_the_only_streams_keys_may_stand_at_the_top(tmp_path: Path) -> None:
    path = tmp_path / "line.toml"
    path.write_text('source = "usb:0"\nmodel = "parts"\nsinks = ["console"]\nlog_period = "5s"\n')
    read = settings.read(path)
    assert list(read.streams) == ["main"]
    assert read.log_period_s == 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("source = 3", "model"),
        ('model = "a"\nsource = 3', "source"),
        ('model = "a"\npolcy = "latest"', "polcy"),
        ('model = "a"\ndeadline = "fast"', "deadline"),
        ('model = "a"\nworkers = "two"', "workers"),
        ('model = "a"\nroi = [1, 2]', "roi"),
        ('model = "a"\nladder = [{speed = 3}]', "speed"),
        ("stream = 3", "stream"),
        ("[stream]\n", "stream"),
        ('[stream.a]\nmodel = "a"\nsinks = ["fax"]', "fax"),
        ('colour = "red"\n[stream.a]\nmodel = "a"', "colour"),
        ('model = "a"\nsinks = "console"', "sinks"),
        ('model = "a"\nthen = {labels = ["x"]}', "model"),
        ('model = "a"\npolicy = "fresh"\ntrigger = "source"', "policy"),
        ("model = ", "TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_the_file(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "line.toml"
    path.write_text(text)
    with pytest.raises(OptionError, match=says) as caught:
        settings.read(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"line\.toml"):
        settings.read(tmp_path / "line.toml")


def test_two_sinks_of_one_name_stay_apart() -> None:
    built = settings.structure({"model": "a", "sinks": ["console", "console"]})
    assert list(built.sinks) == ["console", "console'"]
