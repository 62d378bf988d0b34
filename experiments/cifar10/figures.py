"""Figures of page 09: the paper's Figures 2 and 13 to 16, the pairs' differences, equal updates."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.cifar10.tables import NETWORK, cells, select
from liprune_utils.book.style import METHODS, facets

SCOPES = {
    "cell": {"color": "#444444", "marker": "o", "label": "a cell"},
    "learning_rate": {"color": "#E69F00", "marker": "s", "label": "cells of a rate"},
    "prune_epoch": {"color": "#009E73", "marker": "^", "label": "cells of a prune epoch"},
    "all": {"color": "#CC79A7", "marker": "D", "label": "all cells"},
}
FRACTION_MARKERS = ("o", "s", "^", "D")  # from the smallest fraction
SEED_MARKERS = "osD^vP*X"
AXES = {"xlabel": "epoch", "ylabel": "test error (%)"}


def cells_figure(curves: pd.DataFrame) -> Figure:
    """Draw test error against epoch, a panel for each cell, as in the paper's Figures 13 to 16."""
    several = curves[curves.method != "none"].learning_rate.nunique() > 1
    panels = {
        f"ResNet-{cell['depth']}, keep {cell['keep_fraction']:g}"
        + f", rate {cell['learning_rate']:g}" * several: cell
        for cell in cells(curves).values()
    }
    return facets(panels, lambda axes, cell: _plot_cell(axes, curves, cell), **AXES)


def cell_frame(curves: pd.DataFrame, cell: dict[str, float]) -> Figure:
    """Draw one cell of a grid; all cells have the same scales."""
    figure, axes = plt.subplots(figsize=(6.4, 3.8))
    _plot_cell(axes, curves, cell)
    axes.set_title(
        f"ResNet-{cell['depth']}, rate {cell['learning_rate']:g}, pruned at the start of epoch "
        f"{cell['prune_epoch']}, keep {cell['keep_fraction']:g}",
        fontsize=10,
    )
    axes.set(**AXES, ylim=(curves.test_error.min() - 1, curves.test_error.max() + 1))
    axes.legend()
    return figure


def _plot_cell(axes: Axes, curves: pd.DataFrame, cell: dict[str, float]) -> None:
    """Draw each method's mean over the seeds in a band from the lowest to the highest."""
    for method, rows in select(curves, **cell).groupby("method", sort=False):
        errors, style = rows.groupby("epoch").test_error, METHODS[method]
        mean, low, high = errors.mean(), errors.min(), errors.max()
        axes.plot(mean, **style)
        axes.fill_between(mean.index, low, high, color=style["color"], alpha=0.2, linewidth=0)
    axes.axvline(cell["prune_epoch"] - 1, color="black", linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def effects_figure(effects: pd.DataFrame, margin: float) -> Figure:
    """Draw LiPrune's difference from random pruning, cell by cell and pooled (a forest plot)."""
    names = effects[effects.statistic == "mean_error"].name
    places = np.arange(len(names))[::-1]

    def draw(axes: Axes, statistic: str) -> None:
        axes.axvspan(-margin, margin, color="#56B4E9", alpha=0.25, linewidth=0)
        axes.axvline(0, color="black", linewidth=0.8)
        table = effects[effects.statistic == statistic]
        for scope, style in SCOPES.items():
            here = (table.scope == scope).to_numpy()
            rows = table[here]
            bars = [rows.difference - rows.low, rows.high - rows.difference]
            axes.errorbar(
                rows.difference, places[here], xerr=bars, linestyle="none", markersize=4,
                linewidth=1.2, **style,
            )  # fmt: skip
        axes.grid(visible=False, axis="y")

    figure = facets(
        {"mean from the pruning on": "mean_error", "last epoch": "final_error"}, draw,
        xlabel="test error, LiPrune − random (points)",
        ylabel="depth, rate, prune epoch, fraction kept",
        share="y", legend=2, height=1.6 + 0.22 * len(names),
    )  # fmt: skip
    figure.axes[0].set_yticks(places, names, fontsize=9)
    return figure


def updates_figure(curves: pd.DataFrame, decay_epochs: Sequence[int]) -> Figure:
    """Draw test error against the number of updates, a panel for each depth and rate."""
    fractions = sorted(curves.keep_fraction[curves.method != "none"].unique())
    markers = dict(zip(fractions, FRACTION_MARKERS, strict=False))

    def draw(axes: Axes, runs: pd.DataFrame) -> None:
        for (method, fraction), rows in runs.groupby(["method", "keep_fraction"], sort=False):
            line = rows.groupby("epoch")[["num_updates", "test_error"]].mean()
            marks = [line.index.get_loc(epoch - 1) for epoch in decay_epochs]
            label = METHODS[method]["label"] + f", keep {fraction:g}" * (method != "none")
            style = METHODS[method] | {"label": label, "linewidth": 1.4, "markersize": 6}
            marker = markers.get(fraction, "x")
            axes.plot(line.num_updates, line.test_error, marker=marker, markevery=marks, **style)

    panels = {
        f"ResNet-{depth}, rate {rate:g}": runs
        for (depth, rate), runs in curves.groupby(["depth", "learning_rate"])
    }
    labels = AXES | {"xlabel": "number of updates"}
    return facets(panels, draw, **labels, legend=2, xscale="log")


def plot_errors(axes: Axes, curves: pd.DataFrame) -> None:
    """Draw test error by epoch: thin lines for the seeds, a thick one for their mean."""
    for method, rows in curves.groupby("method", sort=False):
        style = METHODS[method]
        seeds = rows.pivot_table(index="epoch", columns="seed", values="test_error")
        thin = {"color": style["color"], "linestyle": style["linestyle"], "linewidth": 0.8}
        axes.plot(seeds, **thin, alpha=0.6)
        axes.plot(seeds.mean(axis=1), marker="o", markersize=4, **style)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def error_figure(curves: pd.DataFrame) -> Figure:
    """Draw test error against epoch, a panel for each cell, with a line for each seed."""
    panels = {
        "depth {depth}, rate {learning_rate:g}, pruned at {prune_epoch}, keep "
        "{keep_fraction:g}".format(**cell): select(curves, **cell)
        for cell in cells(curves).values()
    }
    figure = facets(panels, plot_errors, **AXES)
    for axes in figure.axes:
        axes.title.set_size(9)
    return figure


def scores_figure(scores: pd.DataFrame) -> Figure:
    """Draw the sorted dominant eigenvalues of the batches, a curve for each scoring."""
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    varying = [key for key in NETWORK if scores[key].nunique() > 1] or ["seed"]
    groups = scores.groupby(NETWORK)
    for number, (_, rows) in enumerate(groups):
        values = rows.eigenvalue.sort_values(ascending=False).to_numpy()
        marker = SEED_MARKERS[number % len(SEED_MARKERS)]
        label = ", ".join(f"{key.replace('_', ' ')} {rows[key].iloc[0]:g}" for key in varying)
        axes.plot(range(1, len(values) + 1), values, marker, markersize=5, label=label)
    axes.axhline(0, color="#444444", linewidth=0.8)
    axes.set(xlabel="rank of the batch", ylabel="dominant eigenvalue")
    if groups.ngroups <= len(SEED_MARKERS):
        axes.legend()
    return figure
