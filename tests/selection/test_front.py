"""The front against the definition, and that leaving out early loses nothing that belongs to it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from piaccel.selection import Figure, Option
from piaccel.selection.front import LARGER, SMALLER, beaten_by, beats, front


def option(name: str, basis: str = "test", model: str = "m", **values: float | None) -> Option:
    figures = {key: Figure(value, "made up", basis if key == "accuracy" else "") for key, value in values.items()}
    return Option(model, model, name, "litert", 1, figures)


small = st.one_of(st.none(), st.integers(1, 4).map(float))
row = st.tuples(st.fixed_dictionaries(dict.fromkeys((*SMALLER, *LARGER), small)), st.sampled_from(["a", "b"]))


@given(st.lists(row, max_size=9))
def test_the_front_is_what_brute_force_finds(rows: list[tuple[dict[str, Any], str]]) -> None:
    options = [option(str(index), basis, **values) for index, (values, basis) in enumerate(rows)]

    def better(one: tuple[dict[str, Any], str], other: tuple[dict[str, Any], str]) -> bool:
        signed = []
        for key in (*SMALLER, *LARGER):
            pair = (one[0][key], other[0][key])
            if pair == (None, None):
                continue
            if None in pair or (key == "accuracy" and one[1] != other[1]):
                return False
            signed.append((pair[1] - pair[0]) * (1 if key in SMALLER else -1))
        return bool(signed) and min(signed) >= 0 and max(signed) > 0

    wanted = [str(i) for i, mine in enumerate(rows) if not any(better(other, mine) for other in rows)]
    assert [each.variant for each in front(options)] == wanted
    assert bool(options) == bool(wanted)


@given(st.lists(row, min_size=3, max_size=3))
def test_what_is_beaten_by_the_beaten_is_beaten(rows: list[tuple[dict[str, Any], str]]) -> None:
    a, b, c = (option(str(index), basis, **values) for index, (values, basis) in enumerate(rows))
    if beats(a, b) and beats(b, c):
        assert beats(a, c)


def test_a_short_measurement_leaves_out_only_what_is_slower_by_more_than_it_may_err() -> None:
    fast = option("fast", latency_p50_ms=10, memory_bytes=100, accuracy=0.9)
    near = option("near", latency_p50_ms=19, memory_bytes=102, accuracy=0.9)
    slow = option("slow", latency_p50_ms=21, memory_bytes=102, accuracy=0.9)
    exact = option("exact", latency_p50_ms=90, memory_bytes=102, accuracy=0.91)
    lean = option("lean", latency_p50_ms=90, memory_bytes=50, accuracy=0.9)
    found = beaten_by([fast, near, slow, exact, lean], slack=2.0)
    assert list(found) == [slow.name]
    assert found[slow.name] == fast.name


def test_models_whose_accuracy_nobody_knows_do_not_beat_each_other() -> None:
    fast = option("fast", latency_p99_ms=1.0, accuracy=None)
    assert beats(fast, option("slow", latency_p99_ms=2.0, accuracy=None))
    assert not beats(fast, option("slow", model="other", latency_p99_ms=2.0, accuracy=None))
