"""Within the built book: what stands below a figure, and what is said in place of an image."""

import json
import re
from functools import cache

import pytest
from bs4 import BeautifulSoup

from liprune_utils.files import PROJECT

PAGES = [
    path
    for folder in ("book", "notebooks")
    for path in sorted((PROJECT / "build" / "html" / folder).glob("*.html"))
    if path.stem != "api"
]
STATE = "application/vnd.jupyter.widget-state+json"

pytestmark = [
    pytest.mark.built,
    pytest.mark.skipif(not PAGES, reason="there is no built book: run `make book` first"),
]
pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)


@cache
def soup(page) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(), "html.parser")


def shown(page) -> list:
    """The images of an article, without those in place of a slider that needs JavaScript."""
    images = soup(page).article.find_all("img")
    return [image for image in images if not image.find_parent("noscript")]


def frames(page) -> list:
    """The images in the saved state of a page's widgets."""
    states = [json.loads(script.string)["state"] for script in soup(page).find_all(type=STATE)]
    models = [model["state"].get("value") for state in states for model in state.values()]
    texts = [re.sub(r'src="[^"]*"', "", value) for value in models if isinstance(value, str)]
    return BeautifulSoup("".join(texts), "html.parser").find_all("img")


@pages
def test_every_image_has_an_alternative_text_of_its_own(page):
    images = shown(page) + frames(page)
    texts = [image.get("alt") for image in images]
    said = [text for text in texts if text != ""]  # "" marks a decoration
    assert all(text and len(text) > 40 for text in said), said
    assert len(said) == len(set(said))


@pages
def test_every_figure_has_a_caption_that_stands_alone(page):
    for figure in soup(page).article.find_all("figure"):
        number, text = (
            figure.find(class_=name).text.strip() for name in ("caption-number", "caption-text")
        )
        assert re.fullmatch(r"Fig\. \d+", number)
        assert len(text) > 60
        assert text.endswith((".", ".\N{PILCROW SIGN}", "#")), text
        assert not re.search(r"\b(above|below|previous|next) figure", text, re.IGNORECASE)


@pages
def test_an_image_of_an_article_stands_in_a_figure(page):
    assert all(image.find_parent("figure") for image in shown(page))


@pages
def test_what_is_shown_without_javascript_is_a_frame_of_a_slider(page):
    texts = [image.get("alt") for image in soup(page).select("article noscript img")]
    assert set(texts) <= {image["alt"] for image in frames(page)}


def test_sliders_are_among_what_is_checked():
    assert sum(len(frames(page)) for page in PAGES) > 50
