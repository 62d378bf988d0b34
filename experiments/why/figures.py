"""Figures of page 11: losses, noise, dynamics, differences, and what a spread is worth."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from liprune_utils.book.style import METHODS

ARMS = {
    "random": METHODS["random"] | {"marker": "s"},
    "liprune": METHODS["liprune"] | {"label": "LiPrune (batches)", "marker": "o"},
    "hessian": {"label": "Largest norms (examples)", "color": "#009E73", "linestyle": "-.",
                "marker": "^"},
    "liprune rescaled": {"label": "LiPrune, rescaled rate", "color": "#56B4E9",
                         "linestyle": (0, (1, 1)), "marker": "D"},
    "hessian rescaled": {"label": "Examples, rescaled rate", "color": "#CC79A7",
                         "linestyle": (0, (4, 1, 1, 1)), "marker": "v"},
}  # fmt: skip
FRACTION_LOOKS = (
    {"color": "#56B4E9", "linestyle": "-", "marker": "o"},
    {"color": "#009E73", "linestyle": "--", "marker": "s"},
    {"color": "#E69F00", "linestyle": "-.", "marker": "^"},
    {"color": "#CC79A7", "linestyle": ":", "marker": "D"},
)
MEASURES = {
    "kept_noise": "noise, kept batches",
    "all_noise": "noise, all batches",
    "sharpness": "sharpness",
    "full_set_loss": "loss, all images",
}


# Above all panels, two columns wide, so that it fits; the panels have the same entries.
def _legend(figure: Figure) -> None:
    entries = figure.axes[0].get_legend_handles_labels()
    figure.legend(*entries, loc="outside upper center", ncols=2, fontsize=10)


# Logarithmic, its numbers in full, those between powers of ten only where there is room.
def _log_scale(axes: Axes) -> None:
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}" if high < 10 * low else NullFormatter())


def plot_seeds(axes: Axes, table: pd.DataFrame, value: str) -> None:
    """Draw a value by epoch for each arm: thin lines for seeds, a thick one for their mean.

    Args:
        axes: Where to draw.
        table: One row an arm, seed and epoch.
        value: The column.
    """
    for arm, rows in table.groupby("arm", sort=False):
        look = ARMS[arm]
        seeds = rows.pivot(index="epoch", columns="seed", values=value)
        thin = {"color": look["color"], "linestyle": look["linestyle"], "linewidth": 0.6}
        axes.plot(seeds, alpha=0.5, **thin)
        every = max(1, len(seeds) // 8)
        axes.plot(seeds.mean(axis=1), markersize=4, markevery=every, **look)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def long_figure(curves: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """Draw long training: test error by epoch, and where the losses end.

    Args:
        curves: One row a run and epoch of ``experiments/grids/long.yml``.
        runs: One row a run.

    Returns:
        The figure; lines on the right join the two losses of one run.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.8))
    plot_seeds(left, curves.rename(columns={"method": "arm"}), "test_error")
    left.set(xlabel="epoch", ylabel="test error (%)")
    for place, (method, rows) in enumerate(runs.groupby("method", sort=False)):
        look = {name: ARMS[method][name] for name in ("color", "marker", "linestyle")}
        ends = np.array([0, 1]) + 0.16 * (place - 1)
        right.plot(ends, rows[["kept_set_loss", "full_set_loss"]].T, **look, markersize=5)
    right.set(xlim=(-0.4, 1.4), ylabel="loss after the last epoch")
    right.set_xticks([0, 1], ["kept\nimages", "all\nimages"])
    _log_scale(right)
    _legend(figure)
    return figure


def linear_noise_figure(table: pd.DataFrame) -> Figure:
    """Draw the variance of LiPrune's gradient, and what its step leaves, over random pruning's.

    Args:
        table: From `experiments.why.linear_noise.noise_table`.

    Returns:
        The figure; bars are 99% intervals.
    """
    figure, panels = plt.subplots(1, 2, figsize=(6.4, 3.8), sharex=True)
    rows = table[table.method == "liprune"]
    titles = {"noise": "gradient variance", "left": "error² left by a step"}
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        for look, (fraction, part) in zip(
            FRACTION_LOOKS, rows.groupby("keep_fraction"), strict=False
        ):
            bars = [part[name] - part[f"{name}_low"], part[f"{name}_high"] - part[name]]
            label = f"keep {fraction:g}"
            axes.errorbar(part.error, part[name], bars, **look, markersize=4, label=label)
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set_title(f"{title}\nLiPrune / random", fontsize=11)
        axes.set_xscale("log")
    panels[0].set_yscale("log")
    ticks = [0.05, 0.1, 0.2, 0.5, 1, 2]
    panels[0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    panels[0].yaxis.minorticks_off()
    panels[0].invert_xaxis()  # shared: training goes from left to right
    panels[0].xaxis.set_major_formatter("{x:g}")
    figure.supxlabel("distance to the true slope, in units of the first", fontsize=11)
    _legend(figure)
    return figure


def dynamics_figure(dynamics: pd.DataFrame) -> Figure:
    """Draw noise, sharpness and loss after the pruning.

    Args:
        dynamics: One row an arm, seed and measured epoch.

    Returns:
        The figure; a panel for each of ``MEASURES``.
    """
    figure, panels = plt.subplots(2, 2, figsize=(6.4, 5.8), sharex=True)
    for axes, (measure, title) in zip(panels.flat, MEASURES.items(), strict=True):
        plot_seeds(axes, dynamics, measure)
        axes.set_title(title, fontsize=11)
        _log_scale(axes)
    figure.supxlabel("epochs done", fontsize=11)
    _legend(figure)
    return figure


def differences_figure(table: pd.DataFrame, labels: list[str], margin: float) -> Figure:
    """Draw differences of mean test error with their intervals.

    Args:
        table: From `experiments.why.tables.paired_differences`, its 90% intervals.
        labels: What each row compares.
        margin: Half the width of the shaded range of equivalence, in points.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(figsize=(6.4, 1.5 + 0.42 * len(table)))
    places = np.arange(len(table))[::-1]
    axes.axvspan(
        -margin, margin, color="#DDDDDD", label=f"within {margin:g} point of zero", zorder=0
    )
    axes.axvline(0, color="black", linewidth=0.8)
    for place, row in zip(places, table.itertuples(), strict=True):
        look = {name: ARMS[row.arm][name] for name in ("color", "marker")}
        bars = [[row.difference - row.low], [row.high - row.difference]]
        axes.errorbar(row.difference, place, xerr=bars, **look, capsize=3)
    axes.set_yticks(places, labels)
    axes.set(xlabel="difference of mean test error (points)", ylim=(-0.6, len(table) - 0.4))
    _legend(figure)
    return figure


def spread_figure(races: pd.DataFrame, marks: pd.DataFrame) -> Figure:
    """Draw the acceleration of the convex model against the spread of its batches' constants.

    Args:
        races: From `experiments.why.matched_spread.spread_table`.
        marks: From `experiments.why.tables.cifar_spreads`.

    Returns:
        The figure; vertical lines are the spreads of CIFAR-10.
    """
    figure, axes = plt.subplots(figsize=(6.4, 4))
    color = METHODS["liprune"]["color"]
    rows = races.sort_values("spread")
    axes.plot(rows.spread, rows.expected, color=color, label="convex model, exact")
    bars = [rows.ratio - rows.ratio_low, rows.ratio_high - rows.ratio]
    look = {"color": color, "marker": "o", "linestyle": "none", "markersize": 5}
    axes.errorbar(rows.spread, rows.ratio, bars, **look, label="convex model, simulated")
    axes.axhline(1, color="black", linewidth=0.8)
    colors, dashes = ("#444444", "#56B4E9", "#E69F00", "#CC79A7"), ("-", "--", "-.", ":")
    for row, shade, dash in zip(marks.itertuples(), colors, dashes, strict=False):
        axes.axvline(row.spread, color=shade, linestyle=dash, linewidth=1.6, label=row.what)
    axes.set(xscale="log", xlabel="spread of the constants, sd / mean", ylim=(0, 1.05))
    axes.set_ylabel("excess loss, LiPrune / random")
    ticks = [0.05, 0.1, 0.2, 0.5, 1, 2]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.minorticks_off()
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=10
    )
    return figure
