"""Convex problems: the distributions they are drawn from, their gradients, exact constants."""

import numpy as np
import pytest
import torch
from draws import checked, make_least_squares, seeded
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch.nn import functional

from liprune_utils.checks import InputError
from liprune_utils.problems import (
    LOGISTIC,
    MULTINOMIAL,
    SQUARED,
    LeastSquares,
    LinearData,
    Logistic,
    Loss,
    Objective,
    Problem,
    draw_least_squares,
    draw_linear,
    draw_logistic,
    standardise,
)


def test_data_follow_equation_3():
    data = draw_linear(seeded(), 40, 500, slope=3.0)
    assert data.x.shape == data.noise.shape == data.y.shape == (40, 500)
    assert stats.kstest(data.x.ravel(), stats.uniform(-5, 10).cdf).pvalue > 1e-4
    assert stats.kstest(data.noise.ravel(), stats.norm(0, 0.2).cdf).pvalue > 1e-4
    assert abs(np.corrcoef(data.x.ravel(), data.noise.ravel())[0, 1]) < 4 / np.sqrt(data.x.size)
    np.testing.assert_allclose(data.y, 3 * data.x + data.noise, rtol=1e-15)


def test_options_scale_the_draws():
    plain = draw_linear(seeded(), 3, 5)
    scaled = draw_linear(seeded(), 3, 5, half_width=1.0, noise_sd=0.0)
    np.testing.assert_allclose(scaled.x, plain.x / 5)
    assert not scaled.noise.any()


@pytest.mark.parametrize("num_runs", [1, 2, 7])
def test_first_data_sets_do_not_depend_on_how_many_follow(num_runs):
    few, many = (draw_linear(seeded(4), runs, 6) for runs in (num_runs, 9))
    np.testing.assert_array_equal(few.x, many.x[:num_runs])
    np.testing.assert_array_equal(few.noise, many.noise[:num_runs])


def test_data_sets_can_be_drawn_in_parts():
    generator = seeded(4)
    parts = [draw_linear(generator, runs, 6).y for runs in (2, 1, 3)]
    np.testing.assert_array_equal(np.concatenate(parts), draw_linear(seeded(4), 6, 6).y)


def test_lipschitz_constants_are_the_secants_of_the_gradients():
    data = LinearData(np.array([[-2.0, 0.5]]), np.array([[0.1, -0.3]]), slope=1.5)

    def gradient(w: float) -> np.ndarray:
        def loss(v: float) -> np.ndarray:
            return (v * data.x - data.y) ** 2 / 2

        return loss(w + 0.5) - loss(w - 0.5)  # a central difference is exact for a parabola

    for w, v in ((0.0, 1.0), (-3.0, 4.0)):
        secant = np.abs(gradient(w) - gradient(v)) / abs(w - v)
        np.testing.assert_allclose(secant, data.lipschitz, rtol=1e-12)


def make_logistic(seed, dim, more, ridge, spread) -> Logistic:
    return draw_logistic(seeded(seed), more, dim, ridge=ridge, spread=spread)


SEEDS, DIMS, COUNTS = st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 20)
SPREADS = st.floats(0, 1.5)
least_squares = st.builds(
    make_least_squares, SEEDS, DIMS, COUNTS, st.sampled_from([0.0, 0.1, 1.0]), SPREADS
)
logistic = st.builds(make_logistic, SEEDS, DIMS, COUNTS, st.floats(0.001, 10), SPREADS)
problems = least_squares | logistic


def pairs(problem: Problem, seed: int, scale: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    # two random weight vectors for each point
    return tuple(scale * seeded(seed).standard_normal((2, *problem.x.shape)))


def all_gradients(problem: Problem, weights: np.ndarray) -> np.ndarray:
    # the gradient of each function, at the same weights or at a row for each
    points = np.arange(len(problem.x))
    return problem.gradients(np.broadcast_to(weights, problem.x.shape), points)


def losses(problem: Problem, w: torch.Tensor, points: np.ndarray) -> torch.Tensor:
    x, y = torch.from_numpy(problem.x[points]), torch.from_numpy(problem.y[points])
    score = (x * w).sum(dim=1)
    if isinstance(problem, LeastSquares):
        return (score - y) ** 2 / 2
    logs = functional.binary_cross_entropy_with_logits(score, y, reduction="none")
    return logs + problem.ridge / 2 * (w**2).sum(dim=1)


@checked
@given(problems, SEEDS, st.sampled_from([0.1, 3.0, 1000.0]))
def test_gradients_are_those_of_autograd(problem, seed, scale):
    generator = seeded(seed)
    points = generator.integers(len(problem.x), size=7)  # some twice, in any order
    weights = scale * generator.standard_normal((7, problem.x.shape[1]))
    w = torch.from_numpy(weights).requires_grad_()
    losses(problem, w, points).sum().backward()
    found = problem.gradients(weights, points)
    size = scale * problem.lipschitz.max() + 1
    np.testing.assert_allclose(found, w.grad.numpy(), rtol=1e-9, atol=1e-13 * size)


@checked
@given(least_squares)
def test_least_squares_minimiser_has_no_mean_gradient(problem):
    mean = all_gradients(problem, problem.minimiser).mean(axis=0)
    assert np.abs(mean).max() <= 1e-12 * problem.lipschitz.max()


@checked
@given(logistic)
def test_logistic_minimiser_has_a_mean_gradient_below_1e_10(problem):
    mean = all_gradients(problem, problem.minimiser).mean(axis=0)
    assert np.abs(mean).max() <= 1e-10


@checked
@given(least_squares)
def test_hessian_gives_the_mean_gradient(problem):
    w, v = pairs(problem, 0)
    rise = all_gradients(problem, w[0]) - all_gradients(problem, v[0])
    np.testing.assert_allclose(problem.hessian @ (w[0] - v[0]), rise.mean(axis=0), rtol=1e-8)


@checked
@given(problems, SEEDS)
def test_lipschitz_constants_are_attained_along_the_point(problem, seed):
    sizes = np.linalg.norm(problem.x, axis=1, keepdims=True)
    along = problem.x / sizes
    w, _ = pairs(problem, seed)
    w -= (w * along).sum(axis=1, keepdims=True) * along  # x.w = 0
    step = 1e-4 / sizes * along
    rise = all_gradients(problem, w + step) - all_gradients(problem, w - step)
    secant = np.linalg.norm(rise, axis=1) / np.linalg.norm(2 * step, axis=1)
    np.testing.assert_allclose(secant, problem.lipschitz, rtol=1e-6)


@checked
@given(problems, SEEDS, st.sampled_from([0.01, 1.0, 30.0]))
def test_strong_convexity_is_never_exceeded(problem, seed, scale):
    for w, v in zip(*pairs(problem, seed, scale), strict=True):
        rise = (all_gradients(problem, w) - all_gradients(problem, v)).mean(axis=0)
        assert (w - v) @ rise >= (problem.strong_convexity - 1e-9) * ((w - v) @ (w - v))


@checked
@given(least_squares)
def test_strong_convexity_of_least_squares_is_attained(problem):
    _, singular, rows = np.linalg.svd(problem.x)
    rise = all_gradients(problem, rows[-1]) - all_gradients(problem, 0 * rows[-1])
    assert rows[-1] @ rise.mean(axis=0) == pytest.approx(problem.strong_convexity, rel=1e-7)
    assert singular[-1] ** 2 / len(problem.x) == pytest.approx(problem.strong_convexity, rel=1e-7)


def test_strong_convexity_of_logistic_is_approached_far_out():
    problem = draw_logistic(seeded(), 9, 2, ridge=0.3)
    w = np.array([3e4, 1e4])
    rise = (all_gradients(problem, w + 1) - all_gradients(problem, w)).mean(axis=0)
    assert rise.sum() / 2 == pytest.approx(problem.strong_convexity, rel=1e-9)


@checked
@given(SEEDS, DIMS, COUNTS, SPREADS)
def test_without_noise_the_functions_share_their_minimiser(seed, dim, more, spread):
    problem = make_least_squares(seed, dim, more, 0.0, spread)
    gradients = all_gradients(problem, problem.minimiser)
    assert np.abs(gradients).max() <= 1e-9 * problem.lipschitz.max()
    assert np.linalg.norm(problem.minimiser) == pytest.approx(1, abs=1e-9)


def draws(seed: int, noise_sd: float = 0.3, spread: float = 0.7) -> list[np.ndarray]:
    generator = seeded(seed)
    squares = draw_least_squares(generator, 2000, 3, noise_sd=noise_sd, spread=spread)
    classes = draw_logistic(generator, 2000, 3, ridge=1.0, spread=spread)
    return [squares.x, squares.y, classes.x, classes.y]


def test_draws_follow_from_the_generator():
    for first, again, other in zip(draws(1), draws(1), draws(2), strict=True):
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()


def test_draws_have_the_stated_distributions():
    (x, y, *_), (plain_x, plain_y, *_) = draws(3), draws(3, noise_sd=0.0, spread=0.0)
    sizes = x / plain_x
    np.testing.assert_allclose(sizes, np.tile(sizes[:, :1], 3), rtol=1e-12)
    assert stats.kstest(np.log(sizes[:, 0]), stats.norm(0, 0.7).cdf).pvalue > 1e-4
    assert stats.kstest(plain_x.ravel(), stats.norm().cdf).pvalue > 1e-4
    noise = y - sizes[:, 0] * plain_y
    assert stats.kstest(noise, stats.norm(0, 0.3).cdf).pvalue > 1e-4


@pytest.mark.parametrize("seed", range(3))
def test_labels_come_from_a_logistic_model(seed):
    problem = draw_logistic(seeded(seed), 4000, 3, ridge=1e-4)
    assert set(problem.y) == {0.0, 1.0}
    fitted = Logistic(problem.x[:2000], problem.y[:2000], 1e-4).minimiser
    assert np.linalg.norm(fitted) == pytest.approx(1, abs=0.3)
    margin = problem.x[2000:] @ fitted
    chance = 1 / (1 + np.exp(-margin))
    surprise = (problem.y[2000:] - chance) * np.sign(margin)
    assert abs(surprise.sum()) < 5 * np.sqrt((chance * (1 - chance)).sum())


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda g: draw_least_squares(g, 3, 3, noise_sd=0.0), "is 3; expected more than dim = 3"),
        (lambda g: draw_least_squares(g, 3, 0, noise_sd=0.0), "is 3; expected more than dim = 0"),
        (lambda g: draw_logistic(g, 3, 1, ridge=0.0), "ridge is 0.0; expected above 0"),
        (lambda g: draw_logistic(g, 3, 1, ridge=-1.0), "ridge is -1.0; expected above 0"),
        (lambda g: draw_logistic(g, 3, 1, ridge=float("nan")), "ridge is nan; expected above 0"),
    ],
)
def test_impossible_problems_are_refused(draw, message):
    with pytest.raises(InputError, match=message):
        draw(seeded())


LOSSES = pytest.mark.parametrize(
    "loss", [SQUARED, LOGISTIC, MULTINOMIAL], ids=["squared", "logistic", "multinomial"]
)
TORCH_LOSSES = {
    SQUARED: lambda z, y: functional.mse_loss(z, y, reduction="none")[..., 0] / 2,
    LOGISTIC: lambda z, y: functional.binary_cross_entropy_with_logits(z, y, reduction="none")[
        ..., 0
    ],
    MULTINOMIAL: lambda z, y: functional.cross_entropy(z, y, reduction="none"),
}


def draw_objective(loss: Loss, seed: int, num_points: int = 30, ridge: float = 0.1) -> Objective:
    generator = seeded(seed)
    num_scores = 4 if loss is MULTINOMIAL else 1
    x = generator.lognormal(size=(num_points, 1)) * generator.normal(size=(num_points, 3))
    labels = generator.integers(max(num_scores, 2), size=num_points)
    y = np.eye(num_scores)[labels] if loss is MULTINOMIAL else labels[:, None].astype(float)
    return Objective(loss, x, y, ridge)


@LOSSES
@checked
@given(SEEDS, st.sampled_from([0.1, 3.0, 300.0]))
def test_value_and_gradient_of_an_objective_are_those_of_torch(loss, seed, scale):
    objective, generator = draw_objective(loss, seed), seeded(seed + 1)
    factors = generator.random(30)
    w = scale * generator.normal(size=(objective.y.shape[1], 3))
    at = torch.tensor(w, requires_grad=True)
    losses = TORCH_LOSSES[loss](torch.tensor(objective.x) @ at.T, torch.tensor(objective.y))
    losses = losses + objective.ridge / 2 * (at**2).sum()
    (losses * torch.tensor(factors)).mean().backward()
    assert objective.value(w) == pytest.approx(losses.mean().item(), rel=1e-12)
    np.testing.assert_allclose(objective.gradient(w, factors), at.grad, rtol=1e-9, atol=1e-11)


@LOSSES
@checked
@given(SEEDS, st.floats(0.01, 100))
def test_no_secant_of_a_point_exceeds_its_constant(loss, seed, scale):
    objective = draw_objective(loss, seed, num_points=5)
    v, w = scale * seeded(seed + 1).standard_normal((2, objective.y.shape[1], 3))
    for number, constant in enumerate(objective.lipschitz):
        point = objective.take(np.array([number]))
        change = np.linalg.norm(point.gradient(v) - point.gradient(w))
        assert change <= constant * np.linalg.norm(v - w) * (1 + 1e-9) + 1e-12


@LOSSES
def test_constants_are_attained_and_with_more_classes_approached(loss):
    objective = draw_objective(loss, seed=2)
    for number, constant in enumerate(objective.lipschitz):
        point, x = objective.take(np.array([number])), objective.x[number]
        ratios = []
        for logit in (0, -2, -40):  # of all but two classes
            centre, direction = np.zeros((2, objective.y.shape[1], 3))
            centre[2:] = logit * x / (x @ x)
            direction[:2] = np.array([[1], [-1]])[: len(direction)] * x
            step = 1e-4 * direction / np.linalg.norm(direction)
            change = np.linalg.norm(point.gradient(centre + step) - point.gradient(centre - step))
            ratios.append(change / np.linalg.norm(2 * step) / constant)
        assert ratios[-1] == pytest.approx(1, rel=1e-5)
        assert (ratios[0] < ratios[1] < 1 - 1e-3) == (loss is MULTINOMIAL)


@LOSSES
def test_nothing_pulls_at_the_minimiser_of_an_objective(loss):
    objective = draw_objective(loss, seed=3)
    assert np.abs(objective.gradient(objective.minimiser)).max() <= 1e-6
    values = objective.value(np.stack([0 * objective.minimiser, objective.minimiser]))
    np.testing.assert_array_equal(objective.ends, values)
    assert values[0] > values[1]


def test_a_minimiser_that_is_not_found_is_refused():
    apart = Objective(LOGISTIC, np.array([[1e-4], [-1e-4]]), np.array([[1.0], [0.0]]), 0.0)
    nowhere = Objective(SQUARED, np.array([[np.nan]]), np.array([[1.0]]), 0.0)
    assert np.isfinite(apart.minimiser).all()  # flat enough at once, though it has no minimiser
    with pytest.raises(InputError, match="gradient at the minimiser"):
        _ = nowhere.minimiser


@LOSSES
@checked
@given(SEEDS)
def test_the_gradient_is_linear_in_the_factors_and_batches_broadcast(loss, seed):
    objective, generator = draw_objective(loss, seed, num_points=5), seeded(seed + 1)
    points, factors = generator.integers(5, size=(2, 1, 4)), generator.random((2, 1, 4))
    w = generator.standard_normal((2, 3, objective.y.shape[1], 3))
    found = objective.take(points).gradient(w, factors)
    for i, j in np.ndindex(2, 3):
        single = [
            c * objective.take(np.array([p])).gradient(w[i, j])
            for p, c in zip(points[i, 0], factors[i, 0], strict=True)
        ]
        np.testing.assert_allclose(found[i, j], np.mean(single, axis=0), atol=1e-11)


def test_columns_are_standardised_by_their_first_entries():
    values = np.c_[seeded().normal(3, 2, 50), np.r_[np.ones(40), np.arange(10)]]
    found = standardise(values, 40)
    mean, sd = values[:40, 0].mean(), values[:40, 0].std()
    np.testing.assert_allclose(found[:, 0], (values[:, 0] - mean) / sd)
    np.testing.assert_array_equal(found[:, 1], values[:, 1] - 1)  # constant: only centred
    assert np.abs(standardise(np.full(45, 0.1), 45)).max() < 1e-15  # though its deviation is not 0
