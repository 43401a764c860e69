"""One row of the HTML report: a measurement with what is derived from it, its marks and its reasons."""

from __future__ import annotations

from dataclasses import dataclass

from piaccel.bench import Measurement, Report, conclusion
from piaccel.bench._html_tags import Child, Html, tag
from piaccel.bench.statistics import Summary, summary


@dataclass(frozen=True)
class Line:
    """A measurement with what is derived from it."""

    row: Measurement
    label: str
    numbers: Summary | None
    fastest: bool

    @property
    def wrong(self) -> bool:
        return self.row.agreement is not None and not self.row.agreement.agrees

    @property
    def status(self) -> str:
        """The class it is drawn with."""
        if self.numbers is None or self.row.error:
            return "failed"
        if self.wrong:
            return "wrong"
        if not self.row.verdict.valid:
            return "invalid"
        return "fastest" if self.fastest else "valid"

    def badges(self) -> list[Html]:
        texts = [
            ("fastest", "fastest", self.fastest),
            ("failed", "not measured", self.status == "failed"),
            ("wrong", "wrong answer", self.wrong),
            ("invalid", "not valid", self.status != "failed" and not self.row.verdict.valid),
            ("unchecked", "answer not checked", self.status != "failed" and self.row.agreement is None),
        ]
        return [tag("span", text, class_=f"badge {name}") for name, text, holds in texts if holds]

    def reasons(self) -> list[str]:
        """Why it is not measured, wrong or not valid; then what else is to be known."""
        row = self.row
        if self.status == "failed":
            return [each for each in (row.error or "no samples", row.hint) if each]
        found = [row.agreement.detail or "its outputs differ"] if row.agreement and self.wrong else []
        return [*found, *row.verdict.reasons, *([row.note] if row.note else [])]

    def why(self) -> Html | None:
        """The reasons as a list."""
        reasons = self.reasons()
        return tag("ul", [tag("li", reason) for reason in reasons], class_="reasons") if reasons else None


def lines_of(report: Report) -> list[Line]:
    """All rows in the order of ``conclusion.in_order``."""
    best = conclusion.winner(report)
    return [
        Line(row, conclusion.label(row, report), None if row.error else summary(row), row is best)
        for row in conclusion.in_order(report)
    ]


def known(value: float | None, form: str = "{}", divisor: float = 1.0) -> str:
    """Write a number, or that there is none: never 0 for what was not measured."""
    return "not measurable here" if value is None else form.format(value / divisor)


def section(name: str, heading: str, *children: Child) -> Html:
    """One part of the page."""
    return tag("section", tag("h2", heading), children, id=name)
