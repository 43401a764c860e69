"""The Pareto front: the options that no other one beats in everything.

Minimised: latency (p99), memory, power. Maximised: rate, accuracy. Two options are compared in a figure only where both
have it; where one has it and the other does not, or their accuracies were measured on different things, neither beats
the other. Variants of one model whose accuracy nobody knows are taken for equal there, as they gave the reference's
answer; different models are not. That keeps the relation an order: what is beaten by a beaten option is beaten too.
"""

from __future__ import annotations

from collections.abc import Sequence

from piaccel.selection import Option

SMALLER = ("latency_p99_ms", "memory_bytes", "power_w")
LARGER = ("fps", "accuracy")
ROUGH = ("latency_p50_ms", "memory_bytes", "power_w", "accuracy")
SAME_MEMORY = 0.05


def beats(one: Option, other: Option, slack: float = 1.0) -> bool:
    """Say whether ``one`` is at least as good as ``other`` in everything and better in something.

    ``slack`` above 1 is for short measurements. Their medians count, because a p99 needs more samples; ``other`` is
    taken to be so many times faster than it was, memories that differ by less than ``SAME_MEMORY`` to be the same.
    """
    better = False
    for key in (*SMALLER, *LARGER) if slack == 1 else ROUGH:
        ours, theirs = one.value(key), other.value(key)
        if ours is None and theirs is None and (key != "accuracy" or one.model == other.model):
            continue
        if ours is None or theirs is None:
            return False
        if key == "accuracy" and one.figures[key].basis != other.figures[key].basis:
            return False
        if key == "memory_bytes" and slack != 1 and abs(ours - theirs) <= SAME_MEMORY * theirs:
            continue
        if key == "latency_p50_ms":
            theirs /= slack
        if key in LARGER:
            ours, theirs = -ours, -theirs
        if ours > theirs:
            return False
        better = better or ours < theirs
    return better


def front(options: Sequence[Option]) -> list[Option]:
    """Return the options that no other beats, in their order."""
    return [each for each in options if not any(beats(other, each) for other in options)]


def beaten_by(options: Sequence[Option], slack: float) -> dict[str, str]:
    """Return what is beaten even if it were ``slack`` times faster than measured, and by what, by their names."""
    found = {}
    for each in options:
        winner = next((other for other in options if beats(other, each, slack)), None)
        if winner is not None:
            found[each.name] = winner.name
    return found
