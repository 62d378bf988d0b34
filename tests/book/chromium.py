"""The built book and what tests do to a browser that shows it."""

import http.server
import shutil

from liprune_utils.files import PROJECT

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


def missing() -> str:
    """What the browser tests lack, in words; empty if nothing."""
    if not PAGES:
        return "there is no built book: run `make book` first"
    tools = ("chromium", "chromedriver")
    return "" if all(map(shutil.which, tools)) else "Chromium is missing: run `make browser` first"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def open_page(browser, address: str) -> None:
    """Open a page and wait until its scripts have come to rest."""
    browser.get(address)
    ready = (
        "const done = arguments[0];"
        "const typeset = window.MathJax?.startup?.promise ?? Promise.resolve();"
        "typeset.then(() => document.fonts.ready).then(() => setTimeout(done, 300));"
    )
    browser.execute_async_script(ready)


def resize(browser, width: int, height: int = 1200) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def set_theme(browser, theme: str) -> None:
    for name in ("theme", "mode"):
        browser.execute_script(f"document.documentElement.dataset.{name} = arguments[0]", theme)


def settle(browser) -> None:
    """Wait for the layout of a new size, and for colours that fade from one theme to the other."""
    browser.execute_async_script(
        "const done = arguments[0], frame = () => new Promise(requestAnimationFrame);"
        "const faded = () => document.getAnimations().map((animation) => animation.finished);"
        "frame().then(frame).then(() => Promise.allSettled(faded())).then(() => done());"
    )
