"""Within the built book: what links, anchors and citations lead to."""

import re
from functools import cache
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

from liprune_utils.files import PROJECT

HTML = PROJECT / "build" / "html"
PAGES = sorted(path for path in HTML.rglob("*.html") if "_static" not in path.parts)
REFERENCES = HTML / "book" / "references.html"
CITATION = re.compile(r'<span class="bibtex-citation".*?</span>', re.DOTALL)

pytestmark = [
    pytest.mark.built,
    pytest.mark.skipif(not PAGES, reason="there is no built book: run `make book` first"),
]


@cache
def ids(page: Path) -> set[str]:
    return set(re.findall(r'\sid="([^"]+)"', page.read_text()))


@cache
def entries() -> set[str]:
    return set(re.findall(r'<div class="citation" id="([^"]+)"', REFERENCES.read_text()))


def links(text: str, page: Path) -> list[tuple[Path, str]]:
    """Where the inner links of a text lead: a file and an anchor, "" for none."""
    addresses = [unquote(unescape(link)) for link in re.findall(r'href="([^"]+)"', text)]
    inner = [link.partition("#") for link in addresses if not re.match(r"[a-z]+:|//", link)]
    return [
        ((page.parent / (path.split("?")[0] or page.name)).resolve(), at) for path, _, at in inner
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_inner_links_and_anchors_lead_somewhere(page):
    for target, anchor in links(page.read_text(), page):
        assert target.exists()
        assert not anchor or anchor in ids(target), (target.name, anchor)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_citation_links_to_an_entry_of_the_bibliography(page):
    for citation in CITATION.findall(page.read_text()):
        found = links(citation, page)
        assert found, citation
        assert all(target == REFERENCES and anchor in entries() for target, anchor in found)


def test_every_entry_of_the_bibliography_is_cited():
    cited = {anchor for page in PAGES for text in CITATION.findall(page.read_text())
             for _, anchor in links(text, page)}  # fmt: skip
    keys = re.findall(r"^@\w+\{([^,]+),", (PROJECT / "book" / "references.bib").read_text(), re.M)
    assert len(entries()) == len(set(keys))
    assert cited == entries()
