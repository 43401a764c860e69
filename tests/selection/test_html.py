"""The page of a choice: made-up tables, hostile names, a phone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from piaccel.selection import LeftOut, Selection, html
from tests.bench.reports import HOSTILE
from tests.browser import CHROMIUM, Browser
from tests.selection.test_front import option

OPTIONS = [
    option("fp32", latency_p99_ms=95.0, accuracy=0.90, memory_bytes=400e6),
    option("int8", latency_p99_ms=40.0, accuracy=0.88, memory_bytes=200e6),
    option("worse", latency_p99_ms=60.0, accuracy=0.80, memory_bytes=300e6),
    option(HOSTILE, latency_p99_ms=10.0, accuracy=0.70, memory_bytes=210e6),
    option("blind", latency_p99_ms=12.0, accuracy=None),
]
FOUND = Selection(
    OPTIONS,
    [each.name for each in OPTIONS if each.variant != "worse"],
    OPTIONS[1],
    "the most accurate that fits",
    "accuracy",
    {"--max-latency-p99": "80ms"},
    fits=True,
    ruled_out={"--max-latency-p99": 1},
    left_out=[LeftOut("m: slow on opencv, 1 thread", HOSTILE, round=1)],
    board=HOSTILE,
    created="2026-11-22T17:50:00+00:00",
)


def test_names_are_shown_as_text_and_never_become_markup() -> None:
    page = html.render(FOUND)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 4


def test_only_what_has_both_figures_is_drawn_and_the_pick_is_marked_once() -> None:
    page = html.render(FOUND)
    assert page.count("<circle") == 4
    assert page.count('class="pick"') == 1
    assert page.count('class="off"') == 1, "what is beaten in everything"
    assert "blind" in page


def test_where_nothing_fits_the_page_says_what_rules_out_what() -> None:
    page = html.render(replace(FOUND, pick=None, fits=False, why="every option breaks a limit"))
    assert "Nothing fits: every option breaks a limit" in page
    assert "--max-latency-p99 rules out 1 of 5" in page
    assert 'class="pick"' not in page


def test_where_no_accuracy_is_known_nothing_is_drawn_and_it_is_said() -> None:
    page = html.render(replace(FOUND, options=OPTIONS[4:], pick=None))
    assert "<circle" not in page
    assert "No option has both" in page


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_page_fits_a_phone_and_asks_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "choice.html").write_text(html.render(FOUND), encoding="utf-8")
    browser = Browser(tmp_path / "home")
    try:
        for width in (390, 1200):
            browser.show(width, 900, dark=width == 390)
            browser.go((tmp_path / "choice.html").as_uri())
            browser.until("document.readyState == 'complete' && document.querySelectorAll('circle').length == 4")
            assert browser.ask("document.documentElement.scrollWidth <= innerWidth")
            inside = (
                "[...document.querySelectorAll('circle')].every(each => {"
                "const a = each.getBoundingClientRect(), b = each.ownerSVGElement.getBoundingClientRect();"
                "return a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom})"
            )
            assert browser.ask(inside)
        assert browser.errors == []
        assert all(call.startswith("file:") for call in browser.calls)
    finally:
        browser.close()
