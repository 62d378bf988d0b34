"""The tables of page 11: paired differences, how the kept images differ, the gradient's noise."""

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
import pandas as pd

from experiments.cifar10.tables import CELL, LEVEL, to_settle_in_words
from experiments.hessian_norm.tables import spreads
from experiments.other_scores.tables import gap_table
from experiments.why.matched_spread import matching_size
from liprune_utils.book.register import load_register
from liprune_utils.intervals import Estimate, mean_interval

LOSS_LEVEL = 0.99  # the register's level where it names no other
END_LEVEL = load_register()["asymptotic-loss-b"]["level"]
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
        table = _paired_differences(values, pairs, END_LEVEL)
        tables.append(table.assign(measure=measure, random=values["random"].mean()))
    return pd.concat(tables, ignore_index=True)


def log_loss_ratio(runs: pd.DataFrame, method: str) -> Estimate:
    """Estimate the logarithm of a method's loss of all images over that of random pruning."""
    losses = runs.pivot(index=[*CELL, "seed"], columns="method", values="full_set_loss")
    logs = np.log(losses[method] / losses["random"]).dropna()
    return mean_interval(logs.groupby("seed").mean(), END_LEVEL)


def to_close(log_ratio: Estimate, seconds: float) -> str:
    """Say how many seeds would tell a ratio from 1, if the estimate stays, and at what cost."""
    if log_ratio.below(0.0) is not None:
        return ""
    largest = max(abs(end - 1) for end in log_ratio.exp()[1:3])
    return (
        f" With all images it is open; a difference of more than {largest:.1%} is excluded. "
        f"{to_settle_in_words(log_ratio, 0.0, log_ratio.num_runs, seconds)}"
    )


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


def shifts_in_words(shifts: pd.DataFrame) -> str:
    """Say how the kept images differ from all, from the table of shifts."""
    arms = {
        "random": "random batches", "liprune": "LiPrune's batches",
        "hessian": "images of largest norm",
    }  # fmt: skip
    means = shifts.pivot(index="arm", columns="statistic", values="mean")
    losses = ", ".join(f"{means.loss_ratio[arm]:.2f} ({name})" for arm, name in arms.items())
    classes = ", ".join(f"{means.class_shift[arm]:.2f}" for arm in arms)
    return (
        f"at the pruning, the mean loss of the kept images is {losses} times that of all images. "
        f"The shares of the classes are off by {classes} (total variation distance; the first is "
        f"chance)."
    )


def matched_noise(dynamics: pd.DataFrame) -> pd.DataFrame:
    """Compare the gradient's noise at the moment of pruning, at the same weights."""
    start = dynamics[dynamics.epoch == dynamics.epoch.min()].set_index(["arm", "seed"])
    rows = []
    for measure, method in product(("kept_noise", "kept_second_moment"), METHODS):
        logs = np.log(start[measure])
        ratio = mean_interval(logs[method] - logs["random"], LOSS_LEVEL).exp()
        rows.append(({"method": method, "measure": measure}, "ratio", ratio))
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


def cifar_spreads(batch_norms: pd.DataFrame, shifts: pd.DataFrame) -> pd.DataFrame:
    """List how much the constants of CIFAR-10 differ, and the linear model's batch size for it."""
    paper = batch_norms[(batch_norms.batch_size == 128) & (batch_norms.batch_norm == "train")]
    stages = spreads(paper[(paper.seed == 0) & paper.epoch.isin([1, 5])], ["epoch"])
    names = ["batches, before training", "batches, start of epoch 5"]
    trained = pd.DataFrame({"what": names, "spread": stages.relative_sd, "gain": stages.gain})
    means = shifts.pivot(index="arm", columns="statistic", values="mean")
    names = {"liprune": "batches, at the pruning", "hessian": "examples, at the pruning"}
    columns = {"what": names, "spread": means.score_sd, "gain": means.score_gain}
    table = pd.concat([trained, pd.DataFrame(columns).loc[list(names)]], ignore_index=True)
    return table.assign(batch_size=table.spread.map(matching_size))
