import json
from importlib.metadata import distribution

import pytest

from liprune_utils.book.licences import THEMES, licences_markdown, software, version_in
from liprune_utils.files import PROJECT

READY = (PROJECT / "node_modules" / "mathjax").exists()
installed = pytest.mark.skipif(not READY, reason="no JavaScript: run `make node_modules/ready`")


def read(name: str) -> dict:
    return json.loads((PROJECT / name).read_text())


@pytest.mark.parametrize(
    ("text", "name", "version"),
    [
        ("/*!\n  * Bootstrap v5.3.3 (https://getbootstrap.com/)", "Bootstrap", "5.3.3"),
        ("jQuery JavaScript Library v3.7.1\njQuery UI Keycode 1.14.0", "jQuery", "3.7.1"),
        ("jQuery JavaScript Library v3.7.1\njQuery UI Keycode 1.14.0", "jQuery UI", "1.14.0"),
        ("clipboard.js v2.0.8", "clipboard.js", "2.0.8"),
    ],
)
def test_a_version_is_read_from_a_file(text, name, version):
    assert version_in(text, name) == version


def test_a_file_without_a_version_is_refused():
    with pytest.raises(ValueError, match="No version of Bootstrap is stated"):
        version_in("Bootstrap, by its authors", "Bootstrap")


@installed
def test_every_dependency_of_the_pages_is_named_with_its_version():
    locked, text = read("package-lock.json")["packages"], licences_markdown()
    for name in read("package.json")["dependencies"]:
        entry = locked[f"node_modules/{name}"]
        assert f"| {name} | {entry['version']} | {entry['license']} | npm |" in text


@installed
def test_every_bundled_package_has_a_licence():
    assert "None" not in licences_markdown()
    assert all(item.licence and item.version for item in software())


@pytest.mark.parametrize("name", THEMES)
def test_a_themes_licence_is_what_its_package_says(name):
    facts = distribution(name).metadata
    said = [facts.get("License-Expression"), *(facts.get_all("Classifier") or [])]
    assert THEMES[name].split("-")[0] in " ".join(filter(None, said))
    assert f"{name}=={distribution(name).version}".replace("-", "_").lower() in (
        (PROJECT / "requirements.txt").read_text().replace("-", "_").lower()
    )
