"""Intervals: against scipy and simulation; what they say about a bound."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from liprune_utils.stats import (
    Estimate,
    mean_interval,
    median_interval,
    ratio_interval,
    share_interval,
    standard_error,
)

NAN = math.nan


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


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


def test_mean_interval_of_two_in_closed_form():
    found = mean_interval([1, 3], level=0.5)  # Student's t with one degree of freedom: tan(pi / 4)
    assert found == pytest.approx((2, 1, 3, 2))


def test_equal_samples_have_no_spread():
    assert mean_interval(np.full(5, 0.3)) == pytest.approx((0.3, 0.3, 0.3, 5))


def test_mean_interval_covers_as_often_as_it_says():
    samples = seeded(2).exponential(size=(4000, 50))  # mean 1
    found = [mean_interval(row, 0.9) for row in samples]
    covered = np.mean([estimate.low <= 1 <= estimate.high for estimate in found])
    assert 0.86 < covered < 0.92  # skew costs a little


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


def test_ratio_of_proportional_samples_is_certain():
    samples = seeded(5).normal(3, 1, size=20)
    assert ratio_interval(2 * samples, samples) == pytest.approx((2, 2, 2, 20))


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


def test_median_interval_covers_as_often_as_it_says():
    draws = seeded(5).standard_cauchy((2000, 60)) + 3
    found = [median_interval(row, level=0.9) for row in draws]
    covered = np.mean([each.low <= 3 <= each.high for each in found])
    assert 0.9 - 3 * math.sqrt(0.09 / 2000) <= covered <= 0.97  # conservative by one rank at most


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
