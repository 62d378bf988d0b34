"""What pruning changes: against loops, closed forms, and all samples from a finite set."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from synthetic import BATCHES, RUN, images, same
from torch import nn
from torch.nn import functional

from experiments.why.pruning_effects import (
    GradientMoments,
    _gradient_moments,
    batch_gradients,
    full_batches,
    importance_gain,
    kept_shift,
    measure,
    rate_factor,
)
from liprune_utils.checks import InputError
from liprune_utils.curvature import hessian_norm
from liprune_utils.training import State, start, train_until, with_population_statistics

pytestmark = pytest.mark.usefixtures("one_thread")


def gradients(seed: int, count: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(1.0, 2.0, (count, 4))


@given(st.integers(0, 999), st.integers(2, 9))
def test_noise_is_the_trace_of_the_covariance_and_adds_up_with_the_signal(seed, count):
    sample = gradients(seed, count)
    found = _gradient_moments(sample)
    assert found.noise == pytest.approx(np.trace(np.cov(sample.T)))
    assert found.second_moment == pytest.approx(np.mean([row @ row for row in sample]))


def test_both_estimates_are_unbiased():
    # Independent draws with replacement from four gradients: the mean over all equally likely
    # samples of three is the truth.
    population = gradients(3, count=4)
    mean = population.mean(axis=0)
    samples = np.stack(np.meshgrid(*[range(4)] * 3), axis=-1).reshape(-1, 3)
    noise, signal = np.mean([_gradient_moments(population[list(s)]) for s in samples], axis=0)
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
        _gradient_moments(np.ones((1, 3)))


def test_gradients_of_a_linear_classifier_have_their_closed_form():
    # Two classes, logits (w x, 0): the gradient for w is the mean of (sigmoid(w x) - [y = 0]) x.
    draw = np.random.default_rng(0)
    x, y, weights = draw.normal(size=(9, 3)), draw.integers(0, 2, 9), draw.normal(size=3)
    model = nn.Linear(3, 2, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(np.stack([weights, 0 * weights])))
    batches = np.split(draw.permutation(9), 3)
    found = batch_gradients(model, torch.from_numpy(x), torch.from_numpy(y), batches)
    errors = 1 / (1 + np.exp(-x @ weights)) - (y == 0)
    expected = np.stack([(errors[batch, None] * x[batch]).mean(axis=0) for batch in batches])
    np.testing.assert_allclose(found, np.hstack([expected, -expected]), rtol=1e-12)


@given(st.integers(0, 999))
def test_importance_gain_is_that_of_the_weighted_steps(seed):
    sample, constants = gradients(seed), np.random.default_rng(seed).uniform(0.1, 3, 6)
    p = constants / constants.sum()
    steps = sample / (6 * p[:, None])
    np.testing.assert_allclose(p @ steps, sample.mean(axis=0))  # the same mean
    weighted, uniform = p @ (steps**2).sum(axis=1), (sample**2).sum(axis=1).mean()
    found = importance_gain((sample**2).sum(axis=1), constants)
    assert found == pytest.approx(weighted / uniform)


def test_a_constant_of_zero_is_never_sampled():
    with pytest.raises(InputError, match=r"smallest constant is 0\.0; expected a positive number"):
        importance_gain(np.ones(2), np.array([0.0, 1.0]))


@pytest.fixture(scope="module")
def state(one_thread) -> State:
    return train_until(start(RUN, images()), images(), BATCHES, RUN, 1)


def training_gradient(state: State, batch: np.ndarray) -> np.ndarray:
    """The gradient of a batch of the toy images, as a step of training computes it."""
    model = copy.deepcopy(state.model).train()
    functional.cross_entropy(model(images().inputs[batch]), images().labels[batch]).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()]).double().numpy()


def test_a_smaller_last_batch_is_left_out():
    batches = [np.arange(3), np.arange(3), np.arange(2)]
    assert [len(batch) for batch in full_batches(batches)] == [3, 3]
    assert len(full_batches(batches[:2])) == 2


def test_kept_shift_compares_the_kept_with_all(state):
    kept = BATCHES[:2]
    found = kept_shift(state.model, images(), kept)
    model = with_population_statistics(state.model, images().inputs)
    with torch.no_grad():
        p = model(images().inputs).double().softmax(dim=1).numpy()
    labels, chosen = images().labels.numpy(), np.concatenate(kept)
    loss = -np.log(p[np.arange(12), labels])
    error = np.linalg.norm(p - np.eye(10)[labels], axis=1)
    shares = [[np.mean(part == k) for k in range(10)] for part in (labels, labels[chosen])]
    assert found["num_kept"] == 8
    assert found["class_shift"] == pytest.approx(np.abs(np.subtract(*shares)).sum() / 2)
    assert found["class_shift"] > 0
    assert found["all_loss"] == pytest.approx(loss.mean(), rel=1e-5)
    assert found["kept_loss"] == pytest.approx(loss[chosen].mean(), rel=1e-5)
    assert found["all_el2n"] == pytest.approx(error.mean(), rel=1e-5)
    assert found["kept_el2n"] == pytest.approx(error[chosen].mean(), rel=1e-5)


def test_rate_factor_is_the_ratio_of_mean_squared_gradients(state):
    random, kept = [BATCHES[0], BATCHES[1]], [BATCHES[1], BATCHES[2]]
    theirs, own = (
        np.mean([(training_gradient(state, batch) ** 2).sum() for batch in part])
        for part in (random, kept)
    )
    found = rate_factor(state.model, images(), kept, random)
    assert found == pytest.approx(theirs / own, rel=1e-4)


def test_measure_agrees_with_loops(state):
    kept = BATCHES[1:]
    found = measure(state, images(), kept, RUN)
    for name, part in (("kept", kept), ("all", BATCHES)):
        rows = np.stack([training_gradient(state, batch) for batch in part])
        noise = rows.var(axis=0, ddof=1).sum()
        signal = (rows.mean(axis=0) ** 2).sum() - noise / len(rows)
        scale = 4 * found[f"{name}_noise"] / found[f"{name}_signal"]
        assert found[f"{name}_noise"] == pytest.approx(noise, rel=1e-4)
        assert found[f"{name}_signal"] == pytest.approx(signal, rel=1e-3, abs=1e-4 * noise)
        assert found[f"{name}_second_moment"] == pytest.approx(noise + signal, rel=1e-4)
        assert found[f"{name}_noise_scale"] == (scale if scale > 0 else np.inf)
    pair = images().inputs, images().labels
    norms = [
        hessian_norm(state.model, functional.cross_entropy, *(part[batch] for part in pair)).norm
        for batch in BATCHES
    ]
    assert found["sharpness"] == pytest.approx(max(norms), rel=0.1)
    assert found["test_error"] == state.test_errors[-1]
    assert found["train_loss"] == state.train_losses[-1]


def test_measuring_does_not_disturb_the_training(state):
    mine, other = (train_until(start(RUN, images()), images(), BATCHES, RUN, 1) for _ in range(2))
    measure(mine, images(), BATCHES, RUN)
    for one in (mine, other):
        train_until(one, images(), BATCHES, RUN, 2)
    assert same(mine.to_dict(), other.to_dict())
