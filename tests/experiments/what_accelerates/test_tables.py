"""Tables of page 05: simulation against closed forms, shares, floors, limits, batch sizes."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.linear_model.runs import KEEP_FRACTIONS
from experiments.what_accelerates.closed_forms import square_factor, step_multiplier
from experiments.what_accelerates.runs import run_experiment
from experiments.what_accelerates.tables import (
    BASE,
    _batch_square,
    _excess_pairs,
    _growth,
    _methods_at,
    batch_table,
    best_table,
    check_table,
    contraction_table,
    curve_table,
    floor_table,
    limit_table,
    mechanism_table,
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
    pruned = experiment.batches[1, 0.1].liprune
    points = experiment.pruned["batch", 1]["liprune", 0.1]
    exact = points.expected_losses()["test"] - 0.02
    expected = _batch_square(pruned) * pruned.sets["test"].xx / 2
    np.testing.assert_allclose(exact, expected, rtol=1e-9, atol=1e-12)


def test_curves_are_means_of_excess_losses(experiment):
    table = curve_table(experiment)
    assert len(table) == 4 * 6 * 31
    rows = table[(table.keep_fraction == 0.3) & (table.method == "random")]
    paths = experiment.pruned[BASE]["random", 0.3]
    expected = paths.loss("test") - paths.sets["test"].nn / 2
    np.testing.assert_allclose(rows.excess, expected.mean(axis=1))


def test_shares_are_zero_for_random_pruning_and_one_for_liprune(experiment):
    table = mechanism_table(experiment).set_index(["keep_fraction", "method"])
    runs = _methods_at(experiment, 0.1)
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
    kept = experiment.pruned[BASE]["liprune", 0.1].sets["kept"]
    assert square_factor(kept, 10, 0.97 * row.liprune).mean() < 1
    assert square_factor(kept, 10, 1.03 * row.liprune).mean() > 1
    assert (table.share < 1).all()


def test_first_step_contracts_as_computed(experiment):
    table = contraction_table(experiment)
    assert len(table) == 4 * 2 * 5
    assert table.z.abs().max() < 5
    assert (table.measured > 1).any()
    assert (table.measured < 0.1).any()


def test_expected_excess_is_what_the_simulation_finds(experiment):
    for pruned, size in (("points", 1), ("points", 100), ("batches", 10)):
        difference = np.subtract(*_excess_pairs(experiment, size, 0.3, pruned))
        z = difference.mean(axis=1) / (difference.std(axis=1, ddof=1) / np.sqrt(600))
        assert np.abs(z).max() < 5


def test_ratio_grows_for_batches_alone(experiment):
    table = batch_table(experiment).set_index(["pruned", "keep_fraction", "batch_size"])
    assert len(table) == 32
    ten, one = (table.expected["points", 0.1, size] for size in (10, 1))
    assert table.growth["points", 0.1, 10] == pytest.approx(ten / one)
    assert (table.growth["batches"].dropna() > 1.05).all()
    assert (table.growth["points"].dropna() < 1.05).all()
    assert table.multiplier["batches", 0.1, 100] < table.multiplier["points", 0.1, 100]


def test_growth_is_the_ratio_of_ratios():
    generator = np.random.default_rng(0)
    first, second = generator.uniform(1, 2, (2, 2, 50))
    growth = _growth(first, second)
    expected = second[0].mean() / second[1].mean() / (first[0].mean() / first[1].mean())
    assert growth.value == pytest.approx(expected)
    np.testing.assert_allclose(_growth(first, 3 * first)[:3], 1)
    resampled = generator.integers(50, size=(4000, 50))
    a, b, c, d = (term[resampled].mean(axis=1) for term in (*second, *first))
    spread = np.std((a / b) / (c / d))  # bootstrap
    assert (growth.high - growth.low) / 2 / 2.68 == pytest.approx(spread, rel=0.1)
