from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from piaccel.bench import Report, html
from piaccel.bench._html_scale import Scale, brief, number
from piaccel.bench._html_tags import Html, tag
from tests.bench import reports

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
VOID = {"meta", "br", "line", "path", "rect"}

CASES = {
    "with everything": reports.report(count=60),
    "without sensors and stages": reports.report(count=60, sensors=False, stages=False),
    "with hostile names": reports.report(count=60, hostile=True),
    "with one repeat of few samples": reports.report(count=5, repeats=1),
    "with nothing measured": replace(reports.report(count=5), measurements=reports.report(count=5).measurements[-1:]),
    "interrupted and empty": Report({}, {}, {}, [], interrupted=True),
}


class Page(HTMLParser):
    """Holds a page's text and attributes, and insists that every element that opens is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        assert name not in ("script", "img", "iframe", "link", "object", "base", "form"), name
        self.attributes += [(name, key, value or "") for key, value in attributes]
        if name not in VOID:
            self.open.append(name)

    def handle_startendtag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        assert name in VOID, name
        self.handle_starttag(name, attributes)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module", params=CASES)
def page(request: pytest.FixtureRequest) -> str:
    return html.render(CASES[request.param])


def test_the_page_is_well_formed(page: str) -> None:
    assert page.startswith("<!DOCTYPE html>")
    assert Page(page).text


def test_the_page_needs_nothing_from_outside(page: str) -> None:
    assert not re.search(r"https?:|//[a-z]|url\(|@import|\bsrc=|\bhref=|javascript:|\son\w+=\"", _markup(page))


def _markup(page: str) -> str:
    """The page without its text, where a hostile name may say anything."""
    return "".join(re.findall(r"<style>.*?</style>|<[^>]*>", page, re.DOTALL))


def test_a_drawing_holds_only_numbers_inside_its_frame(page: str) -> None:
    for name, key, value in Page(page).attributes:
        if key == "d":
            assert re.fullmatch(r"[MLVHZ0-9. -]+", value), value
        if name in ("line", "rect") and key in ("x", "x1", "x2", "width"):
            assert -0.01 <= float(value) <= 1000.01
        if name in ("line", "rect", "path") and key in ("y", "y1", "y2"):
            assert float(value) >= 0


def test_every_row_is_there_with_its_marks_and_reasons() -> None:
    text = Page(html.render(CASES["with everything"])).text
    assert "litert/int8 is fastest: 4.1" in text
    assert "litert/int8 fastest 4 int8" in text
    assert "ncnn/fp32-ncnn wrong answer" in text
    assert "top-1 differs on 3 of 4 pictures" in text
    assert "onnxruntime/fp32-onnx not valid" in text
    assert "hot: 85.2 °C" in text
    assert "opencv/fp32-onnx not measured" in text
    assert "OpenCV DNN cannot read operator 'HardSwish'" in text
    assert "use --backend litert" in text
    assert text.count(" fastest 4 int8") == 1


def test_the_sensors_are_drawn_with_their_range_and_the_throttling_in_words() -> None:
    text = Page(html.render(CASES["with everything"])).text
    assert "CPU clock 1.49 to 2.40 GHz" in text
    assert "throttle flags clock capped, throttled" in text
    assert "throttle flags none" in text


def test_what_was_not_measured_says_so_and_is_never_0() -> None:
    bare = CASES["without sensors and stages"]
    row = bare.measurements[0]
    run = replace(row.repeats[0], rss_peak_bytes=None, cpu_ns=0, other_load=None)
    text = Page(html.render(replace(bare, measurements=[replace(row, repeats=[run], agreement=None)]))).text
    assert "temperature not measurable here CPU clock not measurable here throttle flags not measurable here" in text
    assert "CPU cores kept busy not measurable here" in text
    assert "cores busy with other work not measurable here" in text
    assert "answer not checked" in text
    assert "End to end, by stage" not in text
    assert "Nothing is called fastest" in text or "is fastest" in text


def test_a_sensor_that_failed_for_a_while_leaves_a_gap() -> None:
    made = CASES["with everything"]
    run = made.measurements[0].repeats[0]
    holes = [
        replace(each, values=[None if 5 <= at < 9 else value for at, value in enumerate(each.values)])
        for each in run.series
    ]
    row = replace(made.measurements[0], repeats=[replace(run, series=holes)])
    page = html.render(replace(made, measurements=[row]))
    assert page.count('class="trace temperature_c"') == 2


def test_hostile_names_are_shown_as_text_and_never_become_markup() -> None:
    page = html.render(CASES["with hostile names"])
    assert "<script" not in page.lower()
    assert "<img" not in page.lower()
    assert reports.HOSTILE in Page(page).text
    assert not [value for _, key, value in Page(page).attributes if key.startswith("on")]


def test_control_characters_and_lone_surrogates_do_not_reach_the_page() -> None:
    made = replace(CASES["with everything"], model={"name": "a\x00b\x1b[31m\ud800c"})
    html.render(made).encode()
    assert "a�b�[31m�c" in Page(html.render(made)).text


def test_an_interrupted_report_says_so() -> None:
    assert "Interrupted" in Page(html.render(CASES["interrupted and empty"])).text


def test_the_same_report_gives_the_same_page() -> None:
    made = CASES["with everything"]
    assert html.render(made) == html.render(made)


def test_a_spike_survives_the_drawing_of_many_samples() -> None:
    made = CASES["with everything"]
    run = made.measurements[1].repeats[0]
    many = [9_000_000 + at % 7 for at in range(20_000)]
    many[12_345] = 90_000_000
    row = replace(made.measurements[1], repeats=[replace(run, latency_ns=many, duration_ns=sum(many))])
    page = html.render(replace(made, measurements=[row]))
    assert "latency 9.00 to 90.0 ms" in Page(page).text
    envelope = re.search(r'class="envelope" d="([^"]*)"', page)
    assert envelope is not None
    heights = [float(point.split()[1]) for point in re.split("[ML]", envelope[1].rstrip("Z")) if point]
    assert len(heights) < 1000
    assert min(heights) < 10  # of 120: nearly at the top
    assert len(page) < 100_000


def test_stragglers_beyond_the_axis_are_counted() -> None:
    made = CASES["with everything"]
    run = made.measurements[1].repeats[0]
    slow = [*[9_000_000 + at for at in range(997)], 40_000_000, 41_000_000, 42_000_000]
    row = replace(made.measurements[1], repeats=[replace(run, latency_ns=slow)])
    assert "3 slower, up to 42.0 ms ▸" in Page(html.render(replace(made, measurements=[row]))).text


def test_many_rows_are_folded_but_the_fastest() -> None:
    made = CASES["with everything"]
    rows = [replace(made.measurements[1], threads=threads) for threads in range(1, 13)]
    page = html.render(replace(made, measurements=rows))
    cards = [tag_ for tag_ in re.findall(r"<details[^>]*>", page) if "card" in tag_]
    assert [" open=" in card for card in cards] == [True] + [False] * 11


def test_offline_and_server_rows_show_what_they_are_measured_by() -> None:
    made = CASES["without sensors and stages"]
    row = replace(
        made.measurements[0],
        scenario="server",
        server={"rate_per_s": 87.6, "latency_bound_ns": 50_000_000, "percentile": 99},
    )
    text = Page(html.render(replace(made, measurements=[row]))).text
    assert "87.6 queries per second with 99 % answered within 50 ms" in text
    assert "queries/s" in text


def test_the_page_is_written_whole(tmp_path: Path) -> None:
    html.write(CASES["with everything"], tmp_path / "new" / "report.html")
    assert (tmp_path / "new" / "report.html").read_text(encoding="utf-8") == html.render(CASES["with everything"])


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("case", ["with everything", "with hostile names"])
def test_a_real_browser_opens_the_page_without_complaint(case: str, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    made = CASES[case]
    html.write(made, tmp_path / "report.html")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --disable-dev-shm-usage --enable-logging=stderr --dump-dom"
    )
    done = subprocess.run(
        [CHROMIUM, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "report.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert not re.findall(r".*CONSOLE.*", done.stderr)
    dom = re.sub(r"<style>.*?</style>", "", done.stdout, flags=re.DOTALL)
    for row in made.measurements:
        assert re.search(rf'<th scope="row">{row.backend}/', dom), row.backend
    assert "<script" not in dom
    assert dom.count("<svg") == html.render(made).count("<svg")


def test_only_markup_is_written_as_markup() -> None:
    assert tag("b", "<i>", tag("i", "&"), None, [Html("<br/>"), 5], class_='a"b') == (
        '<b class="a&quot;b">&lt;i&gt;<i>&amp;</i><br/>5</b>'
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (0.04123, "0.0412"),
        (4.1234, "4.12"),
        (9.999, "10.00"),
        (41.23, "41.2"),
        (412.3, "412"),
        (4123.0, "4,123"),
    ],
)
def test_numbers_are_written_with_three_digits(value: float, written: str) -> None:
    assert number(value) == written


@pytest.mark.parametrize(
    ("low", "high"), [(3.2, 17.9), (0.13, 0.14), (1.0, 500.0), (5.0, 5.0), (0.02, 0.9), (40.0, 3000.0)]
)
def test_an_axis_has_round_ticks_inside_it(low: float, high: float) -> None:
    scale = Scale.over(low, high)
    assert scale.log == (high / low > 20)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 14
    places = scale.at(np.array(ticks))
    assert (np.diff(places) > 0).all()
    assert ((places >= 0) & (places <= 1)).all()
    assert all(
        re.fullmatch(r"[125]0*|0", brief(tick).replace(".", "").replace(",", "").lstrip("0") or "0") or not scale.log
        for tick in ticks
    )
    assert 0 <= scale.at(low) < 0.5 <= scale.at(high) <= 1 or low == high
