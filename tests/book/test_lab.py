"""Executed pages in JupyterLab: the answer on top, sliders that move."""

import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from by_hand import BIN
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from liprune_utils.files import PROJECT

pytestmark = [pytest.mark.browser, pytest.mark.built, pytest.mark.slow]


@pytest.fixture(scope="module")
def lab():
    """The address of a JupyterLab on the project."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    options = (
        f"--no-browser --allow-root --port={port} --IdentityProvider.token= --expose-app-in-browser"
    )
    command = [BIN / "jupyter", "lab", f"--ServerApp.root_dir={PROJECT}", *options.split()]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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


def test_an_executed_page_has_its_answer_on_top_and_sliders_that_move(browser, lab):
    browser.set_window_size(1440, 3000)
    browser.get(f"{lab}/tree/build/notebooks/04_linear_model.ipynb?reset")
    wait = WebDriverWait(browser, 120)
    answer = wait.until(
        lambda b: b.find_elements(By.CSS_SELECTOR, ".jp-OutputArea .jp-RenderedMarkdown strong")
    )
    assert "paper's setting" in answer[0].text
    browser.execute_script("""
        const panel = document.querySelector('.jp-WindowedPanel-outer');
        panel.scrollTop = panel.scrollHeight / 2;""")
    (handle,) = wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, ".noUi-handle"))

    def shown() -> list[str]:
        images = browser.find_elements(By.CSS_SELECTOR, ".jupyter-widgets img")
        return [image.get_attribute("alt") for image in images if image.is_displayed()]

    before = shown()
    handle.send_keys(Keys.ARROW_RIGHT)
    wait.until(lambda _: shown() != before)
