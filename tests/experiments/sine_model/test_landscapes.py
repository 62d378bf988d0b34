"""Landscapes of the sine model: closed form, quadrature, Fourier sums, draws agree."""

import numpy as np
import pytest
from draws import checked, seeded
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from experiments.sine_model.landscapes import (
    NOISE_SD,
    WEIGHT,
    WEIGHTS,
    SineData,
    _kept_moments,
    draw_sine,
    loss_sd,
    population_loss,
    pruned_population,
    sampled_losses,
)
from liprune_utils.checks import InputError
from liprune_utils.lipschitz import sine_constant, sine_curvature, sine_gradient, sine_loss
from liprune_utils.pruning import keep_highest


def direct(data: SineData) -> np.ndarray:
    return np.array([
        sine_loss(WEIGHTS[:, None], x, y).mean(axis=1) for x, y in zip(*data, strict=True)
    ])  # fmt: skip


def test_weights_hold_the_places_that_matter():
    for place in (-20, -WEIGHT, 0, WEIGHT, 20):
        assert place in WEIGHTS
    np.testing.assert_array_equal(WEIGHTS, -WEIGHTS[::-1])


def test_data_follow_the_papers_model_and_do_not_depend_on_how_many_are_drawn():
    data = draw_sine(seeded(), 50, 1000)
    noise = data.y - np.sin(12 * data.x)
    assert np.std(noise) == pytest.approx(0.1, rel=0.02)
    assert np.corrcoef(noise.ravel(), data.x.ravel())[0, 1] == pytest.approx(0, abs=0.02)
    assert np.std(data.x) == pytest.approx(1, rel=0.02)
    for few, many in zip(draw_sine(seeded(), 2, 1000), data, strict=True):
        np.testing.assert_array_equal(few, many[:2])


@pytest.mark.parametrize("fraction", [0.01, 0.25, 1.0])
def test_points_in_order_of_their_constants_keep_what_algorithm_1_keeps(fraction):
    data = draw_sine(seeded(), 3, 200)
    kept = data.by_constant().first(fraction)
    for row in range(3):
        expected = keep_highest(sine_constant(data.x[row], data.y[row]), fraction)
        np.testing.assert_array_equal(np.sort(kept.x[row]), np.sort(data.x[row][expected]))
        np.testing.assert_allclose(
            sine_loss(3.0, kept.x[row], kept.y[row]).sum(),
            sine_loss(3.0, data.x[row][expected], data.y[row][expected]).sum(),
        )


@checked
@given(w=st.floats(-30, 30))
def test_closed_form_is_the_expectation(w):
    x, step = np.linspace(-9, 9, 4001, retstep=True)
    square = (np.sin(w * x) - np.sin(12 * x)) ** 2 * norm.pdf(x) * step
    assert population_loss(w) == pytest.approx(square.sum() / 2 + NOISE_SD**2 / 2, abs=1e-10)


def test_population_has_two_wells_one_hill_and_plains():
    loss = population_loss(WEIGHTS)
    assert WEIGHTS[loss.argmin()] == WEIGHT
    assert loss.min() == pytest.approx(NOISE_SD**2 / 2, abs=1e-12)
    assert WEIGHTS[loss.argmax()] == -WEIGHT
    assert population_loss(0.0) == pytest.approx(0.255)
    for plain in (-20, -5, 5, 18.5):
        assert population_loss(plain) == pytest.approx(0.505, abs=1e-8)
    assert (np.diff(loss[WEIGHTS >= 12]) > -1e-15).all()
    assert (np.diff(loss[(WEIGHTS >= -12) & (WEIGHTS <= 0)]) < 1e-15).all()


@pytest.mark.parametrize("threshold", [0.0, 0.7, 4.0, 11.0])
@pytest.mark.parametrize("x", [0.3, 1.7, 2.61, 3.4])
def test_kept_moments_are_integrals_over_the_label(x, threshold):
    y = np.sin(12 * x) + 0.1 * np.linspace(-9, 9, 200_001)
    density = norm.pdf(np.linspace(-9, 9, 200_001)) * 18 / 200_000
    kept = x**2 * (1 + np.abs(y)) > threshold
    found = _kept_moments(np.array([x]), threshold)
    for moment, values in zip(found, (1, y, y**2), strict=True):
        assert moment[0] == pytest.approx((density * values * kept).sum(), abs=1e-4)


def test_population_without_pruning_is_the_closed_form():
    everything = pruned_population(1.0)
    assert everything.p.sum() == pytest.approx(1)
    np.testing.assert_allclose(everything.landscape, population_loss(WEIGHTS), atol=1e-11)
    assert everything.slope(8.0) == pytest.approx(-2 * np.exp(-8), rel=1e-6)
    assert everything.curvature(WEIGHT) == pytest.approx(0.5, rel=1e-9)


@pytest.mark.parametrize("fraction", [0.5, 0.1, 0.01])
def test_pruned_population_is_the_limit_of_data_sets(fraction):
    kept = draw_sine(seeded(1), 1, 10**6).by_constant().first(fraction)
    x, y = kept.x[0], kept.y[0]
    population = pruned_population(fraction)
    for w in (-10.9, 0.0, 8.0, 12.0):
        losses, gradients = sine_loss(w, x, y), sine_gradient(w, x, y)
        error = losses.std() / np.sqrt(len(x))
        assert population.loss(np.array([w]))[0] == pytest.approx(losses.mean(), abs=5 * error)
        error = gradients.std() / np.sqrt(len(x))
        assert population.slope(w) == pytest.approx(gradients.mean(), abs=5 * error)
        assert population.gradient_sd(w) == pytest.approx(gradients.std(), rel=0.03)
        bends = sine_curvature(w, x, y)
        error = bends.std() / np.sqrt(len(x))
        assert population.curvature(w) == pytest.approx(bends.mean(), abs=5 * error)


def test_slope_and_curvature_are_derivatives_of_the_loss():
    kept, h = pruned_population(0.1), 1e-4
    low, here, high = kept.loss(9.3 + h * np.arange(-1, 2))
    assert kept.slope(9.3) == pytest.approx((high - low) / (2 * h), rel=1e-5)
    assert kept.curvature(9.3) == pytest.approx((high - 2 * here + low) / h**2, rel=1e-4)


def test_quadrature_has_converged():
    some = WEIGHTS[::20]
    coarse, fine = (pruned_population(0.05, num_nodes=n).loss(some) for n in (7000, 28_000))
    np.testing.assert_allclose(coarse, fine, atol=1e-5)


@pytest.mark.parametrize("fraction", [0, 1.1])
def test_bad_fraction_is_refused(fraction):
    with pytest.raises(InputError, match="keep_fraction is"):
        pruned_population(fraction)


@pytest.mark.parametrize("num_points", [1, 10, 300])
def test_fourier_sums_are_the_mean_losses(num_points):
    data = draw_sine(seeded(2), 4, num_points)
    np.testing.assert_allclose(sampled_losses(data), direct(data), atol=1e-5)


@pytest.mark.parametrize("x", [0.0, 0.005, -0.0049999, 5.2, -6.0])
def test_fourier_sums_hold_at_any_input(x):
    data = SineData(np.array([[x]]), np.array([[0.7]]))
    np.testing.assert_allclose(sampled_losses(data), direct(data), atol=1e-4)


def test_standard_deviation_of_a_points_loss():
    data = draw_sine(seeded(3), 1, 400_000)
    for w in (-12.0, 0.0, 5.0, 12.0):
        losses = sine_loss(w, data.x[0], data.y[0])
        assert loss_sd(np.array([w]))[0] == pytest.approx(losses.std(), rel=0.02)
