"""The built book in headless Chromium: over http and from disk, wide and narrow, light and dark."""

import functools
import http.server
import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from liprune_utils.records import PROJECT

HTML = PROJECT / "build" / "html"
PAGES = sorted(
    str(path.relative_to(HTML))
    for folder in ("book", "notebooks")
    for path in (HTML / folder).glob("*.html")
)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--force-device-scale-factor=1",
)  # fmt: skip
OWN = ("data:", "blob:", "chrome:", "about:", "file:")
SLIDER = "notebooks/04_linear_model.html"

pytestmark = pytest.mark.browser


def missing() -> str:
    """What the browser tests lack, in words; empty if nothing."""
    if not PAGES:
        return "there is no built book: run `make book` first"
    tools = ("chromium", "chromedriver")
    return "" if all(map(shutil.which, tools)) else "Chromium is missing: run `make browser` first"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    lacking = missing()
    if lacking and os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(lacking)
    if lacking:
        pytest.skip(lacking)
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def server():
    handler = functools.partial(Quiet, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


def open_page(browser, address: str) -> None:
    """Open a page and wait until its scripts have come to rest."""
    browser.get(address)
    ready = (
        "const done = arguments[0];"
        "const typeset = window.MathJax?.startup?.promise ?? Promise.resolve();"
        "typeset.then(() => document.fonts.ready).then(() => setTimeout(done, 300));"
    )
    browser.execute_async_script(ready)


def traffic(browser) -> tuple[list[str], list[str]]:
    """Addresses asked for, and what failed, since the last call."""
    asked, failed = [], []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.append(message["params"]["request"]["url"])
        elif message["method"] == "Network.responseReceived":
            response = message["params"]["response"]
            failed += [response["url"]] if response["status"] >= 400 else []
    return asked, failed


def resize(browser, width: int, height: int = 1200) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def test_the_entrance_leads_to_every_page(browser, server):
    open_page(browser, f"{server}/index.html")
    links = browser.find_elements(By.CSS_SELECTOR, "nav a.internal")
    addresses = {link.get_attribute("href").split("#")[0] for link in links}
    here = browser.current_url.split("#")[0]
    assert {f"{server}/{page}" for page in PAGES} <= addresses | {here}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("origin", ["http", "file"])
def test_a_page_opens_without_error_or_outside_request(browser, server, page, origin):
    base = server if origin == "http" else HTML.as_uri()
    traffic(browser)
    browser.get_log("browser")
    resize(browser, 1440)
    open_page(browser, f"{base}/{page}")
    asked, failed = traffic(browser)
    assert asked
    assert [url for url in asked if not url.startswith((base, *OWN))] == []
    assert failed == []
    severe = [
        entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"
    ]
    assert severe == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_typeset_described_and_fits_a_phone(browser, page):
    resize(browser, 390, 844)
    open_page(browser, f"{HTML.as_uri()}/{page}")
    raw = len(browser.find_elements(By.CSS_SELECTOR, ".math"))
    assert len(browser.find_elements(By.CSS_SELECTOR, "mjx-container")) >= raw
    assert browser.find_elements(By.CSS_SELECTOR, "mjx-merror, [data-mjx-error]") == []
    for image in browser.find_elements(By.CSS_SELECTOR, "article img"):
        alt = image.get_attribute("alt") or ""
        assert len(alt) > 10, image.get_attribute("src")[:80]
        assert not alt.endswith((".png", ".svg"))
    width = browser.execute_script("return document.scrollingElement.scrollWidth")
    assert width <= 390


def test_the_slider_shows_other_frames_without_a_kernel(browser):
    resize(browser, 1440)
    open_page(browser, f"{HTML.as_uri()}/{SLIDER}")
    deadline = time.monotonic() + 10
    while not (handles := browser.find_elements(By.CSS_SELECTOR, ".noUi-handle")):
        assert time.monotonic() < deadline, "the slider did not appear"
        time.sleep(0.1)

    def frame() -> str:
        shown = browser.find_elements(By.CSS_SELECTOR, ".widget-vbox img, .jupyter-widgets img")
        return next(image.get_attribute("alt") for image in shown if image.is_displayed())

    first = frame()
    assert handles[0].get_attribute("aria-label") == "learning rate"
    handles[0].send_keys(Keys.ARROW_RIGHT)
    time.sleep(0.5)
    assert frame() != first
    assert handles[0].get_attribute("aria-valuetext") == "0.01"


@pytest.mark.parametrize("page", PAGES)
def test_screenshots_are_taken(browser, page):
    folder = PROJECT / "build" / "screenshots"
    folder.mkdir(exist_ok=True)
    for width in (1440, 390):
        for theme in ("light", "dark"):
            resize(browser, width)
            open_page(browser, f"{HTML.as_uri()}/{page}")
            browser.execute_script(
                "document.documentElement.dataset.theme = arguments[0];"
                "document.documentElement.dataset.mode = arguments[0];",
                theme,
            )
            height = browser.execute_script("return document.scrollingElement.scrollHeight")
            resize(browser, width, min(height, 12_000))
            path = folder / f"{Path(page).stem}-{width}-{theme}.png"
            assert browser.save_screenshot(str(path))
