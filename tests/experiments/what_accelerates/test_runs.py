"""The runs of page 05: the data of page 04, the methods it lacks, as plain loops."""

import numpy as np
import pytest

from experiments.linear_model.runs import KEEP_FRACTIONS, Setting, simulate, stream
from experiments.what_accelerates.closed_forms import step_multiplier
from experiments.what_accelerates.fixed_batches import batch_stream
from experiments.what_accelerates.runs import (
    AccelerationParameters,
    _make_settings,
    _unbiased_paths,
    importance_pulls,
    sampling_stream,
)
from liprune_utils.checks import InputError
from liprune_utils.problems import LinearData, draw_linear

SEED, SLOPE, NUM_RUNS = 3, 1.5, 6


@pytest.fixture(scope="module")
def unpruned():
    settings = {"paper": Setting(10, 0.01, ())}
    runs = simulate(settings, num_runs=NUM_RUNS, seed=SEED, slope=SLOPE)
    return runs["paper"]["none", 1.0]


@pytest.fixture(scope="module")
def data():
    return draw_linear(stream(SEED, "data"), NUM_RUNS, 1000, slope=SLOPE)


def test_settings_are_the_papers_and_those_derived_from_it():
    settings = _make_settings(SLOPE)
    assert settings["batch", 10] == Setting(10, 0.01)
    for fraction in KEEP_FRACTIONS:
        rate = settings["matched", fraction].learning_rate
        assert rate == pytest.approx(0.01 * step_multiplier(fraction))
        floors = [settings["floor", m, fraction].learning_rate for m in ("random", "liprune")]
        assert floors[0] / floors[1] == pytest.approx(step_multiplier(fraction), rel=1e-3)


def test_streams_are_apart():
    families = stream, sampling_stream, batch_stream
    draws = [family(0, purpose).random() for family in families for purpose in family.purposes]
    assert len(set(draws)) == len(draws) == 10


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
def test_unbiased_sampling_is_weighted_sgd(data, unpruned, pair):
    """The weighted gradient 1 / (n p_i) (w x_i - y_i) x_i, one run and point at a time."""
    rate, probability = pair
    paths = _unbiased_paths([pair], unpruned, seed=SEED)[pair]
    np.testing.assert_allclose(paths.loss("test")[0], unpruned.loss("test")[0])  # at w_0 = 0
    uniforms = sampling_stream(SEED, "importance").random((NUM_RUNS, 30, 10))
    made = sampling_stream(SEED, "made").random((NUM_RUNS, 30)) < probability
    for run in (0, NUM_RUNS - 1):
        x, y, w = data.x[run], data.y[run], 0.0
        p = x**2 / (x @ x)
        for step in range(30):
            points = np.searchsorted(np.cumsum(p), uniforms[run, step])
            gradient = np.mean((w * x[points] - y[points]) * x[points] / (1000 * p[points]))
            w -= made[run, step] * rate / probability * gradient
            assert paths.error[step + 1, run] == pytest.approx(w - SLOPE, abs=1e-9)


def test_a_slope_of_0_is_refused():
    given = {"slope": 1.0, "num_runs": 1000, "num_problems": 10, "seed": 0, "results_dir": "x"}
    AccelerationParameters(**given)
    with pytest.raises(InputError, match=r"slope is 0\.0; expected not 0"):
        AccelerationParameters(**given | {"slope": 0.0})
