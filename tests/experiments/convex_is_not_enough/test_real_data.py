"""The real data as objectives: gradients, constants and minimisers by second routes."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from experiments.convex_is_not_enough.real_data import (
    LOGISTIC,
    MULTINOMIAL,
    SOURCES,
    SQUARED,
    Objective,
    load,
)
from liprune_utils.checks import InputError

TORCH_LOSSES = {
    "breast cancer": lambda z, y: functional.binary_cross_entropy_with_logits(
        z, y, reduction="none"
    )[:, 0],
    "digits": lambda z, y: functional.cross_entropy(z, y, reduction="none"),
    "diabetes": lambda z, y: functional.mse_loss(z, y, reduction="none")[:, 0] / 2,
}
SEEDS = st.integers(0, 2**32 - 1)


@cache
def split(name):
    return load(name, np.random.default_rng(7))


def weights(name, generator, scale=0.1):
    train = split(name).train
    return scale * generator.standard_normal((train.y.shape[1], train.x.shape[1]))


def drawn(loss, generator, num_points=5, dim=3):
    """A small random problem."""
    x, num_scores = generator.standard_normal((num_points, dim)), 4 if loss is MULTINOMIAL else 1
    labels = generator.integers(num_scores, size=num_points)
    y = np.eye(num_scores)[labels] if loss is MULTINOMIAL else generator.random((num_points, 1))
    return Objective(loss, x, y, 0.1)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("part", ["train", "test"])
def test_value_and_gradient_are_those_of_torch(name, part):
    generator, objective = np.random.default_rng(1), getattr(split(name), part)
    factors, w = generator.random(len(objective.x)), weights(name, generator)
    at = torch.tensor(w, requires_grad=True)
    losses = TORCH_LOSSES[name](torch.tensor(objective.x) @ at.T, torch.tensor(objective.y))
    losses = losses + objective.ridge / 2 * (at**2).sum()
    (losses * torch.tensor(factors)).mean().backward()
    assert objective.value(w) == pytest.approx(losses.mean().item(), rel=1e-12)
    np.testing.assert_allclose(objective.gradient(w, factors), at.grad, rtol=1e-9, atol=1e-12)


@given(SEEDS, st.sampled_from([LOGISTIC, MULTINOMIAL, SQUARED]), st.floats(0.01, 100))
def test_no_secant_exceeds_the_lipschitz_constant(seed, loss, scale):
    generator = np.random.default_rng(seed)
    objective = drawn(loss, generator)
    shape = (2, objective.y.shape[1], 3)
    v, w = scale * generator.standard_normal(shape)
    for number, constant in enumerate(objective.lipschitz):
        point = objective.take(np.array([number]))
        change = np.linalg.norm(point.gradient(v) - point.gradient(w))
        assert change <= constant * np.linalg.norm(v - w) * (1 + 1e-9)


@pytest.mark.parametrize("name", SOURCES)
def test_lipschitz_constant_is_attained(name):
    train = split(name).train
    for number in (0, 17, 100):
        point, x = train.take(np.array([number])), train.x[number]
        shape = (train.y.shape[1], len(x))
        centre, direction = np.zeros(shape), np.zeros(shape)
        centre[2:] = -40 * x / (x @ x)  # all but two classes vanish
        direction[:2] = np.array([[1], [-1]])[: shape[0]] * x
        step = 1e-4 * direction / np.linalg.norm(direction)
        change = np.linalg.norm(point.gradient(centre + step) - point.gradient(centre - step))
        assert change / np.linalg.norm(2 * step) == pytest.approx(train.lipschitz[number], rel=1e-5)


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_pulls_at_the_minimiser(name):
    train = split(name).train
    for objective in (train, train.take(np.arange(40))):
        assert np.abs(objective.gradient(objective.minimiser)).max() <= 1e-6


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


def test_minimiser_says_where_it_fails():
    apart = Objective(LOGISTIC, np.array([[1e-4], [-1e-4]]), np.array([[1.0], [0.0]]), 0.0)
    nowhere = Objective(SQUARED, np.array([[np.nan]]), np.array([[1.0]]), 0.0)
    assert np.isfinite(apart.minimiser).all()  # flat enough at once, though it has no minimiser
    with pytest.raises(InputError, match="gradient at the minimiser"):
        _ = nowhere.minimiser


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


@given(SEEDS, st.sampled_from([LOGISTIC, MULTINOMIAL, SQUARED]))
def test_gradient_is_linear_in_the_factors_and_batches_broadcast(seed, loss):
    generator = np.random.default_rng(seed)
    objective = drawn(loss, generator)
    points, factors = generator.integers(5, size=(2, 1, 4)), generator.random((2, 1, 4))
    w = generator.standard_normal((2, 3, objective.y.shape[1], 3))
    found = objective.take(points).gradient(w, factors)
    for i, j in np.ndindex(2, 3):
        single = [
            c * objective.take(np.array([p])).gradient(w[i, j])
            for p, c in zip(points[i, 0], factors[i, 0], strict=True)
        ]
        np.testing.assert_allclose(found[i, j], np.mean(single, axis=0), atol=1e-12)


def test_unknown_data_set_is_refused():
    with pytest.raises(InputError, match=r"data set is 'iris'; expected one of breast cancer, dig"):
        load("iris", np.random.default_rng(0))
