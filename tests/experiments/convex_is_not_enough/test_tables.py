"""What the races on real data say: step sizes chosen, tables against their definitions."""

import numpy as np
import pandas as pd
import pytest

from experiments.convex_is_not_enough.real_data import load
from experiments.convex_is_not_enough.runs import (
    CELLS,
    KEEP_FRACTIONS,
    MULTIPLES,
    NONE,
    PRUNED,
    Cell,
    excess,
    kept,
    recorded_steps,
    run,
    stream,
)
from experiments.convex_is_not_enough.tables import (
    NUM_RUNS,
    RULES,
    choose,
    class_table,
    loss_table,
    race,
    race_all,
    sooner_table,
    step_table,
    tune,
)
from liprune_utils.intervals import mean_interval, median_interval

SEED = 4


@pytest.fixture(scope="module")
def races():
    return race_all(SEED, {"breast cancer": 4, "diabetes": 3}, num_tuning=2)


def tuning_of(excesses, steps):
    """A tuning table in which all methods fare alike."""
    rows = [
        (*cell, multiple, e, s)
        for cell in CELLS
        for multiple, e, s in zip(MULTIPLES, excesses, steps, strict=True)
    ]
    return pd.DataFrame(rows, columns=[*Cell._fields, "multiple", "excess", "steps"])


def test_lowest_excess_and_fewest_steps_are_chosen():
    excesses, steps = np.full((2, len(MULTIPLES)), 300.0)
    excesses[[5, 9]], steps[[7, 9]] = (1, 2), (20, 20)
    table = tuning_of(excesses, steps)
    none = table.method == "none"
    table.loc[none & (table.multiple == MULTIPLES[3]), "excess"] = 0.5
    found = dict(zip(RULES, choose(table).T, strict=True))
    assert (found["theorem"] == 1).all()
    assert (found["shared"] == MULTIPLES[3]).all()
    final = [MULTIPLES[3] if cell == NONE else MULTIPLES[5] for cell in CELLS]
    assert found["final"].tolist() == final
    assert (found["arrival"] == MULTIPLES[9]).all()  # of equals, the lowest excess


def test_tuning_is_the_mean_of_its_own_runs():
    table, roots = tune("diabetes", 2, SEED), [(SEED, 1, number) for number in range(2)]
    grid = np.tile(MULTIPLES, (len(CELLS), 1))
    outcomes = [run(load("diabetes", stream(root, "split")), root, grid) for root in roots]
    expected = np.mean([outcome.excess[-1] for outcome in outcomes], axis=0)
    capped = np.mean([np.minimum(outcome.steps, 300) for outcome in outcomes], axis=0)
    np.testing.assert_allclose(table.excess, expected.ravel())
    np.testing.assert_allclose(table.steps, capped.ravel())
    assert table[["method", "keep_fraction"]].drop_duplicates().to_records(
        index=False
    ).tolist() == [tuple(cell) for cell in CELLS]


def test_rows_are_those_of_the_runs(races):
    root = (SEED, 0, 1)
    split = load("breast cancer", stream(root, "split"))
    multiples = choose(races.tuning[races.tuning.data_set == "breast cancer"])
    outcome = run(split, root, multiples)
    rows = races.runs.query("data_set == 'breast cancer' and run == 1")
    for row in rows[rows.rule.isin(list(RULES))].itertuples():
        at = CELLS.index((row.method, row.keep_fraction)), list(RULES).index(row.rule)
        assert row.multiple == multiples[at]
        assert row.excess == outcome.excess[-1][at]
        assert (row.test_loss, row.steps) == (outcome.test_loss[at], outcome.steps[at])
    limits = rows[rows.rule == "minimiser"].set_index(["method", "keep_fraction"])
    part = split.train.take(kept(split.train.lipschitz, PRUNED[2], root))
    assert limits.excess[PRUNED[2]] == pytest.approx(excess(split.train, part.minimiser))
    assert limits.test_loss[NONE] == pytest.approx(split.test.value(split.train.minimiser))
    assert len(rows) == len(RULES) * len(CELLS) + len(PRUNED) + 1


def test_limits_of_pruning_are_above_the_minimum(races):
    limits = races.runs[races.runs.rule == "minimiser"]
    assert (limits.excess[limits.method == "none"] == 0).all()
    assert (limits.excess[limits.method != "none"] > 0).all()


def test_racing_runs_are_not_those_that_tune(races):
    more = race("diabetes", 2, 2, SEED)
    same = races.runs.query("data_set == 'diabetes' and run < 2").reset_index(drop=True)
    pd.testing.assert_frame_equal(more.runs, same)  # nor do they depend on how many follow
    tuned = [load("diabetes", stream((SEED, role, 0), "split")).train.y for role in (0, 1)]
    assert not np.array_equal(*tuned)


def test_curves_are_means_with_standard_errors(races):
    curves = races.curves.query("data_set == 'diabetes'")
    assert len(curves) == len(recorded_steps()) * len(CELLS) * len(RULES)
    here = "rule == 'shared' and method == 'random' and keep_fraction == 0.3"
    last, runs = curves.query(here).iloc[-1], races.runs.query("data_set == 'diabetes'").query(here)
    assert last.excess == pytest.approx(runs.excess.mean())
    assert last.excess_se == pytest.approx(runs.excess.std() / np.sqrt(3))


def test_losses_are_compared_run_by_run(races):
    table = loss_table(races.runs)
    assert set(table.rule) == {"theorem", "shared", "final", "minimiser"}
    here = races.runs.query("data_set == 'diabetes' and rule == 'final'")
    ours, random, none = (
        here[(here.method == method) & (here.keep_fraction == r)].test_loss.to_numpy()
        for method, r in (("liprune", 0.1), ("random", 0.1), ("none", 1.0))
    )
    rows = table.query("data_set == 'diabetes' and rule == 'final' and measure == 'test_loss'")
    rows = rows[rows.keep_fraction == 0.1].set_index("against")
    for other, name in ((random, "random"), (none, "none")):
        found = rows.loc[name, ["difference", "low", "high", "num_runs"]]
        np.testing.assert_allclose(found.astype(float), mean_interval(ours - other))
    importance = table[table.method == "importance"]
    assert set(importance.against) == {"none"}
    assert set(importance.rule) == {"theorem", "shared", "final"}  # nothing is pruned


def race_rows(steps, cells=(PRUNED[0], PRUNED[1], NONE)):
    """Runs of one rule with given steps, ``[num_cells, num_runs]``."""
    rows = [
        ("toy", number, "shared", *cell, value)
        for cell, values in zip(cells, steps, strict=True)
        for number, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["data_set", "run", "rule", *Cell._fields, "steps"])


def test_runs_that_never_arrive_count():
    steps = [[3, 5, np.inf, np.inf], [4, 5, 9, np.inf], [4, np.inf, np.inf, np.inf]]
    runs = race_rows(steps)
    summary = step_table(runs).set_index(["method"])
    assert summary.arrived.to_dict() == {"liprune": 2, "random": 3, "none": 1}
    assert summary["median"].to_dict() == {"liprune": np.inf, "random": 7, "none": np.inf}
    assert summary.high["random"] == median_interval(steps[1]).high == np.inf
    sooner = sooner_table(runs).set_index("against")
    assert sooner.loc["random", ["sooner", "later", "num_runs"]].tolist() == [1, 1, 4]
    assert sooner.loc["none", ["sooner", "later", "share"]].tolist() == [2, 0, 1]


def test_nobody_arriving_gives_no_share():
    nothing = sooner_table(race_rows(np.full((3, 2), np.inf)))
    assert (nothing.sooner + nothing.later == 0).all()
    assert "share" not in nothing or nothing.share.isna().all()


def test_infinite_medians_raise_no_warning():
    assert np.isinf(step_table(race_rows(np.full((3, 4), np.inf)))["median"]).all()


def test_class_shares_are_those_of_the_kept_labels():
    table = class_table(SEED, num_runs=2)
    sums = table.groupby(["data_set", "keep_fraction"]).share.sum()
    np.testing.assert_allclose(sums, 1)
    assert list(sums.index.levels[1]) == [*KEEP_FRACTIONS, 1.0]
    malignant = []
    for number in range(2):
        root = (SEED, 0, number)
        train = load("breast cancer", stream(root, "split")).train
        malignant.append(np.mean(train.y[kept(train.lipschitz, PRUNED[0], root)] == 0))
    row = table.query("label == 'malignant' and keep_fraction == 0.1").iloc[0]
    assert (row.share, row.num_runs) == (pytest.approx(np.mean(malignant)), 2)


def test_every_data_set_is_run_at_least_twenty_times():
    assert min(NUM_RUNS.values()) >= 20
