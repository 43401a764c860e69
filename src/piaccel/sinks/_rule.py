"""Which results concern a sink."""

from __future__ import annotations

from dataclasses import dataclass

from piaccel.sinks._event import Event


@dataclass(frozen=True, slots=True)
class Rule:
    """``labels`` of which one must be found with at least ``min_score``; ``absent`` turns that round.

    Written "crack|hole" (one of these), "!good" (none of these) or "*" (anything found); "" is every result.
    """

    labels: tuple[str, ...] = ()
    absent: bool = False
    anything: bool = False
    min_score: float = 0.0

    @classmethod
    def of(cls, text: str, min_score: float = 0.0) -> Rule:
        text = text.strip()
        absent = text.startswith("!")
        labels = tuple(label.strip() for label in text.removeprefix("!").split("|") if label.strip())
        anything = labels == ("*",)
        return cls(() if anything else labels, absent, anything or (not labels and min_score > 0), min_score)

    def matches(self, event: Event) -> bool:
        """Say whether the event is one for this rule; an event without a result matches only the rule for all."""
        if not (self.labels or self.anything):
            return True
        if event.result is None:
            return False
        found = any(
            score >= self.min_score and (self.anything or label in self.labels)
            for label, score in event.result.findings()
        )
        return found is not self.absent
