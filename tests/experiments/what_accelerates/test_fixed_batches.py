"""Fixed batches of the linear model: ranked by their means, raced as a plain loop does."""

import numpy as np
import pytest

from experiments.linear_model.runs import KEEP_FRACTIONS, Setting, simulate, stream
from experiments.what_accelerates.fixed_batches import (
    BATCH_SIZES,
    batch_moments,
    batch_stream,
    expected_square,
    simulate_fixed_batches,
)
from liprune_utils.problems import NOISE_SD, draw_linear
from liprune_utils.sgd import distinct_batches

SEED, SLOPE, NUM_RUNS = 3, 1.5, 6


@pytest.fixture(scope="module")
def pruned():
    settings = {"paper": Setting(10, 0.01, ())}
    runs = simulate(settings, num_runs=NUM_RUNS, seed=SEED, slope=SLOPE)
    return simulate_fixed_batches(runs["paper"]["none", 1.0], seed=SEED)


@pytest.mark.parametrize(("size", "fraction"), [(10, 0.1), (100, 0.3), (1, 0.5)])
def test_batches_are_fixed_and_ranked_by_their_means(pruned, size, fraction):
    data = draw_linear(stream(SEED, "data"), NUM_RUNS, 1000, slope=SLOPE)
    count, both = round(1000 * fraction / size), pruned[size, fraction]
    choice = batch_stream(SEED, "choice", size).random((NUM_RUNS, 1000 // size))
    draws = batch_stream(SEED, "draws", size, count)
    steps = [b[0].copy() for b in distinct_batches(draws, NUM_RUNS, count, 1, 30)]
    for run in (0, NUM_RUNS - 1):
        batches = np.arange(1000).reshape(-1, size)
        means = (data.x[run, batches] ** 2).mean(axis=1)
        kept = [np.argsort(-scores, kind="stable")[:count] for scores in (means, choice[run])]
        assert both.overlap[run] == pytest.approx(len(set(kept[0]) & set(kept[1])) / count)
        for order, paths in zip(kept, both[:2], strict=True):
            w = 0.0
            for step, drawn in enumerate(steps):
                points = batches[order[drawn[run] // NUM_RUNS]]
                x, y = data.x[run, points], data.y[run, points]
                w -= 0.01 * np.mean((w * x - y) * x)
                assert paths.error[step + 1, run] == pytest.approx(w - SLOPE, abs=1e-9)
            constants = paths.sets["kept"]
            assert constants.num_points == count
            assert constants.xx[run] == pytest.approx(means[order].mean())
            assert constants.x4[run] == pytest.approx((means[order] ** 2).mean())


def test_every_batch_size_and_fraction_is_there(pruned):
    assert set(pruned) == {(b, r) for b in BATCH_SIZES for r in KEEP_FRACTIONS}


@pytest.mark.parametrize("size", [1, 10])
def test_a_single_batch_gives_gradient_descent(size):
    m, steps = np.array([8.0]), np.arange(31)
    power = (1 - 0.01 * m) ** steps
    expected = SLOPE**2 * power**2 + NOISE_SD**2 / (size * m) * (1 - power) ** 2
    square = expected_square(batch_moments(1, m, m**2), size, 30, SLOPE)
    np.testing.assert_allclose(square[:, 0], expected, rtol=1e-10)
