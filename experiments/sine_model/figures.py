"""Figures of page 07: landscapes of the sine model, pruned and not, and SGD on them."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.linear_model.runs import Pruning
from experiments.sine_model.landscapes import (
    NOISE_SD,
    WEIGHT,
    WEIGHTS,
    SineData,
    loss_sd,
    population_loss,
    pruned_population,
    sampled_losses,
)
from experiments.sine_model.runs import Paths
from experiments.sine_model.tables import Wells, find_wells
from liprune_utils.book.style import METHODS, facets, loss_figure, plot_intervals, shared_legend

NORMAL_99 = 2.58  # half-width of a 99% interval, in standard errors
SAMPLE = {"color": "#009E73", "linewidth": 1.2, "linestyle": ":", "label": "one data set"}
WELLS = {"linestyle": "none", "marker": "v", "markersize": 6, "color": "black"}
MARKERS = {"liprune": "o", "random": "s", "none": "^"}
DEPTHS = {  # which wells are counted: column, name, style
    "minima": ("all local minima", {"color": "#CC79A7", "marker": "^", "linestyle": ":"}),
    "wells_1": ("deeper than 1%", {"color": "#E69F00", "marker": "s", "linestyle": "--"}),
    "wells": ("deeper than 10%", {"color": "#009E73", "marker": "o", "linestyle": "-"}),
}


def data_figure(data: SineData, keep_fraction: float) -> Figure:
    """Draw a data set of the sine model and what LiPrune keeps of it."""
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    x = np.linspace(-4, 4, 2000)
    axes.plot(x, np.sin(WEIGHT * x), color="#bbbbbb", linewidth=0.8, label="sin(12 x)")
    axes.plot(data.x[0], data.y[0], ".", color="#777777", markersize=3, label="data")
    kept = data.by_constant().first(keep_fraction)
    style = {"color": METHODS["liprune"]["color"], "markersize": 4, "label": "kept by LiPrune"}
    axes.plot(kept.x[0], kept.y[0], "D", **style)
    axes.set(xlabel="input x", ylabel="label y", xlim=(-4, 4))
    shared_legend(figure)
    return figure


def _mark_wells(axes: Axes, wells: Wells, label: str) -> None:
    """Mark the wells that count."""
    axes.plot(wells.weight[wells.deep], wells.loss[wells.deep] - 0.03, **WELLS, label=label)


def sample_figure(loss: np.ndarray, num_points: int) -> Figure:
    """Draw the loss of one data set over that of the population, with the band of its errors."""
    figure, axes = plt.subplots(figsize=(6.4, 3.8))
    mean, half = population_loss(WEIGHTS), NORMAL_99 * loss_sd(WEIGHTS) / np.sqrt(num_points)
    style = {"color": "#bbbbbb", "alpha": 0.7, "linewidth": 0, "label": "99% of data sets"}
    axes.fill_between(WEIGHTS, mean - half, mean + half, **style)
    axes.plot(WEIGHTS, mean, color=METHODS["none"]["color"], linestyle="--", label="population")
    axes.plot(WEIGHTS, loss, **SAMPLE)
    _mark_wells(axes, find_wells(loss), "its wells that count")
    axes.set(xlabel="weight w", ylabel="mean loss F(w)", ylim=(-0.08, 1.3))
    shared_legend(figure)
    return figure


def count_figure(samples: pd.DataFrame) -> Figure:
    """Draw how many local minima a data set has against its number of points."""
    figure, axes = plt.subplots(figsize=(6.4, 3.6))
    for column, (label, style) in DEPTHS.items():
        rows = samples.assign(low=samples[f"{column}_low"], high=samples[f"{column}_high"])
        plot_intervals(axes, rows.num_points, rows, column, **style, markersize=6, label=label)
    axes.axhline(2, color="black", linewidth=0.8)
    offset = {"xytext": (0, -13), "textcoords": "offset points", "fontsize": 9}
    axes.annotate("population: 2", (samples.num_points.min(), 2), **offset)
    axes.set(xscale="log", yscale="log", xlabel="points N", ylabel="local minima of the loss")
    axes.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    axes.minorticks_off()
    shared_legend(figure)
    return figure


def pruned_figure(data: SineData, keep_fractions: tuple[float, ...]) -> Figure:
    """Draw the landscapes that LiPrune, left, and random pruning, right, leave at each fraction."""
    panels = {
        f"{name}, keep {fraction:g}": Pruning(method, fraction)
        for fraction in keep_fractions
        for method, name in (("liprune", "LiPrune"), ("random", "random"))
    }

    def draw(axes: Axes, pruning: Pruning) -> None:
        method, fraction = pruning
        kept = (data.by_constant() if method == "liprune" else data).first(fraction)
        population = pruned_population(fraction if method == "liprune" else 1.0).landscape
        one = SineData(kept.x[:1], kept.y[:1])
        axes.plot(WEIGHTS, sampled_losses(one)[0], **SAMPLE)
        axes.plot(WEIGHTS, population, **METHODS[method] | {"linewidth": 1.6})
        _mark_wells(axes, find_wells(population), "wells that count")

    labels = {"xlabel": "weight w", "ylabel": "mean loss F(w)"}
    height = 1.2 + 1.9 * len(keep_fractions)
    return facets(panels, draw, **labels, height=height, ylim=(-0.1, 2.05), xlim=(-20, 20))


def level_figure(curves: pd.DataFrame, loss: str) -> Figure:
    """Draw losses by step as on page 04, on a linear scale that shows 0 and the loss at w*."""
    figure = loss_figure(curves, loss)
    for axes in figure.axes:
        axes.axhline(NOISE_SD**2 / 2, color="black", linewidth=0.8)
        axes.set(yscale="linear", ylim=(-0.02, None))
    return figure


def end_figure(pruned: Mapping[Pruning, Paths], keep_fraction: float) -> Figure:
    """Draw where the runs end, by rate."""
    setting = next(iter(pruned.values())).setting
    bins = np.arange(4, 14.05, 0.1)

    def draw(axes: Axes, number: int) -> None:
        for method in ("liprune", "random"):
            ends = pruned[method, keep_fraction].weight[-1, 0, number]
            counts, edges = np.histogram(ends, bins)
            axes.stairs(counts / len(ends), edges, **METHODS[method], linewidth=1.5)
        axes.axvline(setting.starts[0], color="black", linewidth=0.8)
        axes.axvline(WEIGHT, color="black", linewidth=0.8, linestyle=":")

    panels = {f"rate {rate:g}": number for number, rate in enumerate(setting.learning_rates)}
    labels = {"xlabel": f"weight after {setting.steps[-1]} steps", "ylabel": "share of runs in 0.1"}
    return facets(panels, draw, **labels, height=3.4, yscale="log")


def starts_figure(shares: pd.DataFrame, basins: pd.DataFrame) -> Figure:
    """Draw the share of runs near the true weight against the start."""
    rows = shares[shares.method != "none"].assign(low=shares.near_low, high=shares.near_high)
    groups = rows.groupby(["keep_fraction", "learning_rate"])

    def draw(axes: Axes, key: tuple[float, float]) -> None:
        for method, line in groups.get_group(key).groupby("method", sort=False):
            style = METHODS[method] | {"marker": MARKERS[method], "markersize": 3, "linewidth": 1.2}
            plot_intervals(axes, line.start, line, "near", **style)
        here = basins[basins.keep_fraction == key[0]].iloc[0]
        axes.axvspan(here.basin_low, here.basin_high, color="#e6e6e6", label="LiPrune's well at w*")

    panels = {
        f"keep {fraction:g}, rate {rate:g}": (fraction, rate) for fraction, rate in groups.groups
    }
    labels = {"xlabel": "first weight", "ylabel": "share of runs near w* after 100 steps"}
    return facets(panels, draw, **labels, columns=rows.learning_rate.nunique(), height=4.6)


def rates_figure(table: pd.DataFrame, floor: float) -> Figure:
    """Draw the excess loss against the learning rate, by start."""

    def draw(axes: Axes, start: float) -> None:
        axes.set(xscale="log", yscale="log")
        for method, rows in table[table.start == start].groupby("method", sort=False):
            style = METHODS[method] | {"marker": MARKERS[method], "markersize": 4}
            half = np.minimum(NORMAL_99 * rows.loss_se, 0.99 * (rows.loss_mean - floor))
            axes.errorbar(rows.learning_rate, rows.loss_mean - floor, half, **style)
        axes.set_xticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
        axes.minorticks_off()

    panels = {f"start {start:g}": start for start in sorted(table.start.unique())}
    labels = {"xlabel": "learning rate", "ylabel": "excess loss, fresh points"}
    return facets(panels, draw, **labels, columns=len(panels), height=3.4)
