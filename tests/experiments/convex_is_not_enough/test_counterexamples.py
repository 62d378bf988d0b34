"""Convex problems: what new data say of them, and exact losses against simulation and algebra."""

import numpy as np
import pytest
from scipy.integrate import quad

from experiments.convex_is_not_enough.counterexamples import (
    NUM_POINTS,
    TASKS,
    Judge,
    Task,
    outliers,
    paper_line,
)
from liprune_utils.problems import LeastSquares
from liprune_utils.pruning import keep_highest
from liprune_utils.sgd import importance_sgd
from liprune_utils.theory import uniform

CLEAN = [name for name in TASKS if name not in ("outliers", "heavy-tailed x")]


def draw(name, seed=0):
    return TASKS[name](np.random.default_rng(seed))


def judge(task, fraction=0.1):
    return Judge(task, keep_highest(task.train.lipschitz, fraction))


@pytest.mark.parametrize("name", CLEAN)
def test_hessian_and_target_are_those_of_new_data(name):
    tasks = [draw(name, seed) for seed in range(60)]
    hessians = np.array([task.train.hessian for task in tasks])
    pulls = np.array([
        task.train.x.T @ (task.train.y - task.train.x @ task.target) / NUM_POINTS for task in tasks
    ])  # fmt: skip
    for samples, mean in ((hessians, tasks[0].hessian), (pulls, 0)):
        spread = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
        assert (np.abs(samples.mean(axis=0) - mean) <= 5 * spread + 1e-12).all()


def test_heavy_tails_have_the_papers_mean_square():
    scale = 5 / 3
    task = draw("heavy-tailed x")
    assert scale**2 * 3 == pytest.approx(task.hessian[0, 0])  # t with 3 degrees: variance 3
    x = np.concatenate([draw("heavy-tailed x", seed).train.x for seed in range(50)])
    assert np.mean(np.abs(x) / scale < 0.7648923) == pytest.approx(0.5, abs=0.01)  # its quartile


def test_best_slope_of_the_bent_line():
    pull = quad(lambda x: x * 3 * np.tanh(x / 2), -5, 5)[0] / 10
    assert draw("bent line").target[0] == pytest.approx(pull / (25 / 3))


def test_outliers_are_wrong_and_all_kept():
    task, plain = outliers(np.random.default_rng(1)), paper_line(np.random.default_rng(1))
    wrong = np.flatnonzero(task.train.y * task.train.x[:, 0] < -5)
    np.testing.assert_array_equal(wrong, range(10))
    assert set(wrong) <= set(keep_highest(task.train.lipschitz, 0.1))
    np.testing.assert_array_equal(task.train.x[10:], plain.train.x[10:])


@pytest.mark.parametrize("name", TASKS)
def test_exact_excess_loss_is_that_of_simulated_runs(name):
    task = draw(name)
    found, runs = judge(task, 0.3), 3000
    rate, exact = found.best(20)
    options = {"step_size": rate, "num_steps": 20, "num_runs": runs}
    generator = np.random.default_rng(5)
    paths = importance_sgd(
        found.moments.problem, uniform(found.kept), generator=generator, **options
    )
    for step, weights in enumerate(paths):
        error = weights - task.target
        excess = np.einsum("ki,ij,kj->k", error, task.hessian, error) / 2
        if step in (0, 1, 20):
            expected = found.path(rate, 20)[step]
            spread = excess.std(ddof=1) / np.sqrt(runs)
            assert abs(excess.mean() - expected) <= 5 * spread + 1e-9
    assert exact == pytest.approx(expected)


def test_excess_and_path_agree_and_best_is_least():
    found = judge(draw("uneven features, d = 5"))
    rates = np.array([1e-3, 1e-2])
    np.testing.assert_allclose(
        found.excess(rates, 7), [found.path(rate, 7)[7] for rate in rates], rtol=1e-9
    )
    rate, least = found.best(50)
    assert least == pytest.approx(found.excess(np.array([rate]), 50)[0])
    assert (found.excess(rate * np.array([0.5, 0.75, 1.3, 2]), 50) >= least * 0.99).all()


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("steps", [100, 1000])
def test_best_rate_is_that_of_a_dense_scan(name, steps):
    """A coarse grid once missed narrow minima by factors."""
    for seed in range(3):
        generator = np.random.default_rng(seed)
        task = TASKS[name](generator)
        for scores in (task.train.lipschitz, generator.random(NUM_POINTS)):
            found = Judge(task, keep_highest(scores, 0.1))
            dense = np.geomspace(1e-4, 1, 1500) * 2 / np.trace(found.moments.problem.hessian)
            assert found.best(steps)[1] <= found.excess(dense, steps).min() * 1.001


def test_overflow_is_infinite():
    found = judge(draw("heavy-tailed x"))
    assert np.isinf(found.excess(np.array([10.0]), 1000)).all()


def test_final_is_the_loss_at_the_kept_minimum():
    task = draw("bent line")
    found = judge(task)
    x, y = task.train.x[found.kept, 0], task.train.y[found.kept]
    slope = x @ y / (x @ x)
    assert found.final == pytest.approx(25 / 6 * (slope - task.target[0]) ** 2)
    assert found.path(1e-4, 20_000)[-1] == pytest.approx(found.final, rel=0.01)


def test_condition_is_that_of_theorem_1():
    problem = LeastSquares(np.diag([2.0, 1.0]), np.ones(2))
    task = Task(problem, np.eye(2), np.zeros(2))
    assert Judge(task, np.arange(2)).condition == pytest.approx(4 / 0.5)
    assert Judge(task, np.arange(1)).condition == np.inf


@pytest.mark.parametrize("rate", [1e-4, 1e-3, 1e-2])
def test_two_groups_never_learn_the_second_feature(rate):
    task = draw("two groups, d = 2")
    found = judge(task)
    assert (task.train.x[found.kept, 1] == 0).all()
    assert found.excess(np.array([rate]), 10_000)[0] >= 13 / 12 / 4
