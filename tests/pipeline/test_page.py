"""The page in a real browser."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from piaccel.pipeline.snapshot import Snapshot
from piaccel.pipeline.web import Web
from piaccel.sinks import Event
from piaccel.tasks import Detections
from tests.browser import CHROMIUM, Browser
from tests.pipeline import snapshots

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
SHOTS = os.environ.get("PIACCEL_SCREENSHOTS")
"""A folder that gets pictures of the page, for people to look at."""


class Line:
    """A pipeline that seems to run: numbers grow, and a box moves over the picture."""

    def __init__(self) -> None:
        self.seen = snapshots.snapshot()
        self.answered = 1190
        self.started = time.time()
        self.number = 0

    def snapshot(self) -> Snapshot:
        self.answered += 27
        seen = self.seen
        names = tuple(each.name for each in seen.streams)
        streams = tuple(replace(each, answered=self.answered) for each in seen.streams)
        at = time.time()
        return replace(seen, at=at, up_s=at - self.started + 60, streams=streams, history=snapshots.history(names, at))

    def picture(self, stream: str) -> Event:
        self.number += 1
        left = self.number * 60 % 1000
        box = np.array([[left, 200, left + 220, 520]], np.float32)
        found = Detections(box, np.array([0.93], np.float32), np.array([0]), ("crack",))
        event = snapshots.event(stream, 2)
        return replace(event, index=self.number, result=found)


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def web(line: Line) -> Iterator[Web]:
    web = Web("127.0.0.1:0", line.snapshot, snapshots.histograms, line.picture, token="")
    web.start()
    yield web
    web.stop()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Browser, web: Web) -> Browser:
    browser.show(1280, 900)
    browser.go("about:blank")
    browser.calls.clear()
    browser.errors.clear()
    browser.go(f"http://127.0.0.1:{web.port}/")
    browser.until("document.querySelector('#connection.live') !== null")
    return browser


PIXELS = """(() => {
  const picture = document.querySelector("figure img");
  if (!picture || !picture.naturalWidth) return null;
  const canvas = document.createElement("canvas");
  canvas.width = 96; canvas.height = 54;
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0, 96, 54);
  return Array.from(context.getImageData(0, 0, 96, 54).data).join();
})()"""


def words(page: Browser) -> str:
    return " ".join(str(page.ask("document.body.innerText")).split())


def test_the_picture_moves(page: Browser) -> None:
    first = page.until(PIXELS)
    assert page.ask("document.querySelector('figure img').naturalWidth") == 960
    page.until(f"{PIXELS} !== '{first}'")


def test_charts_have_points_and_numbers(page: Browser) -> None:
    page.until("document.querySelectorAll('.plot .line').length === 5")
    paths = page.ask("Array.from(document.querySelectorAll('.plot .line'), (each) => each.getAttribute('d'))")
    assert all(path.count("L") > 50 for path in paths)
    page.until("document.querySelector('.plot .line.second').getAttribute('d').includes('L')")
    assert not any("NaN" in path for path in paths)
    assert "Results per second" in words(page)
    assert page.ask("document.querySelector('.plot').getAttribute('aria-label')").startswith("Results per second, last")


def test_numbers_are_there_and_go_on(page: Browser) -> None:
    seen = words(page)
    for expected in ("99", "dropped: overwritten", "demo on litert/int8, latest, rung 1 of 2", "7 queue full",
                     "61.5 °C", "throttled now, under-voltage since boot", "1280×720", "age p95"):  # fmt: skip
        assert expected in seen, expected
    before = page.ask("document.querySelector('.facts').innerText")
    page.until(f"document.querySelector('.facts').innerText !== {before!r}")


def test_an_alarm_and_a_heat_step_appear_as_text_and_never_as_markup(page: Browser, line: Line) -> None:
    hostile = snapshots.HOSTILE
    line.seen = snapshots.snapshot(
        alarms=("under-voltage", hostile),
        steps=(f"12:00:00Z {hostile}",),
        streams=(snapshots.stream(model=hostile, model_error=hostile, dropped={hostile: 3}),),
        cameras=(snapshots.camera(name=hostile, error=hostile),),
        sinks=(snapshots.sink(hostile, error=hostile, state="failing"),),
    )
    page.until("document.querySelector('#alarms li') !== null")
    assert page.ask("document.querySelector('#alarms').getAttribute('aria-live')") == "assertive"
    assert "under-voltage" in page.ask("document.querySelector('#alarms').innerText")
    assert words(page).count(hostile) >= 7
    assert page.ask("document.querySelectorAll('img').length") == 1
    line.seen = snapshots.snapshot()
    page.until("document.querySelector('#alarms li') === null")


def test_a_sensor_that_is_not_there_is_said_in_words(page: Browser, line: Line) -> None:
    line.seen = snapshots.snapshot(board={"temperature_c": None, "throttled": None})
    page.until("document.querySelector('#readings').innerText.includes('not measurable here')")
    assert "not measurable here" in page.ask("document.querySelector('#readings').innerText")
    assert "\n0" not in page.ask("document.querySelector('#readings').innerText")


def test_a_connection_that_is_lost_is_seen_and_comes_back(page: Browser, web: Web, line: Line) -> None:
    page.until(PIXELS)
    port = web.port
    web.stop()
    page.until("document.body.classList.contains('lost')")
    assert "connection lost at" in page.ask("document.querySelector('#connection').innerText")
    again = Web(f"127.0.0.1:{port}", line.snapshot, snapshots.histograms, line.picture, token="")
    again.start()
    try:
        page.until("document.querySelector('#connection.live') !== null")
        page.until(f"!document.querySelector('figure img').hidden && {PIXELS}")
    finally:
        again.stop()


def test_a_picture_that_is_hidden_is_not_made(page: Browser, web: Web) -> None:
    page.until(PIXELS)
    page.ask("document.querySelector('figure button').click()")
    assert "the picture is hidden" in words(page)
    page.until("document.querySelector('figure img').hidden")
    for _ in range(500):
        if not web.wants("main"):
            break
        time.sleep(0.02)
    assert not web.wants("main")


def test_the_page_asks_no_other_host_and_nothing_goes_wrong(page: Browser, web: Web) -> None:
    page.until(PIXELS)
    time.sleep(1.5)
    page.ask("1")
    assert page.calls
    assert [each for each in page.calls if not each.startswith(f"http://127.0.0.1:{web.port}/")] == []
    assert page.errors == []


@pytest.mark.parametrize(
    ("name", "width", "dark"), [("light", 1280, False), ("dark", 1280, True), ("phone", 390, False)]
)
def test_the_page_fits_its_window(page: Browser, line: Line, tmp_path: Path, name: str, width: int, dark: bool) -> None:
    line.seen = snapshots.snapshot(
        alarms=("under-voltage", "sink mqtt://broker/line fails: connection refused"),
        steps=("2026-11-23T01:02:03Z main: rung 0 to 1: throttled for 10 s",),
        streams=(snapshots.stream(), snapshots.stream("side", model_error="the process that runs the model ended")),
        sinks=(snapshots.sink(), snapshots.sink("mqtt://broker/line", state="failing", error="connection refused")),
    )
    page.show(width, 900, dark=dark)
    page.until("document.querySelectorAll('.stream').length === 2 && document.querySelector('#alarms li') !== null")
    page.until(PIXELS)
    time.sleep(2.5)
    assert page.ask("document.documentElement.scrollWidth") <= width
    path = Path(SHOTS or tmp_path) / f"{name}.png"
    page.screenshot(path)
    shot = cv2.imread(str(path))
    assert shot is not None
    assert float(shot.mean()) < 100 if dark else float(shot.mean()) > 150
