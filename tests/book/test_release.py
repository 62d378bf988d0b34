"""A release: its version and date agree wherever they stand."""

import re
import tomllib

import pytest
import yaml
from bs4 import BeautifulSoup

from liprune_utils.files import PROJECT

HTML = PROJECT / "build" / "html"
OWN = sorted(path for name in ("book", "notebooks") for path in (HTML / name).rglob("*.html"))
RELEASE = re.compile(r"^## (\d+\.\d+\.\d+) – (\d{4}-\d\d-\d\d)$", re.MULTILINE)


def releases(changelog: str) -> list[tuple[str, str]]:
    """Versions and dates, newest first; what stands under "Unreleased" is no release."""
    headings = re.findall(r"^## .*$", changelog, flags=re.MULTILINE)
    headings = [heading for heading in headings if heading != "## Unreleased"]
    return [RELEASE.fullmatch(heading).groups() for heading in headings]


def test_the_package_the_citation_and_the_changelog_name_one_version_and_date():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
    newest, *_ = releases((PROJECT / "CHANGELOG.md").read_text())
    assert newest == (citation["version"], str(citation["date-released"]))
    assert newest[0] == project["version"]


def test_releases_stand_in_order_and_say_when():
    known = releases((PROJECT / "CHANGELOG.md").read_text())
    assert known == sorted(known, key=lambda it: [*map(int, it[0].split("."))], reverse=True)
    assert [date for _, date in known] == sorted((date for _, date in known), reverse=True)
    with pytest.raises(AttributeError):
        releases("## 0.2.0 – unreleased\n")


@pytest.mark.built
@pytest.mark.parametrize("page", OWN, ids=lambda path: path.stem)
def test_a_shared_page_has_a_title_a_description_and_a_picture(page):
    soup = BeautifulSoup(page.read_text(), "html.parser")
    shown = {tag["property"]: tag["content"] for tag in soup.select('meta[property^="og:"]')}
    assert shown["og:title"] in soup.title.text
    assert len(shown["og:description"]) > 20
    assert (HTML / re.search(r"_static/.*", shown["og:image"]).group()).is_file()
    assert len(shown["og:image:alt"]) > 40
