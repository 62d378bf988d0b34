"""What pruning changes: against sums by hand and loops; measuring disturbs nothing."""

import copy

import numpy as np
import pytest
import torch
from synthetic import BATCHES, POINT, same, task
from torch.nn import functional

from experiments.why.pruning_effects import class_shift, kept_shift, measure, rate_factor, whole
from liprune_utils.batch_statistics import with_population_statistics
from liprune_utils.curvature import hessian_norm
from liprune_utils.training import State, start, train_until

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def state(one_thread) -> State:
    return train_until(start(POINT, task()), task(), BATCHES, POINT, 1)


def gradient(state: State, batch: np.ndarray) -> np.ndarray:
    """The gradient of a batch of the toy images, by the road of training."""
    model = copy.deepcopy(state.model).train()
    functional.cross_entropy(model(task().images[batch]), task().labels[batch]).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()]).double().numpy()


def test_whole_batches_are_those_of_the_largest_size():
    batches = [np.arange(3), np.arange(3), np.arange(2)]
    assert [len(batch) for batch in whole(batches)] == [3, 3]
    assert len(whole(batches[:2])) == 2


@pytest.mark.parametrize(
    ("chosen", "expected"), [([0, 1, 2, 3], 0.0), ([0, 2], 0.0), ([0, 1], 0.5), ([0], 0.5)]
)
def test_class_shift(chosen, expected):
    assert class_shift(np.array([0, 0, 2, 2]), np.array(chosen)) == expected


def test_class_shift_of_a_class_that_is_gone():
    labels = np.array([0, 1, 2, 3])
    assert class_shift(labels, np.array([0, 1, 2])) == pytest.approx(0.25)


def test_kept_shift_compares_the_kept_with_all(state):
    kept = BATCHES[:2]
    found = kept_shift(state.model, task(), kept)
    model = with_population_statistics(state.model, task().images)
    with torch.no_grad():
        p = model(task().images).double().softmax(dim=1).numpy()
    labels = task().labels.numpy()
    loss = -np.log(p[np.arange(12), labels])
    error = np.linalg.norm(p - np.eye(10)[labels], axis=1)
    chosen = np.concatenate(kept)
    assert found["num_kept"] == 8
    assert found["class_shift"] == class_shift(labels, chosen)
    assert found["all_loss"] == pytest.approx(loss.mean(), rel=1e-5)
    assert found["kept_loss"] == pytest.approx(loss[chosen].mean(), rel=1e-5)
    assert found["all_el2n"] == pytest.approx(error.mean(), rel=1e-5)
    assert found["kept_el2n"] == pytest.approx(error[chosen].mean(), rel=1e-5)


def test_rate_factor_is_the_ratio_of_mean_squared_gradients(state):
    random, kept = [BATCHES[0], BATCHES[1]], [BATCHES[1], BATCHES[2]]
    theirs, own = (
        np.mean([(gradient(state, batch) ** 2).sum() for batch in part]) for part in (random, kept)
    )
    found = rate_factor(state.model, task(), kept, random)
    assert found == pytest.approx(theirs / own, rel=1e-4)
    assert rate_factor(state.model, task(), kept, kept) == 1


def test_measure_agrees_with_loops(state):
    kept = BATCHES[1:]
    found = measure(state, task(), kept, POINT)
    for name, part in (("kept", kept), ("all", BATCHES)):
        rows = np.stack([gradient(state, batch) for batch in part])
        noise = np.trace(np.cov(rows.T)) if rows.shape[1] < 100 else rows.var(axis=0, ddof=1).sum()
        signal = (rows.mean(axis=0) ** 2).sum() - noise / len(rows)
        assert found[f"{name}_noise"] == pytest.approx(noise, rel=1e-4)
        assert found[f"{name}_signal"] == pytest.approx(signal, rel=1e-3, abs=1e-4 * noise)
        assert found[f"{name}_second_moment"] == pytest.approx(noise + signal, rel=1e-4)
    pair = task().images, task().labels
    norms = [
        hessian_norm(state.model, functional.cross_entropy, *(part[batch] for part in pair)).norm
        for batch in BATCHES
    ]
    assert found["sharpness"] == pytest.approx(max(norms), rel=0.1)
    assert found["test_error"] == state.test_errors[-1]
    assert found["train_loss"] == state.train_losses[-1]


def test_noise_scale_is_of_the_kept_batches_size(state):
    found = measure(state, task(), BATCHES, POINT)
    signal = found["kept_signal"]
    expected = 4 * found["kept_noise"] / signal if signal > 0 else np.inf
    assert found["kept_noise_scale"] == found["all_noise_scale"] == expected


def test_measuring_does_not_disturb_the_training(state):
    mine, other = (train_until(start(POINT, task()), task(), BATCHES, POINT, 1) for _ in range(2))
    measure(mine, task(), BATCHES, POINT)
    for one in (mine, other):
        train_until(one, task(), BATCHES, POINT, 2)
    assert same(mine.to_dict(), other.to_dict())
