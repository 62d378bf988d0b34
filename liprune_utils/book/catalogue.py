"""The lists at the end of the book: tables with their columns, executions, software of others."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from importlib.metadata import metadata as package_metadata
from pathlib import Path
from typing import NamedTuple

from liprune_utils.book.inputs import metadata
from liprune_utils.files import PROJECT, read_json, read_yaml

UNKNOWN = "(not described)"
MANAGER = "@jupyter-widgets/html-manager"
THEMES = (  # packages of Python whose scripts and styles the pages load
    "Sphinx", "pydata-sphinx-theme", "sphinx-book-theme", "myst-nb", "sphinx-copybutton",
    "sphinx-design", "sphinx-togglebutton",
)  # fmt: skip
FONT_AWESOME = "icons CC BY 4.0, fonts OFL 1.1, code MIT"
BUNDLED = (  # what a package brings along
    ("Bootstrap", "pydata-sphinx-theme", "MIT"),
    ("Font Awesome Free", "pydata-sphinx-theme", FONT_AWESOME),
    ("clipboard.js", "sphinx-copybutton", "MIT"),
    ("Font Awesome Free", MANAGER, FONT_AWESOME),
    ("jQuery", MANAGER, "MIT"),
    ("jQuery UI", MANAGER, "MIT"),
)


class Description(NamedTuple):
    """What ``book/columns.yml`` says of a column."""

    scope: str  # "page/table", or "" for every table
    column: str  # a name or a pattern
    text: str


class Table(NamedTuple):
    """A table of the book."""

    page: str
    name: str
    link: str  # from a page in ``book/``
    num_rows: int
    columns: tuple[str, ...]
    recorded: bool  # in ``book/results``, not computed with the book

    @property
    def key(self) -> str:
        """Name the table as ``book/columns.yml`` does."""
        return f"{self.page}/{self.name}"


class Descriptions:
    """What a row and a column of each table is, from ``book/columns.yml``."""

    def __init__(self, path: Path):
        content = read_yaml(path, "The descriptions of columns")
        self.rows: dict[str, str] = {}
        self.columns = [Description("", *item) for item in content["columns"].items()]
        for page, tables in content["tables"].items():
            for table, entry in tables.items():
                key, entry = f"{page}/{table}", {"row": entry} if isinstance(entry, str) else entry
                self.rows[key] = entry["row"]
                self.columns += [Description(key, *it) for it in entry.get("columns", {}).items()]

    def find(self, table: str, column: str) -> Description | None:
        """Look a column up: the table's own descriptions first, then names, then patterns."""
        for scope in (table, ""):
            known = [entry for entry in self.columns if entry.scope == scope]
            exact = [entry for entry in known if entry.column == column]
            for entry in exact or known:
                if fnmatchcase(column, entry.column):
                    return entry
        return None


def _read_descriptions() -> Descriptions:
    """Read the descriptions of the book's tables."""
    return Descriptions(PROJECT / "book" / "columns.yml")


def _list_tables(build: Path) -> list[Table]:
    """List the tables of a build and the recorded ones, page by page."""
    folders = {build / "results": "../results", PROJECT / "book" / "results": "results"}
    tables = [
        _read_table(path, link)
        for folder, link in folders.items()
        for path in folder.glob("*/*.csv")
    ]
    return sorted(tables, key=lambda table: (table.page, table.recorded, table.name))


def _read_table(path: Path, folder: str) -> Table:
    with path.open(newline="") as file:
        columns, *rows = csv.reader(file)
    page = path.parent.name
    link, recorded = f"{folder}/{page}/{path.name}", folder == "results"
    return Table(page, path.stem, link, len(rows), tuple(columns), recorded)


def tables_markdown(build: Path) -> str:
    """Write the tables and the glossary of their columns as Markdown."""
    descriptions, tables, sections = _read_descriptions(), _list_tables(build), []
    for page in dict.fromkeys(table.page for table in tables):
        rows = [
            (_download(table), f"{table.num_rows:,}", descriptions.rows.get(table.key, UNKNOWN))
            for table in tables
            if table.page == page
        ]
        listed = _table_markdown(("table", "rows", "a row is"), rows)
        sections.append(f"## Page {page[:2]}\n\n[](../notebooks/{page}.ipynb)\n\n{listed}")
    return "\n".join([*sections, _glossary(tables, descriptions)])


def executions_markdown(pages: list[Path]) -> str:
    """Write the table of executions as Markdown."""
    names = "page", "executed (UTC)", "seconds", "peak memory", "parameters", "data", "torch"
    rows = []
    for path in pages:
        facts = metadata(path)
        began, seconds = facts["papermill"]["start_time"], facts["papermill"]["duration"]
        cells = f"[](../notebooks/{path.name})", began[:16].replace("T", " "), f"{seconds:.0f}"
        cells += f"{facts['peak_memory_mib']:,} MiB", facts["parameters"]
        rows.append((*cells, facts["data_source"] or "generated", facts["versions"]["torch"]))
    return _table_markdown(names, rows)


def software_markdown() -> str:
    """Write the software of others that is part of the rendered book as Markdown."""
    npm = read_json(PROJECT / "package.json")["dependencies"]
    rows = [(name, *_npm_facts(name)) for name in npm]
    rows += [(name, *_python_facts(name)) for name in THEMES]
    rows += [(name, f"in {package}", licence) for name, package, licence in BUNDLED]
    table = _table_markdown(("software", "version", "licence"), rows)
    lists = [f"- {licence}: {', '.join(names)}" for licence, names in _embedded().items()]
    heading = f"The script of {MANAGER} holds these packages of npm:"
    return "\n".join([table, heading, "", *lists]) + "\n"


def _table_markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    align = ["---:" if name in ("rows", "seconds", "peak memory") else "---" for name in columns]
    lines = ["| " + " | ".join(cells) + " |" for cells in [columns, align, *rows]]
    return "\n".join(lines) + "\n"


def _download(table: Table) -> str:
    recorded = " (recorded)" if table.recorded else ""
    return f"{{download}}`{table.name}.csv <{table.link}>`{recorded}"


def _glossary(tables: list[Table], descriptions: Descriptions) -> str:
    scopes = defaultdict(set)
    for table in tables:
        for column in table.columns:
            unknown = Description(table.key, column, UNKNOWN)
            entry = descriptions.find(table.key, column) or unknown
            scopes[entry.column, entry.text].add(entry.scope)
    # By name; what holds in every table, with the scope "", comes first.
    ordered = sorted(scopes.items(), key=lambda item: (item[0][0].lower(), min(item[1])))
    rows = [(f"`{column}`", _places(where), text) for (column, text), where in ordered]
    return "## Columns\n\n" + _table_markdown(("column", "in", "what it is"), rows)


def _places(scopes: set[str]) -> str:
    pages = defaultdict(list)
    for scope in sorted(filter(None, scopes)):
        page, table = scope.split("/")
        pages[page[:2]].append(table)
    return "; ".join(f"{page}: {', '.join(names)}" for page, names in pages.items())


def _embedded() -> dict[str, list[str]]:
    """List by licence the packages in the widget manager's script, which its source map names."""
    sources = read_json(PROJECT / "node_modules" / MANAGER / "dist" / "embed.js.map")["sources"]
    names = set(
        re.findall(r"node_modules/((?:@[^/]+/)?[^/]+)/(?!.*node_modules)", "\n".join(sources))
    )
    licences = defaultdict(list)
    for name in sorted(names - {"css-loader", "style-loader"}):  # which packed it
        licences[_npm_facts(name)[1].strip("()")].append(name)
    return dict(sorted(licences.items()))


def _npm_facts(name: str) -> tuple[str, str]:
    entry = read_json(PROJECT / "package-lock.json")["packages"][f"node_modules/{name}"]
    return entry["version"], entry["license"]


def _python_facts(name: str) -> tuple[str, str]:
    facts = package_metadata(name)
    licences = [text for text in facts.get_all("Classifier", []) if text.startswith("License ::")]
    return facts["Version"], facts.get("License-Expression") or licences[0].split(" :: ")[-1]
