"""The register of tables and columns: whole, without a word too many, and shown."""

from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from liprune_utils.book.catalogue import Description, _list_tables, _read_descriptions
from liprune_utils.files import PROJECT
from liprune_utils.grid import KINDS, MEASURED, read_grid

BUILD = PROJECT / "build"
DESCRIPTIONS = _read_descriptions()
TABLES = _list_tables(BUILD)

pytestmark = pytest.mark.built


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.key)
def test_a_table_can_be_read_and_is_described(table):
    folder = PROJECT / "book" if table.recorded else BUILD / "results"
    data = pd.read_csv(folder / table.link.removeprefix("../results/"))
    assert data.shape == (table.num_rows, len(table.columns))
    assert len(data) > 0
    assert table.key in DESCRIPTIONS.rows
    assert [c for c in table.columns if not DESCRIPTIONS.find(table.key, c)] == []


def of_grids() -> set[str]:
    """The tables that grids ask for, and that may not be recorded yet."""
    grids = map(read_grid, (PROJECT / "experiments" / "grids").glob("*.yml"))
    return {f"{Path(g.folder).name}/{g.name}_{kind}" for g in grids for kind in KINDS}


@cache
def used() -> set[Description]:
    """The descriptions of columns that some table has."""
    return {DESCRIPTIONS.find(table.key, column) for table in TABLES for column in table.columns}


def test_no_description_is_left_over():
    there = {table.key for table in TABLES}
    assert there <= set(DESCRIPTIONS.rows) <= there | of_grids()
    of_runs = {
        DESCRIPTIONS.find("", column) for column in (*MEASURED, "run_id", "kept", "norm_error")
    }
    assert [entry for entry in DESCRIPTIONS.columns if entry not in used() | of_runs] == []


def test_no_two_tables_of_a_page_share_a_name():
    assert len({table.key for table in TABLES}) == len(TABLES)


def test_a_description_is_one_line_of_a_table():
    for words in [*DESCRIPTIONS.rows.values(), *(entry.text for entry in DESCRIPTIONS.columns)]:
        assert 5 < len(words) < 300, words
        assert not set("\n|") & set(words), words
        assert words[-1] not in ".;,", words


def test_the_page_of_tables_offers_each_and_every_column():
    page = (BUILD / "html" / "book" / "tables.html").read_text()
    assert "(not described)" not in page
    for table in TABLES:
        assert f"/{table.name}.csv" in page
        assert f"{table.num_rows:,}" in page
    for entry in used():
        assert f'<span class="pre">{entry.column.split()[0]}' in page
