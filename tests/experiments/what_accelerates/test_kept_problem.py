"""The kept problem: its constants and error path by enumeration of every batch."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.what_accelerates.kept_problem import (
    KeptProblem,
    _kept_problems,
    bound_table,
    constants_table,
)
from liprune_utils.theory import error_bound

X, NOISE = np.array([0.5, -1.0, 2.0, 1.2, -0.8]), np.array([0.1, 0.3, -0.2, 0.2, 0.05])
SLOPE = 1.5


def batches(size):
    return [list(batch) for batch in combinations(range(len(X)), size)]


def test_bias_is_that_of_least_squares():
    solution = np.linalg.lstsq(X[:, None], SLOPE * X + NOISE)[0][0]
    assert KeptProblem(X, NOISE, 2).bias == pytest.approx(solution - SLOPE)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_constants_are_those_of_the_batches(size):
    problem = KeptProblem(X, NOISE, size)
    curvature = [np.mean(X[batch] ** 2) for batch in batches(size)]
    residual = NOISE - problem.bias * X
    gradient = [np.mean(X[batch] * residual[batch]) for batch in batches(size)]
    lipschitz, convexity, noise = problem.constants
    assert lipschitz == pytest.approx(max(curvature))
    assert convexity == pytest.approx(np.mean(curvature))
    assert noise == pytest.approx(np.mean(np.square(gradient)), abs=1e-15)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_path_is_the_mean_over_every_sequence_of_batches(size):
    problem, rate = KeptProblem(X, NOISE, size), 0.3
    weights, target, squares = np.zeros(1), SLOPE + problem.bias, []
    for _ in range(4):
        squares.append(np.mean((weights - target) ** 2))
        steps = [
            weights
            - rate * (np.mean(X[b] ** 2) * weights - np.mean(X[b] * (SLOPE * X[b] + NOISE[b])))
            for b in batches(size)
        ]
        weights = np.concatenate(steps)
    np.testing.assert_allclose(problem.square_path(rate, 3, SLOPE), squares, rtol=1e-9)


@given(st.integers(0, 1000), st.integers(1, 8), st.floats(0.05, 0.95))
def test_theorem_1_holds_for_the_kept_problem(seed, size, share):
    generator = np.random.default_rng(seed)
    x, noise = generator.uniform(-5, 5, 8), generator.standard_normal(8)
    problem = KeptProblem(x, noise, size)
    rate = share / problem.constants.lipschitz
    path = problem.square_path(rate, 50, SLOPE)
    bound = error_bound(problem.constants, rate, np.arange(51), path[0])
    assert (path <= bound * (1 + 1e-9) + 1e-12).all()


def test_problems_keep_what_the_methods_keep():
    kept = {(n, method, r): problem for n, r, method, problem in _kept_problems(2, 3, slope=1.0)}
    assert len(kept) == 18
    everything = kept[0, "none", 1.0].x
    largest = np.sort(np.abs(everything))[-100:]
    np.testing.assert_array_equal(np.sort(np.abs(kept[0, "liprune", 0.1].x)), largest)
    assert set(kept[0, "random", 0.1].x) <= set(everything)
    assert set(kept[1, "none", 1.0].x).isdisjoint(everything)


def test_tables_hold_bounds_above_errors():
    bounds = bound_table(3, 0, 1.0)
    assert len(bounds) == 3 * 9 * 31
    assert (bounds.error <= bounds.bound).all()
    assert (bounds.bound <= bounds.total_bound).all()
    one = bounds[(bounds.problem == 1) & (bounds.method == "none")]
    problem = next(p for n, _, m, p in _kept_problems(3, 0, 1.0) if (n, m) == (1, "none"))
    np.testing.assert_allclose(one.error, problem.square_path(0.01, 30, 1.0))
    constants = constants_table(3, 0, 1.0).set_index(["method", "keep_fraction"])
    assert len(constants) == 9
    row = constants.loc["liprune", 0.1]
    assert row.condition < constants.loc["random", 0.1].condition
    assert row.condition == pytest.approx(row.lipschitz / row.strong_convexity, rel=1e-3)
