r"""Predicted and observed: how much faster LiPrune should train than random pruning, and does.

The prediction is the mean constant of what is kept over the mean of all. What is observed is the
speed-up of `liprune_utils.speed_up`, in the linear model, in the convex head of page 06, and in
networks, pruned by points and by batches.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from experiments.cifar10.kept_batches import mean_gains
from experiments.cifar10.tables import CELL, before_decay, error_speed_up
from experiments.convex_is_not_enough.head_tables import LEVEL, head_estimate, head_speed_ups
from experiments.linear_model.runs import Pruning, Setting, simulate
from experiments.what_accelerates.closed_forms import BATCH_SIZE, LEARNING_RATE
from experiments.why.matched_spread import SIZES, spread_table
from liprune_utils.book.formats import relative
from liprune_utils.intervals import Estimate, mean_interval
from liprune_utils.speed_up import SpeedUp, speed_up

KEEP_FRACTION = 0.2


def compared(model: str, unit: str, predicted: Estimate, observed: Estimate) -> dict[str, object]:
    """Make a row of what is predicted and observed."""
    columns = predicted.named_columns("predicted") | observed.named_columns("observed")
    return {"model": model, "unit": unit} | columns | {"num_runs": observed.num_runs}


def linear_points(num_runs: int, seed: int, slope: float) -> dict[str, object]:
    """Prune points in the paper's linear model, on the data sets of page 04."""
    setting = Setting(BATCH_SIZE, LEARNING_RATE, (KEEP_FRACTION,))
    paths = simulate({0: setting}, num_runs=num_runs, seed=seed, slope=slope)[0]
    own, rival = (paths[Pruning(name, KEEP_FRACTION)] for name in ("liprune", "random"))
    gains = own.sets["kept"].xx / own.sets["full"].xx
    curves = (arm.excess_test_loss()[1:].T for arm in (rival, own))  # both start from step 0
    return compared("linear", "points", mean_interval(gains, LEVEL), speed_up(*curves).estimate)


def spread_races(
    batch_sizes: Iterable[int], num_runs: int, seed: int, slope: float
) -> pd.DataFrame:
    """Race in the linear model with batches, at sizes a factor of two apart and at some others."""
    return spread_table(sorted({*SIZES, *batch_sizes}), num_runs, seed, slope)


def linear_batches(races: pd.DataFrame, batch_size: int) -> dict[str, object]:
    """Read from page 11's races what batches of one size are worth in the linear model."""
    row = races.set_index("batch_size").loc[batch_size]
    found = (Estimate.of(row, name) for name in ("gain", "speed_up"))
    return compared("linear", "batches", *found)


def head_rows(curves: pd.DataFrame, constants: pd.DataFrame) -> list[dict[str, object]]:
    """Compare in page 06's convex head, at one step size for all."""
    table = head_speed_ups(curves, constants)
    return [
        compared(
            "head", unit, head_estimate(table, unit, name="predicted"), head_estimate(table, unit)
        )
        for unit in ("batches", "points")
    ]


def network_speed_up(curves: pd.DataFrame, method: str, decay: int) -> tuple[SpeedUp, bool]:
    """Compare a method with random pruning in recorded networks, by their test errors.

    Where no cell has enough epochs before the decay of the rate, all epochs from the pruning on
    count, in all cells; the second value is False then.
    """
    kept = curves[curves.keep_fraction == KEEP_FRACTION]
    early = before_decay(kept, decay)
    return error_speed_up(early if len(early) else kept, method), len(early) > 0


def batch_gains(scores: pd.DataFrame, cells: Sequence[tuple[float, ...]]) -> Estimate:
    """Estimate over seeds the mean Hessian norm of the kept batches over that of all, in cells."""
    gains = mean_gains(scores)
    chosen = pd.DataFrame(cells, columns=CELL)[["learning_rate", "prune_epoch"]]
    found = mean_interval(gains.merge(chosen).groupby("seed").gain.mean(), LEVEL)
    return found._replace(low=max(found.low, 1.0))  # what is kept has the largest norms


def point_gains(kept_facts: pd.DataFrame) -> Estimate:
    """Estimate the same of single images, as page 11's recorded study scored them."""
    chosen = kept_facts[kept_facts.arm == "hessian"]
    return mean_interval(chosen.score_gain.to_numpy(), LEVEL)


def found(rows: pd.DataFrame, model: str, unit: str, name: str = "observed") -> Estimate:
    """Read an estimate of one model and unit back from the table."""
    return Estimate.of(rows.set_index(["model", "unit"]).loc[model, unit], name)


def faster(rows: pd.DataFrame, model: str, unit: str, name: str = "observed") -> str:
    """Write an estimate in words, such as "10% slower (90% interval 5 to 15%)"."""
    estimate = found(rows, model, unit, name)
    if np.isnan(estimate.value):  # the curves share no level
        return "at a speed that cannot be compared"
    return relative(estimate, level=LEVEL, words=("slower", "faster"))


def comparison_table(rows: Sequence[dict[str, object]]) -> pd.DataFrame:
    """Order the rows by model, batches before points."""
    models = {"linear": 0, "head": 1, "network": 2}
    table = pd.DataFrame(rows)
    return table.iloc[np.lexsort([table.unit, table.model.map(models)])].reset_index(drop=True)
