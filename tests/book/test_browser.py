"""The built book in headless Chromium: what a reader does there, and pictures of it."""

import base64
import time
from pathlib import Path

import pytest
from chromium import HTML, PAGES, open_page, open_without_fault, resize, set_theme, settle
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from liprune_utils.files import PROJECT

SLIDERS = [page for page in PAGES if "widget-view+json" in (HTML / page).read_text()]

OFTEN = {"book/intro.html", "notebooks/04_linear_model.html", "notebooks/14_verdict.html"}


def many(pages: list[str]) -> list:
    """Pages of which most are slow."""
    return [p if p in OFTEN else pytest.param(p, marks=pytest.mark.slow) for p in pages]


pytestmark = [pytest.mark.browser, pytest.mark.built]


def test_the_entrance_leads_to_every_page(browser, server):
    open_page(browser, f"{server}/index.html")
    links = browser.find_elements(By.CSS_SELECTOR, "nav a.internal")
    addresses = {link.get_attribute("href").split("#")[0] for link in links}
    here = browser.current_url.split("#")[0]
    assert {f"{server}/{page}" for page in PAGES} <= addresses | {here}


@pytest.mark.parametrize("page", many(PAGES))
def test_a_page_opens_from_a_server_on_a_wide_screen(browser, server, page):
    resize(browser, 1440)
    open_without_fault(browser, server, page)


@pytest.mark.parametrize("page", many(SLIDERS))
def test_sliders_show_other_frames_without_a_kernel(browser, page):
    resize(browser, 1440)
    open_page(browser, f"{HTML.as_uri()}/{page}")
    deadline = time.monotonic() + 10
    while not (handles := browser.find_elements(By.CSS_SELECTOR, ".noUi-handle")):
        assert time.monotonic() < deadline, "the slider did not appear"
        time.sleep(0.1)

    def frames() -> list[str]:
        shown = browser.find_elements(By.CSS_SELECTOR, ".widget-vbox img, .jupyter-widgets img")
        return [image.get_attribute("alt") for image in shown if image.is_displayed()]

    for number, handle in enumerate(handles):
        before, said = frames(), handle.get_attribute("aria-valuetext")
        assert handle.get_attribute("aria-label")
        handle.send_keys(Keys.ARROW_RIGHT)
        time.sleep(0.3)
        changed = [
            place
            for place, pair in enumerate(zip(before, frames(), strict=True))
            if len({*pair}) == 2
        ]
        assert changed == [number]  # its own frame and no other
        assert handle.get_attribute("aria-valuetext") not in ("", said)


@pytest.mark.parametrize("page", SLIDERS)
def test_without_javascript_first_frames_are_shown(browser, page):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(f"{HTML.as_uri()}/{page}")
        images = browser.find_elements(By.CSS_SELECTOR, "noscript img")
        assert images
        assert all(image.is_displayed() for image in images)
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_claims_are_sifted_and_sorted_with_the_keyboard(browser):
    open_page(browser, f"{HTML.as_uri()}/notebooks/14_verdict.html")
    everything = browser.find_elements(By.CSS_SELECTOR, "tr[id^=claim-]")

    def shown() -> list:
        rows = browser.find_elements(By.CSS_SELECTOR, "tr[id^=claim-]")
        return [row for row in rows if row.is_displayed()]

    def choose(name: str, letters: str) -> None:
        browser.find_element(By.NAME, name).send_keys(letters)

    assert len(shown()) == len(everything)
    choose("verdict", "does not hold")  # some do not, whatever the images
    assert {row.get_attribute("data-verdict") for row in shown()} == {"does-not-hold"}
    choose("order", "by cost")
    costs = [float(row.get_attribute("data-cost")) for row in shown()]
    assert costs == sorted(costs, reverse=True)
    said = browser.find_element(By.CSS_SELECTOR, ".claim-controls output").text
    assert said == f"{len(costs)} of {len(everything)} claims shown"
    shown()[0].find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    assert shown()[0].find_element(By.TAG_NAME, "dl").is_displayed()


@pytest.mark.parametrize("page", ["book/intro.html", "notebooks/14_verdict.html"])
def test_no_column_of_the_claims_is_cut_off(browser, page):
    open_page(browser, f"{HTML.as_uri()}/{page}")
    room = (
        "return [...document.querySelectorAll('table.claims')].map(table =>"
        " table.closest('.bd-article > section, .cell_output').getBoundingClientRect().right"
        " - table.getBoundingClientRect().right)"
    )
    for width in (390, 1024, 1280, 1440):
        resize(browser, width)
        settle(browser)
        spare = browser.execute_script(room)
        assert spare
        assert min(spare) >= -1, width


def test_a_link_from_the_errata_opens_the_claim(browser):
    open_page(browser, f"{HTML.as_uri()}/book/errata.html")
    link = browser.find_element(By.CSS_SELECTOR, "a[href$='#claim-optimal-p-formula']")
    open_page(browser, link.get_attribute("href"))
    details = browser.find_element(By.CSS_SELECTOR, "#claim-optimal-p-formula details")
    assert details.get_attribute("open")
    back = details.find_element(By.CSS_SELECTOR, "a[href$='#erratum-11']").get_attribute("href")
    open_page(browser, back)
    assert browser.find_element(By.ID, "erratum-11").is_displayed()


def test_a_page_prints_dark_on_light_from_either_theme(browser):
    open_page(browser, f"{HTML.as_uri()}/notebooks/14_verdict.html")
    set_theme(browser, "dark")
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.execute_script("return document.documentElement.dataset.theme") == "light"
    closed = browser.find_elements(By.CSS_SELECTOR, ".claims details:not([open])")
    assert closed == []
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script("return document.documentElement.dataset.theme") == "dark"
    pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert pdf.startswith(b"%PDF")


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_a_page_is_pictured(browser, page, theme, width):
    resize(browser, width)
    open_page(browser, f"{HTML.as_uri()}/{page}")
    set_theme(browser, theme)
    settle(browser)
    take_screenshot(browser, f"{Path(page).stem}-{width}-{theme}", width)


def take_screenshot(browser, name: str, width: int) -> None:
    folder = PROJECT / "build" / "screenshots"
    folder.mkdir(exist_ok=True)
    height = browser.execute_script("return document.scrollingElement.scrollHeight")
    resize(browser, width, min(height, 12_000))
    assert browser.save_screenshot(str(folder / f"{name}.png"))
