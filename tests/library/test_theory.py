"""The theorems' bounds: the optimal probabilities, the formulas, and bounds that hold."""

from fractions import Fraction
from itertools import product
from math import ceil, comb, inf, nan

import numpy as np
import pytest
from draws import checked, make_least_squares, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from liprune_utils.checks import InputError
from liprune_utils.moments import SecondMoments
from liprune_utils.problems import draw_logistic
from liprune_utils.sgd import importance_sgd
from liprune_utils.theory import (
    SAMPLINGS,
    Constants,
    chernoff_tail,
    contraction,
    error_bound,
    exact_tail,
    expected_bound,
    gradient_noise,
    lipschitz_sup,
    mixture,
    noise_floor,
    optimal,
    pruning_bound,
    stated_tail,
    theorem_num_steps,
    theorem_step_size,
    uniform,
)

WORKED = Constants(lipschitz=4.0, strong_convexity=1.0, noise=3.0)


def make_constants(strong_convexity: float, condition: float, noise: float) -> Constants:
    return Constants(condition * strong_convexity, strong_convexity, noise)


SEEDS = st.integers(0, 10**6)
LIPSCHITZ = st.lists(st.floats(0.01, 100), min_size=1, max_size=8).map(np.array)
CONSTANTS = st.builds(make_constants, st.floats(0.01, 10), st.floats(1, 1000), st.floats(0, 100))
NUM_STEPS, INITIAL = st.integers(0, 3000), st.floats(0.01, 100)
KEEP, SHARE = st.floats(0.05, 1), st.floats(0.01, 0.99)  # r; a step size over the largest
PROBLEMS = st.builds(
    make_least_squares,
    *(SEEDS, st.integers(1, 3), st.integers(1, 6)),
    *(st.sampled_from([0.0, 0.1, 1.0]), st.floats(0, 1.5)),
)
PROBABILITIES = st.sampled_from(list(SAMPLINGS.values()))


@checked
@given(LIPSCHITZ)
def test_optimal_probabilities_solve_a_linear_programme(lipschitz):
    # the largest u with p_i >= u L_i / n and sum p = 1; the variables are p and u = 1 / L_sup
    count = len(lipschitz)
    below = np.column_stack([-np.eye(count), lipschitz / count])
    total = np.append(np.ones(count), 0)
    found = linprog(-(1 - total), A_ub=below, b_ub=np.zeros(count), A_eq=total[None], b_eq=[1])
    probabilities = optimal(lipschitz)
    np.testing.assert_allclose(probabilities, found.x[:-1], rtol=1e-9, atol=1e-9)
    assert lipschitz_sup(lipschitz, probabilities) == pytest.approx(1 / found.x[-1], rel=1e-9)
    assert lipschitz_sup(lipschitz, probabilities) == pytest.approx(lipschitz.mean(), rel=1e-12)


@pytest.mark.parametrize("name", SAMPLINGS)
@checked
@given(lipschitz=LIPSCHITZ)
def test_probabilities_are_positive_and_sum_to_one(name, lipschitz):
    probabilities = SAMPLINGS[name](lipschitz)
    assert probabilities.shape == lipschitz.shape
    assert probabilities.min() > 0
    assert probabilities.sum() == pytest.approx(1, abs=1e-12)


def test_uniform_probabilities_are_equal():
    np.testing.assert_allclose(uniform(np.array([3.0, 1.0, 7.0, 2.0])), 1 / 4)


@checked
@given(LIPSCHITZ, SEEDS)
def test_mixture_costs_at_most_a_factor_of_two(lipschitz, seed):
    mixed, gradients = mixture(lipschitz), seeded(seed).standard_normal((len(lipschitz), 2))
    assert lipschitz_sup(lipschitz, mixed) <= (2 + 1e-12) * lipschitz.mean()
    least = gradient_noise(gradients, uniform(lipschitz))
    assert gradient_noise(gradients, mixed) <= (2 + 1e-12) * least


@checked
@given(PROBLEMS, PROBABILITIES)
def test_constants_are_those_of_the_reweighted_functions(problem, sampling):
    probabilities = sampling(problem.lipschitz)
    scale = 1 / (len(problem.x) * probabilities)  # g_i = scale_i f_i
    w = np.linalg.solve(problem.x.T @ problem.x, problem.x.T @ problem.y)
    gradients = scale[:, None] * (problem.x @ w - problem.y)[:, None] * problem.x
    squares = np.linalg.norm(gradients, axis=1) ** 2
    largest = max(s * x @ x for s, x in zip(scale, problem.x, strict=True))
    found = Constants.of(problem, probabilities)
    assert found.noise == pytest.approx(probabilities @ squares, rel=1e-6, abs=1e-18 * largest)
    assert found.lipschitz == pytest.approx(largest, rel=1e-12)
    assert found.strong_convexity == problem.strong_convexity


def test_formulas_at_a_worked_example():
    assert contraction(WORKED, 1 / 8) == pytest.approx(7 / 8)  # 1 - 2/8 (1 - 4/8)
    assert noise_floor(WORKED, 1 / 8) == pytest.approx(3 / 4)  # (3/8) / (1 - 4/8)
    assert error_bound(WORKED, 1 / 8, 2, 64.0) == pytest.approx(49 + 3 / 4)
    assert theorem_step_size(WORKED, 1 / 2) == pytest.approx(1 / 20)  # (1/2) / (4 + 6)
    assert theorem_num_steps(WORKED, 1 / 2, 4.0) == pytest.approx(2 * np.log(16) * (4 + 6))


@checked
@given(CONSTANTS, INITIAL, st.floats(1e-6, 1))
def test_theorem_1_reaches_its_target(constants, initial, share):
    target = share * initial
    step_size = theorem_step_size(constants, target)
    num_steps = ceil(theorem_num_steps(constants, target, initial))
    assert step_size <= (1 + 1e-12) / (2 * constants.lipschitz)
    assert noise_floor(constants, step_size) <= (1 + 1e-12) * target / 2
    assert error_bound(constants, step_size, num_steps, initial) <= (1 + 1e-9) * target


@checked
@given(CONSTANTS, SHARE, KEEP, NUM_STEPS, INITIAL)
def test_pruning_bound_is_theorem_1_at_half_the_steps_made(constants, share, keep, steps, initial):
    step_size = share / constants.lipschitz
    plain = error_bound(constants, step_size, steps, initial)
    once = pruning_bound(constants, step_size, 1.0, 2 * steps, initial)
    pruned = pruning_bound(constants, keep * step_size, keep, 2 * steps / keep, initial)
    assert once == pytest.approx(plain, rel=1e-12)
    assert pruned == pytest.approx(plain, rel=1e-9)


@checked
@given(CONSTANTS, SHARE, KEEP, st.integers(0, 60), INITIAL)
def test_expected_bound_is_theorem_1_averaged_over_the_steps_made(
    constants, share, keep, num_steps, initial
):
    step_size = share * keep / constants.lipschitz
    made = np.arange(num_steps + 1)
    chances = [comb(num_steps, k) * keep**k * (1 - keep) ** (num_steps - k) for k in made.tolist()]
    mean = chances @ error_bound(constants, step_size / keep, made, initial)
    found = expected_bound(constants, step_size, keep, num_steps, initial)
    assert found == pytest.approx(mean, rel=1e-9)


@settings(checked, max_examples=200)
@given(CONSTANTS, SHARE, KEEP, NUM_STEPS, INITIAL)
def test_expected_bound_is_never_above_theorem_2(constants, share, keep, num_steps, initial):
    at = (constants, share * keep / constants.lipschitz, keep, num_steps, initial)
    assert expected_bound(*at) <= (1 + 1e-12) * pruning_bound(*at)


def lost(num_steps: int, keep: Fraction) -> Fraction:
    # the chance of fewer than half the expected steps, over all 2^t outcomes
    chances = (
        keep ** sum(made) * (1 - keep) ** (num_steps - sum(made))
        for made in product([0, 1], repeat=num_steps)
        if 2 * sum(made) < keep * num_steps
    )
    return sum(chances, Fraction(0))


@pytest.mark.parametrize("tenths", range(1, 11))
def test_exact_tail_by_enumeration(tenths):
    keep, steps = Fraction(tenths, 10), np.arange(1, 8)
    expected = [float(lost(t, keep)) for t in steps.tolist()]
    np.testing.assert_allclose(exact_tail(steps, tenths / 10), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("percent", "num_steps", "half"),
    [(28, 50, 7), (14, 100, 7), (56, 75, 21), (58, 100, 29), (70, 180, 63), (50, 4, 1)],
)
def test_exact_tail_where_half_the_steps_are_whole(percent, num_steps, half):
    # 0.28 * 50 / 2 is above 7 in floating point, 0.58 * 100 / 2 below 29
    keep = Fraction(percent, 100)
    expected = sum(
        comb(num_steps, k) * keep**k * (1 - keep) ** (num_steps - k) for k in range(half)
    )
    assert exact_tail(num_steps, percent / 100) == pytest.approx(float(expected), rel=1e-9)


def test_tails_bound_the_exact_chance():
    keep, steps = np.linspace(0.01, 1, 100)[:, None], np.arange(1, 400)
    exact = exact_tail(steps, keep)
    assert exact.shape == (100, 399)
    assert (exact <= stated_tail(steps, keep)).all()
    assert (exact <= chernoff_tail(steps, keep)).all()


def test_stated_tail_is_one_sided_hoeffding():
    keep, steps = np.linspace(0.05, 1, 20)[:, None], np.arange(1, 30)
    deviation = keep * steps / 2  # P(S - E S <= -z) <= exp(-2 z^2 / t)
    hoeffding = np.exp(-2 * deviation**2 / steps)
    np.testing.assert_allclose(stated_tail(steps, keep), hoeffding, rtol=1e-12)


def test_chernoff_tail_follows_from_the_relative_entropy():
    keep, steps = np.linspace(0.05, 0.95, 19)[:, None], np.arange(1, 30)
    half = keep / 2
    entropy = half * np.log(half / keep) + (1 - half) * np.log((1 - half) / (1 - keep))
    assert (np.exp(-steps * entropy) <= chernoff_tail(steps, keep)).all()
    better = np.broadcast_to(keep < 0.2499, (19, 29))
    assert (chernoff_tail(steps, keep) < stated_tail(steps, keep))[better].all()
    worse = np.broadcast_to(keep > 0.2501, (19, 29))
    assert (chernoff_tail(steps, keep) > stated_tail(steps, keep))[worse].all()
    assert chernoff_tail(8, 0.25) == pytest.approx(np.exp(-0.25))


@pytest.mark.parametrize("share", [0.0, -0.5, 1.0, 1.5, inf, nan])
@pytest.mark.parametrize(
    "bound",
    [
        lambda eta: contraction(WORKED, eta),
        lambda eta: error_bound(WORKED, eta, 3, 1.0),
        lambda eta: pruning_bound(WORKED, eta / 2, 0.5, 3, 1.0),
        lambda eta: expected_bound(WORKED, eta / 2, 0.5, 3, 1.0),
    ],
)
def test_step_sizes_out_of_range_are_refused(bound, share):
    message = rf"step_size is {share / 4}; expected in \(0, 1 / L_sup = 0\.25\)\.$"
    with pytest.raises(InputError, match=message):
        bound(share / 4)


@pytest.mark.parametrize("value", [0.0, -1.0, nan])
@pytest.mark.parametrize("sampling", [optimal, mixture])
def test_lipschitz_constants_of_zero_are_refused(sampling, value):
    with pytest.raises(InputError, match=r"smallest Lipschitz constant is .*; expected above 0\.$"):
        sampling(np.array([2.0, value]))


@checked
@given(PROBLEMS, PROBABILITIES, SHARE)
def test_theorem_1_holds_exactly_at_every_step(problem, sampling, share):
    probabilities = sampling(problem.lipschitz)
    constants = Constants.of(problem, probabilities)
    step_size, steps = share / constants.lipschitz, np.arange(61)
    moments, initial = SecondMoments(problem, probabilities), problem.minimiser @ problem.minimiser
    bound = error_bound(constants, step_size, steps, initial)
    assert (moments.path(step_size, 60) <= (1 + 1e-9) * bound + 1e-13 * initial).all()
    later = error_bound(constants, step_size, 2**14, initial)
    assert moments.error_after(step_size, 2**14) <= (1 + 1e-9) * later + 1e-13 * initial


@checked
@given(PROBLEMS, PROBABILITIES, SHARE, KEEP)
def test_expected_bound_holds_exactly_at_every_step(problem, sampling, share, keep):
    probabilities = sampling(problem.lipschitz)
    constants = Constants.of(problem, probabilities)
    step_size, initial = share * keep / constants.lipschitz, problem.minimiser @ problem.minimiser
    path = SecondMoments(problem, probabilities, keep_probability=keep).path(step_size, 60)
    bound = expected_bound(constants, step_size, keep, np.arange(61), initial)
    assert (path <= (1 + 1e-9) * bound + 1e-13 * initial).all()


@checked
@given(PROBLEMS, PROBABILITIES, SHARE, KEEP)
def test_theorem_2_holds_whenever_half_the_steps_are_made(problem, sampling, share, keep):
    probabilities = sampling(problem.lipschitz)
    constants = Constants.of(problem, probabilities)
    step_size, initial = share * keep / constants.lipschitz, problem.minimiser @ problem.minimiser
    path = SecondMoments(problem, probabilities).path(step_size / keep, 60)  # by the steps made
    for num_steps in (1, 7, 60):
        errors = path[ceil(keep * num_steps / 2) : num_steps + 1]
        bound = pruning_bound(constants, step_size, keep, num_steps, initial)
        assert errors.max() <= (1 + 1e-9) * bound + 1e-13 * initial


@pytest.mark.parametrize("keep", [1.0, 0.4])
@pytest.mark.parametrize("name", SAMPLINGS)
def test_bounds_hold_for_simulated_logistic_regression(name, keep):
    problem = draw_logistic(seeded(4), 15, 2, ridge=0.1)
    probabilities = SAMPLINGS[name](problem.lipschitz)
    constants, steps = Constants.of(problem, probabilities), np.arange(121)
    options = {"step_size": 0.4 * keep / constants.lipschitz, "keep_probability": keep}
    size = {"num_steps": 120, "num_runs": 1000, "generator": seeded(5)}
    iterates = np.array(list(importance_sgd(problem, probabilities, **options, **size)))
    squares = ((iterates - problem.minimiser) ** 2).sum(axis=-1)  # [num_steps + 1, num_runs]
    least = squares.mean(axis=1) - 5 * squares.std(axis=1) / np.sqrt(1000)
    initial = problem.minimiser @ problem.minimiser
    bound = expected_bound(constants, **options, num_steps=steps, initial=initial)
    assert (least <= (1 + 1e-12) * bound).all()
    assert squares[-1].mean() < initial  # the bound is not met by standing still
