"""Convex problems: the distributions they are drawn from, their gradients, exact constants."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from liprune_utils.checks import InputError
from liprune_utils.problems import (
    LeastSquares,
    LinearData,
    Logistic,
    Problem,
    draw_least_squares,
    draw_linear,
    draw_logistic,
)

checked = settings(max_examples=60, deadline=None, derandomize=True)


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


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


def make_least_squares(seed, dim, more, noise_sd, spread) -> LeastSquares:
    return draw_least_squares(seeded(seed), dim + more, dim, noise_sd=noise_sd, spread=spread)


def make_logistic(seed, dim, more, ridge, spread) -> Logistic:
    return draw_logistic(seeded(seed), more, dim, ridge=ridge, spread=spread)


SEEDS, DIMS, COUNTS = st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 20)
SPREADS = st.floats(0, 1.5)
LEAST_SQUARES = st.builds(
    make_least_squares, SEEDS, DIMS, COUNTS, st.sampled_from([0.0, 0.1, 1.0]), SPREADS
)
LOGISTIC = st.builds(make_logistic, SEEDS, DIMS, COUNTS, st.floats(0.001, 10), SPREADS)
PROBLEMS = LEAST_SQUARES | LOGISTIC


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
    logs = torch.logaddexp(torch.zeros_like(score), -y * score)
    return logs + problem.ridge / 2 * (w**2).sum(dim=1)


@checked
@given(PROBLEMS, SEEDS, st.sampled_from([0.1, 3.0, 1000.0]))
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
@given(LEAST_SQUARES)
def test_least_squares_minimiser_has_no_mean_gradient(problem):
    mean = all_gradients(problem, problem.minimiser).mean(axis=0)
    assert np.abs(mean).max() <= 1e-12 * problem.lipschitz.max()


@checked
@given(LOGISTIC)
def test_logistic_minimiser_has_a_mean_gradient_below_1e_10(problem):
    mean = all_gradients(problem, problem.minimiser).mean(axis=0)
    assert np.abs(mean).max() <= 1e-10


@checked
@given(LEAST_SQUARES)
def test_hessian_gives_the_mean_gradient(problem):
    w, v = pairs(problem, 0)
    rise = all_gradients(problem, w[0]) - all_gradients(problem, v[0])
    np.testing.assert_allclose(problem.hessian @ (w[0] - v[0]), rise.mean(axis=0), rtol=1e-8)


@checked
@given(PROBLEMS, SEEDS, st.sampled_from([0.01, 1.0, 30.0]))
def test_lipschitz_constants_are_never_exceeded(problem, seed, scale):
    w, v = pairs(problem, seed, scale)
    rise = np.linalg.norm(all_gradients(problem, w) - all_gradients(problem, v), axis=1)
    run = np.linalg.norm(w - v, axis=1)
    assert (rise <= (1 + 1e-9) * problem.lipschitz * run).all()


@checked
@given(PROBLEMS, SEEDS)
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
@given(PROBLEMS, SEEDS, st.sampled_from([0.01, 1.0, 30.0]))
def test_strong_convexity_is_never_exceeded(problem, seed, scale):
    for w, v in zip(*pairs(problem, seed, scale), strict=True):
        rise = (all_gradients(problem, w) - all_gradients(problem, v)).mean(axis=0)
        assert (w - v) @ rise >= (problem.strong_convexity - 1e-9) * ((w - v) @ (w - v))


@checked
@given(LEAST_SQUARES)
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
    logistic = draw_logistic(generator, 2000, 3, ridge=1.0, spread=spread)
    return [squares.x, squares.y, logistic.x, logistic.y]


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
    assert set(problem.y) == {-1.0, 1.0}
    fitted = Logistic(problem.x[:2000], problem.y[:2000], 1e-4).minimiser
    assert np.linalg.norm(fitted) == pytest.approx(1, abs=0.3)
    margin = problem.x[2000:] @ fitted
    chance = 1 / (1 + np.exp(-margin))
    surprise = ((problem.y[2000:] > 0) - chance) * np.sign(margin)
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
