"""Closed forms of page 05 against enumeration of every batch, quadrature and long recursions."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from experiments.linear_model.tables import typical_moments
from experiments.what_accelerates.closed_forms import (
    METHODS,
    best_rates,
    crossing_rate,
    expected_square,
    importance_square,
    settled_square,
    square_factor,
    stability_limit,
    step_multiplier,
    typical_limit,
)
from liprune_utils.checks import InputError
from liprune_utils.problems import NOISE_SD
from liprune_utils.sgd import Moments, exact_moments

FRACTIONS = st.floats(0.01, 1)


def moments(x):
    x = np.asarray(x, dtype=float)[:, None]
    return Moments.of(x, np.zeros_like(x))


@given(FRACTIONS)
def test_multiplier_is_the_mean_square_of_the_kept_over_that_of_all(fraction):
    kept = quad(lambda u: u**2, 1 - fraction, 1)[0] / fraction
    assert step_multiplier(fraction) == pytest.approx(3 * kept)
    assert 1 <= step_multiplier(fraction) < 3


@given(FRACTIONS)
def test_typical_moments_have_that_multiplier(fraction):
    kept, drawn = (typical_moments(fraction, method) for method in ("liprune", "random"))
    exact = step_multiplier(kept.num_points / 1000)
    assert kept.xx[0] == pytest.approx(exact * 25 / 3, rel=0.02)
    assert drawn.xx[0] == pytest.approx(25 / 3, rel=0.01)


@pytest.mark.parametrize("size", [1, 2, 4, 5])
def test_factor_is_the_mean_over_all_batches(size):
    x = np.array([0.3, -1.0, 2.0, 0.7, -1.6])
    means = [np.mean([x[i] ** 2 for i in batch]) for batch in combinations(range(5), size)]
    factors = [(1 - 0.2 * mean) ** 2 for mean in means]
    assert square_factor(moments(x), size, 0.2)[0] == pytest.approx(np.mean(factors))


def test_batch_must_fit():
    with pytest.raises(InputError, match="batch_size is 6; expected from 1 to 5 kept"):
        square_factor(moments(range(5)), 6, 0.1)


@given(st.sampled_from(["liprune", "random"]), FRACTIONS, st.integers(1, 10))
def test_factor_is_one_at_the_limit_and_below_one_before(method, fraction, size):
    kept = typical_moments(fraction, method)
    edge = stability_limit(kept, size)[0]
    assert square_factor(kept, size, edge)[0] == pytest.approx(1)
    assert square_factor(kept, size, 0.99 * edge)[0] < 1 < square_factor(kept, size, 1.01 * edge)[0]


@given(st.floats(0.01, 0.95), st.integers(1, 10))
def test_methods_contract_alike_at_the_crossing(fraction, size):
    kept = [typical_moments(fraction, method) for method in ("liprune", "random")]
    rate = crossing_rate(*kept, size)[0]
    ours, theirs = (square_factor(k, size, rate)[0] for k in kept)
    assert ours == pytest.approx(theirs)
    ours, theirs = (square_factor(k, size, 0.9 * rate)[0] for k in kept)
    assert ours < theirs


@pytest.mark.parametrize(("size", "rate"), [(1, 0.02), (10, 0.05), (100, 0.01)])
@pytest.mark.parametrize("method", ["liprune", "random"])
def test_floor_is_where_a_long_run_ends(method, size, rate):
    kept = typical_moments(0.1, method)
    options = {"batch_size": size, "learning_rate": rate, "num_steps": 3000}
    end = exact_moments(kept, **options, slope=1.0, noise_sd=NOISE_SD).square[-1]
    assert settled_square(kept, size, rate)[0] == pytest.approx(end[0], rel=1e-6)


def test_floor_at_a_small_rate_is_half_the_rate_over_the_batch_plus_the_solutions_error():
    kept = typical_moments(0.3, "liprune")
    expected = 1e-4 * NOISE_SD**2 / 20 + NOISE_SD**2 / (300 * kept.xx[0])
    assert settled_square(kept, 10, 1e-4)[0] == pytest.approx(expected, rel=0.02)


def test_no_floor_beyond_the_limit():
    with pytest.raises(InputError, match="expected below the stability limit"):
        settled_square(typical_moments(0.1, "liprune"), 10, 0.1)


@pytest.mark.parametrize(("size", "keep", "steps"), [(1, 1.0, 4), (2, 1.0, 2), (1, 0.4, 3)])
def test_importance_sampling_agrees_with_every_path(size, keep, steps):
    """Three points, noise of either sign, every batch, every step made or not."""
    x, slope, rate = np.array([0.5, -1.0, 2.0]), 1.5, 0.3
    p, m = x**2 / (x @ x), x @ x / 3
    squares = np.zeros(steps + 1)
    for signs in product((-1, 1), repeat=3):
        ratio = slope + NOISE_SD * np.array(signs) / x  # y / x
        paths = {0.0: 1.0}
        for step in range(steps + 1):
            squares[step] += sum(chance * (w - slope) ** 2 for w, chance in paths.items()) / 8
            following = {}
            for w, chance in paths.items():
                following[w] = following.get(w, 0) + chance * (1 - keep)
                for batch in product(range(3), repeat=size):
                    end = w - rate / keep * m * (w - np.mean(ratio[list(batch)]))
                    share = chance * keep * np.prod(p[list(batch)])
                    following[end] = following.get(end, 0) + share
            paths = following
    options = {"batch_size": size, "learning_rate": rate, "num_steps": steps, "slope": slope}
    found = importance_square(moments(x), **options, keep_probability=keep)[:, 0]
    np.testing.assert_allclose(found, squares, rtol=1e-10)


def test_matched_is_random_pruning_with_the_longer_step():
    options = {"batch_size": 10, "num_steps": 5, "slope": 1.0}
    matched = expected_square("matched", 0.1, learning_rate=0.01, **options)
    longer = expected_square("random", 0.1, learning_rate=0.01 * step_multiplier(0.1), **options)
    np.testing.assert_array_equal(matched, longer)
    whole = [
        expected_square(m, 1.0, learning_rate=0.01, **options) for m in METHODS if m != "unbiased"
    ]
    np.testing.assert_allclose(whole, np.tile(whole[0], (4, 1)))


def test_unknown_names_and_fractions_are_refused():
    with pytest.raises(InputError, match="method is 'grand'; expected one of"):
        expected_square("grand", 0.1, batch_size=1, learning_rate=0.1, num_steps=1, slope=1)
    with pytest.raises(InputError, match="method is 'none'; expected liprune or random"):
        typical_moments(0.1, "none")
    with pytest.raises(InputError, match="keep_fraction is 0; expected a fraction"):
        step_multiplier(0)


def test_best_rates_are_those_of_a_dense_scan():
    for (steps, method, fraction), rate in best_rates(1.0).items():

        def error(rate, method=method, fraction=fraction, steps=steps):
            options = {"batch_size": 10, "num_steps": steps, "slope": 1.0}
            return expected_square(method, fraction, learning_rate=rate, **options)[-1]

        largest = typical_limit(method, fraction)
        scan = [error(other) for other in np.geomspace(largest / 1000, 0.999 * largest, 400)]
        assert error(rate) <= min(scan) * (1 + 1e-6)
        assert rate < largest
