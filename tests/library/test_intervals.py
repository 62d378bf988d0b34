"""Intervals: against scipy and simulation; what they say about a bound."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from draws import seeded
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from liprune_utils.checks import InputError
from liprune_utils.intervals import (
    Estimate,
    components,
    crossed_mean,
    mean_interval,
    median_interval,
    ratio_interval,
    runs_to_settle,
    share_interval,
    standard_error,
)

NAN = math.nan


def test_a_logarithm_is_turned_into_the_quantity():
    found = Estimate(0.0, math.log(0.5), math.log(2), 7).exp()
    assert found == pytest.approx((1.0, 0.5, 2.0, 7))


def test_estimates_are_read_back_from_their_columns():
    share, other = Estimate(0.5, 0.25, 0.75, 9), Estimate(2.0, 1.0, 3.0, 9)
    row = pd.Series(share.columns("share") | other.named_columns("ratio"))
    assert Estimate.of(row, "share") == share
    assert Estimate.of(row, "ratio") == other
    named = next(pd.DataFrame([row]).itertuples())
    assert Estimate.of(named, "ratio") == other


def test_standard_error_is_scipys():
    samples = seeded().normal(size=(9, 4))
    np.testing.assert_allclose(standard_error(samples), scipy.stats.sem(samples), rtol=1e-13)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_mean_interval_is_students(level):
    samples = seeded(1).normal(3, 2, size=7)
    expected = scipy.stats.ttest_1samp(samples, 0).confidence_interval(level)
    found = mean_interval(samples, level)
    np.testing.assert_allclose((found.low, found.high), expected, rtol=1e-12)
    assert found.value == pytest.approx(samples.mean())
    assert found.num_runs == 7


def test_equal_samples_have_no_spread():
    assert mean_interval(np.full(5, 0.3)) == pytest.approx((0.3, 0.3, 0.3, 5))


def test_ratio_interval_covers_as_often_as_it_says():
    generator = seeded(3)
    shared = generator.normal(size=(3000, 200))  # pairs are correlated
    top, bottom = 6 + shared, 4 + shared + 0.3 * generator.normal(size=shared.shape)
    found = [ratio_interval(*pair, 0.9) for pair in zip(top, bottom, strict=True)]
    covered = np.mean([estimate.low <= 1.5 <= estimate.high for estimate in found])
    assert 0.88 < covered < 0.92
    values, widths = (np.array([f(e) for e in found]) for f in (lambda e: e.value, half_width))
    factor = scipy.stats.t.ppf(0.95, 199)
    assert widths.mean() / factor == pytest.approx(values.std(), rel=0.05)


def half_width(estimate: Estimate) -> float:
    return (estimate.high - estimate.low) / 2


def test_ratio_to_a_constant_is_a_scaled_mean():
    samples = seeded(4).normal(3, 1, size=20)
    expected = np.array(mean_interval(samples)[:3]) / 4
    np.testing.assert_allclose(ratio_interval(samples, np.full(20, 4.0))[:3], expected)


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (-1, -2, -0.5, True),
        (1, 0.5, 2, False),
        (-1, -2, 0.5, None),
        (1, -0.5, 2, None),
        (-1, -2, 0, None),  # the bound is the interval's end
        (1, 0, 2, None),
        (-1, -1, -1, True),  # no spread: the value decides
        (0, 0, 0, False),
        (1, 1, 1, False),
        (NAN, NAN, NAN, None),
        (1, NAN, NAN, None),
    ],
)
def test_below_zero(value, low, high, expected):
    assert Estimate(value, low, high, 9).below(0.0) is expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.5, 0.5, True),
        (0, 0, True),
        (-1, 0.5, None),  # touches the margin
        (-0.5, 1, None),
        (0.5, 2, None),
        (-2, 2, None),
        (1, 2, False),
        (-3, -1, False),
        (2, 3, False),
        (NAN, NAN, None),
    ],
)
def test_within_one_of_zero(low, high, expected):
    assert Estimate((low + high) / 2, low, high, 9).within(-1, 1) is expected


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=3).map(sorted), st.floats(-10, 10))
def test_decision_mirrors(numbers, bound):
    low, value, high = numbers
    mirrored = Estimate(-value, -high, -low, 9)
    answers = Estimate(value, low, high, 9).below(bound), mirrored.below(-bound)
    decided = {(True, False), (False, True), (None, None)}
    assert answers in decided or (answers == (False, False) and low == high == bound)


def test_median_interval_is_scipys_quantile_test():
    samples = seeded(6).exponential(size=41)
    expected = scipy.stats.quantile_test(samples, p=0.5).confidence_interval(0.99)
    found = median_interval(samples)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.value == pytest.approx(np.median(samples))


def test_median_interval_takes_infinite_samples_and_few():
    assert median_interval([1.0, 2.0, math.inf]).high == math.inf
    assert median_interval(np.r_[np.zeros(30), np.full(3, math.inf)]).high == 0.0


@pytest.mark.parametrize(("successes", "num_runs"), [(0, 10), (3, 10), (10, 10), (7, 1000)])
def test_share_interval_is_scipys(successes, num_runs):
    expected = scipy.stats.binomtest(successes, num_runs).proportion_ci(0.99, method="exact")
    found = share_interval(successes, num_runs)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.value == successes / num_runs


SETTINGS, SEEDS = np.array([-1.0, 0.0, 2.0, 3.0]), np.array([-2.0, 0.5, 1.5])
TABLES = arrays(float, (4, 3), elements=st.integers(-100, 100))


def residuals(values: np.ndarray, *factors: np.ndarray) -> float:
    """Sum of squares left by least squares on indicators of the factors' levels."""
    design = np.hstack([np.ones((values.size, 1)), *factors])
    fit = np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
    return ((values.ravel() - design @ fit) ** 2).sum()


@given(TABLES)
def test_components_are_those_of_nested_regressions(values):
    settings, seeds = np.repeat(np.eye(4), 3, axis=0), np.tile(np.eye(3), (4, 1))
    both = residuals(values, settings, seeds)
    rest = both / 6  # mean squares expect s_e^2 + 3 s_a^2, s_e^2 + 4 s_b^2 and s_e^2
    between_settings = (residuals(values, seeds) - both) / 3
    between_seeds = (residuals(values, settings) - both) / 2
    expected = [max(between_settings - rest, 0) / 3, max(between_seeds - rest, 0) / 4, rest]
    np.testing.assert_allclose(components(values), expected, atol=1e-6)


def test_components_are_not_negative():
    checkered = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]])
    assert components(checkered)[:2].tolist() == [0, 0]


@pytest.mark.parametrize("level", [0.9, 0.99])
def test_single_setting_has_the_paired_interval(level):
    low, high = scipy.stats.ttest_1samp(SEEDS, 0).confidence_interval(level)
    assert crossed_mean(SEEDS[None], level) == pytest.approx((0, low, high, 3))


def test_without_variance_between_settings_the_seeds_means_decide():
    values = 1 + SEEDS + 1e-6 * np.eye(4, 3)
    low, high = scipy.stats.ttest_1samp(values.mean(axis=0), 0).confidence_interval(0.9)
    assert crossed_mean(values) == pytest.approx((values.mean(), low, high, 12))


def test_without_variance_between_seeds_the_settings_means_decide():
    values = SETTINGS[:, None] + np.zeros(3)
    low, high = scipy.stats.ttest_1samp(SETTINGS, 0).confidence_interval(0.9)
    assert crossed_mean(values) == pytest.approx((1, low, high, 12))


def test_without_either_all_pairs_count_alike():
    values = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    half = scipy.stats.t.ppf(0.95, 4) * np.sqrt((4 / 4) / 9)
    assert crossed_mean(values) == pytest.approx((0, -half, half, 9))


def test_with_both_the_variance_is_the_sum_of_the_components():
    values = SETTINGS[:, None] + SEEDS
    a, b = SETTINGS.var(ddof=1) / 4, SEEDS.var(ddof=1) / 3
    half = scipy.stats.t.ppf(0.95, (a + b) ** 2 / (a**2 / 3 + b**2 / 2)) * np.sqrt(a + b)
    assert crossed_mean(values) == pytest.approx((1, 1 - half, 1 + half, 12))


def test_no_spread_leaves_a_point():
    assert crossed_mean(np.full((4, 3), 2.5)) == (2.5, 2.5, 2.5, 12)


@given(st.floats(-2, 2), st.floats(0.1, 5), st.integers(2, 40))
def test_so_many_runs_settle_and_fewer_do_not(bound, half, count):
    assume(abs(bound) > 0.01)
    needed = runs_to_settle(Estimate(0.0, -half, half, count), bound, count)
    ends = [half * (count / max(number, 1e-9)) ** 0.5 for number in (needed, needed - 1)]
    assert ends[0] <= abs(bound) * (1 + 1e-9)
    assert ends[1] > abs(bound) * (1 - 1e-9)


def test_nothing_settles_a_value_at_the_bound():
    assert runs_to_settle(Estimate(1.0, 0.0, 2.0, 9), 1.0, 9) == math.inf


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
