"""A browser and a server for the tests of the built book."""

import functools
import http.server
import os
import shutil
import threading

import pytest
from chromium import FLAGS, HTML, PAGES, PATIENCE, Quiet, find
from selenium import webdriver
from selenium.webdriver.chrome.service import Service


def lacks(words: str) -> None:
    """Leave a test out, or fail it where nothing may be left out."""
    (pytest.fail if os.environ.get("REQUIRE_BROWSER") == "1" else pytest.skip)(words)


def pytest_runtest_setup(item):
    if item.get_closest_marker("built") and not PAGES:
        lacks("there is no built book: run `make book` first")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not find():
        lacks("Chromium is missing: run `make browser` first")
    options = webdriver.ChromeOptions()
    options.binary_location = find()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = Service(shutil.which("chromedriver"))  # or else Selenium fetches the one that fits
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(PATIENCE)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def server():
    handler = functools.partial(Quiet, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()
