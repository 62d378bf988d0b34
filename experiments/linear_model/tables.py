"""Tables of the linear-model runs, with the closed form beside them."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd

from experiments.linear_model.runs import NUM_POINTS, NUM_STEPS, Paths, Pruning
from liprune_utils.checks import require
from liprune_utils.intervals import Estimate, mean_interval, ratio_interval, standard_error
from liprune_utils.problems import NOISE_SD
from liprune_utils.pruning import num_kept
from liprune_utils.sgd import Moments, exact_moments

LOSSES = ("test", "kept", "full")
Figures: TypeAlias = Mapping[int, Mapping[Pruning, Paths]]


def curve_table(figures: Figures) -> pd.DataFrame:
    """Tabulate the mean losses and their standard errors, one row per curve and step."""
    curves = [
        _curve({"figure": figure, **pruning._asdict()}, paths)
        for figure, pruned in figures.items()
        for pruning, paths in pruned.items()
    ]
    return pd.concat(curves, ignore_index=True)


def _curve(columns: dict[str, object], paths: Paths) -> pd.DataFrame:
    columns |= {"batch_size": paths.setting.batch_size}
    columns |= {"learning_rate": paths.setting.learning_rate, "step": np.arange(NUM_STEPS + 1)}
    columns |= {"num_runs": paths.error.shape[1]}
    for name in LOSSES:
        loss = paths.loss(name)
        columns |= {
            f"{name}_loss_mean": loss.mean(axis=1),
            f"{name}_loss_se": standard_error(loss.T),
        }
    return pd.DataFrame(columns)


def closed_form_table(figures: Figures) -> pd.DataFrame:
    """Compare the simulated losses with the closed form on the same data sets."""
    tables = []
    for figure, pruned in figures.items():
        for pruning, paths in pruned.items():
            for name, expected in paths.expected_losses().items():
                simulated = paths.loss(name)
                se = standard_error((simulated - expected).T)
                columns = {"figure": figure, **pruning._asdict(), "step": np.arange(NUM_STEPS + 1)}
                columns |= {"loss": name, "simulated": simulated.mean(axis=1)}
                columns |= {"expected": expected.mean(axis=1), "difference_se": se}
                tables.append(pd.DataFrame(columns))
    table = pd.concat(tables, ignore_index=True)
    return table.assign(z=(table.simulated - table.expected) / table.difference_se)


def gaps(figures: Figures, figure: int, steps: tuple[int, ...]) -> dict[str, Estimate]:
    """Estimate the paired differences of test loss, LiPrune minus random pruning."""
    differences = {}
    for (method, fraction), paths in figures[figure].items():
        if method == "liprune":
            gap = paths.loss("test") - figures[figure]["random", fraction].loss("test")
            for step in steps:
                name = f"Figure {figure}, keep {fraction:g}, step {step}"
                differences[name] = mean_interval(gap[step])
    return differences


def loss_ratio(figures: Figures, figure: int, keep_fraction: float, step: int) -> Estimate:
    """Estimate the ratio of mean test losses at a step, LiPrune over random pruning."""
    pair = (figures[figure][method, keep_fraction] for method in ("liprune", "random"))
    return ratio_interval(*(paths.loss("test")[step] for paths in pair))


def initial_loss_ratios(figures: Figures) -> dict[str, Estimate]:
    """Compare the losses at step 0, LiPrune over random pruning, at the smallest fraction kept."""
    fewest = min(fraction for _, fraction in figures[1])
    pair = [figures[1][method, fewest] for method in ("liprune", "random")]
    return {
        name: ratio_interval(*(paths.loss(name)[0] for paths in pair)) for name in ("test", "kept")
    }


def typical_moments(keep_fraction: float, method: str) -> Moments:
    """Take the moments of a typical data set: the quantiles of :math:`U(-5, 5)` in place of x."""
    require(method in ("liprune", "random"), "method", method, "liprune or random")
    count = num_kept(NUM_POINTS, keep_fraction)
    low = 1 - keep_fraction if method == "liprune" else 0.0  # |x| / 5 is uniform on [low, 1]
    x = 5 * (low + (1 - low) * (np.arange(count) + 0.5) / count)[:, None]
    return Moments.of(x, np.zeros_like(x))


def population_excess(
    keep_fraction: float, method: str, *, batch_size: int, learning_rate: float, slope: float
) -> np.ndarray:
    """Compute the expected excess test loss for one typical data set, without simulation.

    Data sets differ, so that the mean over them is larger, most of all when little is kept.
    """
    exact = exact_moments(
        typical_moments(keep_fraction, method),
        batch_size=batch_size,
        learning_rate=learning_rate,
        num_steps=NUM_STEPS,
        slope=slope,
        noise_sd=NOISE_SD,
    )
    return exact.square[:, 0] * 25 / 3 / 2


def slope_table(slopes: Sequence[float], steps: Sequence[int]) -> pd.DataFrame:
    """Tabulate expected excess losses, LiPrune over random pruning, by the true slope."""
    setting = {"batch_size": 10, "learning_rate": 0.01}
    excess = {
        slope: [population_excess(0.1, m, **setting, slope=slope) for m in ("liprune", "random")]
        for slope in slopes
    }
    rows = [(s, t, excess[s][0][t] / excess[s][1][t]) for s in slopes for t in steps]
    return pd.DataFrame(rows, columns=["slope", "step", "ratio"])
