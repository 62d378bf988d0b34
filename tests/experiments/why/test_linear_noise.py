"""Steps on the linear model: against all batches, single draws, and the closed form."""

from itertools import combinations

import numpy as np
import pytest

from experiments.what_accelerates.closed_forms import LEARNING_RATE, square_factor
from experiments.why import linear_noise
from experiments.why.linear_noise import _kept_step, _weighted_step, noise_table, typical_ratios
from liprune_utils.problems import NOISE_SD
from liprune_utils.sgd import Moments

DRAW = np.random.default_rng(4)
X, NOISE = DRAW.uniform(-5, 5, (3, 7)), DRAW.normal(size=(3, 7))


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(linear_noise, "BATCH_SIZE", 3)


@pytest.mark.parametrize("error", [1.0, -0.3, 0.0])
def test_a_step_is_the_mean_over_all_batches(error, small_batches):
    step = _kept_step(X, NOISE, error)
    points = X * (error * X - NOISE)
    batches = np.stack([points[:, list(b)].mean(axis=1) for b in combinations(range(7), 3)])
    np.testing.assert_allclose(step.mean, batches.mean(axis=0))
    np.testing.assert_allclose(step.noise, batches.var(axis=0))
    left = ((error - LEARNING_RATE * batches) ** 2).mean(axis=0)
    np.testing.assert_allclose(sum(step.left(error)), left)


@pytest.mark.parametrize("error", [1.0, 0.1])
def test_a_weighted_step_is_unbiased_with_its_variance(error, small_batches):
    step = _weighted_step(X, NOISE, error)
    plain = X * (error * X - NOISE)
    p = X**2 / (X**2).sum(axis=1, keepdims=True)
    weighted = plain / (7 * p)
    np.testing.assert_allclose(step.mean, plain.mean(axis=1))
    variance = (p * weighted**2).sum(axis=1) - plain.mean(axis=1) ** 2
    np.testing.assert_allclose(step.noise, variance / 3)


def test_without_label_noise_a_step_contracts_as_the_closed_form_says():
    step = _kept_step(np.tile(X, 2), np.zeros((3, 14)), 0.5)
    kept = Moments.of(np.tile(X, 2).T, np.zeros((14, 3)))
    expected = 0.25 * square_factor(kept, linear_noise.BATCH_SIZE, LEARNING_RATE)
    np.testing.assert_allclose(sum(step.left(0.5)), expected)


@pytest.fixture(scope="module")
def table():
    return noise_table(100, 1, slope=2.0)


def test_simulated_ratios_are_those_of_a_typical_data_set(table):
    steps = table[table.method == "liprune"]
    for row, expected in zip(steps.itertuples(), typical_ratios(steps, 2.0), strict=True):
        assert row.noise == pytest.approx(expected, rel=0.1)
        slack = 0.04 * expected  # the typical data set is not the mean one
        assert row.noise_low - slack < expected < row.noise_high + slack


def test_far_away_little_kept_means_little_noise_and_near_more(table):
    liprune = table[(table.method == "liprune") & (table.keep_fraction == 0.1)]
    assert liprune.noise.iloc[0] < 0.1
    assert liprune.noise.iloc[-1] > 2
    assert liprune.noise.is_monotonic_increasing


def test_the_share_of_the_noise_is_what_a_step_without_noise_lacks(table):
    row = table.iloc[0]
    # From the ratios alone: noise over drift is known in closed form for random pruning.
    x2, x4 = 25 / 3, 125.0
    drift = (1 - LEARNING_RATE * x2) ** 2 * 4
    spread = LEARNING_RATE**2 * (4 * (x4 - x2**2) + NOISE_SD**2 * x2) / 10 * 0.9
    lead = (1 - row.left) * (drift + spread)
    assert row.share == pytest.approx((1 - row.noise) * spread / lead, rel=0.1)


def test_where_there_is_no_lead_nothing_has_a_share(table):
    assert table.share[table.left_high >= 1].isna().all()
    assert table.share[table.left_high < 1].notna().all()
