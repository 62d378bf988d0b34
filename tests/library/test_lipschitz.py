"""Exact constants: never exceeded by any secant, and attained where the docstrings say."""

from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from liprune_utils.checks import InputError
from liprune_utils.lipschitz import (
    batch_constant,
    extreme_sine_curvature,
    largest_secant,
    linear_constant,
    logistic_constant,
    logistic_gradient,
    multinomial_constant,
    multinomial_gradient,
    search_constant,
    sine_constant,
    sine_curvature,
    sine_gradient,
)

numbers = st.floats(-5, 5)
inputs = st.floats(0.1, 5) | st.floats(-5, -0.1)
points = arrays(np.float64, 3, elements=numbers)
pairs = arrays(np.float64, (2, 3), elements=numbers)
matrices = arrays(
    np.float64, st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 5)), elements=numbers
)


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def secant(gradient, v: np.ndarray, w: np.ndarray) -> float:
    distance = np.linalg.norm(v - w)
    assume(distance > 1e-3)
    return np.linalg.norm(gradient(v) - gradient(w)) / distance


def hessian(gradient, w: np.ndarray, step: float = 1e-5) -> np.ndarray:
    shifts = step * np.eye(len(w))
    return np.array([(gradient(w + s) - gradient(w - s)) / (2 * step) for s in shifts])


def spectral_norm(matrix: np.ndarray) -> float:
    return np.linalg.norm(matrix, 2)


def batch_gradient(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> np.ndarray:
    return x.T @ (x @ w - y) / len(x)


@given(points, numbers, pairs)
def test_linear_constant_is_never_exceeded(x, y, weights):
    gradient = partial(batch_gradient, x[None], np.array([y]))
    assert secant(gradient, *weights) <= linear_constant(x) + 1e-9


@given(inputs, numbers, numbers, numbers)
def test_every_secant_in_one_dimension_is_the_linear_constant(x, y, v, w):
    gradient = partial(batch_gradient, np.array([[x]]), np.array([y]))
    found = secant(gradient, np.array([v]), np.array([w]))
    assert found == pytest.approx(linear_constant(np.array([x])), rel=1e-9)


def test_without_the_half_the_constant_is_twice_as_large():
    x, v, w = 1.7, 0.3, -2.0

    def slope(at: float) -> float:
        return ((at + 0.5) * x - 0.4) ** 2 - ((at - 0.5) * x - 0.4) ** 2  # exact for a parabola

    assert abs(slope(v) - slope(w)) / abs(v - w) == pytest.approx(2 * linear_constant([x]))


@given(matrices)
def test_batch_constant_is_the_norm_of_the_hessian(x):
    dense = [spectral_norm(batch.T @ batch / len(batch)) for batch in x]
    np.testing.assert_allclose(batch_constant(x), dense, rtol=1e-10, atol=1e-12)


@given(matrices)
def test_batch_constant_is_at_most_the_mean_and_at_least_its_share(x):
    mean, rank = linear_constant(x).mean(axis=-1), min(x.shape[1:])
    found = batch_constant(x)
    assert (found <= mean * (1 + 1e-12) + 1e-12).all()
    assert (found * rank >= mean * (1 - 1e-12) - 1e-12).all()


@given(points, arrays(np.float64, 4, elements=numbers))
def test_points_on_a_line_have_the_mean_constant(direction, lengths):
    x = np.outer(lengths, direction)
    assert batch_constant(x) == pytest.approx(linear_constant(x).mean(), rel=1e-9, abs=1e-12)


def test_batch_of_two_orthogonal_points_has_half_the_mean_or_more():
    assert batch_constant(np.array([[1.0, 0.0], [0.0, 1.0]])) == pytest.approx(0.5)
    assert batch_constant(np.array([[2.0, 0.0], [0.0, 1.0]])) == pytest.approx(2.0)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 0)])
def test_batches_without_points_are_refused(shape):
    with pytest.raises(InputError, match=r"^shape of x is .*expected \[\.\.\., batch_size, dim\]"):
        batch_constant(np.ones(shape))


@given(points, st.sampled_from([-1, 1]), pairs)
def test_logistic_constant_is_never_exceeded(x, label, weights):
    gradient = partial(logistic_gradient, x=x, y=label)
    assert secant(gradient, *weights) <= logistic_constant(x) + 1e-9


@pytest.mark.parametrize("label", [-1, 1])
def test_logistic_constant_is_attained_at_zero_margin_alone(label):
    x = np.array([1.0, -2.0, 0.5])
    gradient = partial(logistic_gradient, x=x, y=label)
    across = np.array([2.0, 1.0, 0.0])  # w.x = 0
    for w, ratio in ((across, 1.0), (across + 0.3 * x, None)):
        found = spectral_norm(hessian(gradient, w)) / logistic_constant(x)
        assert found == pytest.approx(ratio, abs=1e-8) if ratio else found < 0.9


@given(points, st.integers(2, 5), st.data())
def test_multinomial_constant_is_never_exceeded(x, num_classes, data):
    weights = data.draw(arrays(np.float64, (2, 3 * num_classes), elements=numbers))
    gradient = partial(multinomial_gradient, x=x, label=num_classes - 1)
    assert secant(gradient, *weights) <= multinomial_constant(x) + 1e-9


def test_multinomial_hessian_is_the_stated_product():
    x, w = np.array([1.0, -2.0]), seeded().normal(size=6)
    p = np.exp(w.reshape(3, 2) @ x)
    p /= p.sum()
    stated = np.kron(np.diag(p) - np.outer(p, p), np.outer(x, x))
    found = hessian(partial(multinomial_gradient, x=x, label=1), w)
    np.testing.assert_allclose(found, stated, atol=1e-8)


def test_two_classes_attain_the_multinomial_constant_and_more_approach_it():
    x = np.array([1.0, -2.0])
    ratios = []
    for logit in (0.0, -2.0, -8.0):  # of the third class
        w = np.outer([0, 0, logit], x / (x @ x)).ravel()
        dense = spectral_norm(hessian(partial(multinomial_gradient, x=x, label=0), w))
        ratios.append(dense / multinomial_constant(x))
    assert ratios == sorted(ratios)
    assert ratios[0] == pytest.approx(2 / 3, abs=1e-7)
    assert 1 - 1e-3 < ratios[-1] < 1 - 1e-5
    even = spectral_norm(hessian(partial(multinomial_gradient, x=x, label=0), np.zeros(4)))
    assert even == pytest.approx(multinomial_constant(x), rel=1e-8)


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
    gradient = partial(batch_gradient, x, np.ones(6))
    found = search_constant(gradient, 3, seeded(4), num_starts=3)
    assert found == pytest.approx(batch_constant(x), rel=1e-6)


def test_search_finds_a_peak_of_curvature():
    gradient = partial(logistic_gradient, x=np.array([1.5, -1.0]), y=1)
    found = search_constant(gradient, 2, seeded(5), num_starts=4)
    assert found == pytest.approx(logistic_constant(np.array([1.5, -1.0])), rel=1e-6)
