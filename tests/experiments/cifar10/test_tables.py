"""What the CIFAR-10 runs say: pairs, thresholds, pooling, equal updates, faults."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from cifar_grid import FRACTIONS, NUM_BATCHES, NUM_EPOCHS, grid_curves, grid_runs

from experiments.cifar10.tables import (
    CELL,
    STATISTICS,
    before_decay,
    contrast,
    control_difference,
    differences,
    effect_table,
    equal_updates,
    error_speed_up,
    faults,
    final_table,
    last_errors,
    machines_in_words,
    pairs,
    pooled,
    precision_difference,
    record_table,
    select,
    throughput,
    trial_in_words,
)
from liprune_utils.intervals import crossed_mean, mean_interval

GAPS = np.random.default_rng(3).normal(size=(2, 2, 2, 2, 3))  # a cell and seed


def effect(depth, rate, pruned, fraction, seed):
    index = ((14, 20), (0.01, 0.1), (1, 5), FRACTIONS, (0, 1, 2))
    values = (depth, rate, pruned, fraction, seed)
    return GAPS[tuple(levels.index(v) for levels, v in zip(index, values, strict=True))]


@pytest.fixture(scope="module")
def curves() -> pd.DataFrame:
    return grid_curves(effect)


def shuffled(table: pd.DataFrame) -> pd.DataFrame:
    return table.sample(frac=1, random_state=1)


def two_curves(liprune, random, pruned=1) -> pd.DataFrame:
    """One pair of runs with given test errors."""
    errors = {"liprune": liprune, "random": random}
    rows = [
        {"method": method, "epoch": epoch, "test_error": error}
        for method, curve in errors.items() for epoch, error in enumerate(curve, 1)
    ]  # fmt: skip
    setting = {"depth": 14, "learning_rate": 0.1, "seed": 0}
    return pd.DataFrame(rows).assign(**setting, prune_epoch=pruned, keep_fraction=0.2)


def test_part_keeps_the_runs_without_pruning_that_belong_to_it(curves):
    found = select(curves, learning_rate=0.1, prune_epoch=5)
    assert set(found.learning_rate) == {0.1}
    assert set(found[found.method != "none"].prune_epoch) == {5}
    assert (found.method == "none").sum() == 2 * 3 * NUM_EPOCHS
    assert len(found) == 2 * 3 * NUM_EPOCHS * (1 + 2 * 2)
    assert len(select(curves, keep_fraction=0.2, depth=14)) == 2 * 3 * NUM_EPOCHS * (1 + 2 * 2)


def test_pairs_begin_with_the_pruning(curves):
    found = pairs(shuffled(curves))
    assert list(found) == ["liprune", "random"]
    assert len(found) == 2 * 2 * 2 * 3 * (NUM_EPOCHS + NUM_EPOCHS - 4)
    late = found.xs(5, level="prune_epoch").index.get_level_values("epoch")
    assert set(late) == {5, 6, 7, 8}


def test_random_pruning_alone_is_no_pair(curves):
    control = (curves.keep_fraction == 0.5) & (curves.method == "liprune")
    alone = curves[~control]
    assert set(pairs(alone).index.get_level_values("keep_fraction")) == {0.2}
    assert set(differences(alone).keep_fraction) == {0.2}
    assert faults(alone) == []
    assert control_difference(alone) == control_difference(curves)


def test_swapping_the_methods_turns_every_difference_round(curves):
    names = {"liprune": "random", "random": "liprune"}
    turned = differences(curves.assign(method=curves.method.replace(names)))
    plain = differences(curves)
    for statistic in STATISTICS:
        np.testing.assert_allclose(turned[statistic], -plain[statistic], atol=1e-12)


def test_differences_are_the_effects_undiluted(curves):
    found = differences(shuffled(curves)).set_index([*CELL, "seed"])
    assert len(found) == 48
    for key, row in found.iterrows():
        depth, rate, pruned, fraction, seed = key
        expected = effect(depth, rate, pruned, fraction, seed)
        assert (row.mean_error, row.final_error) == pytest.approx((expected, expected))


def test_the_last_difference_is_that_of_the_last_epoch():
    found = differences(two_curves([50, 40, 30], [50, 41, 33])).iloc[0]
    assert found.final_error == -3
    assert found.mean_error == pytest.approx(-4 / 3)


@pytest.mark.parametrize("slow", [0.5, 2.0])
def test_speed_is_that_of_the_epochs_since_the_pruning(slow):
    found = error_speed_up(before_decay(grid_curves(stretch=slow), 9))
    assert found.estimate.value == pytest.approx(1 / slow)
    assert found.counted == tuple(
        (depth, rate, 1, keep) for depth in (14, 20) for rate in (0.01, 0.1) for keep in FRACTIONS
    )


def test_epochs_before_the_rate_falls_are_those_of_settings_with_eight(curves):
    found = before_decay(curves, 9)
    assert set(found.epoch) == set(range(1, 9))
    assert set(found.prune_epoch) == {1}
    assert set(found.method) == {"liprune", "random"}
    assert before_decay(curves, 8).empty
    assert set(before_decay(curves, 13).prune_epoch) == {1, 5}


def test_flat_curves_have_no_speed(curves):
    flat = before_decay(curves.assign(test_error=50 + curves.test_error / 20), 9)
    found = error_speed_up(flat)
    assert found.counted == ()
    assert np.isnan(found.estimate.value)


@pytest.mark.parametrize(("column", "axis"), [("learning_rate", 1), ("prune_epoch", 2)])
def test_levels_are_contrasted_in_settings_that_are_else_the_same(curves, column, axis):
    table = differences(curves)
    first, second = sorted(table[column].unique())
    gap = np.diff(GAPS, axis=axis).reshape(8, 3)
    expected = crossed_mean(gap, 0.9)._replace(num_runs=3)
    assert contrast(shuffled(table), column, second, first) == pytest.approx(expected)
    few = table[table.depth == 14]
    expected = mean_interval(np.diff(GAPS[0], axis=axis - 1).reshape(4, 3).mean(axis=0), 0.9)
    assert contrast(few, column, second, first) == pytest.approx(expected)


def test_pooling_is_over_cells_and_seeds(curves):
    found = pooled(shuffled(differences(curves)), "mean_error")
    assert found == pytest.approx(crossed_mean(GAPS.reshape(16, 3), 0.9))
    assert found.num_runs == 48


def test_few_cells_are_fixed(curves):
    few = differences(curves[curves.depth == 14])
    few = few[few.keep_fraction == 0.2]
    expected = mean_interval(GAPS[0, :, :, 0].reshape(4, 3).mean(axis=0), 0.9)
    assert pooled(few, "mean_error") == pytest.approx(expected._replace(num_runs=12))


def test_control_is_the_gain_of_random_pruning_from_more_batches():
    curves = grid_curves(effect, control=-7.5)  # LiPrune does not enter
    assert control_difference(shuffled(curves)) == pytest.approx((-7.5, -7.5, -7.5, 24))


def test_control_has_an_interval_of_its_own(curves):
    more = (curves.method == "random") & (curves.keep_fraction == 0.5)
    gain = curves.seed.map({0: -1.0, 1: 0.0, 2: 4.0})
    found = control_difference(curves.assign(test_error=curves.test_error + more * gain))
    low, high = scipy.stats.ttest_1samp([-11, -10, -6], 0).confidence_interval(0.9)
    assert found == pytest.approx((-9, low, high, 24))


def test_equal_updates_leave_out_settings_without_a_run_that_is_not_pruned(curves):
    found = equal_updates(curves[(curves.method != "none") | (curves.learning_rate == 0.1)])
    assert set(found.learning_rate) == {0.1}


def test_control_of_a_single_fraction_is_nothing(curves):
    found = control_difference(curves[curves.keep_fraction != 0.5])
    assert found[:3] == (0, 0, 0)
    assert found.below(0.0) is False


def test_last_errors_set_the_methods_of_a_seed_side_by_side(curves):
    found = last_errors(shuffled(curves))
    assert len(found) == 48
    last = curves[curves.epoch == NUM_EPOCHS]
    for row in found.itertuples():
        mine = last[(last.depth == row.depth) & (last.learning_rate == row.learning_rate)]
        mine = mine[mine.seed == row.seed].set_index(["method", "prune_epoch", "keep_fraction"])
        cell = (row.prune_epoch, row.keep_fraction)
        assert row.none == mine.test_error["none", 1, 1.0]
        assert (row.liprune, row.random) == tuple(
            mine.test_error[method, *cell] for method in ("liprune", "random")
        )


def test_final_table_has_mean_and_spread_of_each_method(curves):
    found = final_table(curves)
    assert len(found) == 16 * 3
    row = found[(found.method == "liprune") & (found.depth == 20)].iloc[0]
    own = curves[(curves.method == "liprune") & (curves.epoch == NUM_EPOCHS)]
    for name in CELL:
        own = own[own[name] == row[name]]
    assert (row["mean"], row["sd"]) == pytest.approx((own.test_error.mean(), own.test_error.std()))
    assert row.num_seeds == 3


def test_final_table_does_without_runs_without_pruning(curves):
    found = final_table(curves[curves.method != "none"])
    assert set(found.method) == {"liprune", "random"}
    assert len(found) == 16 * 2


def test_effects_are_those_of_cells_levels_and_all(curves):
    found = effect_table(curves)
    assert len(found) == len(STATISTICS) * (16 + 2 + 2 + 1)
    errors = found[found.statistic == "mean_error"].set_index("name")
    row = errors.loc["20, 0.1, 5, 0.2"]
    assert tuple(row[["difference", "low", "high", "num_pairs"]]) == pytest.approx(
        crossed_mean(GAPS[1, 1, 1, 0][None])
    )
    columns = ["difference", "low", "high", "num_pairs"]
    rate = errors.loc["all, rate 0.1", columns]
    assert tuple(rate) == pytest.approx(crossed_mean(GAPS[:, 1].reshape(8, 3)))
    late = errors.loc["all, pruned at epoch 5", columns]
    assert tuple(late) == pytest.approx(crossed_mean(GAPS[:, :, 1].reshape(8, 3)))
    assert tuple(errors.loc["all", columns]) == pytest.approx(crossed_mean(GAPS.reshape(16, 3)))


def test_equal_updates_are_between_epochs_of_no_pruning(curves):
    found = equal_updates(shuffled(curves))
    assert set(found.method) == {"liprune", "random"}
    assert (found.epoch >= found.prune_epoch).all()
    assert found.none_error.isna().equals(found.num_updates < NUM_BATCHES)
    # Without pruning the invented error falls by 2.5 points in 40 updates.
    expected = 80 - 2.5 * found.num_updates / NUM_BATCHES + found.seed
    expected += 0.1 * found.depth - 20 * found.learning_rate
    known = found.none_error.notna()
    np.testing.assert_allclose(found.none_error[known], expected[known])
    gap = found.test_error - found.none_error
    np.testing.assert_allclose(found.difference[known], gap[known])


def test_pairs_without_fault_have_none(curves):
    assert faults(shuffled(curves)) == []
    assert faults(curves[curves.method != "none"]) == []


@pytest.mark.parametrize("error", [np.nan, -1.0, 100.5, np.inf])
def test_impossible_errors_are_faults(curves, error):
    spoilt = curves.copy()
    last = spoilt[(spoilt.method == "random") & (spoilt.epoch == NUM_EPOCHS)].index[0]
    spoilt.loc[last, "test_error"] = error
    assert faults(spoilt) == ["A test error lies outside 0 to 100 per cent."]


def test_unequal_updates_are_a_fault(curves):
    spoilt = curves.copy()
    spoilt.loc[spoilt[spoilt.method == "liprune"].index[-1], "num_updates"] += 1
    assert faults(spoilt) == ["LiPrune and random pruning differ in their number of updates."]
    lost = curves.drop(curves[curves.method == "random"].index[0])
    assert faults(lost) == ["LiPrune and random pruning differ in their number of updates."]


@pytest.mark.parametrize("column", ["test_error", "train_loss"])
@pytest.mark.parametrize("method", ["liprune", "random", "none"])
def test_runs_that_differ_before_they_prune_are_a_fault(curves, column, method):
    spoilt = curves.copy()
    early = (curves.epoch == 2) & ((curves.prune_epoch == 5) | (curves.method == "none"))
    spoilt.loc[spoilt[early & (curves.method == method)].index[0], column] += 1e-9
    assert faults(spoilt) == ["Runs of one seed differ before they prune."]


def test_pruning_at_once_shares_nothing():
    curves = grid_curves(effect, prune_epochs=(1,))
    assert faults(curves) == []


def test_records_are_described(curves):
    grid = {"num_images": 5120, "num_epochs": 8, "data_source": "CIFAR-10"}
    runs = grid_runs(curves)
    (first, second) = record_table({
        "both": (runs, grid), "one": (runs[runs.depth == 14], grid | {"num_images": 7}),
    }).to_dict("records")  # fmt: skip
    hours = round(len(runs) * 100 / 3600, 1)
    assert first == {
        "record": "both", "ResNets": "14 and 20", "training images": 5120, "epochs": 8,
        "seeds": 3, "runs": len(runs), "hours": hours, "data": "CIFAR-10",
    }  # fmt: skip
    assert (second["ResNets"], second["runs"]) == ("14", len(runs) // 2)


def test_precisions_are_compared_by_seed():
    gap, spread = np.array([0.3, -0.1, 0.4, 0.2]), np.array([0.0, 5.0, -5.0, 2.0])
    rows = [
        {"precision": precision, "seed": seed, "test_error": 40 + spread[seed] + more * gap[seed],
         "train_loss": 1 - more * 0.01 * gap[seed]}
        for more, precision in enumerate(("float32", "bfloat16")) for seed in range(4)
    ]  # fmt: skip
    found = precision_difference(pd.DataFrame(rows).sample(frac=1, random_state=1))
    error, loss = found.itertuples()
    low, high = scipy.stats.ttest_1samp(gap, 0).confidence_interval(0.99)
    assert (error.difference, error.low, error.high) == pytest.approx((0.2, low, high))
    assert (error.seed_sd, error.num_seeds) == (pytest.approx(spread.std(ddof=1)), 4)
    assert loss.difference == pytest.approx(-0.002)


def test_a_trial_compares_machines_seed_by_seed():
    rows = [
        ("none", 0, 0.3, 1.0), ("none", 1, 0.3, 1.0),
        ("liprune", 0, -1.0, 0.25), ("liprune", 1, 1.0, 0.75),
    ]  # fmt: skip
    names = ["method", "seed", "difference", "same_images_kept"]
    words = trial_in_words(pd.DataFrame(rows, columns=names))
    assert "of 2 seeds on both. On the GPU the last test error is 0.300 points higher with" in words
    assert "0 points lower or higher (90% interval 6 points lower to 6 points high" in words
    assert words.endswith("of the images that one keeps the other keeps 25% to 75%.")


def test_machines_are_named_with_what_they_found():
    runs = pd.DataFrame({"seed": [0, 1, 1, 2], "commit": ["a", "a", "b", "b"]})
    gaps = pd.DataFrame({"seed": [0, 1, 2], "mean_error": [0.5, 0.0, -0.25]})
    rows = [
        (seed, 1, rate, batch, 10.0 + batch + 0.1 * (rate == 0.1) * (seed == 1), batch > 2 - at)
        for at, rate in enumerate((0.01, 0.1))
        for seed in (0, 1)
        for batch in range(4)
    ]
    names = ["seed", "prune_epoch", "learning_rate", "batch", "norm", "kept"]
    words = machines_in_words(runs, pd.DataFrame(rows, columns=names), gaps, "b")
    assert (
        "on CPUs (seed 0), +0.50; on a GPU (seed 2), \N{MINUS SIGN}0.25; on both (seed 1), +0.00."
        in words
    )
    assert "network of seed 1: norms differ by at most 1.00%" in words
    assert words.endswith("of 2 batches that one keeps the other keeps 1.")


def test_throughput_is_compared_turn_by_turn_where_all_is_kept():
    rates = {"common": [100, 200, 50], "float32": [150, 300, 100], "bfloat16": [300, 400, 200]}
    rows = [
        (14, method, 1.0, turn, rate)
        for method, of in rates.items()
        for turn, rate in enumerate(of)
    ]
    rows += [(14, "bfloat16", 0.2, turn, 1.0) for turn in range(3)]
    names = ["depth", "method", "keep_fraction", "turn", "images_per_second"]
    found = throughput(pd.DataFrame(rows, columns=names)).set_index("method")
    assert found.loc["float32", ["times_common", "lowest", "highest"]].tolist() == [1.5, 1.5, 2.0]
    assert found.loc["bfloat16", ["times_common", "lowest", "highest"]].tolist() == [3.0, 2.0, 4.0]
    assert found.images_per_second.to_dict() == {"bfloat16": 300, "common": 100, "float32": 150}
