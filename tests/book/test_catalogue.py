"""The lists at the end of the book: tables and columns, software and licences."""

import pytest

from liprune_utils.book import catalogue
from liprune_utils.book.catalogue import Descriptions, _list_tables, tables_markdown
from liprune_utils.files import PROJECT

DESCRIPTIONS = """
columns:
  "*_se": standard error
  step: steps of SGD
  error: squared error
tables:
  01_one:
    curves: a step
    ends:
      row: a run
      columns: {step: the last step}
"""


@pytest.fixture
def descriptions(tmp_path):
    path = tmp_path / "columns.yml"
    path.write_text(DESCRIPTIONS)
    return Descriptions(path)


@pytest.fixture
def build(tmp_path):
    folder = tmp_path / "build" / "results" / "01_one"
    folder.mkdir(parents=True)
    (folder / "curves.csv").write_text('step,error,error_se\n0,1.0,0.1\n1,"0,5",0.1\n')
    (folder / "ends.csv").write_text("step,other\n1,2\n")
    (folder / "new.csv").write_text("step\n1\n")
    return tmp_path / "build"


@pytest.mark.parametrize(
    ("table", "column", "words"),
    [
        ("01_one/curves", "step", "steps of SGD"),
        ("01_one/ends", "step", "the last step"),
        ("02_two/ends", "step", "steps of SGD"),
        ("01_one/curves", "error_se", "standard error"),
    ],
)
def test_a_table_has_the_first_word_then_a_name_then_a_pattern(descriptions, table, column, words):
    assert descriptions.find(table, column).text == words


def test_what_is_not_described_is_not_found(descriptions):
    assert descriptions.find("01_one/curves", "steps") is None


def test_tables_are_counted_and_linked(build):
    tables = _list_tables(build)
    curves, ends, _ = (table for table in tables if not table.recorded)
    assert (curves.key, curves.num_rows) == ("01_one/curves", 2)
    assert curves.link == "../results/01_one/curves.csv"
    assert ends.columns == ("step", "other")
    recorded = [table.link for table in tables if table.recorded]
    assert "results/09_cifar10/reduced14_curves.csv" in recorded  # they lie beside the prose


def test_the_page_says_where_a_meaning_holds(monkeypatch, descriptions, build, tmp_path):
    monkeypatch.setattr(catalogue, "PROJECT", tmp_path)  # where no tables are recorded
    monkeypatch.setattr(catalogue, "_read_descriptions", lambda: descriptions)
    lines = tables_markdown(build).splitlines()
    assert "## Page 01" in lines
    assert "| {download}`curves.csv <../results/01_one/curves.csv>` | 2 | a step |" in lines
    assert "| {download}`new.csv <../results/01_one/new.csv>` | 1 | (not described) |" in lines
    assert "| `step` |  | steps of SGD |" in lines
    assert "| `step` | 01: ends | the last step |" in lines
    assert "| `*_se` |  | standard error |" in lines
    assert "| `other` | 01: ends | (not described) |" in lines


@pytest.mark.skipif(
    not (PROJECT / "node_modules" / "mathjax").exists(),
    reason="no JavaScript: run `make node_modules/ready`",
)
def test_software_of_others_is_named_with_version_and_licence():
    text = catalogue.software_markdown()
    assert "None" not in text
    assert "| mathjax | 3.2.2 | Apache-2.0 |" in text
    assert "| Sphinx | 7.4.7 | BSD License |" in text
    assert "| Bootstrap | in pydata-sphinx-theme | MIT |" in text
    assert "- ISC: d3-color, d3-format, picocolors, semver" in text
