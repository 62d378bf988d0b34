"""Convex problems: what new data say of them, and exact losses against simulation and algebra."""

import numpy as np
import pytest
from scipy.integrate import quad

from experiments.convex_is_not_enough.counterexamples import (
    NUM_POINTS,
    PROBLEMS,
    ConvexProblem,
    PrunedProblem,
    outliers,
    paper_line,
)
from liprune_utils.problems import LeastSquares
from liprune_utils.pruning import keep_highest
from liprune_utils.sgd import importance_sgd
from liprune_utils.theory import uniform

CLEAN = [name for name in PROBLEMS if name not in ("outliers", "heavy-tailed x")]


def draw(name, seed=0):
    return PROBLEMS[name](np.random.default_rng(seed))


def prune(problem, fraction=0.1):
    return PrunedProblem(problem, keep_highest(problem.train.lipschitz, fraction))


@pytest.mark.parametrize("name", CLEAN)
def test_hessian_and_target_are_those_of_new_data(name):
    problems = [draw(name, seed) for seed in range(60)]
    hessians = np.array([problem.train.hessian for problem in problems])
    trains = [problem.train for problem in problems]
    errors = [t.y - t.x @ p.target for t, p in zip(trains, problems, strict=True)]
    pulls = np.array([t.x.T @ e / NUM_POINTS for t, e in zip(trains, errors, strict=True)])
    for samples, mean in ((hessians, problems[0].hessian), (pulls, 0)):
        spread = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
        assert (np.abs(samples.mean(axis=0) - mean) <= 5 * spread + 1e-12).all()


def test_heavy_tails_have_the_papers_mean_square():
    scale = 5 / 3
    problem = draw("heavy-tailed x")
    assert scale**2 * 3 == pytest.approx(problem.hessian[0, 0])  # t with 3 degrees: variance 3
    x = np.concatenate([draw("heavy-tailed x", seed).train.x for seed in range(50)])
    assert np.mean(np.abs(x) / scale < 0.7648923) == pytest.approx(0.5, abs=0.01)  # its quartile


def test_best_slope_of_the_bent_line():
    pull = quad(lambda x: x * 3 * np.tanh(x / 2), -5, 5)[0] / 10
    assert draw("bent line").target[0] == pytest.approx(pull / (25 / 3))


def test_outliers_are_wrong_and_all_kept():
    problem, plain = outliers(np.random.default_rng(1)), paper_line(np.random.default_rng(1))
    wrong = np.flatnonzero(problem.train.y * problem.train.x[:, 0] < -5)
    np.testing.assert_array_equal(wrong, range(10))
    assert set(wrong) <= set(keep_highest(problem.train.lipschitz, 0.1))
    np.testing.assert_array_equal(problem.train.x[10:], plain.train.x[10:])


@pytest.mark.parametrize("name", PROBLEMS)
def test_exact_excess_loss_is_that_of_simulated_runs(name):
    problem = draw(name)
    pruned, runs = prune(problem, 0.3), 3000
    rate, exact = pruned.best_rate(20)
    options = {"step_size": rate, "num_steps": 20, "num_runs": runs}
    generator = np.random.default_rng(5)
    paths = importance_sgd(
        pruned.moments.problem, uniform(pruned.kept), generator=generator, **options
    )
    for step, weights in enumerate(paths):
        error = weights - problem.target
        excess = np.einsum("ki,ij,kj->k", error, problem.hessian, error) / 2
        if step in (0, 1, 20):
            expected = pruned.path(rate, 20)[step]
            spread = excess.std(ddof=1) / np.sqrt(runs)
            assert abs(excess.mean() - expected) <= 5 * spread + 1e-9
    assert exact == pytest.approx(expected)


def test_excess_and_path_agree_and_best_is_least():
    pruned = prune(draw("uneven features, d = 5"))
    rates = np.array([1e-3, 1e-2])
    np.testing.assert_allclose(
        pruned.excess(rates, 7), [pruned.path(rate, 7)[7] for rate in rates], rtol=1e-9
    )
    rate, least = pruned.best_rate(50)
    assert least == pytest.approx(pruned.excess(np.array([rate]), 50)[0])
    assert (pruned.excess(rate * np.array([0.5, 0.75, 1.3, 2]), 50) >= least * 0.99).all()


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("steps", [100, 1000])
def test_best_rate_is_that_of_a_dense_scan(name, steps):
    """A coarse grid once missed narrow minima by factors."""
    for seed in range(3):
        generator = np.random.default_rng(seed)
        problem = PROBLEMS[name](generator)
        for scores in (problem.train.lipschitz, generator.random(NUM_POINTS)):
            pruned = PrunedProblem(problem, keep_highest(scores, 0.1))
            dense = np.geomspace(1e-4, 1, 1500) * 2 / np.trace(pruned.moments.problem.hessian)
            assert pruned.best_rate(steps)[1] <= pruned.excess(dense, steps).min() * 1.001


def test_overflow_is_infinite():
    pruned = prune(draw("heavy-tailed x"))
    assert np.isinf(pruned.excess(np.array([10.0]), 1000)).all()


def test_final_is_the_loss_at_the_kept_minimum():
    problem = draw("bent line")
    pruned = prune(problem)
    x, y = problem.train.x[pruned.kept, 0], problem.train.y[pruned.kept]
    slope = x @ y / (x @ x)
    assert pruned.final == pytest.approx(25 / 6 * (slope - problem.target[0]) ** 2)
    assert pruned.path(1e-4, 20_000)[-1] == pytest.approx(pruned.final, rel=0.01)


def test_condition_is_that_of_theorem_1():
    train = LeastSquares(np.diag([2.0, 1.0]), np.ones(2))
    problem = ConvexProblem(train, np.eye(2), np.zeros(2))
    assert PrunedProblem(problem, np.arange(2)).condition == pytest.approx(4 / 0.5)
    assert PrunedProblem(problem, np.arange(1)).condition == np.inf


@pytest.mark.parametrize("rate", [1e-4, 1e-3, 1e-2])
def test_two_groups_never_learn_the_second_feature(rate):
    problem = draw("two groups, d = 2")
    pruned = prune(problem)
    assert (problem.train.x[pruned.kept, 1] == 0).all()
    assert pruned.excess(np.array([rate]), 10_000)[0] >= 13 / 12 / 4
