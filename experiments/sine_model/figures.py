"""Figures of page 07: landscapes of the sine model, pruned and not, and SGD on them."""

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
from experiments.sine_model.tables import NORMAL_99, Wells, find_wells
from liprune_utils.book.style import (
    METHODS,
    NORMAL_95,
    facets,
    plot_band,
    plot_intervals,
    shared_legend,
)

SAMPLE = {"color": "#009E73", "linewidth": 1.2, "linestyle": ":", "label": "one data set"}
WELLS = {"linestyle": "none", "marker": "v", "markersize": 6, "color": "black"}
MARKERS = {"liprune": "o", "random": "s", "none": "^"}


def landscape_figure(data: SineData, keep_fraction: float) -> Figure:
    """Draw a data set with what LiPrune keeps of it, over its loss and that of the population."""
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(6.4, 6.2))
    _draw_data(top, data, keep_fraction)
    _draw_loss(bottom, sampled_losses(data)[0], data.x.shape[1])
    shared_legend(figure)
    return figure


def _draw_data(axes: Axes, data: SineData, keep_fraction: float) -> None:
    x = np.linspace(-4, 4, 2000)
    axes.plot(x, np.sin(WEIGHT * x), color="#bbbbbb", linewidth=0.8, label="sin(12 x)")
    axes.plot(data.x[0], data.y[0], ".", color="#777777", markersize=3, label="data")
    kept = data.by_constant().first(keep_fraction)
    style = {"color": METHODS["liprune"]["color"], "markersize": 4, "label": "kept by LiPrune"}
    axes.plot(kept.x[0], kept.y[0], "D", **style)
    axes.set(xlabel="input x", ylabel="label y", xlim=(-4, 4))


def _draw_loss(axes: Axes, loss: np.ndarray, num_points: int) -> None:
    mean, half = population_loss(WEIGHTS), NORMAL_99 * loss_sd(WEIGHTS) / np.sqrt(num_points)
    style = {"color": "#bbbbbb", "alpha": 0.7, "linewidth": 0, "label": "99% of data sets"}
    axes.fill_between(WEIGHTS, mean - half, mean + half, **style)
    axes.plot(WEIGHTS, mean, color=METHODS["none"]["color"], linestyle="--", label="expected loss")
    axes.plot(WEIGHTS, loss, **SAMPLE)
    _mark_wells(axes, find_wells(loss), "its wells that count")
    axes.set(xlabel="weight w", ylabel="mean loss F(w)", ylim=(-0.08, 1.3), xlim=(-20, 20))


def _mark_wells(axes: Axes, wells: Wells, label: str) -> None:
    """Mark the wells that count."""
    axes.plot(wells.weight[wells.deep], wells.loss[wells.deep] - 0.03, **WELLS, label=label)


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


def levels_figure(curves: pd.DataFrame) -> Figure:
    """Draw losses by step, a row per set of points and a column per keep fraction."""
    names = {"full": "all training points", "kept": "kept points"}
    fractions = sorted(curves.keep_fraction[curves.method != "none"].unique())
    panels = {
        f"keep {fraction:g}\n{name}": (loss, fraction)
        for loss, name in names.items()
        for fraction in fractions
    }

    def draw(axes: Axes, panel: tuple[str, float]) -> None:
        loss, fraction = panel
        here = curves[(curves.keep_fraction == fraction) | (curves.method == "none")]
        for method, rows in here.groupby("method", sort=False):
            half = NORMAL_95 * rows[f"{loss}_loss_se"]
            plot_band(axes, rows.step, rows[f"{loss}_loss_mean"], half, method)
        axes.axhline(NOISE_SD**2 / 2, color="black", linewidth=0.8)

    labels = {"xlabel": "SGD step", "ylabel": "loss"}
    return facets(panels, draw, **labels, columns=len(fractions), height=4.6, ylim=(-0.02, None))


def race_figure(curves: pd.DataFrame, floor: float) -> Figure:
    """Draw the excess loss by step, a panel per start."""

    def draw(axes: Axes, start: float) -> None:
        for method, rows in curves[curves.start == start].groupby("method", sort=False):
            plot_band(axes, rows.step, rows.loss_mean - floor, NORMAL_95 * rows.loss_se, method)

    panels = {f"start {start:g}": start for start in sorted(curves.start.unique())}
    labels = {"xlabel": "SGD step", "ylabel": "mean excess loss"}
    return facets(panels, draw, **labels, columns=len(panels), height=3.4, yscale="log")


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
