"""Texts and tables that name a plug-in."""

from dataclasses import dataclass

import pytest

from piaccel import specs
from piaccel.errors import OptionError
from piaccel.specs import Spec

KINDS = {"jsonl": "jsonl", "mqtt": "mqtt", "mqtts": "mqtt", "gpio": "gpio"}


@dataclass(frozen=True, kw_only=True)
class Options:
    delay_s: float = 0.0
    max_size_bytes: int = 0
    count: int = 1
    on: str = ""
    deep: bool = False


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("jsonl:out.jsonl", Spec("jsonl", "out.jsonl")),
        ("jsonl:a,b.jsonl,count=3", Spec("jsonl", "a,b.jsonl", {"count": "3"})),
        ("gpio:17,on=crack|hole,delay=120ms", Spec("gpio", "17", {"on": "crack|hole", "delay": "120ms"})),
        ("mqtts://me:secret@host:8883/a,qos=1", Spec("mqtt", "mqtts://me:secret@host:8883/a", {"qos": "1"})),
        ("pictures/part.mp4", Spec("", "pictures/part.mp4")),
        ("gpio", Spec("gpio", "")),
        ("gpio:count=3", Spec("gpio", "", {"count": "3"})),
        ("gpio:deep=true,count=3", Spec("gpio", "", {"deep": "true", "count": "3"})),
        ("mqtt://host/a=b", Spec("mqtt", "mqtt://host/a=b")),
    ],
)
def test_a_text_is_a_kind_a_target_and_options(text: str, wanted: Spec) -> None:
    assert specs.parse(text, KINDS) == wanted


def test_a_table_says_the_same_and_takes_its_target_as_it_is() -> None:
    table = {"kind": "jsonl", "target": "odd,count=3.jsonl", "count": 2}
    assert specs.parse(table, KINDS) == Spec("jsonl", "odd,count=3.jsonl", {"count": 2})


@pytest.mark.parametrize("given", ["", "  ", {}, {"kind": "fax"}, {"count": 2}])
def test_what_names_nothing_is_refused_with_what_could_be_named(given: object) -> None:
    with pytest.raises(OptionError) as caught:
        specs.parse(given, KINDS)  # type: ignore[arg-type]
    assert caught.value.hint


def test_durations_and_sizes_are_written_with_their_unit() -> None:
    built = specs.options(Options, "gpio", {"delay": "80ms", "max_size": "1.5MB", "count": "3", "deep": "true"})
    assert built == Options(delay_s=0.08, max_size_bytes=1_500_000, count=3, deep=True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("80ms", 0.08), ("2 s", 2.0), ("1.5min", 90.0), ("12h", 43200.0), ("250us", 0.00025), (".5s", 0.5)],
)
def test_a_duration_is_read_in_any_unit(text: str, seconds: float) -> None:
    assert specs.duration_s(text, "delay") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["80", "ms", "-1s", "80 msec", "", "1e3s", "∞s"])
def test_a_duration_without_a_unit_or_a_number_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="delay"):
        specs.duration_s(text, "delay")


@pytest.mark.parametrize(("key", "value"), [("dealy", "1s"), ("count", "many"), ("max_size", "3"), ("delay", "soon")])
def test_a_wrong_option_names_its_owner_and_the_key(key: str, value: str) -> None:
    with pytest.raises(OptionError, match=f"gpio.*{key}"):
        specs.options(Options, "gpio", {key: value})
