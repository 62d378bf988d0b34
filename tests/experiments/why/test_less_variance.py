"""Less variance at the same mean: draws, covariances, runs and ratios, by independent routes."""

from itertools import islice, product

import numpy as np
import pandas as pd
import pytest

from experiments.why import less_variance as lv
from liprune_utils.moments import SecondMoments
from liprune_utils.problems import LeastSquares, Logistic, draw_least_squares, draw_logistic

DRAW = np.random.default_rng(8)
X, LABELS = DRAW.normal(size=(5, 2)), np.array([0.0, 1.0, 1.0, 0.0, 1.0])
TINY = (LeastSquares(X, LABELS), Logistic(X, LABELS, 0.5))
W = np.array([0.3, -0.2])
NAMES = ("uniform", *lv.SCHEMES)


def gradients(problem):
    return problem.gradients(np.tile(W, (5, 1)), np.arange(5))


def probabilities(problem, name):
    sizes = {
        "uniform": np.ones(5),
        "constants": problem.lipschitz,
        "norms": np.linalg.norm(gradients(problem), axis=1),
    }[name]
    return sizes / sizes.sum()


@pytest.mark.parametrize("problem", TINY)
def test_all_norms_and_the_full_gradient_are_those_of_single_points(problem):
    expected = gradients(problem)
    norms = lv.squared_norms(problem, np.stack([W, 0 * W]))
    np.testing.assert_allclose(norms[0], (expected**2).sum(axis=1))
    np.testing.assert_allclose(lv.full_gradient(problem, W[None])[0], expected.mean(axis=0))


@pytest.mark.parametrize("problem", TINY)
@pytest.mark.parametrize("name", ["uniform", "constants", "norms"])
def test_the_trace_is_that_of_the_covariance_of_weighted_gradients(problem, name):
    p = probabilities(problem, name)
    weighted = gradients(problem) / (5 * p[:, None])
    away = weighted - gradients(problem).mean(axis=0)
    covariance = sum(chance * np.outer(one, one) for chance, one in zip(p, away, strict=True))
    found = lv.covariance_traces(problem, W[None])[name]
    assert found == pytest.approx(np.trace(covariance))


@pytest.mark.parametrize("problem", TINY)
def test_the_trace_of_a_batch_is_that_over_all_batches(problem):
    every = gradients(problem)
    means = np.array([every[list(pair)].mean(axis=0) for pair in product(range(5), repeat=2)])
    expected = means.var(axis=0).sum()
    assert lv.covariance_traces(problem, W[None])["batch 2"] == pytest.approx(expected)


@pytest.mark.parametrize("problem", TINY)
def test_every_scheme_is_unbiased_and_has_its_variance(problem):
    runs = 40_000
    weights = dict.fromkeys(NAMES, np.tile(W, (runs, 1)))
    constants = np.tile(5 * probabilities(problem, "constants"), (runs, 1))
    drawn = lv.draw_gradients(problem, weights, constants, np.random.default_rng(2))
    mean, traces = gradients(problem).mean(axis=0), lv.covariance_traces(problem, W[None])
    for name, found in drawn.items():
        errors = found.std(axis=0) / np.sqrt(runs)
        assert (np.abs(found.mean(axis=0) - mean) < 5 * errors + 1e-12).all(), name
        assert found.var(axis=0).sum() == pytest.approx(traces[name][0], rel=0.03), name


def test_draws_follow_p_and_stay_where_they_can():
    shares, runs = np.array([2.5, 0.5, 1.0, 0.0, 1.0]), 50_000
    draw = np.random.default_rng(3)
    points = draw.integers(5, size=runs)
    drawn = lv.redraw(points, np.tile(shares, (runs, 1)), draw.random((2, runs)))
    counts = np.bincount(drawn, minlength=5) / runs
    np.testing.assert_allclose(counts, shares / 5, atol=0.01)
    stayed = (drawn == points).mean()
    assert stayed == pytest.approx(np.minimum(shares, 1).mean(), abs=0.01)


def plain_draw(point, shares, first, second):
    if first < shares[point]:
        return point
    above = np.maximum(shares - 1, 0)
    place = second * above.sum()
    for other, width in enumerate(above):
        place -= width
        if place < 0:
            return other
    raise AssertionError("nothing was drawn")


def plain_run(problem, name, step_size, points, uniforms):
    """One run of SGD in plain loops, from the same random numbers."""
    w, count = np.zeros(problem.x.shape[1]), len(problem.x)
    for batch, (first, second) in zip(points, uniforms, strict=True):
        every = [problem.gradients(w[None], np.array([i]))[0] for i in range(count)]
        if name in ("constants", "norms"):
            sizes = problem.lipschitz if name == "constants" else np.linalg.norm(every, axis=1)
            p = sizes / sizes.sum()
            i = plain_draw(batch[0], count * p, first, second)
            step = every[i] / (count * p[i])
        else:
            size = lv.BATCH_SIZES.get(name, 1)
            step = sum(every[i] for i in batch[:size]) / size
        w = w - step_size * step
    return w


@pytest.mark.parametrize("problem", TINY)
def test_runs_are_those_of_plain_loops(problem):
    runs, steps = 3, 15
    *_, last = islice(lv.follow(problem, 0.1, runs, np.random.default_rng(5)), steps + 1)
    same, points, uniforms = np.random.default_rng(5), [], []
    for _ in range(steps):
        points.append(same.integers(5, size=(runs, 8)))
        uniforms.append(same.random((2, runs)).T)
    for name, run in product(NAMES, range(runs)):
        numbers = np.array(points)[:, run], np.array(uniforms)[:, run]
        expected = plain_run(problem, name, 0.1, *numbers)
        np.testing.assert_allclose(last[name][run], expected, err_msg=name)


SMALL = draw_least_squares(np.random.default_rng(1), 20, 2, noise_sd=0.2, spread=0.5)


def test_the_floor_is_where_exact_moments_settle():
    moments = SecondMoments(SMALL, np.full(20, 1 / 20))
    step_size = 0.3 * moments.largest_step_size
    expected = moments.error_after(step_size, 5000)
    assert lv.Local.of(SMALL).floor(step_size) == pytest.approx(expected)


def test_the_floor_of_a_logistic_problem_is_nearly_that_of_its_runs():
    problem = draw_logistic(np.random.default_rng(3), 20, 2, ridge=0.5, spread=0.5)
    rows = lv.follow(problem, 0.02, 150, np.random.default_rng(4))
    late = [lv.squared_errors(problem, row)["uniform"].mean() for row in islice(rows, 300, 700)]
    assert np.mean(late) == pytest.approx(lv.Local.of(problem).floor(0.02), rel=0.1)


def test_a_step_is_as_long_as_the_rule_and_the_constants_allow():
    noisy = LeastSquares(SMALL.x, SMALL.y + np.random.default_rng(2).normal(size=20) / 2)
    step, first = lv.choose_step(noisy), lv.first_error(noisy)
    assert lv.Local.of(noisy).floor(step) == pytest.approx(lv.FLOOR * first)
    quiet = LeastSquares(SMALL.x, SMALL.x @ SMALL.minimiser)
    assert lv.choose_step(quiet) == pytest.approx(1 / quiet.lipschitz.max())


def test_mean_errors_are_the_exact_ones():
    step_size = 0.5 / SMALL.lipschitz.max()
    paths = lv.run_problem(SMALL, step_size, 1000, np.random.default_rng(6))
    for name in ("uniform", "constants"):
        p = lv.optimal(SMALL.lipschitz) if name == "constants" else np.full(20, 1 / 20)
        groups = paths.errors[name]
        exact = SecondMoments(SMALL, p).path(step_size, len(groups) - 1)
        spread = groups.std(axis=1, ddof=1) / np.sqrt(groups.shape[1])
        assert (np.abs(groups.mean(axis=1) - exact)[1:] < 5 * spread[1:]).all(), name
        assert exact[-1] < 2 * lv.TARGET * exact[0]
    gained = paths.measured["gain"][0] - step_size**2 * paths.measured["uniform"][0]
    fall = paths.errors["uniform"][0] - paths.errors["uniform"][1]
    assert fall.mean() == pytest.approx(gained.mean(), rel=0.1)  # the equation of a step


def test_steps_to_a_target_are_counted_between_steps():
    curves = np.array([[1.0, 1.0, 1.0], [0.1, 0.5, 0.1], [0.01, 0.4, 0.2], [0.1, 0.3, 0.0001]])
    found = lv.steps_to(curves, 0.01)
    np.testing.assert_allclose(found[:2], [2, np.inf])
    assert found[2] == pytest.approx(2 + np.log(20) / np.log(2000))


def decays(rates: np.ndarray, num_steps: int = 400) -> np.ndarray:
    return np.exp(-np.outer(np.arange(num_steps + 1), rates))


def ratio(own: np.ndarray, uniform: np.ndarray):
    return lv.steps_ratio(own, uniform, 0.01, np.random.default_rng(9))


def test_the_interval_of_a_ratio_of_steps_is_that_of_the_delta_method():
    draw = np.random.default_rng(7)
    slow, fast = (draw.normal(rate, 0.001, 100) for rate in (0.02, 0.04))
    found = ratio(decays(fast), decays(slow))
    assert found.value == pytest.approx(0.5, rel=0.01)
    error = 0.5 * np.sqrt((0.001 / 0.02) ** 2 + (0.001 / 0.04) ** 2) / 10
    for end in (found.value - found.low, found.high - found.value):
        assert end == pytest.approx(2.576 * error, rel=0.15)


def test_groups_are_paired():
    curves = decays(np.random.default_rng(7).normal(0.02, 0.001, 50))
    assert ratio(curves, curves)[:3] == (1, 1, 1)


def test_a_scheme_that_does_not_arrive_needs_more_steps_than_were_made():
    found = ratio(decays(np.full(10, 0.001)), decays(np.full(10, 0.05)))
    assert (found.value, found.high) == (np.inf, np.inf)
    assert found.low == pytest.approx(400 / (np.log(100) / 0.05))


def test_a_scheme_that_may_not_arrive_has_an_open_ratio():
    rates = np.append(np.full(9, 0.05), 0.006)  # two of the last one, and it is late
    found = ratio(decays(rates), decays(np.full(10, 0.05)))
    assert np.isfinite(found.value)
    assert (found.low, found.high) == (0, np.inf)


def by_hand() -> lv.Paths:
    errors = {"uniform": np.array([[4.0, 4.0], [9, 9], [2.0, 2.0], [9, 9]])}
    measured = {
        "uniform": np.array([[8.0, 16.0], [2.0, 2.0]]),
        "norms": np.array([[4.0, 8.0], [2.0, 2.0]]),
        "gain": np.array([[2.0, 2.0], [1.0, 1.0]]),
    }
    return lv.Paths(errors, measured, every=2, num_runs=8)


def test_variances_are_averaged_to_the_target_alone():
    assert lv.variance_ratio(by_hand(), "norms", 1.9).value == 0.5
    whole = lv.variance_ratio(by_hand(), "norms", 2.0)
    assert whole.value == pytest.approx(4.0 / 7.0)


def test_the_share_of_the_variance_is_of_the_relative_gains():
    assert lv.variance_share(by_hand(), 0.1, 1.0) == pytest.approx(0.01 * 12 / 2)
    expected = 0.01 * (12 / 4 + 2 / 2) / (2 / 4 + 1 / 2)
    assert lv.variance_share(by_hand(), 0.1, 3.0) == pytest.approx(expected)


def test_the_table_has_every_scheme_of_every_kind(monkeypatch):
    monkeypatch.setattr(lv, "KINDS", {("least squares", 1): 1})
    table = lv.less_variance_table(205, seed=1)
    assert table.scheme.tolist() == list(lv.SCHEMES)
    assert (table.num_runs == 200).all()
    batches = table[table.scheme.isin(lv.BATCH_SIZES)]
    np.testing.assert_allclose(batches.variance, [1 / 2, 1 / 4, 1 / 8])
    assert (table.floor <= lv.FLOOR).all()
    pd.testing.assert_frame_equal(table, lv.less_variance_table(205, seed=1))
