"""Tables of the convex problems and of the races on real data, against their definitions."""

import numpy as np
import pandas as pd
import pytest

from experiments.convex_is_not_enough.counterexamples import PROBLEMS
from experiments.convex_is_not_enough.runs import (
    KEEP_FRACTIONS,
    MULTIPLES,
    NONE,
    PRUNED,
    SETTINGS,
    Setting,
    excess,
    kept_points,
    load,
    recorded_steps,
    run,
    stream,
)
from experiments.convex_is_not_enough.tables import (
    NUM_RUNS,
    RULES,
    _best_multiples,
    _draw_pruned,
    class_table,
    finding_table,
    kept_table,
    loss_table,
    path_table,
    problem_table,
    race,
    race_all,
    simulation_table,
    sooner_table,
    step_table,
    summary_table,
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
        (*setting, multiple, e, s)
        for setting in SETTINGS
        for multiple, e, s in zip(MULTIPLES, excesses, steps, strict=True)
    ]
    return pd.DataFrame(rows, columns=[*Setting._fields, "multiple", "excess", "steps"])


def test_lowest_excess_and_fewest_steps_are_chosen():
    excesses, steps = np.full((2, len(MULTIPLES)), 300.0)
    excesses[[5, 9]], steps[[7, 9]] = (1, 2), (20, 20)
    table = tuning_of(excesses, steps)
    none = table.method == "none"
    table.loc[none & (table.multiple == MULTIPLES[3]), "excess"] = 0.5
    found = dict(zip(RULES, _best_multiples(table).T, strict=True))
    assert (found["theorem"] == 1).all()
    assert (found["shared"] == MULTIPLES[3]).all()
    final = [MULTIPLES[3] if setting == NONE else MULTIPLES[5] for setting in SETTINGS]
    assert found["final"].tolist() == final
    assert (found["arrival"] == MULTIPLES[9]).all()  # of equals, the lowest excess


def test_tuning_is_the_mean_of_its_own_runs():
    table, roots = tune("diabetes", 2, SEED), [(SEED, 1, number) for number in range(2)]
    grid = np.tile(MULTIPLES, (len(SETTINGS), 1))
    outcomes = [run(load("diabetes", stream(root, "split")), root, grid) for root in roots]
    expected = np.mean([outcome.excess[-1] for outcome in outcomes], axis=0)
    capped = np.mean([np.minimum(outcome.steps, 300) for outcome in outcomes], axis=0)
    np.testing.assert_allclose(table.excess, expected.ravel())
    np.testing.assert_allclose(table.steps, capped.ravel())
    assert table[["method", "keep_fraction"]].drop_duplicates().to_records(
        index=False
    ).tolist() == [tuple(setting) for setting in SETTINGS]


def test_rows_are_those_of_the_runs(races):
    root = (SEED, 0, 1)
    split = load("breast cancer", stream(root, "split"))
    multiples = _best_multiples(races.tuning[races.tuning.data_set == "breast cancer"])
    outcome = run(split, root, multiples)
    rows = races.runs.query("data_set == 'breast cancer' and run == 1")
    for row in rows[rows.rule.isin(list(RULES))].itertuples():
        at = SETTINGS.index((row.method, row.keep_fraction)), list(RULES).index(row.rule)
        assert row.multiple == multiples[at]
        assert row.excess == outcome.excess[-1][at]
        assert (row.test_loss, row.steps) == (outcome.test_loss[at], outcome.steps[at])
    limits = rows[rows.rule == "minimiser"].set_index(["method", "keep_fraction"])
    part = split.train.take(kept_points(split.train.lipschitz, PRUNED[2], root))
    assert limits.excess[PRUNED[2]] == pytest.approx(excess(split.train, part.minimiser))
    assert limits.test_loss[NONE] == pytest.approx(split.test.value(split.train.minimiser))
    assert len(rows) == len(RULES) * len(SETTINGS) + len(PRUNED) + 1


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
    assert len(curves) == len(recorded_steps()) * len(SETTINGS) * len(RULES)
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


def race_rows(steps, settings=(PRUNED[0], PRUNED[1], NONE)):
    """Runs of one rule with given steps, ``[num_cells, num_runs]``."""
    rows = [
        ("toy", number, "shared", *setting, value)
        for setting, values in zip(settings, steps, strict=True)
        for number, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["data_set", "run", "rule", *Setting._fields, "steps"])


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
        malignant.append(np.mean(train.y[kept_points(train.lipschitz, PRUNED[0], root)] == 0))
    row = table.query("label == 'malignant' and keep_fraction == 0.1").iloc[0]
    assert (row.share, row.num_runs) == (pytest.approx(np.mean(malignant)), 2)


def test_every_data_set_is_run_at_least_twenty_times():
    assert min(NUM_RUNS.values()) >= 20


@pytest.fixture(scope="module")
def problems():
    return problem_table(12, seed=4)


def test_methods_share_a_data_set():
    found = _draw_pruned("outliers", seed=1, number=2)
    assert list(found) == ["liprune", "random", "none"]
    assert found["liprune"].original is found["random"].original
    assert [len(pruned.kept) for pruned in found.values()] == [100, 100, 1000]
    largest = found["none"].original.train.lipschitz.argsort()[-100:]
    np.testing.assert_array_equal(found["liprune"].kept, np.sort(largest))
    other = _draw_pruned("outliers", seed=1, number=3)
    assert (other["random"].kept != found["random"].kept).any()


def test_common_rate_is_the_papers_on_its_line():
    rates = [_draw_pruned("the paper's line", 0, n)["none"].common_rate for n in range(40)]
    assert np.mean(rates) == pytest.approx(0.01, rel=0.02)


def test_race_has_a_row_for_each_method_and_length(problems):
    assert len(problems) == len(PROBLEMS) * 12 * 3 * 2
    assert (problems.best <= problems.same * 1.0001).all()
    one = problems[
        (problems.task == "bent line") & (problems.problem == 3) & (problems.method == "liprune")
    ]
    pruned = _draw_pruned("bent line", 4, 3)["liprune"]
    assert one.final.iloc[0] == pruned.final
    assert one.best.iloc[1] == pytest.approx(pruned.best_rate(1000)[1])


def test_summary_is_the_median_of_paired_ratios(problems):
    summary = summary_table(problems)
    assert len(summary) == len(PROBLEMS) * 2 * 2 * 2
    here = problems[(problems.task == "two groups, d = 2") & (problems.step == 100)]
    wide = here.pivot(index="problem", columns="method", values="best")
    keys = ["task", "rival", "step", "rates"]
    row = summary.set_index(keys).loc["two groups, d = 2", "none", 100, "best"]
    assert row.ratio == pytest.approx((wide["liprune"] / wide["none"]).median())
    assert row.low > 10  # LiPrune does not learn the second feature


def test_methods_that_both_overflow_are_equal(problems):
    overflown = problems.assign(same=np.inf)
    summary = summary_table(overflown)
    assert (summary.ratio[summary.rates == "same"] == 1).all()
    alone = overflown.assign(same=overflown.same.where(overflown.method == "liprune", 1.0))
    assert np.isinf(summary_table(alone).query("rates == 'same'").ratio).all()


def test_kept_problems_are_described(problems):
    kept = kept_table(problems).set_index("task")
    assert list(kept.index) == list(PROBLEMS)
    assert np.isinf(kept.condition_liprune["two groups, d = 2"])
    assert kept.condition_liprune["the paper's line"] < kept.condition_random["the paper's line"]
    assert kept.final_liprune["outliers"] > 3 * kept.final_random["outliers"]
    assert (kept.rate_ratio < 1).all()


def test_simulation_agrees_with_exact_losses():
    table = simulation_table(500, seed=4)
    assert len(table) == 2 * len(PROBLEMS)
    assert table.z.abs().max() < 5


def test_curves_start_together_and_end_apart(problems):
    curves = path_table(problems, seed=4, num_problems=3)
    assert len(curves) == len(PROBLEMS) * 3 * 101
    for _, rows in curves[curves.step == 0].groupby("task"):
        np.testing.assert_allclose(rows.excess, rows.excess.iloc[0])
    end = curves[(curves.step == 100) & (curves.task == "bent line")].set_index("method").excess
    assert end["liprune"] > 5 * end["none"]


def test_findings_count_what_the_intervals_decide():
    ends = {0.1: (-2, -1), 0.3: (-1, 1), 0.5: (1, 2)}
    losses = pd.DataFrame([
        {"measure": "excess", "data_set": name, "rule": "final", "method": "liprune",
         "keep_fraction": r, "against": against, "low": low, "high": high}
        for name in ("digits", "diabetes")
        for r, (low, high) in ends.items()
        for against in ("random", "none")
    ])  # fmt: skip
    sooner = pd.DataFrame([
        {"data_set": "digits", "rule": "arrival", "method": "liprune", "against": "none",
         "low": low, "high": high}
        for low, high in ((0.6, 0.9), (0.1, 0.3), (0.2, 0.4), (np.nan, np.nan))
    ])  # fmt: skip
    found = finding_table(losses, sooner).set_index(["measure", "rule", "against"])
    assert found.loc["excess", "final", "random"].tolist() == ["liprune", 2, 2, 6]
    assert found.loc["steps", "arrival", "none"].tolist() == ["liprune", 1, 2, 4]
