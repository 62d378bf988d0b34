"""The built book in headless Chromium: what a reader does there, and pictures of it."""

import base64
import re
from pathlib import Path
from urllib.parse import quote

import pytest
from chromium import (
    HTML,
    PAGES,
    PATIENCE,
    open_page,
    open_without_fault,
    resize,
    set_theme,
    settle,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from liprune_utils.files import PROJECT

WIDGETS = [page for page in PAGES if "widget-view+json" in (HTML / page).read_text()]
MENUS = [page for page in WIDGETS if "12_what_to_keep" in page]
SLIDERS = [page for page in WIDGETS if page not in MENUS]

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


def is_only_change(place: int, before: list[str], after: list[str]) -> bool:
    others = [frames[:place] + frames[place + 1 :] for frames in (before, after)]
    return before != after and others[0] == others[1]


@pytest.mark.parametrize("page", many(SLIDERS))
def test_sliders_show_other_frames_without_a_kernel(browser, page):
    resize(browser, 1440)
    open_page(browser, f"{HTML.as_uri()}/{page}")
    handles = WebDriverWait(browser, PATIENCE).until(
        lambda b: b.find_elements(By.CSS_SELECTOR, ".noUi-handle")
    )

    def frames() -> list[str]:
        shown = browser.find_elements(By.CSS_SELECTOR, ".widget-vbox img, .jupyter-widgets img")
        return [image.get_attribute("alt") for image in shown if image.is_displayed()]

    for number, handle in enumerate(handles):
        before, said = frames(), handle.get_attribute("aria-valuetext")
        assert handle.get_attribute("aria-label")
        handle.send_keys(Keys.ARROW_RIGHT)
        WebDriverWait(browser, PATIENCE).until(
            lambda _, old=(number, before): is_only_change(*old, frames()),
            "its frame alone did not change",
        )
        assert handle.get_attribute("aria-valuetext") not in ("", said)


@pytest.mark.parametrize("page", many(MENUS))
def test_menus_show_other_charts_without_a_kernel(browser, page):
    resize(browser, 1440)
    open_page(browser, f"{HTML.as_uri()}/{page}")
    menus = WebDriverWait(browser, PATIENCE).until(
        lambda b: b.find_elements(By.CSS_SELECTOR, ".widget-dropdown")
    )

    seen = []

    def shows_another_chart(_) -> bool:
        shown = browser.find_elements(By.CSS_SELECTOR, ".widget-vbox img, .jupyter-widgets img")
        texts = [image.get_attribute("alt") for image in shown if image.is_displayed()]
        is_new = len(texts) == 1 and texts[0] not in seen
        seen.extend(texts if is_new else [])
        return is_new

    WebDriverWait(browser, PATIENCE).until(shows_another_chart)
    for menu in menus:
        assert menu.find_element(By.TAG_NAME, "label").text
        menu.find_element(By.TAG_NAME, "select").send_keys(Keys.ARROW_DOWN)
        WebDriverWait(browser, PATIENCE).until(shows_another_chart)
    assert len(menus) == 4


@pytest.mark.parametrize("page", WIDGETS)
def test_without_javascript_first_frames_are_shown(browser, page):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(f"{HTML.as_uri()}/{page}")
        images = browser.find_elements(By.CSS_SELECTOR, "noscript img")
        assert images
        assert all(image.is_displayed() for image in images)
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


VERDICT = "notebooks/14_verdict.html"


def claims(browser, *, shown: bool = True) -> list:
    """The rows of claims; only those that are shown, unless told otherwise."""
    rows = browser.find_elements(By.CSS_SELECTOR, "tr[id^=claim-]")
    return [row for row in rows if row.is_displayed() or not shown]


def chosen(browser) -> list[str]:
    """The values of the controls, in order."""
    controls = browser.find_elements(By.CSS_SELECTOR, ".claim-controls select")
    return [control.get_attribute("value") for control in controls]


def test_claims_are_sifted_and_sorted_with_the_keyboard(browser):
    open_page(browser, f"{HTML.as_uri()}/{VERDICT}")
    everything = claims(browser, shown=False)

    def choose(name: str, letters: str) -> None:
        browser.find_element(By.NAME, name).send_keys(letters)

    assert len(claims(browser)) == len(everything)
    headings = browser.find_elements(By.CSS_SELECTOR, "tr.theme")
    assert all(heading.is_displayed() for heading in headings)
    choose("verdict", "does not hold")  # some do not, whatever the images
    assert {row.get_attribute("data-verdict") for row in claims(browser)} == {"does-not-hold"}
    choose("order", "by cost")
    costs = [float(row.get_attribute("data-cost")) for row in claims(browser)]
    assert costs == sorted(costs, reverse=True)
    assert not any(heading.is_displayed() for heading in headings)
    said = browser.find_element(By.CSS_SELECTOR, ".claim-controls output").text
    assert said == f"{len(costs)} of {len(everything)} claims shown"
    claims(browser)[0].find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    assert claims(browser)[0].find_element(By.TAG_NAME, "dl").is_displayed()


def test_what_is_chosen_stands_in_the_address(browser):
    open_page(browser, f"{HTML.as_uri()}/{VERDICT}")
    browser.find_element(By.NAME, "theme").send_keys("Theory")
    browser.find_element(By.NAME, "order").send_keys("by verdict")
    assert browser.current_url.endswith("?theme=Theory&order=verdict")
    before = [row.get_attribute("id") for row in claims(browser)]
    open_page(browser, browser.current_url)
    assert chosen(browser) == ["", "Theory", "", "verdict"]
    assert [row.get_attribute("id") for row in claims(browser)] == before
    open_page(browser, f"{HTML.as_uri()}/{VERDICT}?theme=Networks&page=nowhere")
    assert chosen(browser) == ["", "Networks", "", ""]
    assert {row.get_attribute("data-theme") for row in claims(browser)} == {"Networks"}


def test_a_link_to_a_claim_wins_over_what_is_chosen(browser):
    open_page(browser, f"{HTML.as_uri()}/{VERDICT}?theme=Networks#claim-theorem-1")
    assert browser.find_element(By.ID, "claim-theorem-1").is_displayed()
    assert chosen(browser) == [""] * 4
    assert browser.current_url.endswith("14_verdict.html#claim-theorem-1")


def test_a_replaced_rule_stands_right_above_its_successor(browser):
    open_page(browser, f"{HTML.as_uri()}/{VERDICT}")
    names = [row.get_attribute("id") for row in claims(browser)]
    successors = [place for place, name in enumerate(names) if name.endswith("-b")]
    assert successors
    for place in successors:
        assert names[place - 1] == names[place].removesuffix("-b")
    assert len(browser.find_elements(By.CSS_SELECTOR, "tr.replaced")) == len(successors)


def test_the_verdict_prints_on_seven_sheets(browser):
    resize(browser, 1440)
    open_page(browser, f"{HTML.as_uri()}/{VERDICT}")
    a4 = {"paperWidth": 8.27, "paperHeight": 11.69}
    pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", a4)["data"])
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 7
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        cells = browser.find_elements(By.CSS_SELECTOR, "tr[id^=claim-] td")
        assert all(cell.is_displayed() and cell.text for cell in cells)
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("liprune", None),
        ("hessian norm", "08_hessian_norm.html"),
        ("keep_highest", "module-pruning.html#liprune_utils.pruning.keep_highest"),
    ],
)
def test_a_search_finds_pages_before_functions(browser, query, first):
    open_page(browser, f"{HTML.as_uri()}/search.html?q={quote(query)}")
    found = WebDriverWait(browser, PATIENCE).until(
        lambda browser: browser.find_elements(By.CSS_SELECTOR, "#search-results li a")
    )
    links = [link.get_attribute("href").replace(f"?highlight={query}", "") for link in found]
    assert first is None or first in links[0]
    rest = links[1:] if first and "#" in first else links
    is_code = ["/api" in link for link in rest]
    assert is_code == sorted(is_code)
    assert not is_code[0]


@pytest.mark.parametrize("page", ["book/intro.html", VERDICT, "book/errata.html"])
def test_no_column_of_the_claims_is_cut_off(browser, page):
    open_page(browser, f"{HTML.as_uri()}/{page}")
    room = (
        "return [...document.querySelectorAll('table.claims')].map(table =>"
        " table.closest('.bd-article section, .cell_output').getBoundingClientRect().right"
        " - Math.max(...[table, ...table.querySelectorAll('th, td')].map("
        "     (box) => box.getBoundingClientRect().right)))"
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
