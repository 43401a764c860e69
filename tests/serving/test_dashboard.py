"""The dashboard in a real browser, on a service that answers."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from piaccel.errors import ServiceError
from piaccel.serving.settings import Settings
from piaccel.serving.snapshot import Happening, ServiceNumbers
from tests.browser import CHROMIUM, Browser
from tests.conftest import DEMO

pytest.importorskip("uvicorn", reason="uvicorn is not installed (extra serve)")
from tests.serving import desk as desks
from tests.serving.control import add_version
from tests.serving.desk import Desk
from tests.serving.whole import served

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
SHOTS = os.environ.get("PIACCEL_SCREENSHOTS")
"""A folder that gets pictures of the page, for people to look at."""
PICTURE = sorted(DEMO.glob("images/*"))[0]
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def desk(settings: Callable[..., Settings]) -> Iterator[Desk]:
    made = Desk(settings(repository_api=True))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Browser, desk: Desk) -> Browser:
    browser.show(1280, 900)
    opened(browser, desk)
    return browser


def opened(browser: Browser, desk: Desk) -> None:
    browser.go("about:blank")
    browser.until("location.href === 'about:blank'")
    browser.calls.clear()
    browser.errors.clear()
    browser.go(f"{desk.url}/")
    browser.until("document.querySelector('#connection.live') !== null")


@contextmanager
def load(desk: Desk) -> Iterator[None]:
    """Somebody asks the model, again and again."""
    over = threading.Event()

    def body() -> None:
        while not over.wait(0.02):
            request = urllib.request.Request(f"{desk.url}/v2/models/parts/predict", PICTURE.read_bytes())
            with urllib.request.urlopen(request, timeout=30) as answer:
                answer.read()

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def button(name: str, of: str = ".model") -> str:
    there = f"Array.from(document.querySelectorAll('{of} button'))"
    return f"{there}.find((each) => !each.hidden && each.textContent === {name!r})"


def words(page: Browser, of: str = "body") -> str:
    return " ".join(str(page.ask(f"document.querySelector({of!r}).innerText")).split())


def test_models_and_numbers_that_change_under_load(page: Browser, desk: Desk) -> None:
    seen = words(page)
    for expected in ("parts", "litert/fp32-tflite", "ready", "committed", "stable"):
        assert expected in seen, expected
    answered = "Number(document.querySelector('td[data-name=answered]').innerText)"
    with load(desk):
        first = page.until(f"{answered} > 0 && {answered}")
        page.until(f"{answered} > {first}")
        page.until("document.querySelectorAll('.model .plot .line').length >= 4")
        page.until("document.querySelector(\".model .plot .line[d*='L']\") !== null")
    paths = page.ask("Array.from(document.querySelectorAll('.plot path'), (each) => each.getAttribute('d'))")
    assert not any("NaN" in path for path in paths)
    assert "NaN" not in words(page)
    assert "undefined" not in words(page)


def test_promote_asks_first_and_then_calls_the_api_by_keyboard_alone(page: Browser, desk: Desk) -> None:
    desk.shown = desks.with_two
    page.until(f"{button('Promote')} !== undefined")
    page.ask(f"{button('Promote')}.focus()")
    page.press("Enter")
    page.until("document.querySelector('#confirm').open")
    said = words(page, "#confirm")
    assert "Promote version 2 of parts?" in said
    assert "Version 1 goes on answering" in said
    assert page.ask("document.activeElement.id") == "confirm-no"
    page.press("Escape")
    page.until("!document.querySelector('#confirm').open")
    assert desk.asked == []
    assert page.ask("document.activeElement.textContent") == "Promote"
    page.press("Enter")
    page.until("document.querySelector('#confirm').open")
    page.press("Tab")
    assert page.ask("document.activeElement.id") == "confirm-yes"
    page.press("Enter")
    page.until("document.querySelector('.outcome').textContent.includes('done')")
    assert desk.asked == [("/v2/repository/models/parts/promote", {"version": "2"})]


@pytest.mark.parametrize(
    ("name", "path", "body"),
    [
        ("Roll back to 2", "rollback", {}),
        ("Load newest", "load", {}),
        ("Unload", "unload", {}),
        ("Shadow", "shadow", {"version": "2"}),
        ("canary ×", "label", {"label": "canary"}),
        ("Take out of quarantine", "release", {"version": "4"}),
    ],
)
def test_a_button_calls_its_method_once_it_was_confirmed(
    page: Browser, desk: Desk, name: str, path: str, body: dict[str, object]
) -> None:
    desk.shown = desks.busy
    page.until(f"{button(name)} !== undefined")
    page.ask(f"{button(name)}.click()")
    assert page.ask("document.querySelector('#confirm').open")
    assert desk.asked == []
    page.ask("document.querySelector('#confirm-yes').click()")
    page.until("document.querySelector('.outcome').textContent.includes('done')")
    assert desk.asked == [(f"/v2/repository/models/parts/{path}", body)]


def test_a_label_gets_its_name_and_its_share(page: Browser, desk: Desk) -> None:
    desk.shown = desks.with_two
    page.until(f"{button('Promote')} !== undefined")
    page.ask("document.querySelector('.model tbody tr button[aria-label^=\"Label version 2\"]').click()")
    page.ask("document.querySelector('#confirm-label').value = 'trial'")
    page.ask("document.querySelector('#confirm-share').value = '10'")
    page.ask("document.querySelector('#confirm-yes').click()")
    page.until("document.querySelector('.outcome').textContent.includes('done')")
    assert desk.asked == [("/v2/repository/models/parts/label", {"label": "trial", "version": "2", "share": 0.1})]


def test_what_the_service_refuses_is_said(page: Browser, desk: Desk) -> None:
    desk.shown = desks.busy
    desk.refusals["rollback"] = ServiceError("invalid_argument", f"parts: no version to go back to {HOSTILE}")
    page.until(f"{button('Roll back to 2')} !== undefined")
    page.ask(f"{button('Roll back to 2')}.click()")
    page.ask("document.querySelector('#confirm-yes').click()")
    page.until("document.querySelector('.outcome.bad') !== null")
    assert f"Roll back to 2: parts: no version to go back to {HOSTILE}" in words(page, ".outcome.bad")


def test_buttons_are_off_and_say_why_when_the_service_takes_no_changes(page: Browser, desk: Desk) -> None:
    desk.shown = lambda seen: replace(desks.busy(seen), repository_api=False)
    page.until("!document.querySelector('#off').hidden")
    page.until("document.querySelectorAll('.model button:not([aria-disabled=true])').length === 0")
    page.ask(f"{button('Promote')}.click()")
    assert not page.ask("document.querySelector('#confirm').open")
    assert "without --repository-api" in words(page, ".outcome.bad")
    assert desk.asked == []


def test_a_focused_button_keeps_its_focus_and_nodes_stay_the_same(page: Browser, desk: Desk) -> None:
    desk.shown = desks.busy
    page.until(f"{button('Promote')} !== undefined")
    page.ask(f"{button('Promote')}.focus()")
    page.ask("window.kept = [document.activeElement, ...document.querySelectorAll('.model tr')]")
    page.ask("window.up = document.querySelector('#facts').innerText")
    before = page.ask("document.querySelector('.model').getBoundingClientRect().height")
    desk.shown = lambda seen: replace(desks.busy(seen), uptime_s=93999.0)
    page.until("document.querySelector('#facts').innerText !== window.up")
    assert page.ask("document.activeElement === window.kept[0] && window.kept.every((each) => each.isConnected)")
    assert page.ask("document.querySelector('.model').getBoundingClientRect().height") == before


def test_a_swap_s_progress_and_its_end_are_shown(page: Browser, desk: Desk) -> None:
    desk.shown = desks.busy
    page.until("document.querySelector('.swap li.now') !== null")
    assert words(page, ".swap li.now") == "probation"
    assert "version 3: probation, 37 requests left" in words(page, ".swap")
    at = time.time()

    def back(seen: ServiceNumbers) -> ServiceNumbers:
        now = desks.with_two(seen)
        said = Happening(at=at, what="rolled back", model="parts", version="1", reason="too many errors")
        return replace(now, happenings=(said, *now.happenings))

    desk.shown = back
    page.until("document.querySelector('.swap li.now') === null")
    assert "version 1 rolled back at" in words(page, ".swap")
    assert "parts version 1 rolled back: too many errors" in words(page, "#happenings")


def choose(page: Browser, path: Path) -> None:
    root = page.send("DOM.getDocument")["root"]["nodeId"]
    node = page.send("DOM.querySelector", nodeId=root, selector="#trial-file")["nodeId"]
    page.send("DOM.setFileInputFiles", nodeId=node, files=[str(path)])


def test_try_it_out_shows_the_annotated_picture_the_result_and_the_times(page: Browser) -> None:
    page.until("document.querySelector('#trial-model').value === 'parts'")
    choose(page, PICTURE)
    page.until("document.querySelector('#trial-state').textContent.startsWith('answered in')")
    page.until(
        "document.querySelector('#trial-picture').complete && document.querySelector('#trial-picture').naturalWidth > 0"
    )
    said = words(page, "#trial-answer")
    for expected in ("%", "version 1, litert/fp32-tflite", "infer", "there and back"):
        assert expected in said, expected
    assert "drawn on it" in page.ask("document.querySelector('#trial-picture').alt")
    assert (
        json.loads(page.ask("document.querySelector('#trial-json').textContent"))["result"]["kind"] == "classification"
    )
    assert page.errors == []


def test_a_picture_may_be_dropped_and_what_is_no_picture_is_refused_in_words(page: Browser) -> None:
    page.until("document.querySelector('#trial-model').value === 'parts'")
    page.ask("""(() => {
      const given = new DataTransfer();
      given.items.add(new File(["no picture"], "no.jpg", {type: "image/jpeg"}));
      const dropped = new DragEvent("drop", {dataTransfer: given, bubbles: true, cancelable: true});
      document.querySelector("#drop").dispatchEvent(dropped);
    })()""")
    page.until("document.querySelector('#trial-state').textContent.startsWith('no answer:')")
    assert "parts" in words(page, "#trial-state")


def test_a_lost_connection_is_seen_and_comes_back(page: Browser, desk: Desk) -> None:
    desk.stop()
    page.until("document.body.classList.contains('lost')")
    assert "connection lost at" in words(page, "#connection")
    desk.start()
    page.until("document.querySelector('#connection.live') !== null && !document.body.classList.contains('lost')")


def test_no_request_leaves_the_origin_and_nothing_goes_wrong(page: Browser, desk: Desk) -> None:
    desk.shown = desks.busy
    page.until("document.querySelectorAll('.model').length === 2")
    time.sleep(1.5)
    page.ask("1")
    assert page.calls
    assert [each for each in page.calls if not each.startswith((f"{desk.url}/", "blob:"))] == []
    assert page.errors == []
    assert desk.foreign == []


def test_nothing_is_asked_while_nobody_can_see_the_page(page: Browser) -> None:
    page.ask("""Object.defineProperty(document, "hidden", {configurable: true, get: () => window.away});
      window.away = true; document.dispatchEvent(new Event("visibilitychange"))""")
    time.sleep(1.5)
    page.ask("1")
    page.calls.clear()
    time.sleep(1.5)
    page.ask("1")
    assert page.calls == []
    page.ask("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    time.sleep(0.5)
    page.ask("1")
    assert page.calls != []


def test_a_key_is_asked_for_once_and_kept_for_the_tab(browser: Browser, desk: Desk) -> None:
    desk.key = "right"
    browser.show(1280, 900)
    browser.go("about:blank")
    browser.until("location.href === 'about:blank'")
    browser.go(f"{desk.url}/")
    browser.until("document.querySelector('dialog#key')?.open")
    assert "a key is needed" in words(browser, "#connection")
    browser.type("wrong")
    browser.press("Enter")
    browser.until("document.querySelector('#key-words').textContent.includes('refused')")
    browser.until("document.querySelector('#key').open")
    browser.type("right")
    browser.press("Enter")
    browser.until("document.querySelector('#connection.live') !== null")
    assert "parts" in words(browser, ".model h2")
    browser.send("Page.reload")
    browser.until("document.querySelector('#connection.live') !== null")
    assert not browser.ask("document.querySelector('#key').open")
    browser.ask("sessionStorage.clear()")


def test_words_of_the_server_are_never_markup(page: Browser, desk: Desk) -> None:
    before = page.ask("document.querySelectorAll('img').length")

    def hostile(seen: ServiceNumbers) -> ServiceNumbers:
        now = desks.busy(seen)
        bad = desks.version("4", "quarantined", reason=HOSTILE, backend=HOSTILE, variant=HOSTILE)
        named = desks.version(HOSTILE, "standby", labels=(HOSTILE,), why=HOSTILE)
        model = replace(now.models[0], name=HOSTILE, serving=HOSTILE, versions=(bad, named))
        told = Happening(at=1.0, what=HOSTILE, model=HOSTILE, version=HOSTILE, reason=HOSTILE)
        return replace(now, name=HOSTILE, models=(model,), reasons=(HOSTILE,), alarms=(HOSTILE,), happenings=(told,),
                       throttled=(HOSTILE,))  # fmt: skip

    desk.shown = hostile
    page.until("document.querySelector('.reason').innerText.includes('onerror')")
    assert words(page).count(HOSTILE) >= 8
    assert page.ask("document.querySelectorAll('img').length") == before
    page.ask(f"{button('Take out of quarantine')}.click()")
    assert HOSTILE in words(page, "#confirm")
    assert page.ask("document.querySelectorAll('img').length") == before
    assert page.errors == []


def test_an_alarm_is_read_out_and_goes_away(page: Browser, desk: Desk) -> None:
    desk.shown = lambda seen: replace(desks.busy(seen), ready=False, reasons=("parts: no version serves",))
    page.until("document.querySelector('#alarms li') !== null")
    assert page.ask("document.querySelector('#alarms').getAttribute('aria-live')") == "assertive"
    assert words(page, "#ready") == "not ready"
    assert page.ask("document.title").startswith("⚠ not ready")
    desk.shown = desks.busy
    page.until("document.querySelector('#alarms li') === null")
    assert words(page, "#ready") == "ready"


def test_a_sensor_that_is_not_there_is_said_in_words(page: Browser, desk: Desk) -> None:
    desk.shown = lambda seen: replace(desks.busy(seen), board={}, disk_free_bytes=None)
    page.until("document.querySelector('#readings').innerText.split('not measurable here').length === 7")
    assert "NaN" not in words(page, "#board")


def test_every_control_has_a_name(page: Browser, desk: Desk) -> None:
    desk.shown = desks.busy
    page.until("document.querySelectorAll('.model').length === 2")
    page.send("Accessibility.enable")
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "combobox", "textbox", "table", "region", "img", "dialog")
    nameless = [
        each
        for each in nodes
        if not each["ignored"] and each["role"]["value"] in roles and not each.get("name", {}).get("value")
    ]
    page.send("Accessibility.disable")
    assert nameless == []
    tables = [each for each in nodes if each["role"]["value"] == "table"]
    assert len(tables) == 2


@pytest.mark.parametrize(
    ("name", "width", "dark"),
    [
        ("desktop", 1360, False),
        ("dark", 1360, True),
        ("tablet", 820, False),
        ("phone", 360, False),
        ("dark-phone", 390, True),
    ],
)
def test_the_page_fits_its_window(page: Browser, desk: Desk, tmp_path: Path, name: str, width: int, dark: bool) -> None:
    desk.shown = desks.busy
    page.show(width, 900, dark=dark)
    page.until("document.querySelectorAll('.model').length === 2")
    choose(page, PICTURE)
    page.until("document.querySelector('#trial-state').textContent.startsWith('answered in')")
    time.sleep(2.0 if not SHOTS else 12.0)
    assert page.ask("document.documentElement.scrollWidth") <= width
    path = Path(SHOTS or tmp_path) / f"dashboard-{name}.png"
    page.screenshot(path)
    shot = cv2.imread(str(path))
    assert shot is not None
    assert float(shot.mean()) < 100 if dark else float(shot.mean()) > 150


def test_the_files_are_a_fixed_table_with_a_strict_policy(desk: Desk) -> None:
    with urllib.request.urlopen(f"{desk.url}/", timeout=30) as answer:
        policy = answer.headers["content-security-policy"]
        html = answer.read().decode()
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "<script>" not in html
    assert "style=" not in html
    for path in ("/index.html", "/../dashboard.py", "/%2e%2e/dashboard.py", "/static/app.js", "//etc/passwd"):
        with pytest.raises(urllib.error.HTTPError) as told:
            urllib.request.urlopen(f"{desk.url}{path}", timeout=30)
        assert told.value.code == 404
        told.value.close()
    with pytest.raises(urllib.error.HTTPError) as told:
        urllib.request.urlopen(f"{desk.url}/app.js", data=b"x", timeout=30)
    assert told.value.code == 405
    told.value.close()


def test_two_real_versions_are_two_rows(settings: Callable[..., Settings], repository: Path, browser: Browser) -> None:
    shutil.copytree(repository / "parts", repository / "bolts")
    made = Desk(settings())
    made.start()
    try:
        browser.show(1280, 900)
        opened(browser, made)
        browser.until("document.querySelectorAll('.model').length === 2")
        assert browser.ask("Array.from(document.querySelectorAll('.model h2'), (each) => each.innerText)") == [
            "bolts",
            "parts",
        ]
    finally:
        made.stop()


def test_a_real_swap_from_the_page_ends_committed_and_its_rollback_in_quarantine(
    browser: Browser, repository: Path
) -> None:
    add_version(repository, "2")
    with served(repository) as url:
        browser.show(1280, 900)
        browser.go("about:blank")
        browser.until("location.href === 'about:blank'")
        browser.errors.clear()
        browser.go(f"{url}/")
        browser.until(f"{button('Promote')} !== undefined")
        browser.ask(f"{button('Promote')}.click()")
        browser.ask("document.querySelector('#confirm-yes').click()")
        browser.until("document.querySelector('.model .top .soft').innerText.startsWith('version 2 answers')")
        browser.until("document.querySelector('tr.serves .stage').innerText === '✓ committed'")
        choose(browser, PICTURE)
        browser.until("document.querySelector('#trial-state').textContent.startsWith('answered in')")
        assert "version 2, litert" in words(browser, "#trial-answer")
        browser.until(f"{button('Roll back to 1')} !== undefined")
        browser.ask(f"{button('Roll back to 1')}.click()")
        browser.ask("document.querySelector('#confirm-yes').click()")
        browser.until("document.querySelector('.stage.quarantined') !== null")
        assert "rolled back by the operator" in words(browser, ".model tbody")
        assert browser.errors == []


def test_a_version_on_probation_can_be_taken_back_from_the_page(browser: Browser, repository: Path) -> None:
    add_version(repository, "2")
    with served(repository, {"probation_s": 600.0, "probation_requests": 1000}) as url:
        browser.show(1280, 900)
        browser.go("about:blank")
        browser.until("location.href === 'about:blank'")
        browser.go(f"{url}/")
        browser.until(f"{button('Promote')} !== undefined")
        browser.ask(f"{button('Promote')}.click()")
        browser.ask("document.querySelector('#confirm-yes').click()")
        browser.until("document.querySelector('.swap li.now')?.innerText === 'probation'")
        browser.until(f"{button('Roll back to 1')}?.getAttribute('aria-disabled') === 'false'")
        browser.ask(f"{button('Roll back to 1')}.click()")
        browser.ask("document.querySelector('#confirm-yes').click()")
        browser.until("document.querySelector('.stage.quarantined') !== null")
        browser.until("document.querySelector('.model .top .soft').innerText.startsWith('version 1 answers')")
