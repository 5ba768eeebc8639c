"""The page in a real browser: every view, a device that is lost, and stopping a job with and without the token."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from live_cluster import EVIL
from live_page import LivePage, live_page, until
from PIL import Image
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
MISSING = "no chromium and chromedriver here; Debian, Ubuntu: apt install chromium chromium-driver"
# On CI a browser that is missing is a fault of the machine's, not a reason to look away.
pytestmark = pytest.mark.skipif(
    (BROWSER is None or DRIVER is None) and os.environ.get("CI") != "true", reason=MISSING
)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
)
VIEWS = ("overview", "topology", "cameras", "people", "history")


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    assert BROWSER is not None and DRIVER is not None, MISSING
    with tempfile.TemporaryDirectory(
        prefix="er-browser-", ignore_cleanup_errors=True
    ) as folder:  # it leaves files behind
        yield from _browsing({**os.environ, "TMPDIR": folder})


def _browsing(environment: Mapping[str, str]) -> Iterator[Chrome]:
    options = Options()
    options.binary_location = BROWSER
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER, env=environment))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePage]:
    with live_page(tmp_path_factory.mktemp("page")) as page:
        yield page


@pytest.fixture
def page(running: LivePage, browser: Chrome) -> Iterator[LivePage]:
    """The page, opened anew with the token; at the end nothing may have gone wrong in the browser."""
    running.trouble()
    browser.get("about:blank")
    browser.get(running.url)
    until(lambda: len(find(browser, ".device.up")) == 5)
    browser.get_log("browser")
    yield running
    told = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [message for message in told if "Failed to load resource" not in message] == []


def find(browser: Chrome, selector: str) -> list[WebElement]:
    return browser.find_elements(By.CSS_SELECTOR, selector)


def text(browser: Chrome, selector: str = "body") -> str:
    return str(
        browser.execute_script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)
    )


def attributes(browser: Chrome, selector: str, name: str) -> list[str]:
    """Of all that is there at one moment; the page may draw itself anew between two questions."""
    script = (
        "return [...document.querySelectorAll(arguments[0])].map((e) => e.getAttribute(arguments[1]) ?? '')"
    )
    return list(browser.execute_script(script, selector, name))


def click(browser: Chrome, selector: str, which: int = 0) -> None:
    """Once it is there; again when it was replaced just before the click."""
    found = until(lambda: find(browser, selector)[which:])
    try:
        found[0].click()
    except StaleElementReferenceException:
        find(browser, selector)[which].click()


def open_view(browser: Chrome, name: str) -> None:
    browser.find_element(By.CSS_SELECTOR, f"#header nav a[href='#/{name}']").click()
    until(lambda: find(browser, f"main.{name}"))


def colours(browser: Chrome) -> int:
    """How many different colours a screenshot has: one where nothing is drawn."""
    pixels = np.asarray(Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB"))
    return len(np.unique(pixels.reshape(-1, 3), axis=0))


def emulate(browser: Chrome, width: int, height: int, scheme: str) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def test_every_view_shows_what_it_is_for(page: LivePage, browser: Chrome) -> None:
    jobs = {"attributes-1", "split-2", "reid-3"}
    until(lambda: jobs <= set(attributes(browser, "tr[data-job]", "data-job")))
    decided = text(browser, "[data-decides='offload-4']")
    assert "80 % met their deadline, regret 3.25 by its own estimates" in decided
    assert len(find(browser, "[data-decides='offload-4'] tbody tr")) == 5
    assert "away" in decided and "88 %" in decided
    dealt = text(browser, "[data-decides='attributes-1/detect']")
    assert "attributes-1/detect by toof: 100 items" in dealt
    assert len(find(browser, "[data-decides='attributes-1/detect'] tbody tr")) == 2
    assert "detect.2" in dealt and "42" in dealt
    open_view(browser, "topology")
    until(lambda: len(find(browser, ".map .box")) == 5 and find(browser, ".map .strand"))
    assert len(find(browser, ".map line.link")) == 10
    drawn = text(browser, ".map")
    assert "detects gate-0" in drawn and "identifies all 4 cameras" in drawn and "of 20 Mbps" in drawn
    assert "up to 8.00 Mbps" in text(browser, "main")
    open_view(browser, "cameras")
    until(lambda: len(find(browser, ".tile img")) == 4 and len(find(browser, ".tile .person")) == 12)
    until(
        lambda: browser.execute_script(
            "return [...document.querySelectorAll('.tile img')].every(i => i.naturalWidth === 384)"
        )
    )
    assert len(find(browser, ".tile .person.new")) == 4
    assert "e1 (here)" in text(browser, ".tile") and "of 8.00 fps" in text(browser, ".tile")
    click(browser, ".tile a.person")
    until(lambda: len(find(browser, ".timeline rect.visit")) == 5)
    assert "Person 7" in text(browser, "main")
    assert len(find(browser, ".persons li")) == 14
    open_view(browser, "history")
    until(lambda: any("L" in drawn for drawn in attributes(browser, ".chart path.line", "d")))
    assert len(find(browser, ".charts section")) == 4
    click(browser, ".ranges button", 1)
    until(lambda: "30 min ago" in text(browser, ".charts"))
    click(browser, "a[href='#/history/devices']")
    until(lambda: len(find(browser, ".charts section")) == 5)


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (375, 740)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_views_are_drawn_and_fit_the_screen(
    page: LivePage, browser: Chrome, width: int, height: int, scheme: str
) -> None:
    emulate(browser, width, height, scheme)
    try:
        for view in VIEWS:
            open_view(browser, view)
            until(lambda: colours(browser) > 30)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
            tops = [tab.rect["y"] for tab in find(browser, "#header nav a")]
            assert len(tops) == len(VIEWS) and len(set(tops)) == 1, "the tabs stand in one row"
            bright = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
            assert bright == ("rgb(244, 245, 247)" if scheme == "light" else "rgb(14, 16, 20)")
    finally:
        emulate(browser, 1280, 900, "light")


def test_a_lost_device_shows_within_three_seconds_on_every_view(page: LivePage, browser: Chrome) -> None:
    page.trouble(lost=["e3"])
    lost_s = time.monotonic()
    until(lambda: "e3 (silent for" in text(browser, "#alerts"))
    # The fake's last sample may be as old as a second when it falls silent; what is measured is from the loss on.
    assert time.monotonic() - lost_s <= 3.0
    assert attributes(browser, ".device.silent", "aria-label") == ["Device e3"]
    assert "e3 is silent" in text(browser, "#announcer")
    open_view(browser, "topology")
    until(lambda: len(find(browser, ".map .box.silent")) == 1)
    open_view(browser, "people")
    until(lambda: "This is not all. No answer from: e3" in text(browser, "main"))
    page.trouble()
    until(lambda: text(browser, "#alerts") == "")


def test_what_the_learner_holds_is_shown_beside_what_the_dispatcher_tells(
    page: LivePage, browser: Chrome
) -> None:
    table = "[data-decides='offload-4']"
    until(
        lambda: "The learner holds 240 items, 75 % happy, regret 6.50; the newest of" in text(browser, table)
    )
    rows = browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((row) => [...row.cells].map((cell) => cell.innerText))",
        f"{table} tbody tr",
    )
    assert [row[:3] for row in rows[:1]] == [["e2", "20", "18"]]
    *helpers, former = rows
    assert {tuple(row[8:10]) for row in rows} == {("48", "75 %")}
    assert all(row[10].endswith(" %") for row in helpers)
    assert "no helper now" in former[0] and set(former[1:8]) == {"–"}
    drawn = f"{table} .spark path.line"
    until(lambda: len([path for path in attributes(browser, drawn, "d") if "L" in path]) == 6)
    browser.get(f"{page.base}/#/history/jobs")
    until(lambda: "Regret by the learner's own estimates" in text(browser, ".charts"))
    charts = attributes(browser, ".chart svg", "aria-label")
    assert (
        sum(label.startswith("Estimates: an item meets its deadline of offload-4") for label in charts) == 1
    )
    page.trouble(unlearned=True)
    open_view(browser, "overview")
    until(lambda: "it does not answer now, this is of" in text(browser, table))
    page.trouble()
    until(lambda: "it does not answer now" not in text(browser, table))


def test_a_silent_scheduler_is_told_with_the_age_of_the_data(page: LivePage, browser: Chrome) -> None:
    page.trouble(hang=["devices"])
    until(lambda: "The scheduler has not answered for" in text(browser, "#alerts"))
    assert "old" in text(browser, "#header .pill")
    page.trouble()
    until(lambda: text(browser, "#header .pill") == "live")


def test_what_jobs_say_is_text(page: LivePage, browser: Chrome) -> None:
    assert EVIL in text(browser, "tr[data-job='attributes-1']")
    assert find(browser, "main img") == []


def test_with_the_keyboard_alone(page: LivePage, browser: Chrome) -> None:
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB, Keys.ENTER)
    assert browser.execute_script("return document.activeElement.id") == "main"
    link = browser.find_element(By.CSS_SELECTOR, "nav a[href='#/cameras']")
    browser.execute_script("arguments[0].focus()", link)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    until(lambda: find(browser, "main.cameras .tile"))
    time_of_focus = browser.execute_script("return document.activeElement.textContent")
    assert time_of_focus == "Cameras", "drawing anew keeps the focus"


def test_without_the_token_nothing_can_be_stopped(page: LivePage, browser: Chrome) -> None:
    browser.execute_script("sessionStorage.clear()")
    browser.get("about:blank")
    browser.get(f"{page.base}/")
    until(lambda: find(browser, "tr[data-job='reid-3']"))
    assert find(browser, "td.act button") == []
    assert "read-only" in text(browser, "#header")
    answer = browser.execute_async_script(
        "fetch('/api/jobs/reid-3/stop', {method: 'POST'}).then((answer) => arguments[0](answer.status))"
    )
    assert answer == 401
    browser.get("about:blank")
    browser.get(f"{page.base}/#token=guessed-wrong-guessed")
    click(browser, "tr[data-job='split-2'] button")
    click(browser, "button.danger")
    until(lambda: "needs the token" in text(browser, "tr[data-job='split-2']"))


def test_with_the_token_a_job_is_stopped(page: LivePage, browser: Chrome) -> None:
    """Last, since the job is gone then."""
    assert "token" not in browser.current_url
    row = "tr[data-job='reid-3']"
    click(browser, f"{row} button")
    until(lambda: find(browser, f"{row} button.danger"))
    click(browser, f"{row} button:not(.danger)")
    until(lambda: not find(browser, f"{row} button.danger"))
    click(browser, f"{row} button")
    click(browser, f"{row} button.danger")
    until(lambda: not find(browser, row))
    open_view(browser, "cameras")
    until(lambda: "No camera is being watched" in text(browser, "main"))
