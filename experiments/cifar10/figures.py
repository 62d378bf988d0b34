"""Figures of page 09: the paper's Figures 2 and 13 to 16, the pairs' differences, equal updates."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from experiments.cifar10.claims import ERROR_MARGIN, SPEED_MARGIN, Comparison
from experiments.cifar10.kept_batches import PROPERTIES
from experiments.cifar10.tables import cells, select
from liprune_utils.book.style import METHODS, facets, shared_legend

FRACTION_MARKERS = ("o", "s", "^", "D")  # from the smallest fraction
AXES = {"xlabel": "epoch", "ylabel": "test error (%)"}


def cells_figure(curves: pd.DataFrame) -> Figure:
    """Draw test error against epoch, a panel for each cell, as in the paper's Figures 13 to 16."""
    kept = curves[curves.method == "liprune"]
    rates, epochs = (kept[name].nunique() > 1 for name in ("learning_rate", "prune_epoch"))
    panels = {
        f"ResNet-{cell['depth']}, keep {cell['keep_fraction']:g}"
        + f", rate {cell['learning_rate']:g}" * rates
        + f", pruned at {cell['prune_epoch']}" * epochs: cell
        for cell in cells(kept).values()
    }
    figure = facets(panels, lambda axes, cell: _plot_cell(axes, curves, cell), **AXES)
    for axes in figure.axes:
        axes.title.set_size(9 if rates and epochs else 10)
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


def summary_figure(comparisons: Mapping[str, Comparison]) -> Figure:
    """Draw LiPrune against random pruning in groups of runs: test error, and epochs needed."""
    names = [f"{name} (n = {found.error.num_runs})" for name, found in comparisons.items()]
    places = np.arange(len(names))[::-1]
    size = (6.4, 1.3 + 0.29 * len(names))
    figure, (left, right) = plt.subplots(1, 2, sharey=True, figsize=size)
    errors = pd.DataFrame([found.error for found in comparisons.values()])
    speed = pd.DataFrame([found.speed_up.estimate for found in comparisons.values()])
    epochs = pd.DataFrame({"value": 1 / speed.value, "low": 1 / speed.high, "high": 1 / speed.low})
    _plot_rows(left, errors, places, 0.0, (-ERROR_MARGIN, ERROR_MARGIN))
    _plot_rows(right, epochs, places, 1.0, (1 / SPEED_MARGIN, SPEED_MARGIN))
    left.set(xlabel="LiPrune − random (points)", title="mean test error")
    right.set(xlabel="LiPrune / random", title="epochs to the same error", xscale="log")
    right.xaxis.set_major_locator(FixedLocator([0.4, 0.6, 0.8, 1, 1.2, 1.5, 2, 3]))
    right.xaxis.set_major_formatter("{x:g}")
    right.minorticks_off()
    left.set_yticks(places, names)
    return figure


def _plot_rows(
    axes: Axes, rows: pd.DataFrame, places: np.ndarray, equal: float, margin: tuple[float, float]
) -> None:
    """Draw intervals (columns ``value``, ``low``, ``high``) beside equality and its margin."""
    axes.axvspan(*margin, color="#56B4E9", alpha=0.25, linewidth=0)
    axes.axvline(equal, color="black", linewidth=0.8)
    rows = rows.assign(place=places).dropna(subset="value")
    bars = [rows.value - rows.low, rows.high - rows.value]
    look = {"linestyle": "none", "marker": "o", "markersize": 4, "linewidth": 1.2}
    axes.errorbar(rows.value, rows.place, xerr=bars, color="#444444", **look)
    axes.grid(visible=False, axis="y")


def effects_figure(effects: pd.DataFrame) -> Figure:
    """Draw LiPrune's difference from random pruning, a row for each name (a forest plot)."""
    names = effects[effects.statistic == "mean_error"].name
    places = np.arange(len(names))[::-1]

    def draw(axes: Axes, statistic: str) -> None:
        rows = effects[effects.statistic == statistic].rename(columns={"difference": "value"})
        _plot_rows(axes, rows, places, 0.0, (-ERROR_MARGIN, ERROR_MARGIN))

    figure = facets(
        {"mean from the pruning on": "mean_error", "last epoch": "final_error"}, draw,
        xlabel="test error, LiPrune − random (points)",
        ylabel="depth, rate, prune epoch, fraction kept",
        share="y", legend=0, height=1.2 + 0.22 * len(names),
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


def kept_figure(shifts: pd.DataFrame) -> Figure:
    """Draw how the kept batches differ from all, a row for each property."""
    figure, axes = plt.subplots(figsize=(6.4, 3.2))
    names = list(PROPERTIES)
    axes.axvline(0, color="black", linewidth=0.8)
    looks = (("o", "#0072B2"), ("s", "#D55E00"))
    groups = shifts.set_index("property").groupby("prune_epoch")
    for offset, (marker, color), (epoch, rows) in zip((0.14, -0.14), looks, groups, strict=False):
        found, places = rows.loc[names], np.arange(len(names))[::-1] + offset
        bars = [found["shift"] - found.low, found.high - found["shift"]]
        look = {"marker": marker, "color": color, "linestyle": "none", "markersize": 5}
        axes.errorbar(found["shift"], places, xerr=bars, label=f"pruned at epoch {epoch}", **look)
    axes.set_yticks(np.arange(len(names))[::-1], list(PROPERTIES.values()))
    axes.set(xlabel="kept batches − all batches (standard deviations)")
    axes.grid(visible=False, axis="y")
    shared_legend(figure)
    return figure
