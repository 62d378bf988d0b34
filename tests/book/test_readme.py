"""The README: its table is that of the last build, its lines of Python run."""

import doctest

import pandas as pd
import pytest

from experiments.verdict import headline
from liprune_utils.checks import InputError
from liprune_utils.files import PROJECT
from liprune_utils.grid import read_scores

README = PROJECT / "README.md"
RESULTS, RECORDED = PROJECT / "build" / "results", PROJECT / "book" / "results" / "09_cifar10"


def test_its_lines_of_python_run():
    result = doctest.testfile(str(README), module_relative=False)
    assert result.attempted >= 5
    assert result.failed == 0


@pytest.mark.built
def test_its_table_is_that_of_the_last_build():
    table = headline.markdown(headline.headline_rows(RESULTS, RECORDED))
    text = README.read_text()
    assert headline.replace_table(text, table) == text, "run python -m experiments.verdict.headline"


def test_a_table_takes_the_place_of_the_one_before():
    text = "a\n" + headline.MARKS[0] + "old\n" + headline.MARKS[1] + "b\n"
    new = headline.replace_table(text, "new\n")
    assert new == text.replace("old", "new")
    assert headline.replace_table(new, "old\n") == text


@pytest.mark.parametrize("mark", headline.MARKS)
def test_a_table_has_no_place_without_its_marks(mark):
    with pytest.raises(InputError, match="README lacks a line; expected both <!-- headline table"):
        headline.replace_table(README.read_text().replace(mark, ""), "new\n")


@pytest.mark.built
def test_its_numbers_are_means_of_the_tables():
    rows = {row[0]: row for row in headline.headline_rows(RESULTS, RECORDED)}
    curves = pd.read_csv(RESULTS / "04_linear_model" / "curves.csv")
    found = curves.query("figure == 6 and step == 30 and keep_fraction in (0.1, 1)")
    cells = rows["linear model, keep 0.1, learning rate 0.05"][2:5]
    assert list(map(float, cells)) == pytest.approx(found.test_loss_mean, abs=5e-5)
    large = "ResNet-14, all of CIFAR-10"
    errors = pd.read_csv(RECORDED / "paper_cell_curves.csv").query("method == 'random'")
    shown = float(rows[f"{large}, 164 epochs, learning rate 0.01"][3])
    assert shown == pytest.approx(errors.test_error.mean(), abs=0.05)
    seeds = read_scores(RECORDED, "whole").seed.unique()
    errors = pd.read_csv(RECORDED / "whole_curves.csv").query(
        "learning_rate == 0.1 and keep_fraction == 0.2 and epoch >= prune_epoch"
    )
    own = errors[(errors.method == "liprune") & errors.seed.isin(seeds)]
    own = own.groupby(["prune_epoch", "seed"]).test_error.mean().mean()
    shown = float(rows[f"{large}, 32 epochs, learning rate 0.1"][2])
    assert shown == pytest.approx(own, abs=0.05)
