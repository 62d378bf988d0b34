"""Tables of made-up contests: pairs by data set, every outcome, and what decides."""

import numpy as np
import pandas as pd
import pytest

from experiments.what_to_keep import tables
from experiments.what_to_keep.problems import Population
from experiments.what_to_keep.races import (
    KEEP_FRACTIONS,
    NONE,
    SIZES,
    STEPS,
    WEIGHTED,
    Contest,
    Entrant,
    Problem,
    Tuned,
)
from liprune_utils.intervals import Estimate, mean_interval

METHODS = ("random", "liprune", "A", WEIGHTED)
SETS = 14


def made(factors: dict[str, float], labels: str = "logistic", dim: int = 10) -> Contest:
    """A contest in which methods have an excess of their own, in units of random pruning's."""
    draw = np.random.default_rng(dim)
    common = np.exp(draw.normal(0, 1, (SETS, len(STEPS))))
    entrants = [Entrant(method, f) for method in METHODS for f in KEEP_FRACTIONS] + [NONE]
    noises = {e: np.exp(draw.normal(0, 0.05, (SETS, len(STEPS)))) for e in entrants}
    excess = {e: factors.get(e.method, 1.0) * common * noise for e, noise in noises.items()}
    tuned = {e: Tuned(np.full(3, 2.0), np.ones((5, 3))) for e in entrants}
    return Contest(Problem(Population(dim, "uneven"), labels), tuned, excess)


def test_cases_are_paired_by_data_set():
    contest = made({"A": 0.5, "liprune": 0.25, "none": 0.5})
    table = tables.case_table([contest], 0.9)
    assert len(table) == 2 * 3 * 3
    ours = contest.excess[Entrant("A", 0.3)][:, 1]
    rivals = {"random": Entrant("random", 0.3), "liprune": Entrant("liprune", 0.3), "none": NONE}
    here = table[(table.keep_fraction == 0.3) & (table.step == 100)].set_index("against")
    for rival, entrant in rivals.items():
        mean = mean_interval(np.log(ours) - np.log(contest.excess[entrant][:, 1]), 0.9)
        found = here.loc[rival, ["ratio", "low", "high"]].astype(float)
        np.testing.assert_allclose(found, np.exp(mean[:3]))
    assert here.num_runs.tolist() == [SETS] * 3
    outcomes = table.groupby("against").outcome.unique().map(list).to_dict()
    assert (outcomes["random"], outcomes["liprune"]) == (["lower"], ["higher"])
    assert set(table.method) == {"A"}
    assert set(table.family) == {"logistic"}


@pytest.mark.parametrize(
    ("ends", "word"),
    [((0.5, 0.9), "lower"), ((1.1, 2), "higher"), ((0.9, 1.1), "open"), ((1, 1), "same")],
)
def test_outcomes(ends, word):
    assert tables.outcome(Estimate(np.mean(ends), *ends, 5)) == word


def test_the_weighted_design_decides_where_it_tuned_better():
    contest = made({"A": 0.5, WEIGHTED: 2.0})
    contest.tuned[Entrant(WEIGHTED, 0.1)].excess[:, 2] = 0.9
    table = tables.case_table([contest], 0.99)
    chosen = table[table.method == WEIGHTED]
    assert chosen[["keep_fraction", "step"]].drop_duplicates().to_numpy().tolist() == [[0.1, 300]]
    assert (chosen[chosen.against == "random"].outcome == "higher").all()
    least = made({"A": 0.5}, "noise 0.5")
    del least.tuned[Entrant(WEIGHTED, 0.1)]
    assert tables.the_design(least, 0.1, 2) == Entrant("A", 0.1)


def test_methods_are_compared_with_random_pruning_of_the_same_fraction():
    contest = made({"A": 0.5, "none": 0.25})
    contest.excess[Entrant(WEIGHTED, 0.3)][:, 2] = np.nan
    table = tables.method_table([contest], 0.95)
    assert set(table.method) == {"liprune", "A", WEIGHTED, "none"}
    assert len(table) == 4 * 6 - 1
    row = table[(table.method == "none") & (table.keep_fraction == 0.3) & (table.step == 30)]
    logs = np.log(contest.excess[NONE] / contest.excess[Entrant("random", 0.3)])[:, 0]
    assert row.ratio.item() == pytest.approx(np.exp(logs.mean()))
    assert table.groupby("method").ratio.mean().to_dict() == pytest.approx(
        {"liprune": 1.0, "A": 0.5, WEIGHTED: 1.0, "none": 0.25}, rel=0.05
    )


def test_counts_add_up_to_the_cells():
    contests = [made({"A": 0.5, "liprune": 2.0}), made({"A": 0.5}, dim=50)]
    table = tables.count_table(tables.method_table(contests, 0.99))
    found = table.set_index(["dim", "method"])[["lower", "open", "higher"]]
    assert found.loc[10, "A"].tolist() == found.loc[50, "A"].tolist() == [6, 0, 0]
    assert found.loc[10, "liprune"].tolist() == [0, 0, 6]
    assert (found.sum(axis=1) == 6).all()


def test_tuning_lists_every_choice_and_the_ends():
    contest = made({})
    contest.tuned[NONE].multiples[1] = SIZES[0]
    contest.tuned[NONE].excess[:, 1] = [1, 2, 3, 4, 5]
    table = tables.tuning_table([contest])
    assert len(table) == len(contest.tuned) * len(STEPS)
    (row,) = table[table.at_an_end].itertuples()
    assert (row.method, row.step, row.multiple, row.excess) == ("none", 100, SIZES[0], 3)


def test_costs_are_relative_to_the_same_run(monkeypatch):
    seconds = iter(range(1, 1000))
    monkeypatch.setattr(tables, "_seconds", lambda call: (call(), next(seconds))[1])
    monkeypatch.setattr(tables, "REPEATS", 1)
    table = tables.cost_table([2, 3], 0)
    assert table.method.tolist() == ["liprune", "leverage", "IBOSS", "A", "D", "V"] * 2
    first = table[table.dim == 2]
    np.testing.assert_allclose(first.seconds, [1, 2, 3, 4, 5, 6])
    np.testing.assert_allclose(first.passes, first.seconds / 7)
    np.testing.assert_allclose(first.epochs, first.seconds / 8)


def test_an_epoch_sees_every_point_once():
    train = Problem(Population(2, "even"), "noise 0.5").race(0, 1, 0).field.draw(0, "noise 0.5")
    objective = train.train
    order = np.random.default_rng(0).permutation(1000).reshape(-1, 10)
    weights = np.zeros(2)
    for batch in order:
        rest = objective.x[batch] @ weights - objective.y[batch, 0]
        weights = weights - 1e-3 * objective.x[batch].T @ rest / 10
    np.testing.assert_allclose(tables._epoch(objective, order), weights[None])


def test_tables_are_plain():
    contests = [made({}, "noise 0.5"), made({}, "logistic", 50)]
    every = (tables.case_table(contests, 0.99), tables.method_table(contests, 0.99))
    for table in (*every, tables.tuning_table(contests)):
        assert isinstance(table, pd.DataFrame)
        assert not table.isna().any().any()
        assert not table.duplicated().any()
