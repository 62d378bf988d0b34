"""The built book and what tests do to a browser that shows it."""

import http.server
import json
import shutil

from liprune_utils.files import PROJECT

HTML = PROJECT / "build" / "html"
PAGES = sorted(
    str(path.relative_to(HTML))
    for pattern in ("book/*.html", "notebooks/*.html", "book/api/module-curvature.html")
    for path in HTML.glob(pattern)  # the pages of modules are all alike
)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--force-device-scale-factor=1",
)  # fmt: skip
PATIENCE = 100  # seconds, for a machine all of whose cores work
OWN = ("data:", "blob:", "chrome:", "about:", "file:")


def find() -> str | None:
    """Chromium or Chrome; no snap, which reads neither the book nor a profile in /tmp."""
    found = map(shutil.which, ("chromium", "google-chrome"))
    return next((path for path in found if path and not path.startswith("/snap/")), None)


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


def open_without_fault(browser, base: str, page: str) -> None:
    """Open a page that asks no other host, lacks no file and logs no error."""
    traffic(browser)
    browser.get_log("browser")
    open_page(browser, f"{base}/{page}")
    asked, failed = traffic(browser)
    assert asked
    assert [url for url in asked if not url.startswith((base, *OWN))] == []
    assert failed == []
    logged = browser.get_log("browser")
    assert [entry["message"] for entry in logged if entry["level"] == "SEVERE"] == []


def resize(browser, width: int, height: int = 1200) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def set_theme(browser, theme: str) -> None:
    for name in ("theme", "mode"):
        browser.execute_script(f"document.documentElement.dataset.{name} = arguments[0]", theme)


def settle(browser) -> None:
    """Wait for the layout of a new size, and a second at most for colours that fade."""
    browser.execute_async_script(
        "const done = arguments[0], frame = () => new Promise(requestAnimationFrame);"
        "const faded = () => document.getAnimations().map((animation) => animation.finished);"
        "frame().then(frame).then(() => Promise.allSettled(faded())).then(() => done());"
        "setTimeout(done, 1000);"
    )
