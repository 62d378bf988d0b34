"""Each page of the built book, opened from disk on a phone, and by the rules of axe."""

import pytest
from chromium import HTML, PAGES, open_without_fault, resize, set_theme, settle
from selenium.webdriver.common.by import By

from liprune_utils.files import PROJECT

AXE = PROJECT / "node_modules" / "axe-core" / "axe.min.js"
PLAIN_MATHS = (
    "document.querySelectorAll('mjx-container').forEach((one) => one.replaceChildren('x'))"
)

pytestmark = [pytest.mark.browser, pytest.mark.built]


@pytest.fixture(scope="module", params=PAGES)
def page(browser, request):
    """A page, opened once for all that follows."""
    resize(browser, 390, 844)
    open_without_fault(browser, HTML.as_uri(), request.param)
    return request.param


def test_formulae_are_typeset(browser, page):
    raw = len(browser.find_elements(By.CSS_SELECTOR, ".math"))
    assert len(browser.find_elements(By.CSS_SELECTOR, "mjx-container")) >= raw
    assert browser.find_elements(By.CSS_SELECTOR, "mjx-merror, [data-mjx-error]") == []


def test_images_are_described(browser, page):
    for image in browser.find_elements(By.CSS_SELECTOR, "article img"):
        alt = image.get_attribute("alt") or ""
        assert len(alt) > 10, image.get_attribute("src")[:80]
        assert not alt.endswith((".png", ".svg"))


def test_it_fits_a_phone(browser, page):
    width = browser.execute_script("return document.scrollingElement.scrollWidth")
    assert width <= 390


def faults(browser, **options: object) -> list[str]:
    """What axe finds that is serious or critical, each with the first element that has it."""
    browser.execute_script(AXE.read_text())
    options |= {"resultTypes": ["violations"], "preload": False}
    run = "axe.run(document, arguments[0]).then(arguments[1])"
    found = browser.execute_async_script(run, options)
    grave = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in grave]


def test_it_is_accessible(browser, page):
    assert faults(browser, rules={"color-contrast": {"enabled": False}}) == [], "narrow"
    browser.execute_script(PLAIN_MATHS)  # has been looked at, and is most of a page's elements
    resize(browser, 1440)
    settle(browser)
    assert faults(browser) == [], "wide"
    set_theme(browser, "dark")  # which changes colours alone
    settle(browser)
    assert faults(browser, runOnly=["color-contrast"]) == [], "dark"
