"""Constants of batches: how they spread, and what choosing the largest gains."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from experiments.liprune.batch_spread import (
    BATCH_SIZES,
    INPUTS,
    batch_constants,
    draw_inputs,
    draw_sized_normals,
    kept_gain,
    normal_gain,
    partition_table,
    spread_runs,
    spread_table,
    uniform_gain,
    variation_of_means,
)
from liprune_utils.checks import InputError


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("dim", "size_sd"), [(10, 0.5), (100, 0.5), (100, 0.0)])
def test_sized_normals_have_the_stated_squares(dim, size_sd):
    square = (draw_sized_normals(seeded(), 20_000, dim, size_sd) ** 2).sum(axis=1)
    mean = dim * np.exp(2 * size_sd**2)
    variation = np.sqrt(np.exp(4 * size_sd**2) * (1 + 2 / dim) - 1)
    assert abs(square.mean() / mean - 1) < 5 * variation / np.sqrt(20_000)
    assert square.std() / square.mean() == pytest.approx(variation, rel=0.12)


def test_inputs_are_those_named():
    for name, (dim, _) in INPUTS.items():
        assert draw_inputs(seeded(), name, 30).shape == (30, dim)
    uniform = draw_inputs(seeded(), "1-d, uniform", 5000)
    assert -5 <= uniform.min() < -4.9
    assert 4.9 < uniform.max() <= 5
    with pytest.raises(InputError, match=r"^name is 'cubic'; expected one of 1-d, uniform"):
        draw_inputs(seeded(), "cubic", 1)


@pytest.mark.parametrize(("batch_size", "dim"), [(1, 4), (3, 4), (5, 2), (4, 1), (17, 3)])
def test_batches_are_successive_points(batch_size, dim):
    x = seeded(1).normal(size=(17, dim))
    found = batch_constants(x, batch_size)
    assert len(found) == 17 // batch_size
    for number, constant in enumerate(found):
        batch = x[number * batch_size : (number + 1) * batch_size]
        dense = np.linalg.norm(batch, 2) ** 2 / batch_size
        assert constant == pytest.approx(dense, rel=1e-10)


@pytest.mark.parametrize("batch_size", [0, 4])
def test_impossible_batches_are_refused(batch_size):
    for call in (batch_constants, lambda x, size: variation_of_means(x[:, 0], size)):
        with pytest.raises(InputError, match=rf"^batch_size is {batch_size}; expected from 1 to"):
            call(np.ones((3, 1)), batch_size)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 6])
def test_variation_of_means_by_enumeration(batch_size):
    values = np.array([1.0, 2.0, 4.0, 4.5, 7.0, 11.0])
    orders = np.array(list(permutations(values)))
    means = orders.reshape(len(orders), -1, batch_size).mean(axis=2)
    partition = np.sqrt(means.var(axis=1).mean()) / values.mean()
    first = means[:, 0].std() / values.mean()
    assert variation_of_means(values, batch_size) == pytest.approx(partition, abs=1e-12)
    assert variation_of_means(values, batch_size) == pytest.approx(first, abs=1e-12)


def test_partitions_agree_with_the_formula():
    table = partition_table(seeded(2), seeded(3).uniform(0, 25, 60), num_partitions=500)
    assert list(table.batch_size) == [2, 3, 4, 5, 6, 10, 12, 15, 20, 30]
    assert table.z.abs().max() < 5
    assert table.exact.is_monotonic_decreasing


@given(st.integers(0, 99), st.integers(2, 40), st.floats(0.05, 1))
def test_gain_is_at_least_one_and_grows_as_less_is_kept(seed, num, fraction):
    constants = seeded(seed).exponential(size=num)
    found = kept_gain(constants, fraction)
    assert found >= 1 - 1e-12
    assert found <= kept_gain(constants, fraction / 2) + 1e-12
    assert kept_gain(constants, 1.0) == pytest.approx(1)


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_gain_of_uniform_points_is_the_closed_form(fraction):
    assert kept_gain(np.linspace(0, 5, 20_001) ** 2, fraction) == pytest.approx(
        uniform_gain(fraction), rel=1e-3
    )


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_gain_of_normal_constants_is_the_closed_form(fraction):
    constants = 10 + 2 * norm.ppf((np.arange(10_000) + 0.5) / 10_000)
    assert kept_gain(constants, fraction) == pytest.approx(normal_gain(0.2, fraction), rel=1e-3)


def test_runs_are_summarised_with_intervals(monkeypatch):
    monkeypatch.setattr("experiments.liprune.batch_spread.NUM_POINTS", 1024)
    runs = spread_runs(seeded(4), 3)
    assert len(runs) == len(INPUTS) * 3 * len(BATCH_SIZES)
    assert (runs.num_batches == 1024 // runs.batch_size).all()
    table = spread_table(runs)
    assert list(table.inputs.unique()) == list(INPUTS)
    assert set(table.num_runs) == {3}
    rows = runs[(runs.inputs == "10-d, random sizes") & (runs.batch_size == 8)]
    row = table[(table.inputs == "10-d, random sizes") & (table.batch_size == 8)].iloc[0]
    assert row["gain_0.2"] == pytest.approx(rows["gain_0.2"].mean())
    assert row.variation_low < row.variation == pytest.approx(rows.variation.mean())
    one = table[table.inputs == "1-d, uniform"].set_index("batch_size").variation
    assert one[64] == pytest.approx(one[1] / 8, rel=0.25)
