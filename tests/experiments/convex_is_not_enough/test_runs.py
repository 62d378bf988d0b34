"""The races on real data: what is kept and drawn, SGD as a plain loop, arrivals."""

from functools import cache

import numpy as np
import pytest
import torch
from torch.nn import functional

from experiments.convex_is_not_enough.real_data import SOURCES, load
from experiments.convex_is_not_enough.runs import (
    CELLS,
    IMPORTANCE,
    MULTIPLES,
    NONE,
    Cell,
    Run,
    descend,
    draw,
    excess,
    kept,
    recorded_steps,
    run,
    stream,
)
from liprune_utils.checks import InputError

ROOT = (5, 0, 3)
TORCH_LOSSES = {
    "breast cancer": functional.binary_cross_entropy_with_logits,
    "digits": functional.cross_entropy,
    "diabetes": lambda z, y: functional.mse_loss(z, y) / 2,
}


@cache
def split(name):
    return load(name, stream(ROOT, "split"))


@cache
def sizes():
    return np.random.default_rng(0).lognormal(size=331)


def test_recorded_steps_go_from_the_first_to_the_last():
    steps = recorded_steps()
    assert (steps[0], steps[1], steps[-1]) == (0, 1, 300)
    assert (np.diff(steps) > 0).all()
    assert (steps[steps > 10][1:] / steps[steps > 10][:-1]).max() < 1.2


def test_liprune_keeps_the_largest_constants():
    lipschitz = sizes()
    found = kept(lipschitz, Cell("liprune", 0.3), ROOT)
    assert (len(found), len(set(found))) == (99, 99)
    assert lipschitz[found].min() > np.delete(lipschitz, found).max()


def test_random_choice_depends_on_the_run_alone():
    less, more = (kept(sizes(), Cell("random", r), ROOT) for r in (0.1, 0.5))
    np.testing.assert_array_equal(less, more[: len(less)])
    assert sorted(kept(sizes(), NONE, ROOT)) == list(range(331))
    assert set(kept(sizes(), Cell("random", 0.1), (5, 0, 4))) != set(less)


def test_batches_are_distinct_kept_points_and_liprune_and_random_share_positions():
    draws = draw(sizes(), ROOT)
    assert draws.points.shape == draws.factors.shape == (300, 8, 10)
    positions = {}
    for number, cell in enumerate(CELLS[:-1]):
        where = {point: at for at, point in enumerate(kept(sizes(), cell, ROOT))}
        positions[cell] = np.vectorize(where.__getitem__)(draws.points[:, number])
        assert (np.diff(np.sort(positions[cell], axis=1)) > 0).all()
        assert (draws.factors[:, number] == 1).all()
    for cell in (Cell("liprune", r) for r in (0.1, 0.3, 0.5)):
        np.testing.assert_array_equal(positions[cell], positions[cell._replace(method="random")])


def test_batches_are_uniform():
    points = draw(np.ones(331), ROOT, num_steps=6000).points[:, CELLS.index(NONE)]
    counts = np.bincount(points.ravel(), minlength=331)
    chance = 10 / 331
    z = (counts - 6000 * chance) / np.sqrt(6000 * chance * (1 - chance))
    assert np.abs(z).max() < 5
    assert 0.8 < z.std() < 1.2


def test_importance_sampling_is_unbiased_and_proportional_to_the_constants():
    draws, at = draw(sizes(), ROOT, num_steps=3000), CELLS.index(IMPORTANCE)
    points, factors = draws.points[:, at], draws.factors[:, at]
    np.testing.assert_allclose(factors, sizes().mean() / sizes()[points])
    chances = sizes() / sizes().sum()
    counts = np.bincount(points.ravel(), minlength=331)
    z = (counts - 30_000 * chances) / np.sqrt(30_000 * chances * (1 - chances))
    assert np.abs(z).max() < 5


def test_too_few_points_are_refused():
    with pytest.raises(InputError, match=r"number of points kept is 9; expected more than the bat"):
        draw(np.ones(90), ROOT)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("cell", [Cell("liprune", 0.1), NONE, IMPORTANCE])
def test_sgd_is_a_plain_loop_with_automatic_gradients(name, cell):
    train, at = split(name).train, CELLS.index(cell)
    draws = draw(train.lipschitz, ROOT, num_steps=15)
    step_sizes = np.tile([0.1, 0.02], (len(CELLS), 1))
    found = list(descend(train, draws, step_sizes))
    w = torch.zeros(found[0].shape[2:], dtype=torch.float64, requires_grad=True)
    points, factors = draws.points[:, at].tolist(), draws.factors[:, at].tolist()
    for step in range(15):
        for point, factor in zip(points[step], factors[step], strict=True):
            x, y = (torch.tensor(values[[point]]) for values in (train.x, train.y))
            loss = TORCH_LOSSES[name](x @ w.T, y) + train.ridge / 2 * (w**2).sum()
            (factor * loss / 10).backward()
        w.data -= 0.02 * w.grad
        w.grad = None
    np.testing.assert_allclose(found[15][at, 1], w.detach(), rtol=1e-8, atol=1e-12)
    assert (len(found), np.abs(found[0]).max()) == (16, 0)


def test_excess_is_one_at_the_start_and_zero_at_the_minimum():
    train = split("breast cancer").train
    way = np.linspace(0, 1, 5)[:, None, None] * train.minimiser
    found = excess(train, way)
    assert (found[0], found[-1]) == (1, 0)
    assert (np.diff(found) < 0).all()


def test_run_measures_the_iterates():
    data, multiples = split("diabetes"), np.full((len(CELLS), 1), 0.5)
    outcome, train = run(data, ROOT, multiples), data.train
    size = 0.5 / (2 * train.lipschitz.max())
    iterates = list(descend(train, draw(train.lipschitz, ROOT), np.full((8, 1), size)))
    assert (outcome.excess[0] == 1).all()
    expected = excess(train, iterates[recorded_steps()[20]])
    np.testing.assert_array_equal(outcome.excess[20], expected)
    np.testing.assert_array_equal(outcome.test_loss, data.test.value(iterates[300]))


def test_divergence_is_infinite():
    multiples = np.tile([1.0, MULTIPLES[-1]], (len(CELLS), 1))
    outcome = run(split("diabetes"), ROOT, multiples)
    assert np.isfinite(outcome.excess[:, :, 0]).all()
    assert (outcome.excess[-1, :, 1] == np.inf).all()
    assert (outcome.test_loss[:, 1] == np.inf).all()
    assert (outcome.steps[:, 1] == np.inf).all()


def test_arrival_is_the_first_recorded_step_at_the_target():
    path = np.ones((len(recorded_steps()), 1, 3))
    path[4:, 0, 0] = 0.1
    path[7, 0, 1] = 0.05  # it need not stay
    steps = Run(path, np.zeros((1, 3))).steps
    assert steps.tolist() == [[recorded_steps()[4], recorded_steps()[7], np.inf]]
