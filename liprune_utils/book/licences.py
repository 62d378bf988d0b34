"""The software of others that is part of the rendered book, with versions and licences."""

import json
import re
from collections import defaultdict
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

from liprune_utils.files import PROJECT

FONT_AWESOME = "icons CC BY 4.0, fonts OFL 1.1, code MIT"
THEMES = {  # packages of Python whose scripts and styles the pages load
    "Sphinx": "BSD-2-Clause",
    "pydata-sphinx-theme": "BSD-3-Clause",
    "sphinx-book-theme": "BSD-3-Clause",
    "myst-nb": "BSD-3-Clause",
    "sphinx-copybutton": "MIT",
    "sphinx-design": "MIT",
    "sphinx-togglebutton": "MIT",
}
MANAGER = "@jupyter-widgets/html-manager"
EMBEDDED = Path("dist") / "embed.js"  # of the manager: all its packages in one file


class Software(NamedTuple):
    """A piece of software in the rendered book."""

    name: str
    version: str
    licence: str
    source: str  # the package that brings it


INSIDE = (  # what a package brings along: name, licence, package, and a file that names the version
    ("Bootstrap", "MIT", "pydata-sphinx-theme", "bootstrap.js.LICENSE.txt"),
    ("Font Awesome Free", FONT_AWESOME, "pydata-sphinx-theme", "fontawesome.js.LICENSE.txt"),
    ("clipboard.js", "MIT", "sphinx-copybutton", "clipboard.min.js"),
    ("Font Awesome Free", FONT_AWESOME, MANAGER, "embed.js"),
    ("jQuery", "MIT", MANAGER, "embed.js.LICENSE.txt"),
    ("jQuery UI", "MIT", MANAGER, "embed.js.LICENSE.txt"),
)


def software() -> list[Software]:
    """List what the rendered book contains.

    Returns:
        JavaScript from npm, then the themes, then what these bring along.
    """
    found = [_npm_package(name) for name in _json(PROJECT / "package.json")["dependencies"]]
    for name, licence in THEMES.items():
        found.append(Software(name, distribution(name).version, licence, "PyPI"))
    for name, licence, package, file in INSIDE:
        found.append(Software(name, version_in(_text(package, file), name), licence, package))
    return found


def embedded() -> dict[str, list[str]]:
    """List the packages that the widget manager's script holds, from its source map.

    Returns:
        For each licence their names on npm; those that only made the script are left out.
    """
    sources = _json(PROJECT / "node_modules" / MANAGER / f"{EMBEDDED}.map")["sources"]
    paths = [re.findall(r"node_modules/((?:@[^/]+/)?[^/]+)", source) for source in sources]
    found = defaultdict(list)
    for name in sorted({path[-1] for path in paths if path} - {"css-loader", "style-loader"}):
        found[_npm_package(name).licence.strip("()")].append(name)
    return dict(sorted(found.items()))


def licences_markdown() -> str:
    """Write the list as Markdown.

    Returns:
        A table, and a list of the packages inside the widget manager's script.
    """
    lines = ["| software | version | licence | brought by |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(item) + " |" for item in software()]
    lines += ["", f"The script of {MANAGER} holds these packages of npm:", ""]
    lines += [f"- {licence}: {', '.join(names)}" for licence, names in embedded().items()]
    return "\n".join(lines) + "\n"


def version_in(text: str, name: str) -> str:
    """Find the version that a file's head or style states.

    Args:
        text: The file.
        name: Of the software.

    Returns:
        Its version.

    Raises:
        ValueError: If there is none.
    """
    found = re.search(rf"{re.escape(name)}\b[\w ]*? v?(\d+\.\d+\.\d+)", text)
    if not found:
        raise ValueError(f"No version of {name} is stated.")
    return found[1]


def _npm_package(name: str) -> Software:
    entry = _json(PROJECT / "package-lock.json")["packages"][f"node_modules/{name}"]
    return Software(name, entry["version"], entry["license"], "npm")


def _text(package: str, file: str) -> str:
    if package == MANAGER:
        return (PROJECT / "node_modules" / MANAGER / EMBEDDED.parent / file).read_text()
    paths = [path for path in distribution(package).files or [] if path.name == file]
    return paths[0].read_text()


def _json(path: Path) -> dict:
    return json.loads(path.read_text())
