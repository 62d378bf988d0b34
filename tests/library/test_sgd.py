"""Batches that are uniform, steps that are SGD's, and moments that an enumeration confirms."""

from collections import Counter
from itertools import combinations, pairwise, product
from math import comb

import numpy as np
import pytest
from draws import seeded
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from liprune_utils.checks import InputError
from liprune_utils.problems import LeastSquares, Problem, draw_least_squares, draw_logistic
from liprune_utils.sgd import (
    Moments,
    descend,
    distinct_batches,
    exact_moments,
    importance_sgd,
    run_in_blocks,
)
from liprune_utils.theory import SAMPLINGS, mixture, uniform

SLOPE, NOISE_SD = 1.3, 0.4


def draw(seed: int, num_runs: int, num_points: int, batch_size: int, num_steps: int) -> np.ndarray:
    # the points of every batch, [num_steps, batch_size, num_runs]
    batches = distinct_batches(seeded(seed), num_runs, num_points, batch_size, num_steps)
    flat = np.array([batch.copy() for batch in batches])
    assert (flat % num_runs == np.arange(num_runs)).all()  # each run stays in its own column
    return flat // num_runs


@pytest.mark.parametrize("block", [1, 4, 7, 100])
def test_blocks_are_joined_along_the_runs(block):
    generator, sizes = seeded(3), []

    def run_block(size: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        sizes.append(size)
        draws = generator.random((size, 2))
        return {"draws": (draws.T, draws.sum(axis=1))}

    joined = run_in_blocks(run_block, 10, name="draws", block=block)
    expected = seeded(3).random((10, 2))
    np.testing.assert_array_equal(joined["draws"][0], expected.T)
    np.testing.assert_array_equal(joined["draws"][1], expected.sum(axis=1))
    assert max(sizes) <= block


@given(st.integers(0, 99), st.integers(1, 4), st.integers(1, 9), st.integers(1, 4), st.data())
def test_batches_are_distinct_points(seed, num_runs, num_points, num_steps, data):
    batch_size = data.draw(st.integers(1, num_points))
    points = draw(seed, num_runs, num_points, batch_size, num_steps)
    assert points.shape == (num_steps, batch_size, num_runs)
    for batch in points.transpose(0, 2, 1).reshape(-1, batch_size):
        assert len(set(batch)) == batch_size
        assert set(batch) <= set(range(num_points))


@pytest.mark.parametrize(("num_points", "batch_size"), [(7, 1), (5, 2), (5, 3), (4, 3)])
def test_every_pair_of_successive_batches_is_equally_likely(num_points, batch_size):
    points = draw(1, 30_000, num_points, batch_size, num_steps=4)
    chosen = [list(map(tuple, np.sort(step, axis=0).T.tolist())) for step in points]
    sets = list(combinations(range(num_points), batch_size))
    for before, after in pairwise(chosen):
        counts = Counter(zip(before, after, strict=True))
        observed = [counts[pair] for pair in product(sets, sets)]
        assert sum(observed) == 30_000
        assert len(observed) == comb(num_points, batch_size) ** 2
        assert chisquare(observed).pvalue > 1e-4


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1), (2, 3), (4, 1)])
def test_runs_do_not_depend_on_how_many_are_drawn_together(sizes):
    together, generator = draw(5, 5, 20, 6, 3), seeded(5)
    parts = [
        np.array([batch // size for batch in distinct_batches(generator, size, 20, 6, 3)])
        for size in sizes
    ]
    np.testing.assert_array_equal(np.concatenate(parts, axis=2), together)


def test_descend_is_gradient_descent_on_the_batch_loss():
    x, y = seeded(1).normal(size=(2, 6, 4, 3))  # [num_steps, batch_size, num_runs]
    found = descend((x**2).mean(axis=1), (x * y).mean(axis=1), 0.3)
    for run in range(3):
        w = 0.0
        for step in range(6):
            assert found[step, run] == pytest.approx(w, rel=1e-12)
            here = x[step, :, run]
            w -= 0.3 * np.mean(here * (w * here - y[step, :, run]))
        assert found[6, run] == pytest.approx(w, rel=1e-12)
    assert found.shape == (7, 3)


def test_losses_are_means_of_squared_residuals():
    generator = seeded(3)
    (x, noise), error = generator.normal(size=(2, 9, 4)), generator.normal(size=(5, 4))
    moments, w = Moments.of(x, noise), SLOPE + error
    residuals = w[:, None] * x - (SLOPE * x + noise)  # [5, num_points, num_runs]
    np.testing.assert_allclose(moments.loss(error), (residuals**2 / 2).mean(axis=1), rtol=1e-12)
    least = moments.loss(error) - moments.loss(np.zeros(4))
    np.testing.assert_allclose(moments.excess_loss(error), least, rtol=1e-10)
    assert moments.num_points == 9


def enumerate_errors(x: np.ndarray, batch_size: int, rate: float, num_steps: int) -> np.ndarray:
    # Errors of SGD for every sequence of batches, [num_steps + 1, num_sequences, 1 + K], are
    # affine in the noise: column 0 has none, column i + 1 has noise 1 at point i alone.
    y = SLOPE * x + np.vstack([np.zeros(len(x)), np.eye(len(x))])  # [1 + K, K]
    errors = []
    for batches in product(combinations(range(len(x)), batch_size), repeat=num_steps):
        w = [np.zeros(len(y))]
        for batch in map(list, batches):
            gradient = (x[batch] * (w[-1][:, None] * x[batch] - y[:, batch])).mean(axis=1)
            w.append(w[-1] - rate * gradient)
        errors.append(np.array(w) - SLOPE)
    return np.array(errors).transpose(1, 0, 2)


def exact(x: np.ndarray, batch_size: int, rate: float, num_steps: int):
    options = {"batch_size": batch_size, "learning_rate": rate, "num_steps": num_steps}
    moments = Moments.of(x[:, None], np.zeros((len(x), 1)))
    return exact_moments(moments, **options, slope=SLOPE, noise_sd=NOISE_SD)


@pytest.mark.parametrize(
    ("num_points", "batch_size", "num_steps"),
    [(1, 1, 4), (3, 1, 4), (4, 2, 3), (4, 3, 4), (5, 2, 2), (3, 3, 5)],
)
def test_exact_moments_by_enumeration(num_points, batch_size, num_steps):
    x, rate = seeded(num_points).normal(size=num_points), 0.3
    errors = enumerate_errors(x, batch_size, rate, num_steps)
    plain, slopes = errors[..., 0], errors[..., 1:] - errors[..., :1]
    square = (plain**2 + NOISE_SD**2 * (slopes**2).sum(axis=-1)).mean(axis=1)
    found = exact(x, batch_size, rate, num_steps)
    np.testing.assert_allclose(found.square[:, 0], square, rtol=1e-11)
    np.testing.assert_allclose(1 + plain.mean(axis=1) / SLOPE, found.forgotten[:, 0], atol=1e-13)
    seen = found.forgotten * x / (x**2).sum()  # E g_{t,i}
    np.testing.assert_allclose(slopes.mean(axis=1), seen, atol=1e-13)


PROBLEM = draw_least_squares(seeded(1), 3, 2, noise_sd=0.5, spread=0.5)
LOGISTIC = draw_logistic(seeded(1), 4, 2, ridge=0.2)


def iterate(problem: Problem = PROBLEM, sampling=mixture, **changes) -> np.ndarray:
    # [num_steps + 1, num_runs, dim]
    options = {"step_size": 0.1, "num_steps": 2, "num_runs": 30_000, "generator": seeded(2)}
    return np.array(list(importance_sgd(problem, sampling(problem.lipschitz), **options | changes)))


def outcomes(problem: LeastSquares, probabilities: np.ndarray, keep: float, step_size: float):
    # both iterates of every pair of steps, at points or not made (None), and the pair's chance
    points = range(len(problem.x))
    each = dict(zip(points, keep * probabilities, strict=True)) | {None: 1 - keep}
    weights, chances = [], []
    for pair in product(each, repeat=2):
        w = [np.zeros(problem.x.shape[1])]
        for i in pair:
            step = 0.0
            if i is not None:
                gradient = (problem.x[i] @ w[-1] - problem.y[i]) * problem.x[i]
                step = step_size * gradient / (keep * len(points) * probabilities[i])
            w.append(w[-1] - step)
        weights.append(np.concatenate(w[1:]))
        chances.append(each[pair[0]] * each[pair[1]])
    return np.array(weights), np.array(chances)


@pytest.mark.parametrize("keep", [1.0, 0.4])
@pytest.mark.parametrize("name", SAMPLINGS)
def test_pairs_of_steps_have_their_chances(name, keep):
    sampling = SAMPLINGS[name]
    weights, chances = outcomes(PROBLEM, sampling(PROBLEM.lipschitz), keep, 0.1)
    start, *found = iterate(sampling=sampling, keep_probability=keep)
    assert not start.any()
    distances = np.abs(np.concatenate(found, axis=1)[:, None] - weights).max(axis=-1)
    assert distances.min(axis=1).max() < 1e-12
    possible = chances > 0
    counts = np.bincount(distances.argmin(axis=1), minlength=len(chances))
    assert not counts[~possible].any()
    assert chisquare(counts[possible], 30_000 * chances[possible]).pvalue > 1e-4


@pytest.mark.parametrize("keep", [1.0, 0.3])
@pytest.mark.parametrize("name", SAMPLINGS)
@pytest.mark.parametrize("problem", [PROBLEM, LOGISTIC])
def test_one_step_is_unbiased(problem, name, keep):
    steps = iterate(problem, SAMPLINGS[name], num_steps=1, keep_probability=keep)[1] / 0.1
    points = np.arange(len(problem.x))
    expected = -problem.gradients(np.zeros_like(problem.x), points).mean(axis=0)
    error = steps.std(axis=0) / np.sqrt(len(steps))
    assert (np.abs(steps.mean(axis=0) - expected) < 5 * error).all()


def test_runs_follow_from_the_generator_alone():
    options = {"num_steps": 4, "num_runs": 5, "keep_probability": 0.6}
    again = iterate(generator=seeded(2), **options)
    np.random.seed(0)  # noqa: NPY002  the global state, which must play no part
    before = np.random.get_state()  # noqa: NPY002
    first = iterate(**options)
    for old, new in zip(before, np.random.get_state(), strict=True):  # noqa: NPY002
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(first, again)
    assert (iterate(generator=seeded(3), **options) != first).any()


def test_each_iterate_is_a_new_array():
    options = {"step_size": 0.1, "num_steps": 3, "num_runs": 2, "generator": seeded()}
    iterates = list(importance_sgd(PROBLEM, uniform(PROBLEM.lipschitz), **options))
    assert [w.shape for w in iterates] == [(2, 2)] * 4
    for before, after in pairwise(iterates):
        assert not np.shares_memory(before, after)
        assert (before != after).any()


@pytest.mark.parametrize("factor", [0.9, 1.001, 3.0, np.nan])
def test_probabilities_that_do_not_sum_to_one_are_refused(factor):
    with pytest.raises(InputError, match=r"sum of the probabilities is .*; expected 1\.$"):
        iterate(sampling=lambda lipschitz: factor * uniform(lipschitz))
