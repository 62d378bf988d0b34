"""What the linear-model runs say: tidy tables, the closed form beside them."""

import numpy as np
import pandas as pd

from experiments.linear_model.runs import NUM_STEPS, Cell, Runs
from liprune_utils.checks import require
from liprune_utils.intervals import Estimate, mean_interval, ratio_interval, standard_error
from liprune_utils.problems import NOISE_SD
from liprune_utils.pruning import num_kept
from liprune_utils.sgd import Moments, exact_moments

LOSSES = ("test", "kept", "full")


def curve_table(runs: dict[Cell, Runs]) -> pd.DataFrame:
    """Tabulate the mean losses and their standard errors, one row a curve and step.

    Args:
        runs: The simulated runs.

    Returns:
        The tidy table, in the order of ``runs``.
    """
    return pd.concat([cell_table(*item) for item in runs.items()], ignore_index=True)


def cell_table(cell: Cell, runs: Runs) -> pd.DataFrame:
    """Tabulate one curve.

    Args:
        cell: Which curve it is.
        runs: Its runs.

    Returns:
        One row a step.
    """
    columns = {**cell._asdict(), "batch_size": runs.setting.batch_size}
    columns |= {"learning_rate": runs.setting.learning_rate, "step": np.arange(NUM_STEPS + 1)}
    columns |= {"num_runs": runs.error.shape[1]}
    for name in LOSSES:
        loss = runs.loss(name)
        columns |= {
            f"{name}_loss_mean": loss.mean(axis=1),
            f"{name}_loss_se": standard_error(loss.T),
        }
    return pd.DataFrame(columns)


def closed_form_table(runs: dict[Cell, Runs]) -> pd.DataFrame:
    """Hold the simulated losses against the closed form on the same data sets.

    Args:
        runs: The simulated runs.

    Returns:
        One row a curve, step and loss: simulated and expected means, the standard error of their
        paired difference, and that difference in standard errors, ``z``.
    """
    tables = []
    for cell, cell_runs in runs.items():
        for name, expected in cell_runs.expected_losses().items():
            simulated = cell_runs.loss(name)
            se = standard_error((simulated - expected).T)
            columns = {**cell._asdict(), "step": np.arange(NUM_STEPS + 1), "loss": name}
            columns |= {"simulated": simulated.mean(axis=1), "expected": expected.mean(axis=1)}
            tables.append(pd.DataFrame(columns | {"difference_se": se}))
    table = pd.concat(tables, ignore_index=True)
    return table.assign(z=(table.simulated - table.expected) / table.difference_se)


def gaps(runs: dict[Cell, Runs], figure: int, steps: tuple[int, ...]) -> dict[str, Estimate]:
    """Estimate the paired differences of test loss, LiPrune minus random pruning.

    Args:
        runs: The simulated runs.
        figure: The figure.
        steps: Steps at which to compare.

    Returns:
        For each keep fraction and step, under a name for the reader, the difference with its 99%
        interval.
    """
    found = {}
    for cell in (cell for cell in runs if cell[:2] == (figure, "liprune")):
        random = runs[cell._replace(method="random")].loss("test")
        difference = runs[cell].loss("test") - random
        for step in steps:
            where = f"Figure {figure}, keep {cell.keep_fraction:g}, step {step}"
            found[where] = mean_interval(difference[step])
    return found


def initial_loss_ratios(runs: dict[Cell, Runs]) -> dict[str, Estimate]:
    """Compare the losses at step 0, LiPrune over random pruning, at the smallest fraction kept.

    Args:
        runs: The simulated runs.

    Returns:
        The ratio of the test losses and of the losses on the kept training points.
    """
    cell = min((c for c in runs if c[:2] == (1, "liprune")), key=lambda c: c.keep_fraction)
    other = runs[cell._replace(method="random")]
    return {
        name: ratio_interval(runs[cell].loss(name)[0], other.loss(name)[0])
        for name in ("test", "kept")
    }


def population_excess(
    keep_fraction: float, method: str, *, batch_size: int, learning_rate: float, slope: float
) -> np.ndarray:
    r"""Compute the expected excess test loss for one typical data set, without simulation.

    The inputs are replaced by the quantiles of :math:`U(-5, 5)`: the closed form of
    `liprune_utils.sgd.exact_moments` on those points, times half the mean square of a fresh input.
    Data sets differ, so that the mean over them is larger, most of all when little is kept.

    Args:
        keep_fraction: Fraction kept, in (0, 1].
        method: "liprune" or "random".
        batch_size: Distinct points a step.
        learning_rate: Step size.
        slope: True slope.

    Returns:
        Array of shape ``[num_steps + 1]``.
    """
    require(method in ("liprune", "random"), "method", method, "liprune or random")
    count = num_kept(1000, keep_fraction)
    low = 1 - keep_fraction if method == "liprune" else 0.0  # |x| / 5 is uniform on [low, 1]
    x = 5 * (low + (1 - low) * (np.arange(count) + 0.5) / count)[:, None]
    exact = exact_moments(
        Moments.of(x, np.zeros_like(x)),
        batch_size=batch_size,
        learning_rate=learning_rate,
        num_steps=NUM_STEPS,
        slope=slope,
        noise_sd=NOISE_SD,
    )
    return exact.square[:, 0] * 25 / 3 / 2
