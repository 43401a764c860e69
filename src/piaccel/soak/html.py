"""A soak as one HTML page that needs nothing else: no script, no font, no picture from outside."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from piaccel.bench._html_scale import number
from piaccel.bench._html_tags import Child, Html, tag
from piaccel.files import write_atomic
from piaccel.soak import Row, Soak
from piaccel.soak._charts import Chart
from piaccel.soak.findings import Findings, find, held_rows
from piaccel.soak.verdict import Verdict, judge, span
from piaccel.soak.words import conclusion, sustainable

_HARD_C = 85.0
_MIB = 2**20


def render(soak: Soak) -> str:
    """Return the page. Every name in the soak is taken as text, never as markup."""
    found = find(soak)
    verdict = judge(soak, found)
    title = f"Soak of {soak.target.get('model', 'a model')}"
    body = [
        _header(soak, found, verdict, title),
        _drawings(soak, found),
        _numbers(found),
        _errors(soak),
        _conditions(soak),
    ]
    style = [
        resources.files("piaccel.bench").joinpath("static/report.css").read_text(encoding="utf-8"),
        resources.files("piaccel.soak").joinpath("static/soak.css").read_text(encoding="utf-8"),
    ]
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html("\n".join(style))),
    ]
    page = tag("html", tag("head", head), tag("body", tag("main", body)), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def write(soak: Soak, path: str | os.PathLike[str]) -> None:
    """Write the page; what was at ``path`` stays until the new file is whole."""
    write_atomic(Path(path), render(soak))


def _header(soak: Soak, found: Findings, verdict: Verdict, title: str) -> Html:
    board = soak.environment.get("board") or {}
    versions = soak.environment.get("versions") or {}
    cooling, ambient = soak.environment.get("cooling"), soak.environment.get("ambient_c")
    where = [
        board.get("model") or board.get("cpu") or "unknown board",
        f"cooling: {cooling}" if cooling else None,
        f"ambient {ambient:g} °C" if ambient is not None else None,
        soak.created.replace("T", " ").replace("+00:00", " UTC"),
        f"piaccel {versions['piaccel']}" if versions.get("piaccel") else None,
    ]
    kind = _tone(verdict)
    return tag(
        "header",
        tag("h1", title),
        tag("p", " · ".join(str(part) for part in where if part), class_="where"),
        tag(
            "p", tag("span", verdict.kind, class_=f"badge kind {kind}"), conclusion(soak, found, verdict),
            class_=f"conclusion {kind}",
        ),
        tag("p", "Cut short: the page shows what was seen by then.", class_="cut") if soak.interrupted else None,
        tag("div", [_tile(*each) for each in _tiles(soak, found)], class_="tiles"),
        tag(
            "div",
            _list("Why", verdict.reasons),
            _list("What to do", verdict.advice),
            class_="lists",
        ),
    )  # fmt: skip


def _tone(verdict: Verdict) -> str:
    if verdict.passed:
        return "pass"
    return "unsure" if verdict.kind in ("not settled", "sensor missing") else "failing"


def _tiles(soak: Soak, found: Findings) -> list[tuple[str, str | None, str]]:
    after = found.throttled_after_s
    best = found.sustainable
    heat = (
        f"from {found.idle_c:.0f} °C idle, {found.hottest_c:.0f} °C at most" if found.idle_c and found.hottest_c else ""
    )
    room = found.head_room_c
    never = "never" if found.throttling_known else None
    return [
        ("Sustainable rate", None if best is None else f"{number(best.rate_per_s)}/s", sustainable(best)),
        (
            "Time to throttle",
            never if after is None else span(after),
            f"held down for {found.held_share:.0%} of the load"
            if after is not None
            else f"in {span(found.load_s)} of load",
        ),
        ("Rate at the end", _per_s(found.rate_steady_per_s), f"{_per_s(found.rate_start_per_s) or '?'} at the begin"),
        ("Temperature at the end", _unit(found.steady_c, "°C"), heat),
        (
            "Head room",
            None if room is None else f"{room:.1f} °C",
            f"to {soak.limit_c:g} °C, where throttling begins" if soak.limit_c is not None else "limit not known here",
        ),
        (
            "Median latency at the end",
            _unit(found.p50_steady_ms, "ms"),
            f"{_unit(found.p50_start_ms, 'ms') or '?'} at the begin",
        ),
    ]


def _tile(name: str, value: str | None, small: str) -> Html:
    shown = tag("b", value) if value is not None else tag("b", "not measurable here", class_="none")
    return tag("div", tag("h3", name), shown, tag("small", small) if small else None, class_="tile")


def _list(heading: str, lines: Sequence[str]) -> Html | None:
    return tag("div", tag("h3", heading), tag("ul", [tag("li", each) for each in lines])) if lines else None


def _drawings(soak: Soak, found: Findings) -> Html | None:
    if not soak.rows:
        return None
    chart = Chart(soak.rows, held_rows(soak))
    limit = soak.limit_c
    limits = [] if limit is None else [(limit, f"{limit:g} °C: throttling begins")]
    if limit is not None and limit < _HARD_C and found.hottest_c is not None and found.hottest_c > limit - 10:
        limits.append((_HARD_C, f"{_HARD_C:g} °C: lowest clock"))
    keys = [tag("span", "throttled", class_="colour held")] if any(held_rows(soak)) else []
    if soak.confirmed_rate_per_s is not None:
        keys.append(tag("span", f"at {number(soak.confirmed_rate_per_s)}/s", class_="colour confirm"))
    shades = [tag("span", name, class_=f"colour {name}") for name in ("p50", "p95", "p99")]

    def whole(row: Row) -> bool:
        return row.seconds >= soak.plan.row_s / 2  # the rate of a moment at a stage's end says nothing

    content: list[Child] = [
        chart.stages(),
        chart.draw(
            "temperature (°C)", _ends(found.idle_c, found.hottest_c, "°C"), [("heat", lambda row: row.temperature_c)],
            limits=limits, roof=max((value + 2 for value, _ in limits), default=None), height=170,
        ),
        chart.draw("clock (GHz)", _ends(found.clock_start_hz, found.clock_steady_hz, "GHz", 1e9),
                   [("clock", lambda row: None if row.clock_hz is None else row.clock_hz / 1e9)], floor=0.0, height=90),
        chart.draw("rate (1/s)", _ends(found.rate_start_per_s, found.rate_steady_per_s, "/s"),
                   [("rate", lambda row: row.rate_per_s if row.stage in ("load", "confirm") and whole(row) else None)],
                   floor=0.0, height=110),
        chart.draw("latency (ms)", "median, p95 and p99 of each row",
                   [("p99", lambda row: row.p99_ms), ("p95", lambda row: row.p95_ms), ("p50", lambda row: row.p50_ms)],
                   floor=0.0, height=110),
    ]  # fmt: skip
    if any(row.fan_rpm is not None for row in soak.rows):
        content.append(chart.draw("fan (rpm)", "", [("fan", lambda row: row.fan_rpm)], floor=0.0, height=60))
    if any(row.power_w is not None for row in soak.rows):
        what = _ends(found.idle_w, found.power_w, "W")
        content.append(chart.draw("power (W)", what, [("power", lambda row: row.power_w)], floor=0.0, height=60))
    if any(row.rss_bytes is not None for row in soak.rows):
        content.append(
            chart.draw(
                "memory (MiB)", "resident, of the process that runs the model",
                [("memory", lambda row: None if row.rss_bytes is None else row.rss_bytes / _MIB)], floor=0.0, height=60,
            )
        )  # fmt: skip
    content.append(chart.minutes())
    return tag(
        "section", tag("h2", "Over time"), tag("p", keys, shades), tag("div", content, class_="drawings"), id="time"
    )


def _numbers(found: Findings) -> Html:
    hz = 1e6
    pairs = [
        ("rate", found.rate_start_per_s, found.rate_steady_per_s, "/s", 1.0),
        ("median latency", found.p50_start_ms, found.p50_steady_ms, "ms", 1.0),
        ("p99 latency", found.p99_start_ms, found.p99_steady_ms, "ms", 1.0),
        ("clock", found.clock_start_hz, found.clock_steady_hz, "MHz", hz),
        ("temperature", found.idle_c, found.steady_c, "°C", 1.0),
    ]
    rows = [
        tag(
            "tr",
            tag("th", name),
            [tag("td", _unit(None if v is None else v / by, unit) or "not measurable here") for v in (a, b)],
            tag("td", f"{b / a - 1:+.1%}" if a and b is not None and unit != "°C" else ""),
        )
        for name, a, b, unit, by in pairs
    ]
    head = tag("tr", [tag("th", each) for each in ("", "begin (temperature: idle)", "end", "change")])
    facts = [
        ("answers", f"{found.answers:,}"),
        ("failed requests", f"{found.errors:,}"),
        (
            "throttle flags under load",
            ", ".join(found.words) or ("none" if found.throttling_known else "not measurable here"),
        ),
        ("under-voltage", {None: "not measurable here", True: "yes", False: "no"}[found.under_voltage]),
        ("temperature settled", {None: "not measurable here", True: "yes", False: "no"}[found.settled]),
    ]
    if found.fit is not None and found.fit.is_certain:
        facts.append(("unthrottled, it would settle at", f"{found.fit.last_c:.0f} °C (exponential fit)"))
        facts.append(("time constant", span(found.fit.tau_s)))
    facts.append(("energy of an answer, above idle", _unit(found.energy_mj, "mJ") or "not measurable here"))
    if found.rss_growth_bytes is not None:
        facts.append(("memory growth", f"{found.rss_growth_bytes / _MIB:+.1f} MiB"))
    return tag(
        "section", tag("h2", "Numbers"),
        tag("div", tag("table", tag("thead", head), tag("tbody", rows)), class_="wide", tabindex="0"),
        tag("dl", [[tag("dt", name), tag("dd", value)] for name, value in facts], style="margin-top:.8rem"),
        id="numbers",
    )  # fmt: skip


def _errors(soak: Soak) -> Html | None:
    if not soak.errors:
        return None
    lines = [tag("li", f"{count} times: {text}") for text, count in soak.errors.items()]
    return tag("section", tag("h2", "Errors"), tag("ul", lines, class_="reasons"))


def _conditions(soak: Soak) -> Html:
    plan = soak.plan
    asked = {
        "load": span(plan.load_s),
        "idle before": span(plan.idle_s),
        "rate": "as fast as possible" if plan.rate_per_s is None else f"{plan.rate_per_s:g} a second",
        "clients": plan.clients,
        "first answer": _unit(soak.warmup_ms, "ms"),
        "a row is": span(plan.row_s),
    }
    stated = {
        "cooling": soak.environment.get("cooling") or "not stated",
        "ambient": _unit(soak.environment.get("ambient_c"), "°C") or "not stated",
    }
    board = soak.environment.get("board") or {}
    parts = [
        ("Loaded", soak.target),
        ("Asked for", asked),
        ("Stated by the user", stated),
        ("Board", {**board, "max_freq_hz": _unit((board.get("max_freq_hz") or 0) / 1e9 or None, "GHz"),
                   "ram_bytes": _unit((board.get("ram_bytes") or 0) / 2**30 or None, "GiB")}),
        ("Versions", soak.environment.get("versions") or {}),
        ("Power", {"read by": soak.environment.get("power") or "no source was found here"}),
    ]  # fmt: skip
    columns = [tag("div", tag("h3", heading), _pairs(entries)) for heading, entries in parts]
    return tag("section", tag("h2", "Conditions"), tag("div", columns, class_="columns"), id="conditions")


def _pairs(entries: Mapping[str, Any]) -> Html:
    names = {"max_freq_hz": "highest clock", "ram_bytes": "memory", "os_codename": "OS"}
    return tag(
        "dl",
        [
            [
                tag("dt", names.get(name, name.replace("_", " "))),
                tag("dd", str(value) if value not in (None, "") else "unknown"),
            ]
            for name, value in entries.items()
        ],
    )


def _ends(first: float | None, last: float | None, unit: str, by: float = 1.0) -> str:
    if first is None or last is None:
        return ""
    return f"{number(first / by)} to {number(last / by)} {unit}"


def _unit(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{number(value)} {unit}"


def _per_s(value: float | None) -> str | None:
    return None if value is None else f"{number(value)}/s"
