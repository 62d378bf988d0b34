"""What the runs of page 05 say: simulation against closed forms, shares, floors, limits."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.what_accelerates.closed_forms import KEEP_FRACTIONS, square_factor, step_multiplier
from experiments.what_accelerates.runs import run_experiment
from experiments.what_accelerates.tables import (
    BASE,
    batch_square,
    best_table,
    check_table,
    contraction_table,
    curve_table,
    floor_table,
    limit_table,
    mechanism_table,
    methods_at,
)


@pytest.fixture(scope="module")
def experiment():
    return run_experiment(num_runs=600, seed=1, slope=1.0)


def test_simulation_agrees_with_the_closed_forms(experiment):
    table = check_table(experiment)
    assert table.z.abs().max() < 5
    parts = {"pruned points", "pruned batches", "unbiased sampling", "overlap of the kept sets"}
    assert set(table.what) == parts
    last = table[(table.step == 30) & (table.what == "pruned batches")].z
    assert 0.5 < last.std() < 1.6  # it is as far as chance, no farther


def test_check_notices_a_wrong_simulation(experiment):
    wrong = {pair: replace(r, error=r.error * 1.1) for pair, r in experiment.unbiased.items()}
    table = check_table(replace(experiment, unbiased=wrong))
    assert table[table.what == "unbiased sampling"].z.abs().max() > 5


def test_batch_of_one_is_a_point(experiment):
    pruned = experiment.pruned[1, 0.1].liprune
    points = experiment.of(("batch", 1), "liprune", 0.1)
    exact = points.expected_losses()["test"] - 0.02
    expected = batch_square(pruned) * pruned.sets["test"].xx / 2
    np.testing.assert_allclose(exact, expected, rtol=1e-9, atol=1e-12)


def test_curves_are_means_of_excess_losses(experiment):
    table = curve_table(experiment)
    assert len(table) == 4 * 6 * 31
    rows = table[(table.keep_fraction == 0.3) & (table.method == "random")]
    runs = experiment.of(BASE, "random", 0.3)
    expected = runs.loss("test") - runs.sets["test"].nn / 2
    np.testing.assert_allclose(rows.excess, expected.mean(axis=1))


def test_shares_are_zero_for_random_pruning_and_one_for_liprune(experiment):
    table = mechanism_table(experiment).set_index(["keep_fraction", "method"])
    runs = methods_at(experiment, 0.1)
    at = {method: r.excess_test_loss()[10].mean() for method, r in runs.items()}
    gap = at["random"] - at["liprune"]
    row = table.loc[0.1, "matched"]
    assert row.share == pytest.approx((at["random"] - at["matched"]) / gap)
    assert row.low < row.share < row.high
    assert (table.xs("matched", level="method").share > 0.9).all()  # tens of standard errors
    assert (table.xs("unbiased", level="method").share < 0.3).all()


def test_liprunes_best_is_below_random_prunings_best(experiment):
    table = best_table(experiment)
    assert len(table) == 2 * 4 * 3
    np.testing.assert_allclose(table.ratio, table.excess / table.rival_excess)
    random = table[(table.rival == "random") & (table.keep_fraction == 0.1)]
    assert (random.high < 1).all()
    assert (random.rate < random.rival_rate).all()


def test_floors_stand_in_the_ratio_of_the_steps(experiment):
    table = floor_table(experiment)
    rows = table[table.rival == "random"]
    expected = [step_multiplier(fraction) for fraction in KEEP_FRACTIONS]
    np.testing.assert_allclose(rows.expected, expected, rtol=0.02)
    half = (table.high - table.low) / 2
    assert (abs(table.ratio - table.expected) < 2 * half).all()


def test_limits_are_those_of_the_factor(experiment):
    table = limit_table(experiment).set_index(["keep_fraction", "batch_size"])
    row = table.loc[0.1, 10]
    assert row.crossing < row.liprune < row.random
    kept = experiment.of(BASE, "liprune", 0.1).sets["kept"]
    assert square_factor(kept, 10, 0.97 * row.liprune).mean() < 1
    assert square_factor(kept, 10, 1.03 * row.liprune).mean() > 1
    assert (table.share < 1).all()


def test_first_step_contracts_as_computed(experiment):
    table = contraction_table(experiment)
    assert len(table) == 4 * 2 * 5
    assert table.z.abs().max() < 5
    assert (table.measured > 1).any()
    assert (table.measured < 0.1).any()
