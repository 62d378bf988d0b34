"""What page 11 reads off its tables, against sums by hand."""

import numpy as np
import pandas as pd
import pytest
import why_tables as toy

from experiments.why.tables import (
    _paired_differences,
    cifar_spreads,
    example_table,
    log_loss_ratio,
    loss_table,
    matched_noise,
    remedy_table,
    seed_estimate,
    shift_table,
)
from liprune_utils.intervals import mean_interval


def row(table: pd.DataFrame, **values) -> pd.Series:
    for name, value in values.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_differences_are_paired_by_seed():
    index = pd.MultiIndex.from_product([("a", "b"), (0, 1, 2)], names=["arm", "seed"])
    values = pd.Series([10.0, 20.0, 30.0, 9.0, 18.9, 29.1], index)
    found = _paired_differences(values, [("a", "b"), ("b", "a")], 0.9)
    assert seed_estimate(found.iloc[0]) == pytest.approx(
        mean_interval(np.array([1, 1.1, 0.9]), 0.9)
    )
    assert found.difference.tolist() == pytest.approx([1, -1])
    assert found.high[0] < 1.5  # far less than the seeds differ
    assert found.low[1] == pytest.approx(-found.high[0])


def test_losses_are_compared_with_random_pruning():
    found = loss_table(toy.long_runs(0.5, -1.0))
    assert len(found) == 6
    liprune = row(found, arm="liprune", measure="full_set_loss")
    assert seed_estimate(liprune) == pytest.approx(mean_interval(np.array([0.45, 0.5, 0.55]), 0.95))
    assert liprune.random == pytest.approx(3)
    assert row(found, arm="hessian", measure="test_error").difference == pytest.approx(-1)
    assert row(found, arm="hessian", measure="kept_set_loss").difference == 0


def test_the_loss_of_all_images_is_compared_by_its_logarithm_and_seed():
    runs = toy.long_runs(0.5, -1.0)
    more = runs.assign(learning_rate=0.01, full_set_loss=2 * runs.full_set_loss)
    logs = [np.log((2 + s + 0.5 * (1 + toy.wobble(s))) / (2 + s)) for s in toy.SEEDS]
    for table in (runs, pd.concat([runs, more])):  # a setting with the same ratios changes nothing
        found = log_loss_ratio(table, "liprune")
        assert found == pytest.approx(mean_interval(np.array(logs), 0.95))


def test_shifts_are_means_over_seeds_of_arms_at_their_own_rate():
    found = shift_table(toy.kept())
    assert set(found.arm) == {"random", "liprune", "hessian"}
    loss = row(found, arm="hessian", statistic="loss_ratio")
    assert loss["mean"] == pytest.approx(2)
    assert loss.low < 1.9 < 2.1 < loss.high
    assert row(found, arm="liprune", statistic="el2n_ratio")["mean"] == pytest.approx(2)
    assert row(found, arm="liprune", statistic="score_sd").num_seeds == 3
    assert "score_sd" not in set(found[found.arm == "random"].statistic)


def test_noise_is_compared_at_the_pruning_in_the_same_seed():
    found = matched_noise(toy.dynamics(noise=2.0))
    noise = row(found, method="liprune", measure="kept_noise")
    assert noise.ratio == pytest.approx(2)
    assert noise.low == pytest.approx(noise.high)  # though the seeds differ threefold
    assert row(found, method="hessian", measure="kept_noise").ratio == pytest.approx(4)
    moment = row(found, method="hessian", measure="kept_second_moment")
    assert (moment.ratio, moment.num_seeds) == (1, 3)


def test_only_epochs_after_the_pruning_count():
    found = remedy_table(toy.curves(), prune_epoch=5)
    assert len(found) == 6
    for arm, against, expected in [
        ("liprune", "random", 1), ("liprune rescaled", "random", 3),
        ("liprune rescaled", "liprune", 2), ("hessian rescaled", "hessian", 2),
    ]:  # fmt: skip
        assert row(found, arm=arm, against=against).difference == pytest.approx(expected)


def test_examples_are_compared_fraction_by_fraction():
    found = example_table(toy.example_curves())
    assert len(found) == 4
    for fraction in (0.2, 0.5):
        hessian = row(found, arm="hessian", keep_fraction=fraction)
        expected = mean_interval(np.array([1.8, 2, 2.2]), 0.9)
        assert seed_estimate(hessian) == pytest.approx(expected)


def test_spreads_are_of_the_papers_batches_and_of_what_the_study_scored():
    found = cifar_spreads(toy.batch_norms(), shift_table(toy.kept())).set_index("what")
    norms = np.arange(10.0, 20.0)
    first = found.loc["batches, before training"]
    assert first.spread == pytest.approx(norms.std(ddof=1) / norms.mean())
    assert first.gain == pytest.approx(18.5 / 14.5)
    # The linear model's batches of 20 points have a relative standard deviation of 0.2.
    assert found.loc["examples, at the pruning"].tolist() == pytest.approx([0.2, 1.3, 20])
    assert list(found.index)[1:3] == ["batches, start of epoch 5", "batches, at the pruning"]
