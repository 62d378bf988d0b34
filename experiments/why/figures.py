"""Figures of page 11: predicted and observed, losses, noise, dynamics, worth of a spread."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from experiments.why.less_variance import BATCH_SIZES, LESS
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
KIND_LOOKS = (
    {"color": "#56B4E9", "linestyle": "-", "marker": "o"},
    {"color": "#009E73", "linestyle": "--", "marker": "s"},
    {"color": "#E69F00", "linestyle": "-.", "marker": "^"},
    {"color": "#CC79A7", "linestyle": ":", "marker": "D"},
)
SPEED_LOOKS = {
    "predicted": {"label": "predicted: mean constant, kept over all", "color": "#E69F00",
                  "marker": "s", "markerfacecolor": "white", "linestyle": "none", "capsize": 3},
    "observed": {"label": "observed", "color": METHODS["liprune"]["color"], "marker": "o",
                 "linestyle": "none", "capsize": 3},
}  # fmt: skip
SPEED_RANGE = (0.3, 3.5)
MODEL_NAMES = {"linear": "Linear model", "head": "Convex head", "network": "ResNet"}
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


def variance_figure(races: pd.DataFrame) -> Figure:
    """Draw the ratio of the steps against that of the variances, a panel for each sampling."""
    kinds = races.groupby(["family", "dim"], sort=False)

    def draw(axes: Axes, schemes: Sequence[str]) -> None:
        axes.axhline(1, color="black", linewidth=0.8)
        axes.axvline(LESS, color="#777777", linewidth=0.8, linestyle=":")
        for style, ((family, dim), rows) in zip(KIND_LOOKS, kinds, strict=False):
            here = rows[rows.scheme.isin(schemes)]
            bars = here.assign(low=here.steps_low, high=here.steps_high)
            look = style | {"label": f"{family}, d = {dim}", "linestyle": "none"}
            plot_intervals(axes, here.variance, bars, "steps", **look, markersize=5, capsize=2)

    panels = {"p ∝ L": ["constants"], "p ∝ norm": ["norms"], "batches": list(BATCH_SIZES)}
    figure = facets(
        panels, draw, xlabel="variance / variance of uniform sampling", ylabel="steps / steps",
        columns=3, height=3.8, legend=2, xscale="log",
    )  # fmt: skip
    ticks = [0.01, 0.1, 1]
    figure.axes[0].set_xticks(ticks, [f"{tick:g}" for tick in ticks])  # shared
    return figure


def dynamics_figure(dynamics: pd.DataFrame) -> Figure:
    """Draw noise, sharpness and loss after the pruning."""

    def draw(axes: Axes, measure: str) -> None:
        _plot_seeds(axes, dynamics, measure)
        _log_scale(axes)

    panels = {title: measure for measure, title in MEASURES.items()}
    labels = {"xlabel": "epochs done", "ylabel": ""}
    return facets(panels, draw, **labels, height=5.8, legend=2, share="x")


def answer_figure(table: pd.DataFrame, bound: float) -> Figure:
    """Draw what is predicted and observed, a row for each model and what is pruned.

    ``bound`` is the speed-up that counts.
    """
    figure, axes = plt.subplots(figsize=(6.4, 3.9))
    places = np.arange(len(table))[::-1]
    for offset, (name, look) in zip((0.14, -0.14), SPEED_LOOKS.items(), strict=True):
        ends = table[[f"{name}_low", f"{name}_high"]].clip(*SPEED_RANGE)
        bars = [table[name] - ends.iloc[:, 0], ends.iloc[:, 1] - table[name]]
        axes.errorbar(table[name], places + offset, xerr=bars, **look)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.axvline(bound, color="#777777", linewidth=0.8, linestyle=":")
    rows = zip(table.model, table.unit, strict=True)
    axes.set_yticks(places, [f"{MODEL_NAMES[model]}, {unit}" for model, unit in rows])
    axes.set(xscale="log", xlim=SPEED_RANGE, ylim=(-0.5, len(table) - 0.5))
    ticks = [0.3, 0.5, 0.7, 1, 1.5, 2, 3]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.minorticks_off()
    axes.set_xlabel("times as fast as random pruning")
    shared_legend(figure, 2)
    return figure


def spread_figure(races: pd.DataFrame, marks: pd.DataFrame) -> Figure:
    """Draw the acceleration of the convex model against the spread of its batches' constants."""
    figure, axes = plt.subplots(figsize=(6.4, 4))
    color = METHODS["liprune"]["color"]
    rows = races.sort_values("spread").rename(columns={"ratio_low": "low", "ratio_high": "high"})
    axes.plot(rows.spread, rows.expected, color=color, label="linear model, exact")
    style = {"color": color, "marker": "o", "linestyle": "none", "markersize": 5}
    plot_intervals(axes, rows.spread, rows, "ratio", **style, label="linear model, simulated")
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
