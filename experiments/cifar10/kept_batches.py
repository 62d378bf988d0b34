"""What the batches that LiPrune keeps have in common: brightness, contrast, classes, difficulty."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from torch import nn

from experiments.cifar10.tables import LEVEL
from liprune_utils.batch_scores import best_estimates
from liprune_utils.example_scores import example_losses
from liprune_utils.images import Images
from liprune_utils.intervals import mean_interval
from liprune_utils.speed_up import predicted_speed_up

SCORING = ["learning_rate", "prune_epoch", "seed"]  # tells one scoring of the batches from another
PROPERTIES = {
    "brightness": "brightness",
    "brightness_sd": "differences in brightness",
    "contrast": "contrast",
    "class_shift": "uneven classes",
    "loss": "difficulty",
}


def batch_properties(
    network: nn.Module, images: Images, batches: Sequence[np.ndarray]
) -> pd.DataFrame:
    """Describe batches, one per row; the loss is that of a trained network in eval mode."""
    pixels, labels = images.inputs, images.labels.cpu().numpy()
    bright = pixels.mean(dim=(1, 2, 3)).numpy()
    contrast = pixels.flatten(1).std(dim=1).numpy()
    losses = example_losses(network, pixels, images.labels)
    shares = np.bincount(labels) / len(labels)
    rows = [
        {"brightness": bright[batch].mean(), "brightness_sd": bright[batch].std(ddof=1),
         "contrast": contrast[batch].mean(), "loss": losses[batch].mean(),
         "class_shift": class_shift(labels[batch], shares)}
        for batch in batches
    ]  # fmt: skip
    return pd.DataFrame(rows).rename_axis(index="batch").reset_index()


def class_shift(labels: np.ndarray, shares: np.ndarray) -> float:
    """Compute the total variation distance between labels' classes and the shares of all."""
    own = np.bincount(labels, minlength=len(shares)) / len(labels)
    return float(np.abs(own - shares).sum() / 2)


def kept_shifts(scores: pd.DataFrame, properties: pd.DataFrame) -> pd.DataFrame:
    """Compare the kept batches with all, in standard deviations between batches.

    One row per scoring and property. For batches kept at random the mean is zero.
    """
    joined = scores.merge(properties, on=["seed", "batch"], validate="many_to_one")
    groups = joined.groupby(SCORING)[[*PROPERTIES, "kept"]]
    table = groups.apply(lambda rows: _shift(rows[list(PROPERTIES)], rows.kept))
    return table.rename_axis(columns="property").stack().rename("shift").reset_index()


def _shift(values: pd.DataFrame, kept: pd.Series) -> pd.Series:
    return (values[kept].mean() - values.mean()) / values.std()


def shift_table(shifts: pd.DataFrame) -> pd.DataFrame:
    """Estimate each shift over the seeds, by the epoch of the pruning; rates are averaged."""
    rows = []
    for (epoch, name), found in shifts.groupby(["prune_epoch", "property"], sort=False):
        estimate = mean_interval(found.groupby("seed")["shift"].mean(), LEVEL)
        rows.append({"prune_epoch": epoch, "property": name} | estimate.columns("shift"))
    return pd.DataFrame(rows).rename(columns={"num_runs": "num_seeds"})


def shifts_in_words(shifts: pd.DataFrame) -> str:
    """List the properties in which the kept batches clearly differ, from the table of shifts."""
    clear = shifts[shifts.low * shifts.high > 0]
    listed = "; ".join(
        f"{PROPERTIES[row.property]}, pruned at epoch {row.prune_epoch} "
        f"({row.shift:+.2f}, 90% interval {row.low:.2f} to {row.high:.2f})"
        for row in clear.itertuples()
    )
    return (
        f"{len(clear)} of {len(shifts)} intervals exclude zero, where one would by chance."
        + f" They are, in standard deviations: {listed}." * (len(clear) > 0)
    )


def mean_gains(scores: pd.DataFrame) -> pd.DataFrame:
    """Compute for each scoring the mean norm of the kept batches over that of all."""
    norms = scores.assign(norm=best_estimates(scores.rename(columns={"norm_error": "error"})))
    groups = norms.groupby(SCORING)[["norm", "kept"]]
    gains = groups.apply(lambda rows: predicted_speed_up(rows.norm, np.flatnonzero(rows.kept)))
    return gains.rename("gain").reset_index()
