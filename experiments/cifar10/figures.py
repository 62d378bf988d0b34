"""Figures of page 09: the paper's Figures 2 and 13 to 16, the pairs' differences, equal updates."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.cifar10.tables import CELL, part
from liprune_utils.book.style import METHODS, grid_of_panels, shared_legend

SCOPES = {
    "cell": {"color": "#444444", "marker": "o", "label": "a cell"},
    "learning_rate": {"color": "#E69F00", "marker": "s", "label": "cells of a rate"},
    "prune_epoch": {"color": "#009E73", "marker": "^", "label": "cells of a prune epoch"},
    "all": {"color": "#CC79A7", "marker": "D", "label": "all cells"},
}
FRACTIONS = ("o", "s", "^", "D")  # markers of the fractions kept, from the smallest


def plot_range(axes: Axes, curves: pd.DataFrame) -> None:
    """Draw test error by epoch: the mean over seeds, and a band from the lowest to the highest.

    Args:
        axes: Where to draw.
        curves: Rows of one panel.
    """
    for method, rows in curves.groupby("method", sort=False):
        errors = rows.groupby("epoch").test_error.agg(["mean", "min", "max"])
        look = METHODS[method]
        axes.plot(errors.index, errors["mean"], **look)
        color = look["color"]
        axes.fill_between(
            errors.index, errors["min"], errors["max"], color=color, alpha=0.2, linewidth=0
        )


def cells_figure(curves: pd.DataFrame) -> Figure:
    """Draw test error against epoch, a panel for each cell, as in the paper's Figures 13 to 16.

    Args:
        curves: One row a run and epoch; runs without pruning are drawn in each cell of their depth
            and rate.

    Returns:
        The figure; bands go from the lowest to the highest seed, the vertical line is the pruning.
    """
    kept = curves[curves.method != "none"]
    cells = list(kept.groupby(CELL).groups)
    several = kept.learning_rate.nunique() > 1
    figure, panels = grid_of_panels(len(cells))
    for axes, cell in zip(panels, cells, strict=True):
        depth, rate, pruned, fraction = cell
        plot_range(axes, part(curves, **dict(zip(CELL, cell, strict=True))))
        axes.axvline(pruned - 1, color="black", linewidth=0.8)
        axes.set_title(
            f"ResNet-{depth}, keep {fraction:g}" + f", rate {rate:g}" * several, fontsize=10
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.supxlabel("epoch", fontsize=11)
    figure.supylabel("test error (%)", fontsize=11)
    shared_legend(figure)
    return figure


def cell_frame(curves: pd.DataFrame, cell: dict[str, float]) -> Figure:
    """Draw one cell of a grid; all cells have the same scales.

    Args:
        curves: One row a run and epoch, of the whole grid.
        cell: Values of the columns of ``CELL``.

    Returns:
        The figure; bands go from the lowest to the highest seed, the vertical line is the pruning.
    """
    figure, axes = plt.subplots(figsize=(6.4, 3.8))
    plot_range(axes, part(curves, **cell))
    axes.axvline(cell["prune_epoch"] - 1, color="black", linewidth=0.8)
    axes.set_title(
        f"ResNet-{cell['depth']}, rate {cell['learning_rate']:g}, pruned at the start of epoch "
        f"{cell['prune_epoch']}, keep {cell['keep_fraction']:g}",
        fontsize=10,
    )
    axes.set(xlabel="epoch", ylabel="test error (%)")
    axes.set_ylim(curves.test_error.min() - 1, curves.test_error.max() + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return figure


def effects_figure(effects: pd.DataFrame, margin: float) -> Figure:
    """Draw LiPrune's difference from random pruning, cell by cell and pooled (a forest plot).

    Args:
        effects: From `experiments.cifar10.tables.effect_table`.
        margin: Half the width of the shaded margin, in points.

    Returns:
        The figure; bars are 90% intervals.
    """
    titles = {"mean_error": "mean from the pruning on", "final_error": "last epoch"}
    rows = effects[effects.statistic == "mean_error"]
    places = np.arange(len(rows))[::-1]
    figure, panels = plt.subplots(1, 2, figsize=(6.4, 1.6 + 0.22 * len(rows)), sharey=True)
    for axes, (statistic, title) in zip(panels, titles.items(), strict=True):
        axes.axvspan(-margin, margin, color="#56B4E9", alpha=0.25, linewidth=0)
        axes.axvline(0, color="black", linewidth=0.8)
        mine = effects[effects.statistic == statistic]
        for scope, look in SCOPES.items():
            here = (mine.scope == scope).to_numpy()
            found = mine[here]
            bars = [found.difference - found.low, found.high - found.difference]
            axes.errorbar(
                found.difference, places[here], xerr=bars, linestyle="none", markersize=4,
                linewidth=1.2, **look,
            )  # fmt: skip
        axes.set_title(title, fontsize=10)
        axes.grid(visible=False, axis="y")
    panels[0].set_yticks(places, rows.name, fontsize=9)
    panels[0].set_ylabel("depth, rate, prune epoch, fraction kept", fontsize=10)
    figure.supxlabel("test error, LiPrune − random (points)", fontsize=11)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def updates_figure(curves: pd.DataFrame, decay_epochs: Sequence[int]) -> Figure:
    """Draw test error against the number of updates, a panel for each depth and rate.

    Args:
        curves: One row a run and epoch, of one prune epoch.
        decay_epochs: The rate is divided by 10 at the start of each.

    Returns:
        The figure; lines are means over seeds, markers the last epoch before each division.
    """
    settings = list(curves.groupby(["depth", "learning_rate"]))
    fractions = sorted(curves.keep_fraction[curves.method != "none"].unique())
    markers = dict(zip(fractions, FRACTIONS, strict=False))
    figure, panels = grid_of_panels(len(settings))
    for axes, ((depth, rate), runs) in zip(panels, settings, strict=True):
        for (method, fraction), rows in runs.groupby(["method", "keep_fraction"], sort=False):
            line = rows.groupby("epoch")[["num_updates", "test_error"]].mean()
            marks = [line.index.get_loc(epoch - 1) for epoch in decay_epochs]
            name = METHODS[method]["label"] + f", keep {fraction:g}" * (method != "none")
            look = METHODS[method] | {"label": name, "linewidth": 1.4, "markersize": 6}
            axes.plot(
                *line.to_numpy().T, marker=markers.get(fraction, "x"), markevery=marks, **look
            )
        axes.set_title(f"ResNet-{depth}, rate {rate:g}", fontsize=10)
        axes.set_xscale("log")
    figure.supxlabel("number of updates", fontsize=11)
    figure.supylabel("test error (%)", fontsize=11)
    entries = panels[0].get_legend_handles_labels()
    figure.legend(*entries, loc="outside upper center", ncols=2, fontsize=10)
    return figure


def plot_errors(axes: Axes, curves: pd.DataFrame) -> None:
    """Draw test error by epoch: thin lines for the seeds, a thick one for their mean.

    Args:
        axes: Where to draw.
        curves: Rows of one panel.
    """
    for method, rows in curves.groupby("method", sort=False):
        look = METHODS[method]
        seeds = rows.pivot_table(index="epoch", columns="seed", values="test_error")
        axes.plot(seeds, color=look["color"], linestyle=look["linestyle"], linewidth=0.8, alpha=0.6)
        axes.plot(seeds.mean(axis=1), marker="o", markersize=4, **look)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def error_figure(curves: pd.DataFrame) -> Figure:
    """Draw test error against epoch, a panel for each cell and fraction kept.

    Args:
        curves: The table of test errors.

    Returns:
        The figure.
    """
    keys = ["depth", "learning_rate", "prune_epoch", "keep_fraction"]
    cells = list(curves[curves.method != "none"].groupby(keys).groups)
    figure, panels = grid_of_panels(len(cells))
    for axes, (depth, rate, epoch, fraction) in zip(panels, cells, strict=True):
        here = curves.query("depth == @depth and learning_rate == @rate")
        pruned = (here.prune_epoch == epoch) & (here.keep_fraction == fraction)
        plot_errors(axes, here[pruned | (here.method == "none")])
        axes.set_title(
            f"depth {depth}, rate {rate:g}, pruned at {epoch}, keep {fraction:g}", size=9
        )
    figure.supxlabel("epoch", fontsize=11)
    figure.supylabel("test error (%)", fontsize=11)
    shared_legend(figure)
    return figure


def scores_figure(scores: pd.DataFrame) -> Figure:
    """Draw the sorted dominant eigenvalues of the batches, a curve for each scoring.

    Args:
        scores: The table of scores.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    keys = ["depth", "learning_rate", "prune_epoch", "seed"]
    markers = "osD^vP*X"
    varying = [key for key in keys if scores[key].nunique() > 1] or ["seed"]
    for number, (_, rows) in enumerate(scores.groupby(keys)):
        values = rows.eigenvalue.sort_values(ascending=False).to_numpy()
        marker = markers[number % len(markers)]
        label = ", ".join(f"{key.replace('_', ' ')} {rows[key].iloc[0]:g}" for key in varying)
        axes.plot(range(1, len(values) + 1), values, marker, markersize=5, label=label)
    axes.axhline(0, color="#444444", linewidth=0.8)
    axes.set(xlabel="rank of the batch", ylabel="dominant eigenvalue")
    if scores.groupby(keys).ngroups <= len(markers):
        axes.legend()
    return figure
