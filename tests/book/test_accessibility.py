"""The built book by the rules of axe: wide and narrow, light and dark."""

import pytest
from chromium import HTML, PAGES, open_page, resize, set_theme, settle

from liprune_utils.files import PROJECT

AXE = PROJECT / "node_modules" / "axe-core" / "axe.min.js"
CODE = ("book/api.html", "book/experiments.html")  # autodoc writes their parts, all alike
FEWER_PARTS = (
    "document.querySelectorAll('article section section').forEach((part, number) => {"
    " if (number >= 8) part.replaceChildren(part.firstElementChild); })"
)

pytestmark = [pytest.mark.browser, pytest.mark.built]


def faults(browser, **options: object) -> list[str]:
    """What axe finds that is serious or critical, each with the first element that has it."""
    browser.execute_script(AXE.read_text())
    found = browser.execute_async_script(
        "axe.run(document, {...arguments[0], resultTypes: ['violations']}).then(arguments[1])",
        options,
    )
    grave = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in grave]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_accessible(browser, page):
    resize(browser, 1440)
    open_page(browser, f"{HTML.as_uri()}/{page}")
    if page in CODE:
        browser.execute_script(FEWER_PARTS)
    settle(browser)
    assert faults(browser) == [], "wide"
    set_theme(browser, "dark")  # which changes colours alone
    settle(browser)
    assert faults(browser, runOnly=["color-contrast"]) == [], "dark"
    resize(browser, 390)  # which changes all but colours
    settle(browser)
    assert faults(browser, rules={"color-contrast": {"enabled": False}}) == [], "narrow"
