"""Predicted and observed speed-ups: of the linear model, the convex head and recorded networks."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import why_tables as toy

from experiments.convex_is_not_enough import convex_head
from experiments.convex_is_not_enough.record import RULES
from experiments.why.speed_ups import (
    batch_gains,
    compared,
    comparison_table,
    faster,
    found,
    head_rows,
    linear_batches,
    linear_points,
    network_speed_up,
    point_gains,
)
from liprune_utils.intervals import Estimate, mean_interval

ONE, TWO = Estimate(1.0, 0.9, 1.1, 5), Estimate(2.0, 1.5, 2.5, 7)


def networks(speed: float, prune_epochs: tuple[int, ...]) -> pd.DataFrame:
    """Test errors of 20 epochs, with a decay at the 10th; LiPrune is faster from the pruning on."""
    rows = []
    for rate, prune, method, seed, keep in product(
        (0.01, 0.1), prune_epochs, ("random", "liprune"), toy.SEEDS, (0.2, 0.5)
    ):
        epochs = np.arange(1, 21)
        since = (epochs - prune + 1).clip(0)
        steps = since * (speed if method == "liprune" and keep == 0.2 else 1.0)
        error = 80 - 2 * steps + toy.wobble(seed) - 15 * (epochs >= 10)
        cell = {"depth": 14, "learning_rate": rate, "prune_epoch": prune, "keep_fraction": keep}
        rows.append(pd.DataFrame({**cell, "method": method, "seed": seed, "epoch": epochs,
                                  "test_error": error}))  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def test_networks_are_compared_before_the_decay():
    speed_up, early = network_speed_up(networks(1.5, (1, 5)), "liprune", 10)
    assert early
    assert speed_up.counted == (
        (14, 0.01, 1, 0.2),
        (14, 0.1, 1, 0.2),
    )  # five epochs would be too few
    assert speed_up.estimate.value == pytest.approx(1.5)
    assert speed_up.estimate.num_runs == 3
    assert speed_up.spans[14, 0.1, 1, 0.2] == pytest.approx((80 - 3) - (80 - 18))


def test_too_few_epochs_before_the_decay_count_with_all_after_it():
    curves = networks(1.5, (5,))
    speed_up, early = network_speed_up(curves, "liprune", 10)
    assert not early
    assert len(speed_up.counted) == 2
    # Both fall by 15 points in epoch 10, the sixth after the pruning.
    assert 1 < speed_up.estimate.value < 1.5
    alone, early = network_speed_up(curves[curves.epoch < 10], "liprune", 10)
    assert (alone.estimate.value, early) == (pytest.approx(1.5), False)


def test_only_levels_of_three_points_count():
    curves = networks(1.0, (1,))
    flat = curves.assign(test_error=50 + curves.test_error / 20)
    speed_up, _ = network_speed_up(flat, "liprune", 10)
    assert speed_up.counted == ()
    assert np.isnan(speed_up.estimate.value)


def test_gains_are_means_over_seeds_in_the_cells_that_count():
    rows = [
        {"learning_rate": rate, "prune_epoch": prune, "seed": seed, "norm": norm,
         "norm_error": 0.2, "kept": norm == 3}
        for rate, prune, seed in product((0.01, 0.1), (1, 5), toy.SEEDS)
        for norm in (1.0, 2.0, 3.0 if prune == 1 else 9.0, 3.0 + seed * (prune == 1))
    ]  # fmt: skip
    cells = [(14, 0.01, 1, 0.2), (14, 0.1, 1, 0.2)]
    gains = [3.1 / np.mean([1.1, 2.1, 3.1, 3.1 + seed]) for seed in toy.SEEDS]
    expected = mean_interval(np.array(gains), 0.90)
    assert batch_gains(pd.DataFrame(rows), cells) == pytest.approx(expected)


def test_a_gain_of_what_is_largest_is_at_least_one():
    rows = [
        {"learning_rate": 0.1, "prune_epoch": 1, "seed": seed, "norm": norm, "norm_error": 0.0,
         "kept": norm > 1}
        for seed, largest in enumerate((1.2, 2.0)) for norm in (1.0, 1.0, largest)
    ]  # fmt: skip
    found = batch_gains(pd.DataFrame(rows), [(14, 0.1, 1, 0.2)])
    assert found.low == 1.0 < found.value


def test_gains_of_points_are_read_from_the_study():
    facts = toy.kept().assign(score_gain=lambda table: 2 + table.seed / 10)
    assert point_gains(facts) == pytest.approx(mean_interval(np.array([2, 2.1, 2.2]), 0.90))


def test_points_of_the_linear_model_gain_about_what_is_predicted():
    row = linear_points(200, seed=0, slope=1.0)
    # The largest fifth of |x| from U(0, 5): the mean of x^2 from 4 to 5 over that from 0 to 5.
    assert row["predicted"] == pytest.approx((1 - 0.8**3) / 0.2, rel=0.01)
    assert 2.3 < row["observed_low"] < row["observed"] < row["observed_high"] < 3
    assert (row["model"], row["unit"], row["num_runs"]) == ("linear", "points", 200)


def test_batches_of_the_linear_model_are_read_from_the_races():
    races = pd.DataFrame([
        {"batch_size": size, "num_runs": 9, **Estimate(size, 1, 2, 9).named_columns("gain"),
         **Estimate(size + 0.5, 3, 4, 9).named_columns("speed_up")}
        for size in (1, 30, 64)
    ])  # fmt: skip
    row = linear_batches(races, 30)
    assert (row["predicted"], row["observed"], row["observed_high"]) == (30, 30.5, 4)


def test_the_head_is_read_at_the_case_that_decides():
    steps = np.unique(np.geomspace(1, 400, 60).round())
    speeds = {("shared", 0.2): 2.0, ("shared", 0.5): 3.0, ("own", 0.2): 4.0, ("own", 0.5): 5.0}
    curves, constants = [], []
    for arm, rule, seed in product(convex_head.ARMS, RULES, (0, 1)):
        speed = speeds.get((rule, arm.keep_fraction), 1.0) if arm.method == "liprune" else 1.0
        speed /= 4 if arm.unit == "points" and arm.method == "liprune" else 1
        loss = np.exp(-speed * steps / 100)
        columns = {**arm._asdict(), "rule": rule, "seed": seed, "step": steps, "test_loss": loss}
        curves.append(pd.DataFrame(columns | {"test_error": loss}))
        constants.append({**arm._asdict(), "seed": seed, "gain": 1.3})
    batches, points = head_rows(pd.concat(curves), pd.DataFrame(constants))
    assert (batches["model"], batches["unit"], points["unit"]) == ("head", "batches", "points")
    assert batches["observed"] == pytest.approx(2, rel=0.03)
    assert points["observed"] == pytest.approx(0.5, rel=0.03)
    assert batches["predicted"] == pytest.approx(1.3)


def test_rows_stand_by_model_and_are_read_back():
    pairs = product(("network", "linear", "head"), ("points", "batches"))
    table = comparison_table([compared(*pair, ONE, TWO) for pair in pairs])
    assert table.model.tolist() == ["linear"] * 2 + ["head"] * 2 + ["network"] * 2
    assert table.unit.tolist() == ["batches", "points"] * 3
    assert found(table, "head", "points") == TWO
    assert found(table, "head", "points", "predicted") == ONE._replace(num_runs=7)
    assert faster(table, "head", "points") == "100% faster (90% interval 50 to 150%)"
    assert "slower" in faster(table, "head", "points", "predicted")
