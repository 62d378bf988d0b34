"""Gradient noise: against loops, closed forms, and all samples from a finite set."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from experiments.why.gradient_noise import (
    GradientMoments,
    batch_gradients,
    gradient_moments,
    importance_gain,
)
from liprune_utils.checks import InputError
from liprune_utils.models import resnet

pytestmark = pytest.mark.usefixtures("one_thread")


def gradients(seed: int, count: int = 6, size: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(1.0, 2.0, (count, size))


@given(st.integers(0, 999), st.integers(2, 9))
def test_noise_and_signal_add_up_to_the_mean_square(seed, count):
    sample = gradients(seed, count)
    squares = [row @ row for row in sample]
    assert gradient_moments(sample).second_moment == pytest.approx(np.mean(squares))


@given(st.integers(0, 999))
def test_noise_is_the_trace_of_the_covariance(seed):
    sample = gradients(seed)
    assert gradient_moments(sample).noise == pytest.approx(np.trace(np.cov(sample.T)))


def test_equal_gradients_have_no_noise():
    found = gradient_moments(np.full((3, 2), 3.0))
    assert (found.noise, found.signal) == (0.0, 18.0)


def test_both_estimates_are_unbiased():
    # Independent draws with replacement from four gradients: the mean over all equally likely
    # samples of three is the truth.
    population = gradients(3, count=4)
    mean = population.mean(axis=0)
    samples = np.stack(np.meshgrid(*[range(4)] * 3), axis=-1).reshape(-1, 3)
    found = [gradient_moments(population[list(chosen)]) for chosen in samples]
    noise = np.mean([moments.noise for moments in found])
    signal = np.mean([moments.signal for moments in found])
    assert noise == pytest.approx(((population - mean) ** 2).sum(axis=1).mean())
    assert signal == pytest.approx(mean @ mean)


def test_noise_scale_is_where_noise_and_signal_are_equal():
    moments = GradientMoments(noise=6.0, signal=2.0)
    size = moments.noise_scale(batch_size=10)
    assert size == 30
    assert moments.noise * 10 / size == moments.signal
    assert GradientMoments(1.0, -0.1).noise_scale(10) == np.inf


def test_one_gradient_has_no_spread():
    with pytest.raises(InputError, match="number of gradients is 1; expected at least 2"):
        gradient_moments(np.ones((1, 3)))


def linear(weights: np.ndarray) -> nn.Module:
    model = nn.Linear(len(weights), 2, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(np.stack([weights, 0 * weights])))
    return model


def test_gradients_of_a_linear_classifier_have_their_closed_form():
    # Two classes, logits (w x, 0): the gradient for w is the mean of (sigmoid(w x) - [y = 0]) x.
    draw = np.random.default_rng(0)
    x, y, weights = draw.normal(size=(9, 3)), draw.integers(0, 2, 9), draw.normal(size=3)
    batches = np.split(draw.permutation(9), 3)
    found = batch_gradients(linear(weights), torch.from_numpy(x), torch.from_numpy(y), batches)
    errors = 1 / (1 + np.exp(-x @ weights)) - (y == 0)
    expected = np.stack([(errors[batch, None] * x[batch]).mean(axis=0) for batch in batches])
    np.testing.assert_allclose(found, np.hstack([expected, -expected]), rtol=1e-12)


def test_gradients_of_a_network_are_those_of_training():
    model = resnet(8, torch.Generator().manual_seed(0)).double()
    images = torch.randn(10, 3, 8, 8, dtype=torch.float64)
    labels = torch.arange(10) % 10
    batches = [np.arange(6), np.arange(6, 10)]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = batch_gradients(model, images, labels, batches)
    after = model.state_dict()
    assert all(value.equal(after[name]) for name, value in before.items())
    for row, batch in zip(found, batches, strict=True):
        model.zero_grad()
        functional.cross_entropy(model(images[batch]), labels[batch]).backward()
        flat = torch.cat([p.grad.flatten() for p in model.parameters()])
        np.testing.assert_allclose(row, flat.numpy(), rtol=1e-9, atol=1e-12)


@given(st.integers(0, 999))
def test_importance_gain_is_that_of_the_weighted_steps(seed):
    sample, constants = gradients(seed), np.random.default_rng(seed).uniform(0.1, 3, 6)
    p = constants / constants.sum()
    steps = sample / (6 * p[:, None])
    np.testing.assert_allclose(p @ steps, sample.mean(axis=0))  # the same mean
    weighted, uniform = p @ (steps**2).sum(axis=1), (sample**2).sum(axis=1).mean()
    found = importance_gain((sample**2).sum(axis=1), constants)
    assert found == pytest.approx(weighted / uniform)


@given(st.integers(0, 999))
def test_no_sampling_beats_that_by_gradient_norms(seed):
    squares = (gradients(seed) ** 2).sum(axis=1)
    best = importance_gain(squares, np.sqrt(squares))
    assert best == pytest.approx(np.sqrt(squares).mean() ** 2 / squares.mean())
    other = np.random.default_rng(seed).uniform(0.1, 3, 6)
    assert best <= importance_gain(squares, other) + 1e-12
    assert importance_gain(squares, np.full(6, 2.0)) == pytest.approx(1)


def test_a_constant_of_zero_is_never_sampled():
    with pytest.raises(InputError, match=r"smallest constant is 0\.0; expected a positive number"):
        importance_gain(np.ones(2), np.array([0.0, 1.0]))
