"""Cells crossed with seeds: closed forms, a regression by least squares, coverage."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from liprune_utils.crossed import components, crossed_mean, mean_squares
from liprune_utils.parameters import InputError

CELLS, SEEDS = np.array([-1.0, 0.0, 2.0, 3.0]), np.array([-2.0, 0.5, 1.5])
TABLES = arrays(float, (4, 3), elements=st.integers(-100, 100))


def residuals(values: np.ndarray, *factors: np.ndarray) -> float:
    """Sum of squares left by least squares on indicators of the factors' levels."""
    design = np.hstack([np.ones((values.size, 1)), *factors])
    fit = np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
    return ((values.ravel() - design @ fit) ** 2).sum()


@given(TABLES)
def test_mean_squares_are_those_of_nested_regressions(values):
    cells, seeds = np.repeat(np.eye(4), 3, axis=0), np.tile(np.eye(3), (4, 1))
    both = residuals(values, cells, seeds)
    sums = [residuals(values, seeds) - both, residuals(values, cells) - both, both]
    found, freedom = mean_squares(values)
    np.testing.assert_allclose(found * freedom, sums, atol=1e-6)
    assert freedom.tolist() == [3, 2, 6]


def test_components_are_without_bias():
    draw = np.random.default_rng(0)
    cells, seeds = 2 * draw.normal(size=(4000, 4, 1)), 3 * draw.normal(size=(4000, 1, 3))
    tables = cells + seeds + draw.normal(size=(4000, 4, 3))
    squares = np.array([mean_squares(table)[0] for table in tables]).mean(axis=0)
    expected = [1 + 3 * 4, 1 + 4 * 9, 1]
    np.testing.assert_allclose(squares, expected, rtol=0.06)


def test_components_of_an_additive_table_are_its_variances():
    found = components(CELLS[:, None] + SEEDS)
    expected = [CELLS.var(ddof=1), SEEDS.var(ddof=1), 0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_components_are_not_negative():
    checkered = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]])
    assert components(checkered)[:2].tolist() == [0, 0]


@pytest.mark.parametrize("level", [0.9, 0.99])
def test_single_cell_has_the_paired_interval(level):
    low, high = scipy.stats.ttest_1samp(SEEDS, 0).confidence_interval(level)
    assert crossed_mean(SEEDS[None], level) == pytest.approx((0, low, high, 3))


def test_without_variance_between_cells_the_seeds_means_decide():
    values = 1 + SEEDS + 1e-6 * np.eye(4, 3)
    low, high = scipy.stats.ttest_1samp(values.mean(axis=0), 0).confidence_interval(0.9)
    assert crossed_mean(values) == pytest.approx((values.mean(), low, high, 12))


def test_without_variance_between_seeds_the_cells_means_decide():
    values = CELLS[:, None] + np.zeros(3)
    low, high = scipy.stats.ttest_1samp(CELLS, 0).confidence_interval(0.9)
    assert crossed_mean(values) == pytest.approx((1, low, high, 12))


def test_without_either_all_pairs_count_alike():
    values = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    half = scipy.stats.t.ppf(0.95, 4) * np.sqrt((4 / 4) / 9)
    assert crossed_mean(values) == pytest.approx((0, -half, half, 9))


def test_with_both_the_variance_is_the_sum_of_the_components():
    values = CELLS[:, None] + SEEDS
    a, b = CELLS.var(ddof=1) / 4, SEEDS.var(ddof=1) / 3
    half = scipy.stats.t.ppf(0.95, (a + b) ** 2 / (a**2 / 3 + b**2 / 2)) * np.sqrt(a + b)
    assert crossed_mean(values) == pytest.approx((1, 1 - half, 1 + half, 12))


def test_degrees_of_freedom_are_at_least_those_of_the_smaller_factor():
    sign = np.array([1.0, -1.0])
    values = 1.1 * sign[:, None] + 1.1 * sign + np.outer(sign, sign)  # squares nearly alike
    parts = np.array([1, 1, -1]) * mean_squares(values)[0]
    assert parts.sum() ** 2 / (parts**2).sum() < 1
    half = scipy.stats.t.ppf(0.95, 1) * np.sqrt(parts.sum() / 4)
    assert crossed_mean(values).high - values.mean() == pytest.approx(half)


def test_no_spread_leaves_a_point():
    assert crossed_mean(np.full((4, 3), 2.5)) == (2.5, 2.5, 2.5, 12)


@given(TABLES, st.integers(1, 9), st.integers(-9, 9))
def test_interval_follows_the_scale_and_forgets_the_order(values, scale, shift):
    plain = crossed_mean(values)
    found = crossed_mean(scale * values[::-1, ::-1] + shift)
    expected = [scale * x + shift for x in plain[:3]]
    np.testing.assert_allclose(found[:3], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(16, 3), (8, 3), (2, 3)])
@pytest.mark.parametrize(("cell", "seed"), [(0, 0), (1, 0), (0, 0.5), (1, 1), (0.3, 3)])
def test_a_90_percent_interval_covers(shape, cell, seed):
    draw = np.random.default_rng(1)
    covered = 0
    for _ in range(2000):
        cells, seeds = draw.normal(size=(shape[0], 1)), draw.normal(size=shape[1])
        found = crossed_mean(cell * cells + seed * seeds + draw.normal(size=shape))
        covered += found.low <= 0 <= found.high
    assert covered >= 0.87 * 2000


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((4, 1)), "The number of seeds is 1; expected at least 2"),
        (np.array([[0.0, np.nan]]), "The number of missing values is 1; expected one value"),
    ],
)
def test_incomplete_tables_are_refused(values, words):
    with pytest.raises(InputError, match=words):
        crossed_mean(values)
