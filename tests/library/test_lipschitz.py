"""Constants of batches and of the sine model: never exceeded, attained where the docstrings say."""

from functools import partial

import numpy as np
import pytest
from draws import seeded
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from liprune_utils.checks import InputError
from liprune_utils.lipschitz import (
    batch_constant,
    extreme_sine_curvature,
    largest_secant,
    search_constant,
    sine_constant,
    sine_curvature,
    sine_gradient,
)
from liprune_utils.problems import LOGISTIC, SQUARED, Objective

numbers = st.floats(-5, 5)
inputs = st.floats(0.1, 5) | st.floats(-5, -0.1)
points = arrays(np.float64, 3, elements=numbers)
matrices = arrays(
    np.float64, st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 5)), elements=numbers
)


def secant(gradient, v: np.ndarray, w: np.ndarray) -> float:
    distance = np.linalg.norm(v - w)
    assume(distance > 1e-3)
    return np.linalg.norm(gradient(v) - gradient(w)) / distance


@given(matrices)
def test_batch_constant_is_the_norm_of_the_hessian(x):
    dense = [np.linalg.norm(batch.T @ batch / len(batch), 2) for batch in x]
    np.testing.assert_allclose(batch_constant(x), dense, rtol=1e-10, atol=1e-12)


@given(matrices)
def test_batch_constant_is_at_most_the_mean_and_at_least_its_share(x):
    mean, rank = (x**2).sum(axis=-1).mean(axis=-1), min(x.shape[1:])
    found = batch_constant(x)
    assert (found <= mean * (1 + 1e-12) + 1e-12).all()
    assert (found * rank >= mean * (1 - 1e-12) - 1e-12).all()


@given(points, arrays(np.float64, 4, elements=numbers))
def test_points_on_a_line_have_the_mean_constant(direction, lengths):
    x = np.outer(lengths, direction)
    mean = (x**2).sum(axis=1).mean()
    assert batch_constant(x) == pytest.approx(mean, rel=1e-9, abs=1e-12)


def test_batch_of_two_orthogonal_points_has_half_the_mean_or_more():
    assert batch_constant(np.array([[1.0, 0.0], [0.0, 1.0]])) == pytest.approx(0.5)
    assert batch_constant(np.array([[2.0, 0.0], [0.0, 1.0]])) == pytest.approx(2.0)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 0)])
def test_batches_without_points_are_refused(shape):
    with pytest.raises(InputError, match=r"^shape of x is .*expected \[\.\.\., batch_size, dim\]"):
        batch_constant(np.ones(shape))


@given(numbers, numbers, numbers, numbers)
def test_sine_constant_is_never_exceeded(x, y, v, w):
    gradient = partial(sine_gradient, x=x, y=y)
    found = secant(lambda w: gradient(w[0]) * np.ones(1), np.array([v]), np.array([w]))
    assert found <= sine_constant(x, y) * (1 + 1e-9) + 1e-9


@given(inputs, st.floats(-12, 12))
def test_sine_constant_is_attained_where_the_prediction_is_worst(x, y):
    w = -np.copysign(np.pi / 2, y) / x
    assert sine_curvature(w, x, y) == pytest.approx(-sine_constant(x, y), rel=1e-12)
    assert sine_gradient(w, x, y) == pytest.approx(0, abs=1e-12)
    assert abs(np.sin(w * x) - y) == pytest.approx(1 + abs(y))


@given(inputs, st.floats(-12, 12))
def test_positive_curvature_of_the_sine_model_is_smaller(x, y):
    largest = sine_curvature(np.linspace(0, 2 * np.pi, 400) / x, x, y).max()
    exact = x**2 * (1 + y**2 / 8 if abs(y) <= 4 else abs(y) - 1)
    assert exact * (1 - 1e-3) - 1e-9 <= largest <= exact * (1 + 1e-12)
    assert largest <= sine_constant(x, y) * (1 + 1e-12)


def test_sine_derivatives_are_differences_of_the_loss():
    w, x, y = seeded(1).normal(size=(3, 50))

    def loss(w):
        return (np.sin(w * x) - y) ** 2 / 2

    h = 1e-4
    first, second = (loss(w + h) - loss(w - h)) / (2 * h), loss(w + h) - 2 * loss(w) + loss(w - h)
    np.testing.assert_allclose(sine_gradient(w, x, y), first, atol=1e-6)
    np.testing.assert_allclose(sine_curvature(w, x, y), second / h**2, atol=1e-5)


@given(numbers, st.floats(-6, 6), st.floats(-9, 9), st.floats(0, 9))
def test_interval_constant_is_the_densest_search(x, y, low, width):
    w = np.linspace(low, low + width, 4001)
    curvature = np.abs(sine_curvature(w, x, y))
    found = abs(extreme_sine_curvature(x, y, low, low + width))
    spacing = abs(x) * width / 4000  # in the angle; the second derivative is flat at its peak
    assert curvature.max() <= found * (1 + 1e-12)
    assert curvature.max() >= found - x**2 * (2 + abs(y)) * spacing**2 - 1e-12


@given(inputs, st.floats(-6, 6), numbers)
def test_interval_of_a_period_has_the_constant_of_all_weights(x, y, low):
    assume(abs(y) > 1e-3)
    found = extreme_sine_curvature(x, y, low, low + 2 * np.pi / abs(x) * (1 + 1e-9))
    assert found == pytest.approx(-sine_constant(x, y), rel=1e-9)


@given(numbers, numbers, numbers)
def test_interval_of_one_weight_has_its_curvature(x, y, w):
    assert extreme_sine_curvature(x, y, w, w) == pytest.approx(sine_curvature(w, x, y), abs=1e-9)


def test_interval_constants_are_computed_for_arrays():
    x, y = seeded(2).normal(size=(2, 3, 4))
    found = extreme_sine_curvature(x, y, 8, 12)
    one = [extreme_sine_curvature(*pair, 8, 12) for pair in zip(x.flat, y.flat, strict=True)]
    np.testing.assert_array_equal(found.ravel(), one)


@pytest.mark.parametrize(("low", "high"), [(2, 1), (0, np.inf), (np.nan, 1), (-np.inf, 0)])
def test_impossible_interval_is_refused(low, high):
    with pytest.raises(InputError, match=r"^upper end of the interval is .*expected finite"):
        extreme_sine_curvature(1.0, 1.0, low, high)


def test_curvature_on_a_set_with_a_gap_is_not_its_lipschitz_constant():
    w = np.pi * np.array([0.25, 0.75])  # x = 1, y = 0: no curvature at either
    assert np.abs(sine_curvature(w, 1.0, 0.0)).max() < 1e-12
    assert largest_secant(w, sine_gradient(w, 1.0, 0.0)) == pytest.approx(2 / np.pi)


@given(arrays(np.float64, (9, 2), elements=numbers), st.integers(0, 99))
def test_neighbours_have_the_largest_secant_of_all_pairs(gradients, seed):
    w = np.cumsum(0.1 + seeded(seed).random(9))
    first, second = np.triu_indices(9, 1)
    steps = (w[second] - w[first])[:, None]
    every = np.abs(gradients[second] - gradients[first]) / steps
    found = largest_secant(w[:, None], gradients)
    np.testing.assert_allclose(found, every.max(axis=0), rtol=1e-9, atol=1e-12)


def test_search_finds_the_norm_of_a_quadratic_and_no_more():
    x = seeded(3).normal(size=(6, 3))
    batch = Objective(SQUARED, x, np.ones((6, 1)), ridge=0.0)
    found = search_constant(batch.gradient, (1, 3), seeded(4), num_starts=3)
    assert found == pytest.approx(batch_constant(x), rel=1e-6)


def test_search_finds_a_peak_of_curvature():
    point = Objective(LOGISTIC, np.array([[1.5, -1.0]]), np.ones((1, 1)), ridge=0.0)
    found = search_constant(point.gradient, (1, 2), seeded(5), num_starts=4)
    assert found == pytest.approx((1.5**2 + 1) / 4, rel=1e-6)
