"""The exact excess loss on a kept set: against simulated SGD, its limits, and one dimension."""

from itertools import combinations

import numpy as np
import pytest

from experiments.what_to_keep.theory import Kept, estimation, excess_path, floor

GENERATOR = np.random.default_rng(0)
X = GENERATOR.standard_normal((30, 3)) * (2.0, 1.0, 0.5)
KEPT = Kept(X, step_size=0.05, batch_size=2, noise_sd=0.5)
START = np.array([1.0, -1.0, 2.0])
MOMENT = np.diag([4.0, 1.0, 0.25])


def simulate(kept: Kept, start: np.ndarray, num_steps: int, num_runs: int) -> np.ndarray:
    """Run SGD as it is written, with fresh labels in each run; errors [num_runs, dim]."""
    generator = np.random.default_rng(1)
    noise = kept.noise_sd * generator.standard_normal((num_runs, len(kept.x)))
    errors = np.tile(start, (num_runs, 1))
    for _ in range(num_steps):
        drawn = generator.integers(len(kept.x), size=(num_runs, kept.batch_size))
        x, eps = kept.x[drawn], np.take_along_axis(noise, drawn, axis=1)
        residual = np.einsum("rbd,rd->rb", x, errors) - eps
        errors = errors - kept.step_size * np.einsum("rb,rbd->rd", residual, x) / kept.batch_size
    return errors


@pytest.mark.parametrize("num_steps", [1, 2, 30])
def test_the_excess_is_that_of_simulated_sgd(num_steps):
    errors = simulate(KEPT, START, num_steps, 100_000)
    losses = np.vecdot(errors @ MOMENT, errors) / 2
    exact = excess_path(KEPT, MOMENT, START, num_steps).total[-1]
    assert abs(losses.mean() - exact) < 4 * losses.std() / np.sqrt(len(losses))


def test_the_noise_settles_at_floor_and_estimation():
    slow = KEPT._replace(step_size=0.004)
    noise = excess_path(slow, MOMENT, START, 12_000).noise
    settled = noise[-1] - estimation(slow, MOMENT)
    assert noise[-1] == pytest.approx(noise[-500], rel=1e-4)
    # To first order in d/k: three of thirty directions are fitted.
    assert settled == pytest.approx(floor(slow, MOMENT) * (1 - 3 / 30), rel=0.1)


def test_estimation_is_that_of_least_squares():
    generator, errors = np.random.default_rng(2), []
    noise = KEPT.noise_sd * generator.standard_normal((len(X), 40_000))
    errors = np.linalg.lstsq(X, noise)[0].T
    losses = np.vecdot(errors @ MOMENT, errors) / 2
    assert losses.mean() == pytest.approx(estimation(KEPT, MOMENT), rel=0.02)


def test_in_one_dimension_the_largest_points_are_best_for_every_part():
    points = np.array([0.3, -2.0, 1.1, 0.7, -1.6, 0.1, 2.4])
    moment, start = np.array([[1.0]]), np.array([1.0])
    found = {}
    for chosen in combinations(range(len(points)), 3):
        kept = KEPT._replace(x=points[list(chosen), None])
        path = excess_path(kept, moment, start, 40)
        mean = (1 - kept.step_size * kept.moment[0, 0]) ** 40
        found[chosen] = mean, path.contraction[-1], estimation(kept, moment)
    largest = tuple(np.sort(np.argsort(-np.abs(points))[:3]))
    for part in range(3):
        assert min(found, key=lambda chosen: found[chosen][part]) == largest
