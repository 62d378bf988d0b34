"""Figures of page 03: a constant that is attained, two scores' kept sets, spread over batches."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from liprune_utils.book.style import METHODS, plot_intervals, shared_legend
from liprune_utils.lipschitz import (
    extreme_sine_curvature,
    sine_constant,
    sine_curvature,
    sine_loss,
)

# Okabe and Ito's palette without the colours of the pruning methods; marker and dash differ too.
LINE_STYLES = (
    {"color": "#E69F00", "marker": "s", "linestyle": "-"},
    {"color": "#009E73", "marker": "o", "linestyle": "--"},
    {"color": "#CC79A7", "marker": "^", "linestyle": "-."},
    {"color": "#56B4E9", "marker": "D", "linestyle": (0, (1, 1))},
)
AT_ZERO = 0.004  # where a distance of 0 is drawn on a logarithmic axis


def sine_figure(x: float, y: float, low: float, high: float) -> Figure:
    """Draw one function of the sine model over its second derivative, with two constants."""
    w = np.linspace(low - 3 * np.pi / abs(x), high + 3 * np.pi / abs(x), 2001)
    worst = _worst_weights(x, y, w)
    blue = METHODS["liprune"]["color"]
    marks = {"linestyle": "none", "marker": "v", "markersize": 8, "color": blue}
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(6.4, 5), sharex=True)
    for axes, values in ((top, sine_loss), (bottom, sine_curvature)):
        axes.plot(w, values(w, x, y), color="black", linewidth=1.5)
        axes.plot(worst, values(worst, x, y), **marks, label="largest |f''|")
        axes.axvspan(low, high, color="#e6e6e6", label="interval", zorder=0)
    overall, inside = sine_constant(x, y), abs(extreme_sine_curvature(x, y, low, high))
    for size, color, linestyle, label in (
        (overall, blue, "-", "± L, all weights"),
        (inside, LINE_STYLES[0]["color"], "--", "± L, interval"),
    ):
        look = {"linewidth": 1.5, "color": color, "linestyle": linestyle, "label": label}
        bottom.axhline(size, **look)
        bottom.axhline(-size, **look)
    top.set_ylabel("loss f(w)")
    bottom.set(xlabel="weight w", ylabel="second derivative f''(w)", xlim=w[[0, -1]])
    shared_legend(figure)
    return figure


# Weights where sin(w x) = -sign(y).
def _worst_weights(x: float, y: float, w: np.ndarray) -> np.ndarray:
    turns = np.arange(-1000, 1001)
    weights = (2 * np.pi * turns - np.sign(y) * np.pi / 2) / x
    return np.sort(weights[(weights > w[0]) & (weights < w[-1])])


def overlap_figure(curves: pd.DataFrame, measured: pd.DataFrame) -> Figure:
    """Draw the overlap of GraNd's and LiPrune's kept sets against the distance to the minimiser."""
    figure, axes = plt.subplots(figsize=(6.4, 4.2))
    measured = measured.assign(place=measured.distance.replace(0, AT_ZERO))
    for look, (fraction, rows) in zip(LINE_STYLES, measured.groupby("keep_fraction"), strict=False):
        curve = curves[curves.keep_fraction == fraction]
        line = {key: look[key] for key in ("color", "linestyle")}
        mark = {"color": look["color"], "marker": look["marker"], "linestyle": "none"}
        axes.plot(curve.distance, curve.population, **line)
        axes.errorbar(rows.place, rows.overlap, 2.58 * rows.overlap_se, **mark, markersize=5)
        axes.plot([], [], **look, markersize=5, label=f"keep {fraction:g}")
        axes.axhline(fraction, linewidth=1, alpha=0.7, **line)
    axes.axhline(0.9, color="black", linewidth=1)
    places = {"0.9, needed for the claim": (0.9, -12), "thin lines: chance": (0.5, 3)}
    for text, (height, shift) in places.items():
        at = (curves.distance.max(), height), (0, shift)
        axes.annotate(text, *at, textcoords="offset points", fontsize=9, ha="right")
    axes.set(xscale="log", ylim=(0, 1.02), xlabel="distance |w − w*|", ylabel="share kept by both")
    axes.set_xticks([AT_ZERO, 0.01, 0.1, 1, 10, 100], ["0", "0.01", "0.1", "1", "10", "100"])
    axes.minorticks_off()
    shared_legend(figure)
    return figure


def spread_figure(table: pd.DataFrame) -> Figure:
    """Draw the spread of batch constants, and the gain of keeping the largest tenth."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.8), sharex=True)
    for look, (name, rows) in zip(LINE_STYLES, table.groupby("inputs", sort=False), strict=True):
        look = look | {"markersize": 4, "linewidth": 1.5, "label": name}
        for axes, measure in ((left, "variation"), (right, "gain_0.1")):
            ends = {f"{measure}_{end}": end for end in ("low", "high")}
            plot_intervals(axes, rows.batch_size, rows.rename(columns=ends), measure, **look)
        root = rows.variation.iloc[0] / np.sqrt(rows.batch_size)
        left.plot(rows.batch_size, root, color="black", linewidth=0.8, linestyle=":", zorder=1)
    left.lines[-1].set_label("falling as 1/√B")
    left.set(xscale="log", yscale="log", ylabel="coefficient of variation")
    right.set(ylabel="mean of largest tenth / mean", ylim=(0.9, None))
    right.axhline(1, color="black", linewidth=0.8)
    left.set_xticks([1, 8, 64, 512], ["1", "8", "64", "512"])
    left.minorticks_off()
    right.minorticks_off()
    figure.supxlabel("points in a batch, B", fontsize=11)
    shared_legend(figure)
    return figure


def kept_figure(kept: pd.DataFrame) -> Figure:
    """Draw what GraNd at one weight and LiPrune keep, in the plane of input and gradient norm."""
    figure, axes = plt.subplots(figsize=(5.6, 3.8))
    blue, pink = METHODS["liprune"]["color"], LINE_STYLES[2]["color"]
    axes.plot(kept.x, kept.gradient_norm, ".", color="#999999", markersize=3, rasterized=True)
    liprune, grand = kept[kept.liprune], kept[kept.grand]
    marks = {"markersize": 4, "color": blue, "label": "kept by LiPrune"}
    axes.plot(liprune.x, liprune.gradient_norm, "D", **marks)
    rings = {"markersize": 8, "color": pink, "label": "kept by GraNd", "markerfacecolor": "none"}
    axes.plot(grand.x, grand.gradient_norm, "o", **rings)
    axes.axhline(grand.gradient_norm.min(), color=pink, linewidth=1, linestyle="-.")
    for side in (-1, 1):
        axes.axvline(side * liprune.x.abs().min(), color=blue, linewidth=1)
    axes.set(xlabel="input x", ylabel="gradient norm |f'(w)|", ylim=(0, None))
    axes.set_title(f"overlap {liprune.grand.mean():.2f}")
    shared_legend(figure)
    return figure
