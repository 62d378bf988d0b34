"""Batches of matched spread: closed forms of the spread, the race, and its expectation."""

import numpy as np
import pytest

from experiments.liprune.batch_spread import normal_gain
from experiments.why.matched_spread import (
    NUM_BATCHES,
    NUM_STEPS,
    POINT_SPREAD,
    _draw_batches,
    matching_size,
    race,
    spread_table,
)
from liprune_utils.checks import InputError
from liprune_utils.problems import NOISE_SD


@pytest.mark.parametrize("size", [1, 3, 28, 500])
def test_a_size_has_its_spread_and_a_spread_its_size(size):
    assert matching_size(POINT_SPREAD / np.sqrt(size)) == size


def test_no_batch_is_smaller_than_a_point():
    assert matching_size(3.0) == 1
    with pytest.raises(InputError, match="spread is 0; expected above 0"):
        matching_size(0)


def test_batches_have_the_moments_of_their_points():
    squares, products = _draw_batches(np.random.default_rng(0), 2000, 8, slope=2.0)
    assert squares.shape == products.shape == (2000, NUM_BATCHES)
    assert squares.mean() == pytest.approx(25 / 3, rel=0.01)
    assert squares.std() / squares.mean() == pytest.approx(POINT_SPREAD / np.sqrt(8), rel=0.02)
    noise = products - 2 * squares
    assert noise.std() == pytest.approx(NOISE_SD * np.sqrt(25 / 3 / 8), rel=0.02)
    assert abs(np.corrcoef(noise.ravel(), squares.ravel())[0, 1]) < 0.02


def test_every_data_set_gains_and_is_compared_by_itself():
    runs = race(4, 30, seed=0, slope=1.0)
    assert runs["liprune_path"].shape == runs["random_path"].shape == (NUM_STEPS + 1, 30)
    assert (runs["gain"] > 1).all()
    assert (runs["liprune_expected"] < runs["random_expected"]).all()
    assert (runs["liprune_path"][0] == runs["random_path"][0]).all()


def test_blocks_do_not_change_the_first_runs():
    # A block of draws is a whole: the first hundred of more are those of a hundred.
    small, large = race(2, 100, seed=3, slope=1.0), race(2, 130, seed=3, slope=1.0)
    for name, values in small.items():
        np.testing.assert_array_equal(large[name][..., :100], values)


@pytest.fixture(scope="module")
def table():
    return spread_table([1, 16, 256], 400, 0, 1.0)


def test_simulated_means_are_near_their_expectations(table):
    assert table.z.max() < 4.5
    assert (
        (table.ratio_low < 1.05 * table.expected) & (table.expected < 1.05 * table.ratio_high)
    ).all()


def test_the_less_they_differ_the_less_there_is_to_gain(table):
    assert table.ratio.is_monotonic_increasing
    assert table.speed_up.is_monotonic_decreasing
    assert (table.ratio_high < 1).all()
    last = table.iloc[-1]
    # Many points a batch: constants are normal, and a step is worth its mean constant.
    assert last.gain == pytest.approx(normal_gain(last.spread, 0.2), rel=0.01)
    rate = 0.01 * 25 / 3
    worth = np.log(1 - rate * last.gain) / np.log(1 - rate)
    assert last.speed_up == pytest.approx(worth, rel=0.01)
