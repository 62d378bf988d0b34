"""What the CIFAR-10 runs say: paired differences between methods, cell by cell and pooled."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from liprune_utils.intervals import Estimate, crossed_mean

LEVEL = 0.90  # the register's level for equivalence
SETTING = ["depth", "learning_rate", "prune_epoch"]
CELL = [*SETTING, "keep_fraction"]
STATISTICS = {
    "mean_error": "mean test error from the pruning on",
    "final_error": "test error at the last epoch",
    "log_epochs": "epochs to the same test error, logarithm of the ratio",
}


def part(curves: pd.DataFrame, **levels: float) -> pd.DataFrame:
    """Select cells, with the runs without pruning that belong to them.

    Args:
        curves: One row a run and epoch.
        **levels: Values of columns of ``CELL``.

    Returns:
        The rows of these cells; of the runs without pruning all that differ in no more than what
        they do not have, a prune epoch and a fraction.
    """
    for name, value in levels.items():
        pruning = name in ("prune_epoch", "keep_fraction")
        curves = curves[(curves[name] == value) | (pruning & (curves.method == "none"))]
    return curves


def cell_name(cell: Sequence[float]) -> str:
    """Name a cell briefly.

    Args:
        cell: Values of the columns of ``CELL``.

    Returns:
        Words such as "14, 0.01, 5, 0.2".
    """
    return ", ".join(f"{value:g}" for value in cell)


def cells(curves: pd.DataFrame) -> dict[str, dict[str, float]]:
    """List the cells of a grid.

    Args:
        curves: One row a run and epoch.

    Returns:
        For each brief name the values of the columns of ``CELL``.
    """
    kept = curves[curves.method != "none"]
    return {cell_name(c): dict(zip(CELL, c, strict=True)) for c in kept.groupby(CELL).groups}


def pairs(curves: pd.DataFrame) -> pd.DataFrame:
    """Put the test errors of LiPrune and random pruning side by side, from the pruning on.

    Before it the two runs of a pair are one and the same; their epochs would dilute a difference.

    Args:
        curves: One row a run and epoch.

    Returns:
        Per cent, columns ``liprune`` and ``random``, indexed by cell, seed and epoch.
    """
    after = curves[(curves.method != "none") & (curves.epoch >= curves.prune_epoch)]
    keys = [*CELL, "seed", "epoch"]
    return after.pivot(index=keys, columns="method", values="test_error")[["liprune", "random"]]


def epochs_to_threshold(errors: pd.DataFrame) -> pd.DataFrame:
    """Count the epochs from the pruning on until each run of a pair is as good as both become.

    The threshold of a pair is the higher of the two runs' lowest errors, the best that both reach.

    Args:
        errors: From `pairs`.

    Returns:
        Epochs, >= 1, columns ``liprune`` and ``random``, indexed by cell and seed.
    """
    threshold = errors.groupby([*CELL, "seed"]).transform("min").max(axis=1)
    epoch, pruned = (errors.index.get_level_values(name) for name in ("epoch", "prune_epoch"))
    reached = errors.le(threshold, axis=0)
    since = pd.DataFrame(dict.fromkeys(errors, epoch - pruned + 1), index=errors.index)
    return since.where(reached).groupby([*CELL, "seed"]).min()


def differences(curves: pd.DataFrame) -> pd.DataFrame:
    """Subtract random pruning from LiPrune, pair by pair.

    Args:
        curves: One row a run and epoch.

    Returns:
        One row a cell and seed: ``mean_error`` and ``final_error`` in points of test error, and
        ``log_epochs``, the logarithm of the ratio of `epochs_to_threshold`; all are negative where
        LiPrune is ahead.
    """
    errors, keys = pairs(curves), [*CELL, "seed"]
    gap, epochs = (errors.liprune - errors.random).groupby(keys), epochs_to_threshold(errors)
    found = {
        "mean_error": gap.mean(), "final_error": gap.last(),
        "log_epochs": np.log(epochs.liprune / epochs.random),
    }  # fmt: skip
    return pd.DataFrame(found).reset_index()


def pooled(table: pd.DataFrame, statistic: str) -> Estimate:
    """Pool differences over cells and seeds, both random effects.

    Args:
        table: One row a cell and seed.
        statistic: The column to pool.

    Returns:
        The mean with its 90% interval.
    """
    return crossed_mean(table.pivot(index=CELL, columns="seed", values=statistic), LEVEL)


def control_difference(curves: pd.DataFrame) -> Estimate:
    """Estimate the positive control: random pruning, the largest against the smallest fraction.

    More batches an epoch mean more updates an epoch, so the difference must be negative; a
    comparison that cannot see it cannot see acceleration either.

    Args:
        curves: One row a run and epoch.

    Returns:
        Points of mean test error from the pruning on, pooled over the other settings and seeds.
    """
    errors = pairs(curves).random.groupby([*CELL, "seed"]).mean().unstack(["keep_fraction", "seed"])
    fractions = errors.columns.get_level_values("keep_fraction")
    return crossed_mean(errors[fractions.max()] - errors[fractions.min()], LEVEL)


def last_errors(curves: pd.DataFrame) -> pd.DataFrame:
    """Put the last test errors of the three methods side by side.

    Args:
        curves: One row a run and epoch, all runs of the same length.

    Returns:
        One row a cell and seed, with the columns ``liprune``, ``random`` and ``none``; a run
        without pruning stands in every cell of its depth and rate, NaN where there is none.
    """
    last = curves[curves.epoch == curves.epoch.max()]
    keys = ["depth", "learning_rate", "seed"]
    none = last[last.method == "none"].set_index(keys).test_error.rename("none")
    kept = last[last.method != "none"]
    table = kept.pivot(index=[*CELL, "seed"], columns="method", values="test_error")
    return table.reset_index().rename_axis(columns=None).join(none, on=keys)


def final_table(curves: pd.DataFrame) -> pd.DataFrame:
    """Summarise the last test error of each cell and method.

    Args:
        curves: One row a run and epoch.

    Returns:
        One row a cell and method: ``mean`` and ``sd`` over seeds, per cent, and ``num_seeds``.
    """
    methods = ["liprune", "random", "none"]
    errors = last_errors(curves).melt(CELL, methods, "method", "test_error").dropna()
    found = errors.groupby([*CELL, "method"], sort=False).test_error
    return found.agg(mean="mean", sd="std", num_seeds="size").reset_index()


def effect_table(curves: pd.DataFrame) -> pd.DataFrame:
    """Estimate LiPrune's difference from random pruning in each cell, by level, and pooled.

    Args:
        curves: One row a run and epoch.

    Returns:
        One row a statistic of `differences` and scope: ``scope`` ("cell", a column of ``CELL``, or
        "all"), ``name`` for a reader, ``difference``, its 90% interval (``low``, ``high``), and
        ``num_pairs``.
    """
    table = differences(curves)
    parts = [("cell", cell_name(key), rows) for key, rows in table.groupby(CELL)]
    for column, words in (("learning_rate", "rate"), ("prune_epoch", "pruned at epoch")):
        parts += [(column, f"all, {words} {level:g}", p) for level, p in table.groupby(column)]
    rows = []
    for statistic in STATISTICS:
        for scope, name, rows_ in [*parts, ("all", "all", table)]:
            found = dict(zip(("difference", "low", "high", "num_pairs"), pooled(rows_, statistic),
                             strict=True))  # fmt: skip
            rows.append({"statistic": statistic, "scope": scope, "name": name} | found)
    return pd.DataFrame(rows)


def image_pairs(curves: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Say how many more images LiPrune trained on than random pruning, pair by pair.

    Both keep the same number of batches. Where one batch is smaller than the others they may still
    differ in images.

    Args:
        curves: One row a run and epoch.
        runs: One row a run, with ``num_images_kept``.

    Returns:
        The table of `differences`, with ``more_images``.
    """
    keys = [*CELL, "seed"]
    kept = runs.pivot(index=keys, columns="method", values="num_images_kept")
    more = (kept.liprune - kept.random).rename("more_images")
    return differences(curves).join(more, on=keys)


def equal_updates(curves: pd.DataFrame) -> pd.DataFrame:
    """Compare pruned runs with no pruning after as many updates, not epochs.

    Args:
        curves: One row a run and epoch, among them runs without pruning.

    Returns:
        One row a pruned run and epoch from the pruning on, with ``none_error``, the test error
        without pruning at this number of updates, between epochs on a straight line (NaN before
        its first epoch), and ``difference`` from it, in points.
    """
    tables = []
    for _, runs in curves.groupby(["depth", "learning_rate", "seed"]):
        none = runs[runs.method == "none"].sort_values("num_updates")
        kept = runs[(runs.method != "none") & (runs.epoch >= runs.prune_epoch)]
        known = (none.num_updates, none.test_error)
        expected = np.interp(kept.num_updates, *known, left=np.nan)
        tables.append(kept.assign(none_error=expected, difference=kept.test_error - expected))
    return pd.concat(tables, ignore_index=True)


def faults(curves: pd.DataFrame) -> list[str]:
    """Look for what cannot be in curves of paired runs.

    Args:
        curves: One row a run and epoch.

    Returns:
        A sentence for each fault found; none if errors lie in [0, 100], pairs have the same number
        of updates at each epoch, and all methods agree exactly before they prune.
    """
    found = []
    if not curves.test_error.between(0, 100).all():
        found.append("A test error lies outside 0 to 100 per cent.")
    kept = curves[curves.method != "none"].groupby([*CELL, "seed", "epoch"]).num_updates
    if not ((kept.nunique() == 1) & (kept.size() == 2)).all():
        found.append("LiPrune and random pruning differ in their number of updates.")
    early = curves[(curves.epoch < curves.prune_epoch) | (curves.method == "none")]
    shared = early.groupby(["depth", "learning_rate", "seed", "epoch"])
    if (shared[["test_error", "train_loss"]].nunique() > 1).any(axis=None):
        found.append("Runs of one seed differ before they prune.")
    return found
