"""Figures of page 13: what a score costs or gains against random, and a race on a convex loss."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from liprune_utils.book.style import METHODS, NORMAL_95, shared_legend

LOOKS = METHODS | {
    "longer": {"label": "Random, LiPrune's step", "color": "#E69F00", "linestyle": "-."}
}


def differences_figure(compared: pd.DataFrame, label: str) -> Figure:
    """Draw each score's difference from random, one row per score."""
    rows = compared[compared.score != "random"]
    places = np.arange(len(rows))[::-1]
    figure, axes = plt.subplots(figsize=(6.4, 1.4 + 0.35 * len(rows)))
    bars = [rows.difference - rows.low, rows.high - rows.difference]
    axes.errorbar(rows.difference, places, xerr=bars, fmt="o", color=METHODS["liprune"]["color"])
    axes.axvline(0, color=METHODS["random"]["color"], linestyle="--", linewidth=1.2)
    axes.set_yticks(places, rows.score)
    axes.set(xlabel=label, ylim=(-0.6, len(rows) - 0.4))
    axes.grid(visible=False, axis="y")
    return figure


def race_figure(curves: pd.DataFrame) -> Figure:
    """Draw test loss against SGD step, a line for each way of keeping."""
    figure, axes = plt.subplots(figsize=(6.4, 3.8))
    for method, rows in curves.groupby("method", sort=False):
        losses = rows.groupby("step").test_loss.agg(["mean", "sem"])
        look, half = LOOKS[method], NORMAL_95 * losses["sem"]
        axes.plot(losses.index, losses["mean"], **look)
        band = losses["mean"] - half, losses["mean"] + half
        axes.fill_between(losses.index, *band, color=look["color"], alpha=0.2, linewidth=0)
    axes.set(xlabel="SGD step", ylabel="test loss")
    shared_legend(figure)
    return figure
