"""A report as one HTML page that needs nothing else: no script, no font, no picture from outside.

It opens without a network, follows the reader's light or dark theme, and prints. Samples are drawn in stretches that
keep their extremes, so a spike is never lost; the numbers come from every sample, and those stand in the JSON.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from piaccel.bench import Report, conclusion
from piaccel.bench._html_facts import agreement, conditions, details, method, models
from piaccel.bench._html_line import Line, lines_of
from piaccel.bench._html_results import distributions, stages, table
from piaccel.bench._html_tags import Html, tag
from piaccel.files import write_atomic


def render(report: Report) -> str:
    """Return the page. Every name in the report is taken as text, never as markup."""
    lines = lines_of(report)
    measured = [line for line in lines if line.numbers is not None]
    title = f"Benchmark of {report.model.get('name', 'a model')}"
    body = [
        _header(report, title, lines),
        table(report, lines),
        distributions(measured),
        stages(measured),
        agreement(report, measured),
        details(measured),
        models(report),
        conditions(report),
        method(),
    ]
    style = resources.files("piaccel.bench").joinpath("static/report.css").read_text(encoding="utf-8")
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(style)),
    ]
    page = tag("html", tag("head", head), tag("body", tag("main", body)), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def write(report: Report, path: str | os.PathLike[str]) -> None:
    """Write the page; what was at ``path`` stays until the new file is whole."""
    write_atomic(Path(path), render(report))


def _header(report: Report, title: str, lines: Sequence[Line]) -> Html:
    board = report.environment.get("board") or {}
    versions = report.environment.get("versions") or {}
    where = [
        board.get("model") or board.get("cpu") or "unknown board",
        report.conditions.get("scenario"),
        report.created.replace("T", " ").replace("+00:00", " UTC").replace("Z", " UTC"),
        f"piaccel {versions['piaccel']}" if versions.get("piaccel") else None,
    ]
    kind = "sure" if any(line.fastest for line in lines) else "unsure"
    cut = (
        tag("p", "Interrupted: the page shows what was finished by then.", class_="cut") if report.interrupted else None
    )
    return tag(
        "header",
        tag("h1", title),
        tag("p", " · ".join(str(part) for part in where if part), class_="where"),
        tag("p", conclusion.sentence(report), class_=f"conclusion {kind}"),
        cut,
    )
