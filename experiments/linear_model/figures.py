"""Figures of the linear model."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from liprune_utils.book.style import METHODS, NORMAL_95, plot_band, shared_legend
from liprune_utils.problems import LinearData
from liprune_utils.pruning import keep_highest


def losses_figure(curves: pd.DataFrame, keep_fraction: float) -> Figure:
    """Draw the test, kept and full training loss of LiPrune and random pruning side by side.

    Args:
        curves: Rows of one figure of the table of curves.
        keep_fraction: The fraction kept.

    Returns:
        The figure; bands are 95% intervals of the mean.
    """
    figure, panels = plt.subplots(1, 3, figsize=(6.4, 3.2), sharex=True, sharey=True)
    here = curves[curves.keep_fraction == keep_fraction]
    titles = {"test": "test", "kept": "kept training", "full": "all training"}
    for axes, (loss, title) in zip(panels, titles.items(), strict=True):
        for method, rows in here.groupby("method", sort=False):
            half = NORMAL_95 * rows[f"{loss}_loss_se"]
            plot_band(axes, rows.step, rows[f"{loss}_loss_mean"], half, method)
        axes.set(title=title, yscale="log", xlabel="SGD step")
    panels[0].set_ylabel("loss")
    shared_legend(figure)
    return figure


def data_figure(data: LinearData, keep_fraction: float) -> Figure:
    """Draw a data set of the linear model and what LiPrune keeps of it.

    Args:
        data: Data sets; the first is drawn.
        keep_fraction: The fraction kept.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(figsize=(6.4, 3.6))
    kept = keep_highest(data.lipschitz[0], keep_fraction)
    x, y = data.x[0], data.y[0]
    axes.scatter(np.delete(x, kept), np.delete(y, kept), s=6, color="#999999", label="pruned")
    color = METHODS["liprune"]["color"]
    axes.scatter(x[kept], y[kept], s=16, marker="D", color=color, label="kept by LiPrune")
    axes.set(xlabel="input x", ylabel="label y")
    axes.legend()
    return figure


def excess_figure(excess: dict[str, np.ndarray]) -> Figure:
    """Draw expected excess losses on a fixed scale.

    Args:
        excess: For each method its curve.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(figsize=(5.6, 3.4))
    for method, curve in excess.items():
        axes.plot(curve, **METHODS[method])
    axes.set(yscale="log", ylim=(1e-5, 1e2), xlabel="SGD step", ylabel="expected excess test loss")
    axes.legend(loc="upper right")
    return figure
