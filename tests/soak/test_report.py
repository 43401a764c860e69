"""The JSON reads back as it was; the page holds the curves, needs nothing from outside, and escapes every name."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from piaccel.errors import InputError, NotFoundError
from piaccel.soak import Plan, Soak, html, report
from piaccel.soak.run import soak
from piaccel.testing.thermal import ThermalBoard
from tests.browser import CHROMIUM, Browser


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Soak:
    board = ThermalBoard(tmp_path_factory.mktemp("soak") / "pi", files=False)
    return soak(
        [board.work],
        Plan(load_s=900.0, confirm_s=120.0),
        sensors=board.gauges(),
        limit_c=80.0,
        clock=board,
        target={"model": "<script>alert(1)</script>"},
        environment={"board": {"model": "Raspberry Pi 5"}, "cooling": "none & open", "ambient_c": 25.0},
        rss_bytes=lambda: 80 * 2**20,
    )


def test_a_soak_reads_back_as_it_was_written(seen: Soak, tmp_path: Path) -> None:
    report.write(seen, tmp_path / "soak.json")
    assert report.read(tmp_path / "soak.json") == seen
    document = json.loads((tmp_path / "soak.json").read_text())
    assert document["verdict"]["kind"] == "throttles"
    assert document["findings"]["sustainable"]["basis"] == "confirmed"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a soak"),
        (b'{"schema": "piaccel-soak/2"}', "not a soak"),
        (b'{"schema": "piaccel-soak/1", "soak": {}}', "not a whole soak"),
    ],
)
def test_what_is_no_soak_is_named_in_one_line(data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(InputError, match=said) as refused:
        report.read(tmp_path / "x.json")
    assert "\n" not in str(refused.value)
    with pytest.raises(NotFoundError):
        report.read(tmp_path / "none.json")


def test_the_page_says_the_story_and_takes_names_as_text(seen: Soak) -> None:
    page = html.render(seen)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "cooling: none &amp; open" in page
    assert "It throttles after 4 min" in page
    assert "confirmed for 2 min" in page
    assert "80 °C: throttling begins" in page
    assert not re.findall(r'(?:src|href)="', page)


def test_what_was_not_measured_is_said_and_not_drawn(seen: Soak) -> None:
    blind = replace(
        seen,
        rows=[replace(each, temperature_c=None, hottest_c=None, clock_hz=None, throttled=None) for each in seen.rows],
    )
    page = html.render(blind)
    assert page.count("not measurable here") >= 4
    assert 'class="trace heat"' not in page
    assert 'class="trace rate"' in page


def test_a_soak_that_saw_nothing_has_a_page_too(seen: Soak) -> None:
    assert "nothing was answered" in html.render(replace(seen, rows=[], interrupted=True))


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_page_fits_a_phone_and_asks_for_nothing(seen: Soak, tmp_path: Path) -> None:
    html.write(seen, tmp_path / "soak.html")
    browser = Browser(tmp_path / "home")
    try:
        for width in (390, 1200):
            browser.show(width, 900, dark=width == 390)
            browser.go((tmp_path / "soak.html").as_uri())
            browser.until("document.readyState == 'complete' && document.querySelectorAll('svg').length > 3")
            assert browser.ask("document.documentElement.scrollWidth <= innerWidth")
        assert browser.errors == []
        assert all(call.startswith("file:") for call in browser.calls)
    finally:
        browser.close()
