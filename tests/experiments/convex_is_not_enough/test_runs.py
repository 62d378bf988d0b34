"""Real data and races on them: minima, what is kept and drawn, SGD as a plain loop, arrivals."""

from functools import cache

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from experiments.convex_is_not_enough.runs import (
    IMPORTANCE,
    MULTIPLES,
    NONE,
    SETTINGS,
    SOURCES,
    Outcome,
    Setting,
    draw,
    excess,
    kept_points,
    load,
    recorded_steps,
    run,
    sgd_iterates,
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
    found = kept_points(lipschitz, Setting("liprune", 0.3), ROOT)
    assert (len(found), len(set(found))) == (99, 99)
    assert lipschitz[found].min() > np.delete(lipschitz, found).max()


def test_random_choice_depends_on_the_run_alone():
    less, more = (kept_points(sizes(), Setting("random", r), ROOT) for r in (0.1, 0.5))
    np.testing.assert_array_equal(less, more[: len(less)])
    assert sorted(kept_points(sizes(), NONE, ROOT)) == list(range(331))
    assert set(kept_points(sizes(), Setting("random", 0.1), (5, 0, 4))) != set(less)


def test_batches_are_distinct_kept_points_and_liprune_and_random_share_positions():
    draws = draw(sizes(), ROOT)
    assert draws.points.shape == draws.factors.shape == (300, 8, 10)
    positions = {}
    for number, setting in enumerate(SETTINGS[:-1]):
        where = {point: at for at, point in enumerate(kept_points(sizes(), setting, ROOT))}
        positions[setting] = np.vectorize(where.__getitem__)(draws.points[:, number])
        assert (np.diff(np.sort(positions[setting], axis=1)) > 0).all()
        assert (draws.factors[:, number] == 1).all()
    for setting in (Setting("liprune", r) for r in (0.1, 0.3, 0.5)):
        np.testing.assert_array_equal(
            positions[setting], positions[setting._replace(method="random")]
        )


def test_batches_are_uniform():
    points = draw(np.ones(331), ROOT, num_steps=6000).points[:, SETTINGS.index(NONE)]
    counts = np.bincount(points.ravel(), minlength=331)
    chance = 10 / 331
    z = (counts - 6000 * chance) / np.sqrt(6000 * chance * (1 - chance))
    assert np.abs(z).max() < 5
    assert 0.8 < z.std() < 1.2


def test_importance_sampling_is_unbiased_and_proportional_to_the_constants():
    draws, at = draw(sizes(), ROOT, num_steps=3000), SETTINGS.index(IMPORTANCE)
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
@pytest.mark.parametrize("setting", [Setting("liprune", 0.1), NONE, IMPORTANCE])
def test_sgd_is_a_plain_loop_with_automatic_gradients(name, setting):
    train, at = split(name).train, SETTINGS.index(setting)
    draws = draw(train.lipschitz, ROOT, num_steps=15)
    step_sizes = np.tile([0.1, 0.02], (len(SETTINGS), 1))
    found = list(sgd_iterates(train, draws, step_sizes))
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
    data, multiples = split("diabetes"), np.full((len(SETTINGS), 1), 0.5)
    outcome, train = run(data, ROOT, multiples), data.train
    size = 0.5 / (2 * train.lipschitz.max())
    iterates = list(sgd_iterates(train, draw(train.lipschitz, ROOT), np.full((8, 1), size)))
    assert (outcome.excess[0] == 1).all()
    expected = excess(train, iterates[recorded_steps()[20]])
    np.testing.assert_array_equal(outcome.excess[20], expected)
    np.testing.assert_array_equal(outcome.test_loss, data.test.value(iterates[300]))


def test_divergence_is_infinite():
    multiples = np.tile([1.0, MULTIPLES[-1]], (len(SETTINGS), 1))
    outcome = run(split("diabetes"), ROOT, multiples)
    assert np.isfinite(outcome.excess[:, :, 0]).all()
    assert (outcome.excess[-1, :, 1] == np.inf).all()
    assert (outcome.test_loss[:, 1] == np.inf).all()
    assert (outcome.steps[:, 1] == np.inf).all()


def test_arrival_is_the_first_recorded_step_at_the_target():
    path = np.ones((len(recorded_steps()), 1, 3))
    path[4:, 0, 0] = 0.1
    path[7, 0, 1] = 0.05  # it need not stay
    steps = Outcome(path, np.zeros((1, 3))).steps
    assert steps.tolist() == [[recorded_steps()[4], recorded_steps()[7], np.inf]]


def test_least_squares_minimiser_is_the_closed_form():
    train = split("diabetes").train
    for objective in (train, train.take(np.arange(40))):
        x, y = objective.x, objective.y
        np.testing.assert_allclose(
            objective.minimiser, np.linalg.solve(x.T @ x, x.T @ y).T, atol=1e-3
        )
        assert objective.value(objective.minimiser) == pytest.approx(
            objective.value(np.linalg.lstsq(x, y)[0].T), abs=1e-9
        )


@pytest.mark.parametrize("name", ["breast cancer", "digits"])
def test_minimum_is_that_of_scikit_learn(name):
    train = split(name).train
    labels = train.y.argmax(axis=1) if name == "digits" else train.y[:, 0]
    solver = LogisticRegression(C=1, fit_intercept=False, tol=1e-8, max_iter=5000)
    found = solver.fit(train.x, labels).coef_
    assert train.value(train.minimiser) == pytest.approx(train.value(found), abs=1e-8)


@pytest.mark.parametrize(
    ("name", "size"), [("breast cancer", 569), ("digits", 1797), ("diabetes", 442)]
)
def test_features_are_standardised_on_the_training_points(name, size):
    train, test = split(name)
    assert (len(train.x), len(train.x) + len(test.x)) == (round(0.75 * size), size)
    np.testing.assert_array_equal(train.x[:, -1], 1)
    mean, sd = train.x[:, :-1].mean(axis=0), train.x[:, :-1].std(axis=0)
    np.testing.assert_allclose(mean, 0, atol=1e-9)
    np.testing.assert_allclose(sd[sd > 0], 1, rtol=1e-9)
    assert not np.allclose(test.x[:, :-1].mean(axis=0), 0, atol=1e-3)
    assert train.ridge == (0 if name == "diabetes" else 1 / len(train.x))
    assert test.ridge == 0


def test_split_shuffles_points_with_their_labels():
    bunch = SOURCES["diabetes"][0]()
    train, test = split("diabetes")
    x, y = (np.concatenate(pair) for pair in ((train.x, test.x), (train.y, test.y)))
    fit = np.linalg.lstsq(np.c_[bunch.data, np.ones(442)], bunch.target)[1]
    ours = np.linalg.lstsq(x, y)[1] * (bunch.target.std() / y.std()) ** 2
    assert ours == pytest.approx(fit, rel=1e-9)  # the same regression, up to scales
    other = load("diabetes", np.random.default_rng(8))
    assert not np.array_equal(other.train.y, train.y)


def test_unknown_data_set_is_refused():
    with pytest.raises(InputError, match=r"data set is 'iris'; expected one of breast cancer, dig"):
        load("iris", np.random.default_rng(0))
