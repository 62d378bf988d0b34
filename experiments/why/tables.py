"""What page 11 reads off its tables: paired differences, shifts of the kept, the noise."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.cifar10.tables import LEVEL
from experiments.hessian_norm.tables import spreads
from experiments.other_scores.tables import gap_table
from liprune_utils.intervals import Estimate, mean_interval

LOSS_LEVEL = 0.99  # the register's level where it names no other
METHODS = ("liprune", "hessian")  # batches, examples; each against random
DIFFICULTY = ("loss", "el2n")  # of an image
SHIFTS = ("class_shift", "loss_ratio", "el2n_ratio", "score_sd", "score_gain", "importance_gain")
REMEDY = (
    ("liprune", "random"),
    ("liprune rescaled", "random"),
    ("liprune rescaled", "liprune"),
    ("hessian", "random"),
    ("hessian rescaled", "random"),
    ("hessian rescaled", "hessian"),
)


def paired_differences(
    values: pd.Series, pairs: Sequence[tuple[str, str]], level: float
) -> pd.DataFrame:
    """Estimate differences between arms that share their seeds.

    Args:
        values: A value for each arm and seed, indexed by both in this order.
        pairs: Each an arm and the one that it is compared with.
        level: Confidence level of the intervals, in (0, 1).

    Returns:
        One row a pair: ``arm``, ``against``, mean ``difference`` with its interval (``low``,
        ``high``) and ``num_seeds``.
    """
    rows = []
    for arm, against in pairs:
        found = mean_interval((values[arm] - values[against]).dropna(), level)
        names = ("difference", "low", "high", "num_seeds")
        rows.append({"arm": arm, "against": against} | dict(zip(names, found, strict=True)))
    return pd.DataFrame(rows)


def estimate_of(row: pd.Series) -> Estimate:
    """Read a difference back from its row.

    Args:
        row: Of `paired_differences`.

    Returns:
        The estimate.
    """
    return Estimate(row.difference, row.low, row.high, int(row.num_seeds))


def loss_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Compare where long training ends: the loss of all images, of the kept, and the test error.

    Args:
        runs: One row a run: ``method``, ``seed``, ``full_set_loss``, ``kept_set_loss`` and
            ``test_error`` of the last epoch.

    Returns:
        The table of `paired_differences` from random pruning at 99%, with ``measure`` and random
        pruning's mean, ``random``.
    """
    tables = []
    for measure in ("full_set_loss", "kept_set_loss", "test_error"):
        values = runs.set_index(["method", "seed"])[measure]
        pairs = [(method, "random") for method in METHODS]
        table = paired_differences(values, pairs, LOSS_LEVEL)
        tables.append(table.assign(measure=measure, random=values["random"].mean()))
    return pd.concat(tables, ignore_index=True)


def shift_table(kept: pd.DataFrame) -> pd.DataFrame:
    """Summarise how the kept images differ from all when they are chosen.

    Args:
        kept: One row an arm and seed, from `experiments.why.record.follow`.

    Returns:
        One row an arm (none rescaled) and ``statistic``: mean over seeds, ``low``, ``high`` (99%)
        and ``num_seeds``. ``loss_ratio`` and ``el2n_ratio`` are means of the kept over means of
        all.
    """
    ratios = {f"{name}_ratio": kept[f"kept_{name}"] / kept[f"all_{name}"] for name in DIFFICULTY}
    plain = kept.assign(**ratios)[~kept.arm.str.contains("rescaled")]
    rows = []
    for arm, statistic in ((a, s) for a in ("random", *METHODS) for s in SHIFTS):
        values = plain[plain.arm == arm][statistic].dropna()
        if len(values) >= 2:  # random pruning scores nothing
            found = mean_interval(values, LOSS_LEVEL)
            names = ("mean", "low", "high", "num_seeds")
            rows.append({"arm": arm, "statistic": statistic} | dict(zip(names, found, strict=True)))
    return pd.DataFrame(rows)


def matched_noise(dynamics: pd.DataFrame) -> pd.DataFrame:
    """Compare the gradient's noise at the moment of pruning, at the same weights.

    Args:
        dynamics: One row an arm, seed and measured epoch.

    Returns:
        One row a method and ``measure`` (``kept_noise``, ``kept_second_moment``): its geometric
        mean ``ratio`` to random pruning's with the 99% interval over seeds (``low``, ``high``) and
        ``num_seeds``.
    """
    start = dynamics[dynamics.epoch == dynamics.epoch.min()].set_index(["arm", "seed"])
    rows = []
    for measure in ("kept_noise", "kept_second_moment"):
        logs = np.log(start[measure])
        for method in METHODS:
            found = mean_interval(logs[method] - logs["random"], LOSS_LEVEL)
            ratio, low, high = np.exp(found[:3])
            row = {"method": method, "measure": measure, "ratio": ratio, "low": low, "high": high}
            rows.append(row | {"num_seeds": found.num_runs})
    return pd.DataFrame(rows)


def remedy_table(curves: pd.DataFrame, prune_epoch: int) -> pd.DataFrame:
    """Ask whether the rescaled learning rate changes the outcome.

    Args:
        curves: One row an arm, seed and epoch, with ``test_error``.
        prune_epoch: Epochs from this one on count.

    Returns:
        The table of `paired_differences` of the mean test error over epochs, at 90%.
    """
    after = curves[curves.epoch >= prune_epoch]
    return paired_differences(after.groupby(["arm", "seed"]).test_error.mean(), REMEDY, LEVEL)


def example_table(curves: pd.DataFrame) -> pd.DataFrame:
    """Compare pruning by batches and by examples with random pruning.

    Args:
        curves: One row a run and epoch of ``experiments/grids/examples.yml``.

    Returns:
        The table of `paired_differences` of the mean test error over the epochs after the pruning,
        at 90%, for each ``keep_fraction``.
    """
    gaps = gap_table(curves, LEVEL).rename(columns={"method": "arm"})
    chosen = gaps[(gaps.measure == "mean") & gaps.arm.isin(METHODS)].assign(against="random")
    columns = ["arm", "against", "difference", "low", "high", "num_seeds", "keep_fraction"]
    return chosen[columns].reset_index(drop=True)


def stretched_difference(curves: pd.DataFrame, factor: float, *, start: int, last: int) -> Estimate:
    """Estimate what random pruning's test error would gain if training were faster by a factor.

    Its own curve, read at ``start + factor * (epoch - start)`` instead of at the epoch, by linear
    interpolation, for all epochs whose image is not beyond the last.

    Args:
        curves: One row an arm, seed and epoch.
        factor: Steps of random pruning that one faster step is worth, from 1 to
            ``last - start``.
        start: Epochs before the pruning.
        last: Last epoch before the learning rate falls.

    Returns:
        Mean difference in points of test error with its 90% interval over seeds; negative if the
        error falls.
    """
    random = curves[(curves.arm == "random") & curves.epoch.between(start, last)]
    table = random.pivot(index="epoch", columns="seed", values="test_error")
    epochs = np.arange(start + 1, last + 1)
    images = start + factor * (epochs - start)
    epochs, images = epochs[images <= last], images[images <= last]
    gains = [
        (np.interp(images, table.index, table[seed]) - table[seed].loc[epochs]).mean()
        for seed in table
    ]
    return mean_interval(np.array(gains), LEVEL)


def cifar_spreads(batch_norms: pd.DataFrame, shifts: pd.DataFrame) -> pd.DataFrame:
    """List how much the constants of CIFAR-10 differ, for batches and for examples.

    Args:
        batch_norms: Recorded norms of page 08.
        shifts: From `shift_table`.

    Returns:
        One row each: ``what``, ``spread`` (standard deviation over mean) and ``gain`` (mean of the
        highest fifth over mean of all).
    """
    paper = batch_norms[(batch_norms.batch_size == 128) & (batch_norms.batch_norm == "train")]
    stages = spreads(paper[(paper.seed == 0) & paper.epoch.isin([1, 5])], ["epoch"])
    words = ["batches, before training", "batches, start of epoch 5"]
    found = pd.DataFrame({"what": words, "spread": stages.relative_sd, "gain": stages.gain})
    means = shifts.pivot(index="arm", columns="statistic", values="mean")
    pruned = {"liprune": "batches, at the pruning", "hessian": "examples, at the pruning"}
    columns = {"what": pruned, "spread": means.score_sd, "gain": means.score_gain}
    return pd.concat([found, pd.DataFrame(columns).loc[list(pruned)]], ignore_index=True)
