"""The repository's address: where it is set and where it is not, nothing in between."""

import re
import shutil
from pathlib import Path

import pytest
import toy
import yaml
from bs4 import BeautifulSoup

from liprune_utils.book import address, staging
from liprune_utils.checks import InputError
from liprune_utils.files import PROJECT

URL = "https://github.com/Some-One/the.book"
SITE = "https://some-one.github.io/the.book/"
PAGES = ["notebooks/01_toy", "book/intro", "book/api/module-checks"]
CHANGES = {"README.md": address.with_badges, "CITATION.cff": address.with_links}


def set_address(folder: Path, url: str) -> None:
    """Write the book's configuration with another address."""
    text = (PROJECT / "_config.yml").read_text()
    changed, times = re.subn(r"^  url: .*$", f'  url: "{url}"', text, flags=re.MULTILINE)
    assert times == 1
    (folder / "_config.yml").write_text(changed)


@pytest.mark.parametrize("name", CHANGES)
def test_readme_and_citation_say_what_the_configuration_says(name):
    text = (PROJECT / name).read_text()
    advice = "run python -m liprune_utils.book.address"
    assert CHANGES[name](text, address.repository()) == text, advice


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_written_can_be_taken_away_again(name):
    text, change = (PROJECT / name).read_text(), CHANGES[name]
    without, written = change(text, ""), change(text, URL)
    assert "github.com" not in without.replace("git clone", "")
    assert URL in written
    assert SITE in written
    assert change(written, URL) == written
    assert change(written, "") == without


def test_a_citation_with_an_address_keeps_its_other_entries():
    without, written = (
        yaml.safe_load(address.with_links((PROJECT / "CITATION.cff").read_text(), url))
        for url in ("", URL)
    )
    assert written == without | {"repository-code": URL, "url": SITE}


def test_the_command_writes_both(tmp_path, monkeypatch):
    set_address(tmp_path, URL)
    for name in CHANGES:
        (tmp_path / name).write_text((PROJECT / name).read_text())
    monkeypatch.setattr(address, "PROJECT", tmp_path)
    address.write()
    assert all(URL in (tmp_path / name).read_text() for name in CHANGES)


@pytest.mark.parametrize(
    "url",
    [
        "http://github.com/a/b",
        "https://github.com/a",
        f"{URL}/",
        f"{URL}.git",
        "https://github.com/a/..",
        "a/b",
    ],
)
def test_an_address_that_leads_nowhere_is_refused(tmp_path, monkeypatch, url):
    set_address(tmp_path, url)
    monkeypatch.setattr(address, "PROJECT", tmp_path)
    with pytest.raises(InputError, match="or https://github"):
        address.repository()


def test_a_configuration_without_an_address_is_refused(tmp_path, monkeypatch):
    (tmp_path / "_config.yml").write_text("title: A book\n")
    monkeypatch.setattr(address, "PROJECT", tmp_path)
    with pytest.raises(InputError, match=r"repository\.url is None; expected"):
        address.repository()


@pytest.mark.parametrize("url", ["", URL])
def test_buttons_come_and_go_together(tmp_path, monkeypatch, url):
    set_address(tmp_path, url)
    for module in (address, staging):
        monkeypatch.setattr(module, "PROJECT", tmp_path)
    config = yaml.safe_load(staging._config([]))
    buttons = [value for name, value in config["html"].items() if name.endswith("_button")]
    assert buttons == [bool(url)] * 3
    assert ("launch_buttons" in config) == bool(url)
    assert config["html"].get("baseurl", "") == (SITE if url else "")


@pytest.fixture(scope="module")
def books(tmp_path_factory) -> dict[str, Path]:
    """A small book, rendered with an address and then without."""
    folder, found = tmp_path_factory.mktemp("html"), {}
    project = toy.make_project(tmp_path_factory.mktemp("project"))
    for url in (URL, ""):
        set_address(project, url)
        result = toy.make(project, "book")
        assert result.returncode == 0, result.stdout + result.stderr
        html = project / "build" / "html"
        found[url] = shutil.copytree(html, folder / f"{len(found)}")
    return found


def page(book: Path, name: str) -> BeautifulSoup:
    return BeautifulSoup((book / f"{name}.html").read_text(), "html.parser")


def leads_to(soup: BeautifulSoup) -> list[str]:
    """Where the buttons of a page's header lead, of those that leave the book."""
    links = [link["href"] for link in soup.select(".article-header-buttons a[href]")]
    return [link for link in links if link.startswith("https:")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("notebooks/01_toy", "notebooks/01_toy.py"),
        ("book/intro", "book/intro.md"),
        ("book/api/module-checks", "liprune_utils/checks.py"),
    ],
)
def test_a_page_leads_to_its_repository_issues_text_and_colab(books, name, text):
    soup = page(books[URL], name)
    links = leads_to(soup)
    assert URL in links
    assert f"{URL}/edit/main/{text}" in links
    assert [link for link in links if link.startswith(f"{URL}/issues/new")]
    opens = f"https://colab.research.google.com/github/Some-One/the.book/blob/main/{name}.ipynb"
    assert (opens in links) == name.startswith("notebooks/")
    assert (f"git clone --depth 1 {URL} " in soup.text) == name.startswith("notebooks/")


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_without_an_address_there_is_none_of_it(books, name):
    soup = page(books[""], name)
    assert leads_to(soup) == []
    assert "git clone" not in soup.text
    assert "github.com" not in str(soup)


@pytest.mark.slow
@pytest.mark.parametrize("url", ["", URL])
@pytest.mark.parametrize("name", PAGES)
def test_a_shared_page_has_a_title_a_description_and_a_picture(books, url, name):
    soup = page(books[url], name)
    shown = {tag["property"]: tag["content"] for tag in soup.select('meta[property^="og:"]')}
    assert shown["og:title"] in soup.title.text
    assert shown["og:site_name"] == "LiPrune, reproduced"
    assert shown["og:description"]
    site = SITE if url else ""
    assert shown["og:url"] == f"{site}{name}.html"
    assert shown["og:image"].startswith(site)
    assert (books[url] / shown["og:image"].removeprefix(site)).is_file()
