"""Figures of page 07: landscapes of the sine model, pruned and not, and SGD on them."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
from experiments.sine_model.runs import Cell, Races
from experiments.sine_model.tables import Wells, find_wells
from liprune_utils.book import style
from liprune_utils.book.style import METHODS, shared_legend

OFFSET = {"textcoords": "offset points", "fontsize": 9}
NORMAL_99 = 2.58  # half-width of a 99% interval, in standard errors
SAMPLE = {"color": "#009E73", "linewidth": 1.2, "linestyle": ":", "label": "one data set"}
WELLS = {"linestyle": "none", "marker": "v", "markersize": 6, "color": "black"}
DEPTHS = {  # which wells are counted: column, name, look
    "minima": ("all local minima", {"color": "#CC79A7", "marker": "^", "linestyle": ":"}),
    "wells_1": ("deeper than 1%", {"color": "#E69F00", "marker": "s", "linestyle": "--"}),
    "wells": ("deeper than 10%", {"color": "#009E73", "marker": "o", "linestyle": "-"}),
}


def data_figure(data: SineData, keep_fraction: float) -> Figure:
    """Draw a data set of the sine model and what LiPrune keeps of it.

    Args:
        data: Data sets; the first is drawn.
        keep_fraction: The fraction kept.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    x = np.linspace(-4, 4, 2000)
    axes.plot(x, np.sin(WEIGHT * x), color="#bbbbbb", linewidth=0.8, label="sin(12 x)")
    axes.plot(data.x[0], data.y[0], ".", color="#777777", markersize=3, label="data")
    kept = data.by_constant().first(keep_fraction)
    look = {"color": METHODS["liprune"]["color"], "markersize": 4, "label": "kept by LiPrune"}
    axes.plot(kept.x[0], kept.y[0], "D", **look)
    axes.set(xlabel="input x", ylabel="label y", xlim=(-4, 4))
    shared_legend(figure)
    return figure


def mark_wells(axes: Axes, wells: Wells, label: str) -> None:
    """Mark the wells that count.

    Args:
        axes: Where to draw.
        wells: The wells.
        label: Their name in the legend.
    """
    axes.plot(wells.weight[wells.deep], wells.loss[wells.deep] - 0.03, **WELLS, label=label)


def sample_figure(loss: np.ndarray, num_points: int) -> Figure:
    """Draw the loss of one data set over that of the population, with the band of its errors.

    Args:
        loss: The data set's losses at ``WEIGHTS``.
        num_points: Its number of points.

    Returns:
        The figure; the band is 99% wide at each weight.
    """
    figure, axes = plt.subplots(figsize=(6.4, 3.8))
    mean, half = population_loss(WEIGHTS), NORMAL_99 * loss_sd(WEIGHTS) / np.sqrt(num_points)
    look = {"color": "#bbbbbb", "alpha": 0.7, "linewidth": 0, "label": "99% of data sets"}
    axes.fill_between(WEIGHTS, mean - half, mean + half, **look)
    axes.plot(WEIGHTS, mean, color=METHODS["none"]["color"], linestyle="--", label="population")
    axes.plot(WEIGHTS, loss, **SAMPLE)
    mark_wells(axes, find_wells(loss), "its wells that count")
    axes.set(xlabel="weight w", ylabel="mean loss F(w)", ylim=(-0.08, 1.3))
    shared_legend(figure)
    return figure


def count_figure(samples: pd.DataFrame) -> Figure:
    """Draw how many local minima a data set has against its number of points.

    Args:
        samples: Rows of `experiments.sine_model.tables.landscape_table` without pruning.

    Returns:
        The figure; bars are 99% intervals of the mean.
    """
    figure, axes = plt.subplots(figsize=(6.4, 3.6))
    for column, (label, look) in DEPTHS.items():
        mean = samples[column]
        bars = np.abs([samples[f"{column}_low"] - mean, samples[f"{column}_high"] - mean])
        axes.errorbar(samples.num_points, mean, bars, **look, markersize=6, label=label)
    axes.axhline(2, color="black", linewidth=0.8)
    axes.annotate("population: 2", (samples.num_points.min(), 2), (0, -13), **OFFSET)
    axes.set(xscale="log", yscale="log", xlabel="points N", ylabel="local minima of the loss")
    axes.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    axes.minorticks_off()
    shared_legend(figure)
    return figure


def plot_pruned(axes: Axes, data: SineData, keep_fraction: float, method: str) -> None:
    """Draw the pruned landscape: of infinitely many points and of one data set.

    Args:
        axes: Where to draw.
        data: Data sets; the first is pruned and drawn.
        keep_fraction: The fraction kept.
        method: "liprune" or "random".
    """
    kept = (data.by_constant() if method == "liprune" else data).first(keep_fraction)
    population = pruned_population(keep_fraction if method == "liprune" else 1.0).landscape
    one = SineData(kept.x[:1], kept.y[:1])
    axes.plot(WEIGHTS, sampled_losses(one)[0], **SAMPLE)
    axes.plot(WEIGHTS, population, **METHODS[method] | {"linewidth": 1.6})
    mark_wells(axes, find_wells(population), "wells that count")
    axes.set(ylim=(-0.1, 2.05), xlim=(-20, 20))


def pruned_figure(data: SineData, keep_fractions: tuple[float, ...]) -> Figure:
    """Draw the landscapes that LiPrune and random pruning leave, one row a fraction.

    Args:
        data: Data sets; the first is drawn.
        keep_fractions: Fractions kept.

    Returns:
        The figure.
    """
    shape, size = (len(keep_fractions), 2), (6.4, 1.2 + 1.9 * len(keep_fractions))
    figure, panels = plt.subplots(*shape, figsize=size, sharex=True, sharey=True, squeeze=False)
    for row, fraction in zip(panels, keep_fractions, strict=True):
        for axes, method in zip(row, ("liprune", "random"), strict=True):
            plot_pruned(axes, data, fraction, method)
            axes.set_title(f"keep {fraction:g}")
    figure.supxlabel("weight w", fontsize=11)
    figure.supylabel("mean loss F(w)", fontsize=11)
    shared_legend(figure)
    return figure


def race_figure(curves: pd.DataFrame, loss: str) -> Figure:
    """Draw losses by step as on page 04, on a linear scale that shows 0.

    Args:
        curves: From `experiments.sine_model.runs.race_table`, for one start and rate.
        loss: "full" (all training points) or "kept".

    Returns:
        The figure; a thin line is at the expected loss of the true weight.
    """
    figure = style.race_figure(curves, loss)
    for axes in figure.axes:
        axes.axhline(NOISE_SD**2 / 2, color="black", linewidth=0.8)
        axes.set(yscale="linear", ylim=(-0.02, None))
    return figure


def end_figure(races: Mapping[Cell, Races], keep_fraction: float) -> Figure:
    """Draw where the runs end, one panel a rate.

    Args:
        races: From `experiments.sine_model.runs.simulate`; the last step and first start are drawn.
        keep_fraction: The fraction kept.

    Returns:
        The figure.
    """
    plan = next(iter(races.values())).plan
    shape = (1, len(plan.learning_rates))
    figure, panels = plt.subplots(*shape, figsize=(6.4, 3.4), sharey=True, squeeze=False)
    for number, (axes, rate) in enumerate(zip(panels[0], plan.learning_rates, strict=True)):
        for method in ("liprune", "random"):
            ends = races[Cell(method, keep_fraction)].weight[-1, 0, number]
            shares, edges = np.histogram(ends, np.arange(4, 14.05, 0.1))
            axes.stairs(shares / len(ends), edges, **METHODS[method], linewidth=1.5)
        axes.axvline(plan.starts[0], color="black", linewidth=0.8)
        axes.axvline(WEIGHT, color="black", linewidth=0.8, linestyle=":")
        axes.set(
            title=f"rate {rate:g}", yscale="log", xlabel=f"weight after {plan.steps[-1]} steps"
        )
    panels[0, 0].set_ylabel("share of runs in 0.1")
    shared_legend(figure)
    return figure


def starts_figure(shares: pd.DataFrame, basins: pd.DataFrame) -> Figure:
    """Draw the share of runs near the true weight against the start.

    Args:
        shares: From `experiments.sine_model.runs.race_table`, at one step.
        basins: From `experiments.sine_model.tables.population_table`.

    Returns:
        The figure: a row for each fraction, a column for each rate; shaded are LiPrune's wells.
    """
    pruned = shares[shares.method != "none"]
    fractions, rates = sorted(pruned.keep_fraction.unique()), sorted(pruned.learning_rate.unique())
    shape = (len(fractions), len(rates))
    figure, panels = plt.subplots(*shape, figsize=(6.4, 4.6), sharex=True, sharey=True)
    for (fraction, rate), rows in pruned.groupby(["keep_fraction", "learning_rate"]):
        axes = panels[fractions.index(fraction), rates.index(rate)]
        for method, line in rows.groupby("method", sort=False):
            axes.errorbar(
                line.start, line.near, np.abs([line.near_low, line.near_high] - line.near.values),
                **METHODS[method], marker="o" if method == "liprune" else "s", markersize=3,
                linewidth=1.2,
            )  # fmt: skip
        here = basins[basins.keep_fraction == fraction].iloc[0]
        axes.axvspan(here.basin_low, here.basin_high, color="#e6e6e6", label="LiPrune's well at w*")
        axes.set_title(f"keep {fraction:g}, rate {rate:g}")
    figure.supxlabel("first weight", fontsize=11)
    figure.supylabel("share of runs near w* after 100 steps", fontsize=11)
    shared_legend(figure)
    return figure


def rates_figure(table: pd.DataFrame, floor: float) -> Figure:
    """Draw the excess loss against the learning rate, one panel a start.

    Args:
        table: From `experiments.sine_model.runs.race_table`, at one step and fraction.
        floor: The loss at the true weight.

    Returns:
        The figure; bars are 99% intervals of the mean.
    """
    starts = sorted(table.start.unique())
    figure, panels = plt.subplots(1, len(starts), figsize=(6.4, 3.4), sharex=True, sharey=True)
    for axes, start in zip(panels, starts, strict=True):
        for method, rows in table[table.start == start].groupby("method", sort=False):
            look = METHODS[method] | {"marker": {"liprune": "o", "random": "s"}.get(method, "^")}
            half = np.minimum(NORMAL_99 * rows.loss_se, 0.99 * (rows.loss_mean - floor))
            axes.errorbar(rows.learning_rate, rows.loss_mean - floor, half, **look, markersize=4)
        axes.set(title=f"start {start:g}", xscale="log", yscale="log")
        axes.set_xticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
        axes.minorticks_off()
    figure.supxlabel("learning rate", fontsize=11)
    panels[0].set_ylabel("excess loss, fresh points")
    shared_legend(figure)
    return figure
