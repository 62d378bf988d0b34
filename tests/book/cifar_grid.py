"""Curves of an invented grid on CIFAR-10, with known effects, in the shape of the recorded ones."""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pandas as pd

NUM_EPOCHS, NUM_BATCHES = 8, 40
COLUMNS = ["method", "depth", "keep_fraction", "prune_epoch", "learning_rate", "seed"]
FRACTIONS = (0.2, 0.5)


def no_effect(*_: float) -> float:
    return 0.0


def grid_curves(
    effect: Callable[..., float] = no_effect,
    *,
    control: float = -10.0,
    rates: Sequence[float] = (0.01, 0.1),
    prune_epochs: Sequence[int] = (1, 5),
    fractions: Sequence[float] = FRACTIONS,
    num_seeds: int = 3,
    stretch: float = 1.0,
) -> pd.DataFrame:
    """Make curves; ``effect(depth, rate, prune_epoch, fraction, seed)`` is LiPrune's, in points.

    ``control`` is what the largest fraction gains; ``stretch`` multiplies the time that LiPrune
    needs from the pruning on.
    """
    tables = []
    for depth, rate, seed in product((14, 20), rates, range(num_seeds)):
        setting = {"depth": depth, "learning_rate": rate, "seed": seed}
        runs = [("none", 1.0, 1), *product(("random", "liprune"), fractions, prune_epochs)]
        for method, fraction, pruned in runs:
            extra = effect(depth, rate, pruned, fraction, seed) if method == "liprune" else 0.0
            extra += control * (fraction == max(FRACTIONS))
            slow = stretch if method == "liprune" else 1.0
            columns = {"method": method, "keep_fraction": fraction, "prune_epoch": pruned} | setting
            tables.append(_curve(setting, fraction, pruned, extra, slow).assign(**columns))
    curves = pd.concat(tables, ignore_index=True)
    return curves[[*COLUMNS, "epoch", "num_updates", "test_error", "train_loss"]]


# 80 per cent falling to 60 by a fixed amount an epoch, and by ``1 / slow`` of it after the pruning.
def _curve(
    setting: dict[str, float], fraction: float, pruned: int, extra: float, slow: float
) -> pd.DataFrame:
    epoch = np.arange(1, NUM_EPOCHS + 1)
    after = epoch >= pruned
    time = np.where(after, pruned - 1 + (epoch - pruned + 1) / slow, epoch)
    base = (
        80 - 2.5 * time + setting["seed"] + 0.1 * setting["depth"] - 20 * setting["learning_rate"]
    )
    updates = np.cumsum(np.where(after, round(fraction * NUM_BATCHES), NUM_BATCHES))
    error = base + after * extra
    return pd.DataFrame({
        "epoch": epoch, "num_updates": updates, "test_error": error, "train_loss": base / 30,
    })  # fmt: skip


def grid_runs(curves: pd.DataFrame) -> pd.DataFrame:
    """Make the table of runs that belongs to curves: every batch has 128 images."""
    runs = curves[curves.epoch == NUM_EPOCHS].drop(columns="epoch").reset_index(drop=True)
    kept = (runs.keep_fraction * NUM_BATCHES).round().astype(int) * 128
    return runs.assign(num_images_kept=kept, seconds=100.0)
