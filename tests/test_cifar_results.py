"""What the CIFAR-10 runs say: pairing by seed, and the rule that decides the claim."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from liprune_utils.cifar_results import (
    acceleration_claim,
    control_difference,
    mean_errors,
    method_difference,
    precision_difference,
    throughput,
)
from liprune_utils.records import load_register

NO_NOISE = np.zeros(4)
CONTROL = -10.0  # points by which five times the batches help
WIDE = np.array([-3.0, 3.0, -3.0, 3.0])


def table(gap=NO_NOISE, control=CONTROL + NO_NOISE, depths=(14, 20)) -> pd.DataFrame:
    """Test errors with a given gap between methods, and between fractions, for each seed."""
    rows = []
    methods = [("none", 1.0), *product(("liprune", "random"), (0.2, 0.5))]
    for depth, seed, (method, fraction) in product(depths, range(len(gap)), methods):
        level = 60 + seed + depth + (method == "liprune") * gap[seed]
        level += (fraction == 0.5) * control[seed]
        key = (depth, 0.01, 1, fraction, seed, method)
        rows += [(*key, epoch, level + change) for epoch, change in ((1, 2), (2, 0), (3, -2))]
    names = ["depth", "learning_rate", "prune_epoch", "keep_fraction", "seed", "method", "epoch"]
    return pd.DataFrame(rows, columns=[*names, "test_error"])


def decide(gap, control=CONTROL + NO_NOISE, *, is_cifar10=True):
    return acceleration_claim(table(gap, control), is_cifar10=is_cifar10, cost=2)


def test_errors_are_averaged_over_epochs():
    errors = mean_errors(table())
    assert len(errors) == 2 * 4 * 5
    assert errors["random", 14, 0.01, 1, 0.2, 3] == pytest.approx(77)


def test_difference_is_paired_by_seed_with_a_90_percent_interval():
    gap = np.array([0.1, -0.4, 0.3, 0.9])
    found = method_difference(table(gap).sample(frac=1, random_state=1))  # in any order
    low, high = scipy.stats.ttest_1samp(gap, 0).confidence_interval(0.9)
    assert found == pytest.approx((gap.mean(), low, high, 4))


def test_cells_of_a_seed_are_averaged_first():
    curves = table(np.array([0.5, 1.5]))
    curves.loc[(curves.depth == 20) & (curves.method == "liprune"), "test_error"] += 2
    found = method_difference(curves)
    assert (found.value, found.num_runs) == (pytest.approx(2.0), 2)


def test_control_is_the_gain_of_random_pruning_from_more_batches():
    control = np.array([-9.0, -11.0, -10.0, -12.0])
    found = control_difference(table(gap=WIDE, control=control))  # LiPrune does not enter
    low, high = scipy.stats.ttest_1samp(control, 0).confidence_interval(0.9)
    assert found == pytest.approx((-10.5, low, high, 4))


@pytest.mark.parametrize(
    ("gap", "verdict", "words"),
    [
        (np.array([0.2, -0.2, 0.1, -0.1]), "holds", "within the margin"),
        (0.9 + NO_NOISE, "holds", "within the margin"),
        (np.array([-4.0, -4.5, -5.0, -4.2]), "does-not-hold", "ahead by more than the margin"),
        (WIDE, "inconclusive", "leaves the margin"),
        (np.array([-2.2, -0.5, -2.2, -0.5]), "inconclusive", "leaves the margin"),
        (4 + NO_NOISE, "inconclusive", "leaves the margin"),
    ],
)
def test_verdict_is_one_of_equivalence(gap, verdict, words):
    claim = decide(gap)
    assert claim.verdict == verdict
    assert words in claim.note
    assert claim.estimate == pytest.approx(gap.mean())
    assert claim.low - 1e-9 <= claim.estimate <= claim.high + 1e-9
    assert (claim.num_runs, claim.cost, claim.source) == (4, 2, "executed")


@pytest.mark.parametrize("gap", [NO_NOISE, np.array([-4.0, -4.5, -5.0, -4.2])])
@pytest.mark.parametrize("control", [WIDE, 5 + NO_NOISE, NO_NOISE])
def test_nothing_is_decided_where_the_control_is_not_seen(gap, control):
    claim = decide(gap, control)
    assert claim.verdict == "inconclusive"
    assert "even the positive control is not resolved" in claim.note


@pytest.mark.parametrize("gap", [NO_NOISE, WIDE, -5 + NO_NOISE])
def test_digits_decide_nothing(gap):
    claim = decide(gap, is_cifar10=False)
    assert claim.verdict == "not-evaluated"
    assert claim.note == "Handwritten digits stood in for CIFAR-10."


def test_single_fraction_has_no_control():
    curves = table().query("keep_fraction != 0.5")
    claim = acceleration_claim(curves, is_cifar10=True, cost=0)
    assert claim.verdict == "inconclusive"


def test_claim_is_the_registers():
    assert load_register()[decide(NO_NOISE).id]["page"] == "08_cifar10"


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
