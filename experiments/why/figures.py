"""Figures of page 11: losses, noise, dynamics, differences, and what a spread is worth."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from liprune_utils.book.style import METHODS, facets, plot_intervals, shared_legend

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


def _log_scale(axes: Axes) -> None:
    """Label a logarithmic axis in full, between powers of ten only where there is room."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}" if high < 10 * low else NullFormatter())


def _plot_seeds(axes: Axes, table: pd.DataFrame, value: str) -> None:
    """Draw a value by epoch for each arm: thin lines for seeds, a thick one for their mean."""
    for arm, rows in table.groupby("arm", sort=False):
        style = ARMS[arm]
        seeds = rows.pivot(index="epoch", columns="seed", values=value)
        thin = {"color": style["color"], "linestyle": style["linestyle"], "linewidth": 0.6}
        axes.plot(seeds, alpha=0.5, **thin)
        every = max(1, len(seeds) // 8)
        axes.plot(seeds.mean(axis=1), markersize=4, markevery=every, **style)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def long_figure(curves: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """Draw long training: test error by epoch, and where the losses end."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.8))
    _plot_seeds(left, curves.rename(columns={"method": "arm"}), "test_error")
    left.set(xlabel="epoch", ylabel="test error (%)")
    for place, (method, rows) in enumerate(runs.groupby("method", sort=False)):
        style = {name: ARMS[method][name] for name in ("color", "marker", "linestyle")}
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


def remedy_figure(remedy: pd.DataFrame, margin: float) -> Figure:
    """Draw the differences of mean test error with and without the rescaled learning rate."""
    names = {arm: style["label"] for arm, style in ARMS.items()}
    labels = [f"{names[row.arm]}\nless {names[row.against]}" for row in remedy.itertuples()]
    return _differences_figure(remedy, labels, margin)


def examples_figure(examples: pd.DataFrame, margin: float) -> Figure:
    """Draw the differences of mean test error for batches and for examples."""
    labels = [f"{ARMS[row.arm]['label']}\nkeep {row.keep_fraction:g}"
              for row in examples.itertuples()]  # fmt: skip
    return _differences_figure(examples, labels, margin)


def _differences_figure(table: pd.DataFrame, labels: list[str], margin: float) -> Figure:
    figure, axes = plt.subplots(figsize=(6.4, 1.5 + 0.42 * len(table)))
    places = np.arange(len(table))[::-1]
    band = {"color": "#DDDDDD", "label": f"within {margin:g} point of zero", "zorder": 0}
    axes.axvspan(-margin, margin, **band)
    axes.axvline(0, color="black", linewidth=0.8)
    for place, row in zip(places, table.itertuples(), strict=True):
        style = {name: ARMS[row.arm][name] for name in ("color", "marker")}
        bars = [[row.difference - row.low], [row.high - row.difference]]
        axes.errorbar(row.difference, place, xerr=bars, **style, capsize=3)
    axes.set_yticks(places, labels)
    axes.set(xlabel="difference of mean test error (points)", ylim=(-0.6, len(table) - 0.4))
    shared_legend(figure, 2)
    return figure


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
