"""From options and limits to the pick, or to what would have to change when nothing fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from piaccel.selection import Change, Option, Prefer
from piaccel.selection.limits import Limit, loosened

_WORDS: dict[Prefer, str] = {
    "accuracy": "the most accurate that fits, ties by latency",
    "speed": "the one with the lowest latency p99 that fits",
    "memory": "the one that needs the least memory and fits",
    "power": "the one that draws the least power and fits",
}


@dataclass(frozen=True)
class Decision:
    """``unjudged`` are the options of the command line whose limits nobody could judge for the pick."""

    pick: Option | None
    why: str
    fits: bool
    unjudged: tuple[str, ...]
    ruled_out: dict[str, int]
    changes: tuple[Change, ...]


def decide(
    options: Sequence[Option],
    limits: Sequence[Limit],
    prefer: Prefer = "accuracy",
    allow_unknown: bool = False,
) -> Decision:
    """Choose. What meets all limits comes before what may meet them, unless the unknown is allowed."""
    ruled_out = Counter(limit.kind.option for each in options for limit in limits if limit.judge(each) is False)
    counts = {limit.kind.option: ruled_out[limit.kind.option] for limit in limits if ruled_out[limit.kind.option]}
    possible = [each for each in options if not _failed(each, limits)]
    proven = [each for each in possible if not _unjudged(each, limits)]
    among = possible if allow_unknown or not proven else proven
    if not among:
        return Decision(None, _nothing(options, limits), False, (), counts, changes(options, limits))
    pick, words = _best(among, prefer)
    unjudged = _unjudged(pick, limits)
    count = f"{words}; {len(possible)} of {len(options)} measured to the end "
    count += "have no limit against them" if limits else "stand to choose from, no limit was given"
    if unjudged:
        count += f"; NOT judged: {', '.join(unjudged)}"
    return Decision(pick, count, allow_unknown or not unjudged, unjudged, counts, ())


def changes(options: Sequence[Option], limits: Sequence[Limit]) -> tuple[Change, ...]:
    """Return, for each limit that alone keeps an option out, its smallest change that lets one in; smallest first.

    Where every option breaks two or more limits, the changes of all limits of the one that breaks the fewest.
    """
    best: dict[str, tuple[float, Change]] = {}
    for each in options:
        failed = _failed(each, limits)
        if len(failed) == 1:
            size, change = _change(each, failed[0])
            if failed[0].kind.option not in best or size < best[failed[0].kind.option][0]:
                best[failed[0].kind.option] = (size, change)
    if best:
        return tuple(change for _, change in sorted(best.values(), key=lambda found: found[0]))
    if not options:
        return ()
    nearest = min(options, key=lambda each: _distance(each, limits))
    return tuple(_change(nearest, limit)[1] for limit in _failed(nearest, limits))


def _best(among: Sequence[Option], prefer: Prefer) -> tuple[Option, str]:
    words = _WORDS[prefer]
    bases = {each.figures["accuracy"].basis for each in among if each.value("accuracy") is not None}
    accuracy = ["accuracy"] if len(bases) == 1 else []
    if prefer == "accuracy" and not bases:
        words = "no accuracy is known: the one with the lowest latency p99 that fits"
    elif prefer == "accuracy" and len(bases) > 1:
        words = "their accuracies cannot be compared: the one with the lowest latency p99 that fits"
    first = {"accuracy": accuracy, "speed": [], "memory": ["memory_bytes"], "power": ["power_w"]}[prefer]
    if prefer == "power" and all(each.value("power_w") is None for each in among):
        words = "no power is known: the one with the lowest latency p99 that fits"
    keys = [*first, "latency_p99_ms", *accuracy, "memory_bytes"]
    return min(among, key=lambda each: ([_cost(each, key) for key in keys], each.name)), words


def _cost(option: Option, key: str) -> float:
    """Smaller is better; the unknown comes last."""
    value = option.value(key)
    if value is None:
        return float("inf")
    return -value if key == "accuracy" else value


def _failed(option: Option, limits: Sequence[Limit]) -> list[Limit]:
    return [limit for limit in limits if limit.judge(option) is False]


def _unjudged(option: Option, limits: Sequence[Limit]) -> tuple[str, ...]:
    return tuple(limit.kind.option for limit in limits if limit.judge(option) is None)


def _change(option: Option, limit: Limit) -> tuple[float, Change]:
    value = option.value(limit.kind.key)
    if value is None:
        raise ValueError(f"{limit.kind.option} does not rule out {option.name}")
    text = f"with {limit.kind.option} {loosened(limit.kind, value)}: {option.name}"
    return _relative(value, limit), Change(limit.kind.option, value, text, option.name)


def _relative(value: float, limit: Limit) -> float:
    return abs(value - limit.bound) / limit.bound if limit.bound else float("inf")


def _distance(option: Option, limits: Sequence[Limit]) -> tuple[int, float]:
    failed = _failed(option, limits)
    return len(failed), sum(_change(option, limit)[0] for limit in failed)


def _nothing(options: Sequence[Option], limits: Sequence[Limit]) -> str:
    if not options:
        return "nothing could be measured"
    given = ", ".join(f"{limit.kind.option} {limit.written}" for limit in limits)
    return f"none of {len(options)} meets {given}"
