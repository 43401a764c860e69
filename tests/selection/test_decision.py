"""Picks and advice on made-up tables, where the right answer can be read off."""

from __future__ import annotations

from piaccel.selection import Option, Prefer
from piaccel.selection.decision import decide
from piaccel.selection.limits import parse
from tests.selection.test_front import option

TABLE = [
    option("fp32", latency_p99_ms=95.0, accuracy=0.90, accuracy_drop=0.0, memory_bytes=400e6, power_w=7.0),
    option("int8", latency_p99_ms=40.0, accuracy=0.88, accuracy_drop=0.02, memory_bytes=200e6, power_w=6.0),
    option("tiny", latency_p99_ms=10.0, accuracy=0.70, accuracy_drop=0.20, memory_bytes=210e6, power_w=3.0),
]


def picked(options: list[Option], prefer: Prefer = "accuracy", **limits: str) -> str | None:
    given = {f"--max-{name.replace('_', '-')}": text for name, text in limits.items()}
    pick = decide(options, parse(given), prefer).pick
    return pick.variant if pick else None


def test_the_most_accurate_that_fits_is_picked_and_other_wishes_are_heard() -> None:
    assert picked(TABLE) == "fp32"
    assert picked(TABLE, latency_p99="80ms") == "int8"
    assert picked(TABLE, prefer="speed") == "tiny"
    assert picked(TABLE, prefer="memory") == "int8"
    assert picked(TABLE, prefer="power") == "tiny"
    assert picked(TABLE, prefer="power", accuracy_drop="5%") == "int8"


def test_equal_accuracy_is_decided_by_latency() -> None:
    twins = [option("b", latency_p99_ms=9.0, accuracy=0.9), option("a", latency_p99_ms=12.0, accuracy=0.9)]
    assert picked(twins) == "b"
    assert picked(twins[::-1]) == "b"


def test_when_nothing_fits_the_smallest_change_of_one_limit_is_said() -> None:
    found = decide(TABLE, parse({"--max-latency-p99": "80ms", "--max-accuracy-drop": "1.5%"}))
    assert found.pick is None
    assert not found.fits
    assert found.ruled_out == {"--max-latency-p99": 1, "--max-accuracy-drop": 2}
    assert [change.text for change in found.changes] == [
        "with --max-latency-p99 95ms: m: fp32 on litert, 1 thread",
        "with --max-accuracy-drop 2%: m: int8 on litert, 1 thread",
    ]
    for change in found.changes:
        limits = {"--max-latency-p99": "80ms", "--max-accuracy-drop": "1.5%"}
        limits[change.limit] = change.text.split()[2].rstrip(":")
        again = decide(TABLE, parse(limits)).pick
        assert again is not None
        assert again.name == change.option


def test_where_no_single_change_is_enough_the_nearest_option_and_all_its_changes_are_named() -> None:
    found = decide(TABLE, parse({"--max-latency-p99": "5ms", "--max-accuracy-drop": "1%", "--max-memory": "100MB"}))
    assert [change.text for change in found.changes] == [
        "with --max-latency-p99 95ms: m: fp32 on litert, 1 thread",
        "with --max-memory 400MB: m: fp32 on litert, 1 thread",
    ]


def test_a_limit_that_nobody_can_judge_is_not_passed_unless_allowed() -> None:
    blind = [option("fp32", latency_p99_ms=20.0, accuracy=0.9, temp_c=None)]
    limits = parse({"--max-temp": "75", "--max-latency-p99": "80ms"})
    found = decide(blind, limits)
    assert found.pick is blind[0]
    assert not found.fits
    assert found.unjudged == ("--max-temp",)
    assert "NOT judged: --max-temp" in found.why
    allowed = decide(blind, limits, allow_unknown=True)
    assert allowed.fits
    assert "NOT judged: --max-temp" in allowed.why


def test_what_is_known_to_fit_comes_before_what_may_fit() -> None:
    both = [
        option("maybe", latency_p99_ms=20.0, accuracy=0.95, temp_c=None),
        option("surely", latency_p99_ms=20.0, accuracy=0.9, temp_c=60.0),
    ]
    assert picked(both, temp="75") == "surely"
    chosen = decide(both, parse({"--max-temp": "75"}), allow_unknown=True).pick
    assert chosen is both[0]


def test_accuracies_of_different_kinds_are_not_compared() -> None:
    mixed = [
        option("self", "agreement", latency_p99_ms=20.0, accuracy=1.0),
        option("real", "top-1", latency_p99_ms=10.0, accuracy=0.8),
    ]
    found = decide(mixed, ())
    assert found.pick is mixed[1]
    assert "cannot be compared" in found.why


def test_nothing_measured_is_no_pick_and_no_crash() -> None:
    found = decide([], parse({"--fps": "15"}))
    assert (found.pick, found.changes, found.fits) == (None, (), False)
    assert found.why == "nothing could be measured"
