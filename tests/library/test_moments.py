"""Exact second moments of SGD: against every sequence of indices, simulation and plain loops."""

from itertools import count
from math import inf

import numpy as np
import pytest
from draws import checked, make_least_squares, seeded
from hypothesis import assume, given
from hypothesis import strategies as st

from liprune_utils.moments import SecondMoments
from liprune_utils.problems import LeastSquares
from liprune_utils.sgd import importance_sgd
from liprune_utils.theory import SAMPLINGS, uniform


def make_moments(problem, name="uniform", keep=1.0) -> SecondMoments:
    return SecondMoments(problem, SAMPLINGS[name](problem.lipschitz), keep_probability=keep)


NOISE = st.sampled_from([0.0, 0.1, 1.0])
PROBLEMS = st.builds(
    make_least_squares,
    *(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 5)),
    *(NOISE, st.floats(0, 1.2)),
)
KEEP, SHARE = st.floats(0.05, 1), st.floats(0.02, 0.95)  # r; a step size over the largest
MOMENTS = st.builds(make_moments, PROBLEMS, st.sampled_from(list(SAMPLINGS)), KEEP)


def enumerate_errors(moments: SecondMoments, step_size: float, num_steps: int, start: np.ndarray):
    # E|w_t - w*|^2 over every sequence of steps made, not made, and of their points
    x, y, keep = moments.problem.x, moments.problem.y, moments.keep_probability
    minimiser = np.linalg.solve(x.T @ x, x.T @ y)
    weights, chances, errors = start[None], np.ones(1), []
    for _ in range(num_steps + 1):
        errors.append(chances @ ((weights - minimiser) ** 2).sum(axis=1))
        branches, parts = [weights], [(1 - keep) * chances]
        for point, label, chance in zip(x, y, moments.probabilities, strict=True):
            gradient = (weights @ point - label)[:, None] * point / (keep * len(x) * chance)
            branches.append(weights - step_size * gradient)
            parts.append(keep * chance * chances)
        weights, chances = np.concatenate(branches), np.concatenate(parts)
    return np.array(errors)


@pytest.mark.parametrize("keep", [1.0, 0.35])
@pytest.mark.parametrize("name", SAMPLINGS)
@pytest.mark.parametrize(("dim", "more", "num_steps"), [(1, 2, 5), (2, 1, 5), (3, 1, 4)])
def test_path_by_enumeration(dim, more, num_steps, name, keep):
    moments = make_moments(make_least_squares(0, dim, more), name, keep)
    step_size = 0.8 * moments.largest_step_size
    expected = enumerate_errors(moments, step_size, num_steps, np.zeros(dim))
    np.testing.assert_allclose(moments.path(step_size, num_steps), expected, rtol=1e-10)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_start_is_anywhere(dim):
    moments = make_moments(make_least_squares(9, dim, 2), "mixture")
    weights = seeded(dim).normal(size=dim)
    step_size = 0.6 * moments.largest_step_size
    step, state = moments.operators([step_size])[0], moments.start(weights)
    states = [state, step @ state, step @ step @ state]
    expected = enumerate_errors(moments, step_size, 2, weights)
    np.testing.assert_allclose(moments.errors(np.array(states)), expected, rtol=1e-11)


@pytest.mark.parametrize("keep", [1.0, 0.4])
@pytest.mark.parametrize("name", SAMPLINGS)
@pytest.mark.parametrize("dim", [1, 3])
def test_path_by_simulation(dim, name, keep):
    problem = make_least_squares(3, dim, 12, spread=0.5)
    moments = make_moments(problem, name, keep)
    step_size = 0.4 * moments.largest_step_size
    options = {"step_size": step_size, "keep_probability": keep, "generator": seeded(dim)}
    iterates = importance_sgd(
        problem, moments.probabilities, num_steps=15, num_runs=20_000, **options
    )
    minimiser = np.linalg.lstsq(problem.x, problem.y)[0]
    squares = ((np.array(list(iterates)) - minimiser) ** 2).sum(axis=-1)
    error = squares.std(axis=1) / np.sqrt(20_000)
    difference = np.abs(squares.mean(axis=1) - moments.path(step_size, 15))
    assert (difference <= 5 * error + 1e-12).all()
    assert (error[1:] < 0.05 * squares[0, 0]).all()  # the comparison is sharp


@checked
@given(MOMENTS, SHARE, st.integers(0, 40))
def test_error_after_is_the_end_of_the_path(moments, share, num_steps):
    step_size = share * moments.largest_step_size
    end = moments.path(step_size, num_steps)[-1]
    assert moments.error_after(step_size, num_steps) == pytest.approx(end, rel=1e-8, abs=1e-13)


@checked
@given(MOMENTS)
def test_below_the_largest_step_size_the_error_settles(moments):
    step_size = 0.99 * moments.largest_step_size
    late, later = (moments.error_after(step_size, 2**power) for power in (35, 36))
    assert later == pytest.approx(late, rel=1e-6, abs=1e-12)


@checked
@given(MOMENTS)
def test_above_the_largest_step_size_the_error_grows(moments):
    step_size, start = 1.01 * moments.largest_step_size, moments.path(0.0, 0)[0]
    doublings = (moments.error_after(step_size, 2**power) for power in range(25))
    assert any(error > 1e3 * start for error in doublings)


def test_largest_step_size_of_equal_points_is_that_of_gradient_descent():
    problem = LeastSquares(np.full((4, 1), 3.0), np.array([1.0, 2.0, 0.0, 1.0]))
    assert make_moments(problem).largest_step_size == pytest.approx(2 / 9, rel=1e-12)


def steps_by_loop(moments: SecondMoments, target: float, step_size: float) -> float:
    # the first crossing, on straight lines between the logarithms
    step, state = moments.operators([step_size])[0], moments.start()
    before = moments.errors(state)
    for num_steps in count(1):
        state = step @ state
        after = moments.errors(state)
        if after <= target:
            part = np.log(before / target) / np.log(before / max(after, 1e-300))
            return max(num_steps - 1 + part, 1.0)
        if num_steps == 3000:
            return inf
        before = after


def crosses_once(moments: SecondMoments, target: float, step_size: float) -> bool:
    # above the target until some step and at or below it from then on, or always above
    below = moments.path(step_size, 3000) <= target
    settled = (moments.error_after(step_size, 2**35) <= target) == below[-1]
    return settled and (np.diff(below.astype(int)) >= 0).all()


@checked
@given(MOMENTS, SHARE, st.floats(0.01, 0.99))
def test_steps_to_by_a_loop(moments, share, height):
    step_size = share * moments.largest_step_size
    start, floor = moments.path(step_size, 0)[0], moments.error_after(step_size, 2**35)
    target = floor + height * (start - floor)
    assume(floor < start)
    assume(crosses_once(moments, target, step_size))
    found = moments.steps_to(target, [step_size])[0]
    expected = steps_by_loop(moments, target, step_size)
    assert found == pytest.approx(expected, rel=1e-6)
    assert np.ceil(found - 1e-6) == np.ceil(expected - 1e-6)


@checked
@given(MOMENTS, st.lists(SHARE, min_size=2, max_size=5), st.floats(0.01, 0.99))
def test_steps_to_takes_step_sizes_together(moments, shares, height):
    step_sizes = np.array(shares) * moments.largest_step_size
    start, floors = moments.path(0.0, 0)[0], [moments.error_after(s, 2**35) for s in step_sizes]
    target = min(floors) + height * (start - min(floors))
    assume(min(floors) < start)
    assume(all(crosses_once(moments, target, s) for s in step_sizes))
    together = moments.steps_to(target, step_sizes)
    alone = [moments.steps_to(target, [s])[0] for s in step_sizes]
    np.testing.assert_allclose(together, alone, rtol=1e-9)
    np.testing.assert_array_equal(np.isinf(together), np.array(floors) > target)
    assert (together >= 1).all()


@pytest.mark.parametrize("company", [[], [0.95]])
def test_steps_to_is_infinite_where_the_error_only_dips_below_the_target(company):
    problem = LeastSquares(np.array([[1.0], [2.0]]), np.array([1.0, 0.0]))
    moments = SecondMoments(problem, uniform(problem.lipschitz))
    step_sizes = np.array([0.3, *company]) * moments.largest_step_size
    path, target = moments.path(step_sizes[0], 1000), 0.025
    assert path.min() < target < path[-1]  # it falls and rises again
    assert moments.steps_to(target, step_sizes)[0] == inf
