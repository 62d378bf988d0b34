"""Figures of page 05: who is ahead at which rate, batch size and fraction kept, and where not."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.linear_model.runs import NUM_STEPS
from experiments.what_accelerates.closed_forms import (
    BATCH_SIZE,
    KEEP_FRACTIONS,
    MEAN_SQUARE,
    crossing_rate,
    expected_square,
    square_factor,
    typical_moments,
)
from liprune_utils.book.style import METHODS, grid_of_panels, shared_legend

LOOKS = METHODS | {
    "matched": {"label": "Random, LiPrune's step", "color": "#E69F00", "linestyle": "-."},
    "unbiased": {"label": "Unbiased, p ∝ L", "color": "#009E73", "linestyle": (0, (6, 2))},
    "theorem2": {"label": "Theorem 2", "color": "#CC79A7", "linestyle": (0, (1, 1))},
}
MARKERS = {"liprune": "o", "random": "s", "none": "^", "unbiased": "D"}
FRACTIONS = {0.1: ("o", "#56B4E9"), 0.3: ("s", "#CC79A7"), 0.5: ("^", "#E69F00")}
FRACTIONS |= {0.7: ("D", "#009E73")}


def race_figure(curves: pd.DataFrame) -> Figure:
    """Draw the excess test loss of every method in the paper's setting, a panel a keep fraction.

    Args:
        curves: From `experiments.what_accelerates.tables.curve_table`.

    Returns:
        The figure.
    """
    figure, panels = grid_of_panels(len(KEEP_FRACTIONS))
    for axes, (fraction, here) in zip(panels, curves.groupby("keep_fraction"), strict=True):
        for method, rows in here.groupby("method", sort=False):
            axes.plot(rows.step, rows.excess, **LOOKS[method])
        axes.set(title=f"keep {fraction:g}", yscale="log", ylim=(5e-5, 10))
    figure.supxlabel("SGD step", fontsize=11)
    figure.supylabel("excess test loss", fontsize=11)
    shared_legend(figure)
    return figure


def rates_figure(best: pd.DataFrame, slope: float) -> Figure:
    """Draw the excess after 10 and 30 steps against the step size, a tenth kept.

    Args:
        best: From `experiments.what_accelerates.tables.best_table`.
        slope: True slope.

    Returns:
        The figure; lines are expected on a typical data set, markers measured at the best rates.
    """
    figure, panels = plt.subplots(1, 2, figsize=(6.4, 3.6), sharey=True)
    grid, options = np.geomspace(1e-3, 0.2, 80), {"batch_size": BATCH_SIZE, "slope": slope}
    for axes, steps in zip(panels, sorted(best.step.unique()), strict=True):
        rows = best[(best.step == steps) & (best.keep_fraction == 0.1)].set_index("rival")
        found = {"liprune": rows.loc["random", ["rate", "excess"]]}
        found |= {m: rows.loc[m, ["rival_rate", "rival_excess"]] for m in ("random", "unbiased")}
        for method, point in found.items():
            curve = [
                expected_square(method, 0.1, learning_rate=rate, num_steps=steps, **options)[-1]
                for rate in grid
            ]
            axes.plot(grid, np.array(curve) * MEAN_SQUARE / 2, **LOOKS[method])
            look = {"color": LOOKS[method]["color"], "marker": MARKERS[method]}
            axes.plot(*point, linestyle="none", **look)
        axes.axvline(0.01, color="black", linewidth=0.8)
        axes.set(title=f"after {steps} steps", xscale="log", yscale="log", ylim=(5e-5, 10))
        axes.set_xlabel("learning rate")
    panels[0].set_ylabel("excess test loss")
    shared_legend(figure)
    return figure


def contraction_figure(table: pd.DataFrame) -> Figure:
    """Draw the mean-square contraction against the step size, a panel a keep fraction.

    Args:
        table: From `experiments.what_accelerates.tables.contraction_table`.

    Returns:
        The figure; lines are the closed form on a typical data set, markers are measured.
    """
    figure, panels = grid_of_panels(len(KEEP_FRACTIONS))
    grid = np.linspace(0, 0.25, 200)
    for axes, fraction in zip(panels, KEEP_FRACTIONS, strict=True):
        kept = {m: typical_moments(fraction, m) for m in ("liprune", "random")}
        for method, moments in kept.items():
            q = [square_factor(moments, BATCH_SIZE, rate)[0] for rate in grid]
            axes.plot(grid, q, **LOOKS[method])
            here = table[(table.keep_fraction == fraction) & (table.method == method)]
            look = {"color": LOOKS[method]["color"], "marker": MARKERS[method]}
            axes.plot(here.learning_rate, here.measured, linestyle="none", markersize=5, **look)
        q = (1 - grid * MEAN_SQUARE) ** 2
        axes.plot(grid, q, **LOOKS["unbiased"])
        axes.axhline(1, color="black", linewidth=1)
        crossing = crossing_rate(kept["liprune"], kept["random"], BATCH_SIZE)[0]
        axes.axvline(crossing, color="#888888", linewidth=0.8)
        axes.set(title=f"keep {fraction:g}", ylim=(0, 1.5), xlim=(0, 0.25), xticks=[0, 0.1, 0.2])
    figure.supxlabel("learning rate", fontsize=11)
    figure.supylabel("factor of the mean square error", fontsize=11)
    shared_legend(figure)
    return figure


def batch_figure(table: pd.DataFrame) -> Figure:
    """Draw the ratio of excess test losses against the batch size, pruning points and batches.

    Args:
        table: From `experiments.what_accelerates.claims.batch_table`.

    Returns:
        The figure; markers are simulated with 99% intervals, lines are expected.
    """
    figure, panels = plt.subplots(1, 2, figsize=(6.4, 3.8), sharey=True)
    for axes, pruned in zip(panels, ("points", "batches"), strict=True):
        for fraction, (marker, color) in FRACTIONS.items():
            rows = table[(table.pruned == pruned) & (table.keep_fraction == fraction)]
            bars = [rows.ratio - rows.low, rows.high - rows.ratio]
            look = {"color": color, "marker": marker, "linestyle": "none", "markersize": 5}
            axes.errorbar(
                rows.batch_size, rows.ratio, yerr=bars, label=f"keep {fraction:g}", **look
            )
            axes.plot(rows.batch_size, rows.expected, color=color, linewidth=1)
        axes.set(title=f"pruning {pruned}", xscale="log", yscale="log", xlabel="batch size")
        axes.set_xticks([1, 10, 100], ["1", "10", "100"])
    panels[0].set_ylabel("excess, LiPrune / random")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def bound_figure(bounds: pd.DataFrame, measured: dict[str, np.ndarray]) -> Figure:
    """Draw Theorem 1's bound for the kept points beside the error, a tenth kept.

    Args:
        bounds: From `experiments.what_accelerates.kept_problem.bound_table`.
        measured: For each method the simulated mean of (w_t - w*)^2, shape ``[NUM_STEPS + 1]``.

    Returns:
        The figure.
    """
    figure, panels = plt.subplots(1, 2, figsize=(6.4, 3.6), sharey=True)
    for axes, (method, errors) in zip(panels, measured.items(), strict=True):
        here = bounds[(bounds.keep_fraction == 0.1) & (bounds.method == method)]
        means = here.groupby("step")[["error", "bound", "total_bound"]].mean()
        color = LOOKS[method]["color"]
        axes.plot(means.total_bound, "--", color="black", label="bound, from $w^*$")
        axes.plot(means.bound, color="#888888", label="bound, from $w_K$")
        axes.plot(errors, color=color, label="error, from $w^*$ (simulated)")
        axes.plot(means.error, ":", color=color, label="error, from $w_K$ (exact)")
        axes.set(title=LOOKS[method]["label"], yscale="log", xlabel="SGD step")
        axes.legend(fontsize=8)
    panels[0].set_ylabel("mean square error of w")
    return figure


def frame(keep_fraction: float, batch_size: int, learning_rate: float, slope: float) -> Figure:
    """Draw one frame of a slider: the expected race in one setting.

    Args:
        keep_fraction: Fraction kept.
        batch_size: Points a step.
        learning_rate: Step size.
        slope: True slope.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(figsize=(5.6, 3.8))
    options = {"batch_size": batch_size, "learning_rate": learning_rate, "slope": slope}
    for method in ("liprune", "random", "matched", "unbiased"):
        square = expected_square(method, keep_fraction, num_steps=NUM_STEPS, **options)
        axes.plot(square * MEAN_SQUARE / 2, **LOOKS[method])
    axes.set(yscale="log", ylim=(1e-5, 1e2), xlabel="SGD step", ylabel="expected excess test loss")
    figure.legend(loc="outside upper center", ncols=2)
    return figure
