"""Figures of page 13: what a score costs or gains against random, and a race on a convex loss."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from liprune_utils.book.style import METHODS, NORMAL_95, shared_legend

METHOD_STYLES = METHODS | {
    "longer": {"label": "Random, LiPrune's step", "color": "#E69F00", "linestyle": "-."}
}


def answer_figure(compared: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Draw what each score changes in the network, beside the race on the convex loss."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.4))
    _plot_differences(left, compared[compared.score != "random"])
    _plot_race(right, curves)
    left.set(title="network", xlabel="test error less that with\nrandom examples (points)")
    right.set(title="convex loss", xlabel="SGD step", ylabel="test loss")
    shared_legend(figure)
    return figure


def _plot_differences(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw each score's difference from random, one row per score."""
    places = np.arange(len(rows))[::-1]
    bars = [rows.difference - rows.low, rows.high - rows.difference]
    axes.errorbar(rows.difference, places, xerr=bars, fmt="o", color=METHODS["liprune"]["color"])
    axes.axvline(0, color=METHODS["random"]["color"], linestyle="--", linewidth=1.2)
    axes.set_yticks(places, rows.score)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(visible=False, axis="y")


def _plot_race(axes: Axes, curves: pd.DataFrame) -> None:
    """Draw mean test loss against SGD step, a line with a 95% band for each way of keeping."""
    for method, rows in curves.groupby("method", sort=False):
        losses = rows.groupby("step").test_loss.agg(["mean", "sem"])
        look, half = METHOD_STYLES[method], NORMAL_95 * losses["sem"]
        axes.plot(losses.index, losses["mean"], **look)
        band = losses["mean"] - half, losses["mean"] + half
        axes.fill_between(losses.index, *band, color=look["color"], alpha=0.2, linewidth=0)
