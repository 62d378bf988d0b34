"""The runs of page 05: the data of page 04, the methods it lacks, as plain loops."""

import numpy as np
import pytest

from experiments.linear_model.runs import Cell, Setting, simulate, stream
from experiments.what_accelerates.closed_forms import KEEP_FRACTIONS, step_multiplier
from experiments.what_accelerates.runs import (
    BATCH_SIZES,
    importance_pulls,
    own_stream,
    plan,
    pruned_runs,
    run_experiment,
    unbiased_errors,
)
from liprune_utils.problems import LinearData, draw_linear
from liprune_utils.sgd import distinct_batches

SEED, SLOPE, NUM_RUNS = 3, 1.5, 6


@pytest.fixture(scope="module")
def experiment():
    return run_experiment(num_runs=NUM_RUNS, seed=SEED, slope=SLOPE)


@pytest.fixture(scope="module")
def data():
    return draw_linear(stream(SEED, "data"), NUM_RUNS, 1000, slope=SLOPE)


def test_settings_are_told_apart_and_the_papers_is_among_them():
    settings = plan(SLOPE)
    assert [setting.figure for setting in settings.values()] == list(range(len(settings)))
    assert settings["batch", 10][1:] == Setting(1, 10, 0.01)[1:]
    for fraction in KEEP_FRACTIONS:
        rate = settings["matched", fraction].learning_rate
        assert rate == pytest.approx(0.01 * step_multiplier(fraction))
        floors = [settings["floor", m, fraction].learning_rate for m in ("random", "liprune")]
        assert floors[0] / floors[1] == pytest.approx(step_multiplier(fraction), rel=1e-3)


def test_runs_are_those_of_page_04(experiment):
    figure_1 = simulate([Setting(1, 10, 0.01)], num_runs=NUM_RUNS, seed=SEED, slope=SLOPE)
    for cell, runs in figure_1.items():
        found = experiment.of(("batch", 10), cell.method, cell.keep_fraction)
        np.testing.assert_allclose(found.error, runs.error, atol=1e-12)
        np.testing.assert_array_equal(found.loss("test")[0], runs.loss("test")[0])
    found = experiment.unbiased[0.01, 1.0].loss("test")[0]  # at w_0 = 0: the same test points
    np.testing.assert_allclose(found, figure_1[Cell(1, "none", 1.0)].loss("test")[0])


def test_streams_are_apart():
    draws = [own_stream(0, purpose).random() for purpose in own_stream.purposes]
    draws += [stream(0, purpose).random() for purpose in stream.purposes]
    assert len(set(draws)) == len(own_stream.purposes) + len(stream.purposes)
    assert own_stream(0, "importance", 1).random() != draws[0]


def test_points_are_drawn_in_proportion_to_their_constants():
    x = np.array([[1.0, -2.0, 0.5, 3.0], [2.0, 2.0, -1.0, 0.1]])
    data = LinearData(x, np.arange(8.0).reshape(2, 4) * x, slope=1.0)  # y / x = 1 + index
    even = (np.arange(2000) + 0.5) / 2000
    pulls = importance_pulls(data, np.tile(even[:, None], (2, 1, 1)))  # [step, run]
    for run in range(2):
        counts = np.bincount((pulls[:, run] - 1 - 4 * run).round().astype(int), minlength=4)
        np.testing.assert_allclose(counts / 2000, x[run] ** 2 / (x[run] @ x[run]), atol=1e-3)
    ends = importance_pulls(data, np.full((2, 1, 3), np.nextafter(1.0, 0)))
    np.testing.assert_allclose(ends, [[4.0, 8.0]])


@pytest.mark.parametrize("pair", [(0.01, 1.0), (0.02, 0.3)])
def test_unbiased_sampling_is_weighted_sgd(data, pair):
    """The weighted gradient 1 / (n p_i) (w x_i - y_i) x_i, one run and point at a time."""
    rate, probability = pair
    found = unbiased_errors([pair], num_runs=NUM_RUNS, seed=SEED, slope=SLOPE)[pair]
    uniforms = own_stream(SEED, "importance").random((NUM_RUNS, 30, 10))
    made = own_stream(SEED, "made").random((NUM_RUNS, 30)) < probability
    for run in (0, NUM_RUNS - 1):
        x, y, w = data.x[run], data.y[run], 0.0
        p = x**2 / (x @ x)
        for step in range(30):
            points = np.searchsorted(np.cumsum(p), uniforms[run, step])
            gradient = np.mean((w * x[points] - y[points]) * x[points] / (1000 * p[points]))
            w -= made[run, step] * rate / probability * gradient
            assert found[step + 1, run] == pytest.approx(w - SLOPE, abs=1e-9)


@pytest.mark.parametrize(("size", "fraction"), [(10, 0.1), (100, 0.3), (1, 0.5)])
def test_pruned_batches_are_fixed_and_ranked_by_their_means(experiment, data, size, fraction):
    found, count = experiment.pruned[size, fraction], round(1000 * fraction / size)
    choice = own_stream(SEED, "batch choice", size).random((NUM_RUNS, 1000 // size))
    draws = own_stream(SEED, "batch draws", size, count)
    steps = [b[0].copy() for b in distinct_batches(draws, NUM_RUNS, count, 1, 30)]
    for run in (0, NUM_RUNS - 1):
        batches = np.arange(1000).reshape(-1, size)
        means = (data.x[run, batches] ** 2).mean(axis=1)
        kept = [np.argsort(-scores, kind="stable")[:count] for scores in (means, choice[run])]
        assert found.overlap[run] == pytest.approx(len(set(kept[0]) & set(kept[1])) / count)
        for order, runs in zip(kept, found[:2], strict=True):
            w = 0.0
            for step, drawn in enumerate(steps):
                points = batches[order[drawn[run] // NUM_RUNS]]
                x, y = data.x[run, points], data.y[run, points]
                w -= 0.01 * np.mean((w * x - y) * x)
                assert runs.error[step + 1, run] == pytest.approx(w - SLOPE, abs=1e-9)
            assert runs.sets["kept"].xx[run] == pytest.approx(means[order].mean())


def test_every_batch_size_and_fraction_is_there(experiment):
    assert set(experiment.pruned) == {(b, r) for b in BATCH_SIZES for r in KEEP_FRACTIONS}
    again = pruned_runs(experiment.of(("batch", 10), "none", 1.0), seed=SEED)
    for pair, pruned in again.items():
        np.testing.assert_array_equal(pruned.liprune.error, experiment.pruned[pair].liprune.error)
