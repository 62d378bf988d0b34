import pytest

from liprune_utils.book import catalogue
from liprune_utils.book.catalogue import Register, list_tables, tables_markdown

REGISTER = """
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
def register(tmp_path):
    path = tmp_path / "columns.yml"
    path.write_text(REGISTER)
    return Register(path)


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
def test_a_table_has_the_first_word_then_a_name_then_a_pattern(register, table, column, words):
    assert register.find(table, column).words == words


def test_what_is_not_described_is_not_found(register):
    assert register.find("01_one/curves", "steps") is None


def test_tables_are_counted_and_linked(register, build):
    curves, ends, new = (table for table in list_tables(build, register) if not table.recorded)
    assert (curves.name, curves.num_rows, curves.row) == ("curves", 2, "a step")
    assert curves.link == "../results/01_one/curves.csv"
    assert ends.columns == ("step", "other")
    assert new.row == catalogue.UNKNOWN


def test_recorded_tables_lie_beside_the_prose(register, build):
    links = [table.link for table in list_tables(build, register) if table.recorded]
    assert "results/09_cifar10/reduced14_curves.csv" in links


def test_the_page_says_where_a_meaning_holds(monkeypatch, register, build, tmp_path):
    monkeypatch.setattr(catalogue, "PROJECT", tmp_path)  # where no tables are recorded
    monkeypatch.setattr(catalogue, "Register", lambda: register)
    lines = tables_markdown(build).splitlines()
    assert "## Page 01" in lines
    assert "| `step` |  | steps of SGD |" in lines
    assert "| `step` | 01: ends | the last step |" in lines
    assert "| `*_se` |  | standard error |" in lines
    assert "| `other` | 01: ends | (not described) |" in lines
