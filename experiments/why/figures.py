"""Figures of page 11: predicted and observed, losses, noise, dynamics, worth of a spread."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from liprune_utils.book.style import METHODS, facets, plot_intervals, shared_legend

BRANCH_STYLES = {
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


def _log_scale(axes: Axes) -> None:
    """Label a logarithmic axis in full, between powers of ten only where there is room."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}" if high < 10 * low else NullFormatter())


def _plot_seeds(axes: Axes, table: pd.DataFrame, value: str) -> None:
    """Draw a value by epoch for each method: thin lines for seeds, a thick one for their mean."""
    for arm, rows in table.groupby("arm", sort=False):
        look = BRANCH_STYLES[arm]
        seeds = rows.pivot(index="epoch", columns="seed", values=value)
        thin = {"color": look["color"], "linestyle": look["linestyle"], "linewidth": 0.6}
        axes.plot(seeds, alpha=0.5, **thin)
        every = max(1, len(seeds) // 8)
        axes.plot(seeds.mean(axis=1), markersize=4, markevery=every, **look)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def long_figure(curves: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """Draw long training: test error by epoch, and where the losses end."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.8))
    _plot_seeds(left, curves.rename(columns={"method": "arm"}), "test_error")
    left.set(xlabel="epoch", ylabel="test error (%)")
    for place, (method, rows) in enumerate(runs.groupby("method", sort=False)):
        style = {name: BRANCH_STYLES[method][name] for name in ("color", "marker", "linestyle")}
        ends = np.array([0, 1]) + 0.16 * (place - 1)
        right.plot(ends, rows[["kept_set_loss", "full_set_loss"]].T, **style, markersize=5)
    right.set(xlim=(-0.4, 1.4), ylabel="loss after the last epoch")
    right.set_xticks([0, 1], ["kept\nimages", "all\nimages"])
    _log_scale(right)
    shared_legend(figure, 2)
    return figure


def linear_noise_figure(table: pd.DataFrame) -> Figure:
    """Draw the variance of LiPrune's gradient, and what its step leaves, over random pruning's."""
    fractions = table[table.method == "liprune"].groupby("keep_fraction")

    def draw(axes: Axes, name: str) -> None:
        for style, (fraction, rows) in zip(FRACTION_LOOKS, fractions, strict=False):
            bars = rows.assign(low=rows[f"{name}_low"], high=rows[f"{name}_high"])
            label = f"keep {fraction:g}"
            plot_intervals(axes, rows.error, bars, name, **style, markersize=4, label=label)
        axes.axhline(1, color="black", linewidth=0.8)

    titles = {"gradient variance": "noise", "error² left by a step": "left"}
    figure = facets(
        {f"{title}\nLiPrune / random": name for title, name in titles.items()},
        draw, xlabel="distance to the true slope, in units of the first", ylabel="",
        height=3.8, legend=2, share="x", xscale="log",
    )  # fmt: skip
    axes, ticks = figure.axes[0], [0.05, 0.1, 0.2, 0.5, 1, 2]
    axes.set_yscale("log")
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.yaxis.minorticks_off()
    axes.invert_xaxis()  # shared: training goes from left to right
    axes.xaxis.set_major_formatter("{x:g}")
    return figure


def dynamics_figure(dynamics: pd.DataFrame) -> Figure:
    """Draw noise, sharpness and loss after the pruning."""

    def draw(axes: Axes, measure: str) -> None:
        _plot_seeds(axes, dynamics, measure)
        _log_scale(axes)

    panels = {title: measure for measure, title in MEASURES.items()}
    labels = {"xlabel": "epochs done", "ylabel": ""}
    return facets(panels, draw, **labels, height=5.8, legend=2, share="x")


def answer_figure(predicted: pd.DataFrame, observed: pd.DataFrame) -> Figure:
    """Draw the changes that the convex model predicts beside those that the network shows.

    Both tables have a row per arm; ``predicted`` in per cent and with the spread of the constants.
    """
    names = {"liprune": "LiPrune's batches", "hessian": "Images with the\nlargest norms"}
    labels = [f"{names[row.arm]}\n(spread {row.spread:.2g})" for row in predicted.itertuples()]
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.9), sharey=True)
    _plot_differences(left, predicted, labels)
    _plot_differences(right, observed, labels)
    left.set(title="Predicted:\nconvex model", xlabel="change of excess loss (%)")
    right.set(title="Observed:\nResNet on CIFAR-10", xlabel="change of test error (points)")
    for axes in (left, right):
        reach = 1.15 * max(map(abs, axes.get_xlim()))
        axes.set_xlim(-reach, reach)
        axes.text(0.02, 0.02, "better", transform=axes.transAxes, ha="left")
        axes.text(0.98, 0.02, "worse", transform=axes.transAxes, ha="right")
    return figure


def _plot_differences(axes: Axes, table: pd.DataFrame, labels: list[str]) -> None:
    """Draw one row per difference, the first on top, with its interval and a line at zero."""
    axes.axvline(0, color="black", linewidth=0.8)
    places = np.arange(len(table))[::-1]
    for place, row in zip(places, table.itertuples(), strict=True):
        look = {name: BRANCH_STYLES[row.arm][name] for name in ("color", "marker")}
        bars = [[row.difference - row.low], [row.high - row.difference]]
        axes.errorbar(row.difference, place, xerr=bars, **look, capsize=3)
    axes.set_yticks(places, labels)
    axes.set_ylim(-0.6, len(table) - 0.4)


def spread_figure(races: pd.DataFrame, marks: pd.DataFrame) -> Figure:
    """Draw the acceleration of the convex model against the spread of its batches' constants."""
    figure, axes = plt.subplots(figsize=(6.4, 4))
    color = METHODS["liprune"]["color"]
    rows = races.sort_values("spread").rename(columns={"ratio_low": "low", "ratio_high": "high"})
    axes.plot(rows.spread, rows.expected, color=color, label="convex model, exact")
    style = {"color": color, "marker": "o", "linestyle": "none", "markersize": 5}
    plot_intervals(axes, rows.spread, rows, "ratio", **style, label="convex model, simulated")
    axes.axhline(1, color="black", linewidth=0.8)
    colors, dashes = ("#444444", "#56B4E9", "#E69F00", "#CC79A7"), ("-", "--", "-.", ":")
    for row, shade, dash in zip(marks.itertuples(), colors, dashes, strict=False):
        axes.axvline(row.spread, color=shade, linestyle=dash, linewidth=1.6, label=row.what)
    axes.set(xscale="log", xlabel="spread of the constants, sd / mean", ylim=(0, 1.05))
    axes.set_ylabel("excess loss, LiPrune / random")
    ticks = [0.05, 0.1, 0.2, 0.5, 1, 2]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.minorticks_off()
    shared_legend(figure, 2)
    return figure
