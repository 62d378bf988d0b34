"""Executed pages in JupyterLab: answer and figure on top, sliders that move."""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request

import nbformat
import pytest
from by_hand import BIN
from chromium import PATIENCE
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from liprune_utils.files import PROJECT

OPTIONS = ["--no-browser", "--allow-root", "--IdentityProvider.token=", "--expose-app-in-browser"]
PAGE = PROJECT / "build" / "notebooks" / "04_linear_model.ipynb"
SCROLL = (
    "const panel = document.querySelector('.jp-WindowedPanel-outer');"
    "panel.scrollTop += panel.clientHeight / 2"
)

pytestmark = [pytest.mark.browser, pytest.mark.built, pytest.mark.slow]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab that has a page twice, as it is and trusted."""
    folder = tmp_path_factory.mktemp("lab")
    page = nbformat.read(PAGE, as_version=4)
    nbformat.write(page, folder / "untrusted.ipynb")
    page.cells.pop()  # a signature is of the content: theirs must differ
    nbformat.write(page, folder / "trusted.ipynb")
    mine = os.environ | {"JUPYTER_DATA_DIR": str(folder / "signatures")}
    trust = [BIN / "jupyter", "trust", "trusted.ipynb"]
    subprocess.run(trust, cwd=folder, env=mine, check=True, capture_output=True)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [BIN / "jupyter", "lab", f"--port={port}", *OPTIONS]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=folder, env=mine, **quiet)
    address = f"http://127.0.0.1:{port}/lab"
    wait_for_server(address)
    yield address
    process.terminate()
    process.wait()


def wait_for_server(address: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            return urllib.request.urlopen(address).close()
        except urllib.error.URLError:
            time.sleep(0.5)
    pytest.fail("JupyterLab does not answer")


def wait_for(browser, selector: str, action: str = "") -> list:
    """Wait until elements are there, doing something meanwhile."""

    def found(driver) -> list:
        if action:
            driver.execute_script(action)
        return driver.find_elements(By.CSS_SELECTOR, selector)

    return WebDriverWait(browser, 120, poll_frequency=1).until(found)


def test_an_untrusted_page_has_its_answer_and_its_figure_on_top(browser, lab):
    browser.set_window_size(1440, 1400)
    browser.get(f"{lab}/tree/untrusted.ipynb?reset")
    answer, *_ = wait_for(browser, ".jp-OutputArea .jp-RenderedMarkdown strong")
    assert "paper's setting" in answer.text
    figure, *_ = wait_for(browser, ".jp-OutputArea .jp-RenderedImage img")
    assert figure.is_displayed()
    assert figure.location["y"] < 900
    folded = browser.find_elements(By.CSS_SELECTOR, ".jp-InputPlaceholder")
    assert len(folded) >= 5  # answer, figure, parameters, injected, imports


def test_the_sliders_of_a_trusted_page_move(browser, lab):
    browser.set_window_size(1440, 1400)
    browser.get(f"{lab}/tree/trusted.ipynb?reset")
    wait_for(browser, ".jp-OutputArea .jp-RenderedMarkdown strong")
    handle, *_ = wait_for(browser, ".noUi-handle", SCROLL)

    def shown() -> list[str]:
        images = browser.find_elements(By.CSS_SELECTOR, ".jupyter-widgets img")
        return [image.get_attribute("alt") for image in images if image.is_displayed()]

    before = shown()
    handle.send_keys(Keys.ARROW_RIGHT)
    WebDriverWait(browser, PATIENCE).until(lambda _: shown() != before)
