"""The catalogue of the tables: what a row and a column of each is, as a page of the book shows it.

The words come from the register ``book/columns.yml``, the rest from the tables themselves.
"""

import csv
from collections import defaultdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import yaml

from liprune_utils.files import PROJECT

UNKNOWN = "(not described)"


class Entry(NamedTuple):
    """A description in the register."""

    scope: str  # "page/table", or "" for every table
    name: str  # of a column, or a pattern
    words: str


class Table(NamedTuple):
    """A table of the book."""

    page: str
    name: str
    link: str  # from a page in ``book/``
    num_rows: int
    columns: tuple[str, ...]
    row: str  # what one row is
    recorded: bool  # in ``book/results``, not computed with the book


class Register:
    """What the tables and columns are, from ``book/columns.yml``."""

    def __init__(self, path: Path = PROJECT / "book" / "columns.yml"):
        content = yaml.safe_load(path.read_text())
        self.rows: dict[str, str] = {}
        self.entries = [Entry("", *item) for item in content["columns"].items()]
        for page, tables in content["tables"].items():
            for table, said in tables.items():
                found = said if isinstance(said, dict) else {"row": said}
                self.rows[f"{page}/{table}"] = found["row"]
                own = found.get("columns", {}).items()
                self.entries += [Entry(f"{page}/{table}", *item) for item in own]

    def find(self, table: str, column: str) -> Entry | None:
        """Look a column up: the table's own words first, then names, then patterns.

        Args:
            table: "page/table".
            column: The column's name.

        Returns:
            Its description, or None.
        """
        for scope in (table, ""):
            known = {entry.name: entry for entry in self.entries if entry.scope == scope}
            if column in known:
                return known[column]
            for name, entry in known.items():
                if fnmatchcase(column, name):
                    return entry
        return None


def list_tables(build: Path, register: Register) -> list[Table]:
    """List the tables of a build and the recorded ones, page by page.

    Args:
        build: Folder of the build.
        register: Says what a row is.

    Returns:
        The tables.
    """
    folders = {build / "results": "../results", PROJECT / "book" / "results": "results"}
    found = [
        (path, f"{link}/{path.parent.name}/{path.name}")
        for folder, link in folders.items()
        for path in folder.glob("*/*.csv")
    ]
    tables = [_table(path, link, register) for path, link in found]
    return sorted(tables, key=lambda table: (table.page, table.recorded, table.name))


def _table(path: Path, link: str, register: Register) -> Table:
    page, name = path.parent.name, path.stem
    with path.open(newline="") as file:
        columns, *rows = csv.reader(file)
    row = register.rows.get(f"{page}/{name}", UNKNOWN)
    return Table(page, name, link, len(rows), tuple(columns), row, not link.startswith("../"))


def tables_markdown(build: Path) -> str:
    """Write the tables and the glossary of their columns as Markdown.

    Args:
        build: Folder of the build.

    Returns:
        A section for each page, and the glossary.
    """
    register, sections = Register(), defaultdict(list)
    tables = list_tables(build, register)
    for table in tables:
        sections[table.page].append(table)
    parts = [_page_section(page, rows) for page, rows in sections.items()]
    return "\n".join([*parts, _glossary(tables, register)])


def _page_section(page: str, tables: list[Table]) -> str:
    lines = [f"## Page {page[:2]}", "", f"[](../notebooks/{page}.ipynb)", ""]
    lines += ["| table | rows | a row is |", "|---|---:|---|"]
    for table in tables:
        mark = " (recorded)" if table.recorded else ""
        file = f"{{download}}`{table.name}.csv <{table.link}>`{mark}"
        lines.append(f"| {file} | {table.num_rows:,} | {table.row} |")
    return "\n".join(lines) + "\n"


def _glossary(tables: list[Table], register: Register) -> str:
    scopes = defaultdict(set)
    for table in tables:
        key = f"{table.page}/{table.name}"
        for column in table.columns:
            entry = register.find(key, column) or Entry(key, column, UNKNOWN)
            scopes[entry.name, entry.words].add(entry.scope)
    lines = ["## Columns", "", "| column | in | what it is |", "|---|---|---|"]
    for (name, words), where in sorted(scopes.items(), key=lambda item: _order(*item)):
        lines.append(f"| `{name}` | {_places(where)} | {words} |")
    return "\n".join(lines) + "\n"


# By name, what holds everywhere first.
def _order(key: tuple[str, str], where: set[str]) -> tuple[str, str]:
    return key[0].lower(), min(where)


def _places(scopes: set[str]) -> str:
    pages = defaultdict(list)
    for scope in sorted(filter(None, scopes)):
        page, table = scope.split("/")
        pages[page[:2]].append(table)
    return "; ".join(f"{page}: {', '.join(names)}" for page, names in pages.items())
