"""The built book as files: links, downloads, figures, and the tables behind them."""

import json
import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import nbformat
import numpy as np
import pandas as pd
import pytest

from liprune_utils.book.register import UNDECIDED, load_register
from liprune_utils.files import PROJECT

BUILD = PROJECT / "build"
HTML = BUILD / "html"
PAGES = [
    path for folder in ("book", "notebooks") for path in sorted((HTML / folder).glob("*.html"))
]
CURVES = [
    "figure",
    "method",
    "keep_fraction",
    "batch_size",
    "learning_rate",
    "step",
    "num_runs",
    "test_loss_mean",
    "test_loss_se",
    "kept_loss_mean",
    "kept_loss_se",
    "full_loss_mean",
    "full_loss_se",
]

pytestmark = [
    pytest.mark.built,
    pytest.mark.skipif(not PAGES, reason="there is no built book: run `make book` first"),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_inner_links_resolve(page):
    for link in re.findall(r'(?:href|src)="([^"#?]+)', page.read_text()):
        if not re.match(r"[a-z]+:|//", link):
            assert (page.parent / unquote(link)).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_no_path_of_the_machine_is_shown(page):
    assert str(PROJECT) not in page.read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_weighs_less_than_two_megabytes(page):
    """Its text and its images; fonts and what all pages share are not counted."""
    images = set(re.findall(r'(?:src|data)="([^":]+\.(?:svg|png|webp|jpe?g))"', page.read_text()))
    files = [page, *((page.parent / unquote(image)) for image in images)]
    assert sum(file.stat().st_size for file in files) < 2_000_000


def test_every_table_can_be_downloaded_and_read():
    offered = {
        Path(unquote(link)).name
        for page in PAGES
        for link in re.findall(r'href="(\.\./_downloads/[^"]+\.csv)"', page.read_text())
    }
    for table in (BUILD / "results").rglob("*.csv"):
        assert len(pd.read_csv(table)) > 0
        assert table.name in offered


def test_curves_are_whole():
    curves = pd.read_csv(BUILD / "results" / "04_linear_model" / "curves.csv")
    assert list(curves.columns) == CURVES
    assert len(curves) == 6 * 9 * 31
    assert (curves.num_runs >= 10_000).all()
    assert set(curves.figure) == {1, 5, 6, 7, 8, 9}


def test_curves_agree_with_the_closed_form():
    table = pd.read_csv(BUILD / "results" / "04_linear_model" / "closed_form.csv")
    assert len(table) == 6 * 9 * 31 * 3
    gap = (table.simulated - table.expected).abs()
    assert (gap <= 5 * table.difference_se).all()
    curves = pd.read_csv(BUILD / "results" / "04_linear_model" / "curves.csv")
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
