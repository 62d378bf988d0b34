"""The built book as files: links, downloads, figures, and the tables behind them."""

import json
import re
from functools import cache
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import nbformat
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbconvert import MarkdownExporter

from liprune_utils.book.register import UNDECIDED, load_register
from liprune_utils.files import PROJECT

BUILD = PROJECT / "build"
HTML = BUILD / "html"
PAGES = sorted(path for path in HTML.rglob("*.html") if "_static" not in path.parts)
OWN = [page for page in PAGES if page.parent.name in ("book", "notebooks")]
CITATION = re.compile(r'<span class="bibtex-citation".*?</span>', re.DOTALL)
STATE = "application/vnd.jupyter.widget-state+json"

pytestmark = pytest.mark.built
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
own_pages = pytest.mark.parametrize("page", OWN, ids=lambda path: path.stem)


@cache
def ids(page: Path) -> set[str]:
    return set(re.findall(r'\sid="([^"]+)"', page.read_text()))


def links(text: str, page: Path) -> list[tuple[Path, str]]:
    """Where the inner links of a text lead: a file and an anchor, "" for none."""
    addresses = [unquote(unescape(a)) for a in re.findall(r'(?:href|src)="([^"]+)"', text)]
    inner = [link.partition("#") for link in addresses if not re.match(r"[a-z]+:|//", link)]
    return [
        ((page.parent / (path.split("?")[0] or page.name)).resolve(), at) for path, _, at in inner
    ]


@every_page
def test_inner_links_and_anchors_lead_somewhere(page):
    for target, anchor in links(page.read_text(), page):
        assert target.exists()
        assert not anchor or anchor in ids(target), (target.name, anchor)


@every_page
def test_no_path_of_the_machine_is_shown(page):
    assert str(PROJECT) not in page.read_text()


def test_citations_link_to_the_bibliography_and_every_entry_is_cited():
    references = HTML / "book" / "references.html"
    text = references.read_text()
    entries = set(re.findall(r'<div class="citation" id="([^"]+)"', text))
    found = [
        links(citation, page) for page in PAGES for citation in CITATION.findall(page.read_text())
    ]
    assert all(found)
    targets = {target for citation in found for target in citation}
    assert targets == {(references, entry) for entry in entries}
    keys = re.findall(r"^@\w+\{([^,]+),", (PROJECT / "book" / "references.bib").read_text(), re.M)
    assert len(entries) == len(set(keys))


@own_pages
def test_a_page_weighs_less_than_two_megabytes(page):
    """Its text and its images; fonts and what all pages share are not counted."""
    images = set(re.findall(r'(?:src|data)="([^":]+\.(?:svg|png|webp|jpe?g))"', page.read_text()))
    files = [page, *((page.parent / unquote(image)) for image in images)]
    assert sum(file.stat().st_size for file in files) < 2_000_000


@cache
def soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(), "html.parser")


def shown(page: Path) -> list:
    """The images of an article, without those in place of a slider that needs JavaScript."""
    images = soup(page).article.find_all("img")
    return [image for image in images if not image.find_parent("noscript")]


def frames(page: Path) -> list:
    """The images in the saved state of a page's widgets."""
    states = [json.loads(script.string)["state"] for script in soup(page).find_all(type=STATE)]
    models = [model["state"].get("value") for state in states for model in state.values()]
    texts = [re.sub(r'src="[^"]*"', "", value) for value in models if isinstance(value, str)]
    return BeautifulSoup("".join(texts), "html.parser").find_all("img")


@own_pages
def test_images_stand_in_figures_with_captions_and_alternative_texts_of_their_own(page):
    assert all(image.find_parent("figure") for image in shown(page))
    texts = [image.get("alt") for image in shown(page) + frames(page)]
    texts = [text for text in texts if text != ""]  # "" marks a decoration
    assert all(text and len(text) > 40 for text in texts), texts
    assert len(texts) == len(set(texts))
    for figure in soup(page).article.find_all("figure"):
        number, text = (
            figure.find(class_=name).text.strip() for name in ("caption-number", "caption-text")
        )
        assert re.fullmatch(r"Fig\. \d+", number)
        assert len(text) > 60
        assert text.endswith((".", ".\N{PILCROW SIGN}", "#")), text
        assert not re.search(r"\b(above|below|previous|next) figure", text, re.IGNORECASE)


@own_pages
def test_what_is_shown_without_javascript_is_a_frame_of_a_slider(page):
    texts = [image.get("alt") for image in soup(page).select("article noscript img")]
    assert set(texts) <= {image["alt"] for image in frames(page)}


def test_sliders_are_among_what_is_checked():
    assert sum(len(frames(page)) for page in OWN) > 40


def test_every_table_can_be_downloaded():
    texts = [page.read_text() for page in OWN]
    offered = [re.findall(r'href="\.\./_downloads/[^"]+/([^"/]+\.csv)"', text) for text in texts]
    names = {unquote(name) for found in offered for name in found}
    assert {table.name for table in (BUILD / "results").rglob("*.csv")} <= names


def test_curves_are_whole_and_agree_with_the_closed_form():
    folder = BUILD / "results" / "04_linear_model"
    curves, table = (pd.read_csv(folder / f"{name}.csv") for name in ("curves", "closed_form"))
    assert len(curves) == 6 * 9 * 31
    assert (curves.num_runs >= 10_000).all()
    assert set(curves.figure) == {1, 5, 6, 7, 8, 9}
    assert len(table) == len(curves) * 3
    assert ((table.simulated - table.expected).abs() <= 5 * table.difference_se).all()
    test = table[table.loss == "test"].simulated
    np.testing.assert_allclose(test, curves.test_loss_mean, rtol=1e-12)


def test_every_claim_has_its_row():
    table = pd.read_csv(BUILD / "results" / "14_verdict" / "verdicts.csv")
    assert list(table.id) == list(load_register())
    text = (HTML / "notebooks" / "14_verdict.html").read_text()
    assert text.count('class="verdict ') == len(table)
    assert text.count(UNDECIDED) == table.note.eq(UNDECIDED).sum()


def test_executed_pages_carry_what_the_status_page_shows():
    status = (HTML / "book" / "status.html").read_text()
    for page in sorted((BUILD / "notebooks").glob("[!.]*.ipynb")):
        facts = nbformat.read(page, as_version=4).metadata["liprune"]
        assert facts["peak_memory_mib"] > 0
        assert f"{facts['peak_memory_mib']:,} MiB" in status


def test_the_javascript_of_the_pages_is_named_with_version_and_licence():
    text = unescape((HTML / "book" / "data.html").read_text())
    packages = json.loads((PROJECT / "package-lock.json").read_text())["packages"]
    for name in packages[""]["dependencies"]:
        entry = packages[f"node_modules/{name}"]
        cells = (f"<td><p>{words}</p></td>" for words in (name, entry["version"], entry["license"]))
        assert "\n".join(cells) in text


EXECUTED = sorted((BUILD / "notebooks").glob("[!.]*.ipynb"))


@pytest.mark.parametrize("page", EXECUTED, ids=lambda path: path.stem)
def test_an_executed_page_has_its_answer_and_figure_on_top_wherever_it_is_opened(page):
    cells = nbformat.read(page, as_version=4).cells
    (answer,), (figure,) = (cell.outputs for cell in cells[1:3])
    text, _ = MarkdownExporter().from_filename(page)
    assert answer.data["text/markdown"].startswith("**")
    assert answer.data["text/markdown"] in text
    assert "image/svg+xml" in figure.data
    assert "{glue" not in text


@pytest.mark.parametrize("page", EXECUTED, ids=lambda path: path.stem)
def test_an_answer_is_short(page):
    answer = nbformat.read(page, as_version=4).cells[1].outputs[0].data["text/markdown"]
    lead, *sentences = re.split(r"(?<=[.?!*])\s+(?=[A-Z*])", answer.replace("\n", " "))
    assert lead.startswith("**")
    assert len(sentences) <= 5
    assert len(answer.split()) <= 110
