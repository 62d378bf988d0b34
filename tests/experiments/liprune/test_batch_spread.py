"""Constants of batches: how they spread, and what choosing the largest gains."""

from itertools import permutations

import numpy as np
import pytest
from draws import seeded
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from experiments.liprune.batch_spread import (
    BATCH_SIZES,
    INPUTS,
    kept_gain,
    normal_gain,
    partition_table,
    spread_runs,
    spread_table,
    uniform_gain,
)


def test_variance_of_means_by_enumeration():
    values = np.array([1.0, 2.0, 4.0, 4.5, 7.0, 11.0])
    orders = np.array(list(permutations(values)))
    table = partition_table(seeded(), values)
    assert list(table.batch_size) == [2, 3]
    for size, exact in zip(table.batch_size, table.exact, strict=True):
        means = orders.reshape(len(orders), -1, size).mean(axis=2)
        assert exact == pytest.approx(means.var(axis=1).mean(), abs=1e-12)


def test_partitions_agree_with_the_formula():
    table = partition_table(seeded(2), seeded(3).uniform(0, 25, 60))
    assert list(table.batch_size) == [2, 3, 4, 5, 6, 10, 12, 15, 20, 30]
    assert table.z.abs().max() < 5


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
    table = spread_table(runs).set_index(["inputs", "batch_size"])
    assert set(table.num_runs) == {3}
    rows = runs[(runs.inputs == "10-d, random sizes") & (runs.batch_size == 8)]
    row = table.loc["10-d, random sizes", 8]
    assert row["gain_0.2"] == pytest.approx(rows["gain_0.2"].mean())
    assert row.variation_low < row.variation == pytest.approx(rows.variation.mean())


def test_inputs_have_the_constants_of_their_kind(monkeypatch):
    monkeypatch.setattr("experiments.liprune.batch_spread.NUM_POINTS", 4096)
    runs = spread_runs(seeded(5), 3).groupby(["inputs", "batch_size"]).mean()
    for name, (dim, size_sd) in INPUTS.items():
        mean = 25 / 3 if size_sd is None else dim * np.exp(2 * size_sd**2)
        square = 9 / 5 if size_sd is None else np.exp(4 * size_sd**2) * (1 + 2 / dim)
        assert runs.mean_constant[name, 1] == pytest.approx(mean, rel=0.05)
        assert runs.variation[name, 1] == pytest.approx(np.sqrt(square - 1), rel=0.15)
    one = runs.variation["1-d, uniform"]
    assert one[64] == pytest.approx(one[1] / 8, rel=0.25)
