"""The tables of page 11: paired differences, how the kept images differ, the gradient's noise."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

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


def _paired_differences(
    values: pd.Series, pairs: Sequence[tuple[str, str]], level: float
) -> pd.DataFrame:
    """Estimate differences between arms that share their seeds."""
    return _seed_table(
        ({"arm": arm, "against": against}, "difference",
         mean_interval((values[arm] - values[against]).dropna(), level))
        for arm, against in pairs
    )  # fmt: skip


def _seed_table(rows: Iterable[tuple[dict[str, object], str, Estimate]]) -> pd.DataFrame:
    """Make a table of estimates over seeds: what a row is, the estimate's name and the estimate."""
    table = pd.DataFrame([facts | estimate.columns(name) for facts, name, estimate in rows])
    return table.rename(columns={"num_runs": "num_seeds"})


def seed_estimate(row: pd.Series, name: str = "difference") -> Estimate:
    """Read an estimate over seeds back from its row."""
    return Estimate.of(row.rename({"num_seeds": "num_runs"}), name)


def loss_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Compare where long training ends: the loss of all images, of the kept, and the test error."""
    tables = []
    for measure in ("full_set_loss", "kept_set_loss", "test_error"):
        values = runs.set_index(["method", "seed"])[measure]
        pairs = [(method, "random") for method in METHODS]
        table = _paired_differences(values, pairs, LOSS_LEVEL)
        tables.append(table.assign(measure=measure, random=values["random"].mean()))
    return pd.concat(tables, ignore_index=True)


def shift_table(kept: pd.DataFrame) -> pd.DataFrame:
    """Summarise how the kept images differ from all when they are chosen."""
    ratios = {f"{name}_ratio": kept[f"kept_{name}"] / kept[f"all_{name}"] for name in DIFFICULTY}
    arms = dict(iter(kept.assign(**ratios).groupby("arm")))
    samples = {
        (arm, statistic): arms[arm][statistic].dropna()
        for arm, statistic in product(("random", *METHODS), SHIFTS)
    }
    return _seed_table(
        ({"arm": arm, "statistic": statistic}, "mean", mean_interval(values, LOSS_LEVEL))
        for (arm, statistic), values in samples.items()
        if len(values) >= 2  # random pruning scores nothing
    )


def matched_noise(dynamics: pd.DataFrame) -> pd.DataFrame:
    """Compare the gradient's noise at the moment of pruning, at the same weights."""
    start = dynamics[dynamics.epoch == dynamics.epoch.min()].set_index(["arm", "seed"])
    rows = []
    for measure, method in product(("kept_noise", "kept_second_moment"), METHODS):
        logs = np.log(start[measure])
        *ends, num_seeds = mean_interval(logs[method] - logs["random"], LOSS_LEVEL)
        facts = {"method": method, "measure": measure}
        rows.append((facts, "ratio", Estimate(*map(float, np.exp(ends)), num_seeds)))
    return _seed_table(rows)


def remedy_table(curves: pd.DataFrame, prune_epoch: int) -> pd.DataFrame:
    """Compare the arms with and without the rescaled learning rate."""
    after = curves[curves.epoch >= prune_epoch]
    return _paired_differences(after.groupby(["arm", "seed"]).test_error.mean(), REMEDY, LEVEL)


def example_table(curves: pd.DataFrame) -> pd.DataFrame:
    """Compare pruning by batches and by examples with random pruning."""
    gaps = gap_table(curves, LEVEL).rename(columns={"method": "arm"})
    chosen = gaps[(gaps.measure == "mean") & gaps.arm.isin(METHODS)].assign(against="random")
    columns = ["arm", "against", "difference", "low", "high", "num_seeds", "keep_fraction"]
    return chosen[columns].reset_index(drop=True)


def prediction_table(
    curves: pd.DataFrame, factors: Mapping[str, float], *, start: int, last: int
) -> pd.DataFrame:
    """Compare the test error after the pruning with that of a training faster by a factor.

    The prediction is random pruning's own curve, read at ``start + factor * (epoch - start)``
    instead of at the epoch, by linear interpolation, in all epochs for which that is not beyond the
    last. ``factors`` has a factor for each arm.
    """
    rows = []
    for arm, factor in factors.items():
        random, own, predicted = _stretched(curves, arm, factor, start=start, last=last)
        pairs = {
            "predicted": predicted - random,
            "observed": own - random,
            "observed less predicted": own - predicted,
        }
        for what, gaps in pairs.items():
            facts = {"arm": arm, "what": what, "factor": factor}
            rows.append((facts, "difference", mean_interval(gaps.mean(axis=0), LEVEL)))
    return _seed_table(rows)


def _stretched(
    curves: pd.DataFrame, arm: str, factor: float, *, start: int, last: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the errors of random pruning, of an arm and predicted, each ``[epochs, seeds]``."""
    shown = curves[curves.epoch.between(start, last)]
    table = shown.pivot(index="epoch", columns=["arm", "seed"], values="test_error")
    epochs = np.arange(start + 1, last + 1)
    later = start + factor * (epochs - start)
    epochs, later = epochs[later <= last], later[later <= last]
    random = table["random"]
    predicted = [np.interp(later, random.index, random[seed]) for seed in random]
    return (
        random.loc[epochs].to_numpy(),
        table[arm][random.columns].loc[epochs].to_numpy(),
        np.transpose(predicted),
    )


def cifar_spreads(batch_norms: pd.DataFrame, shifts: pd.DataFrame) -> pd.DataFrame:
    """List how much the constants of CIFAR-10 differ, for batches and for examples."""
    paper = batch_norms[(batch_norms.batch_size == 128) & (batch_norms.batch_norm == "train")]
    stages = spreads(paper[(paper.seed == 0) & paper.epoch.isin([1, 5])], ["epoch"])
    names = ["batches, before training", "batches, start of epoch 5"]
    trained = pd.DataFrame({"what": names, "spread": stages.relative_sd, "gain": stages.gain})
    means = shifts.pivot(index="arm", columns="statistic", values="mean")
    names = {"liprune": "batches, at the pruning", "hessian": "examples, at the pruning"}
    columns = {"what": names, "spread": means.score_sd, "gain": means.score_gain}
    return pd.concat([trained, pd.DataFrame(columns).loc[list(names)]], ignore_index=True)


def predicted_changes(worth: pd.DataFrame) -> pd.DataFrame:
    """Turn what the spreads at the pruning are worth into changes of the excess loss, per cent."""
    rows = zip(METHODS, worth[-len(METHODS) :].itertuples(), strict=True)
    return pd.DataFrame([
        {"arm": arm, "spread": row.spread, "difference": 100 * (row.ratio - 1),
         "low": 100 * (row.ratio_low - 1), "high": 100 * (row.ratio_high - 1)}
        for arm, row in rows
    ])  # fmt: skip
