"""Figures of the linear model."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from liprune_utils.book.style import METHODS, NORMAL_95, facets, plot_band
from liprune_utils.problems import LinearData
from liprune_utils.pruning import keep_highest


def losses_figure(curves: pd.DataFrame, keep_fraction: float) -> Figure:
    """Draw the test, kept and full training loss of LiPrune and random pruning side by side."""
    methods = curves[curves.keep_fraction == keep_fraction].groupby("method", sort=False)

    def draw(axes: Axes, loss: str) -> None:
        for method, rows in methods:
            half = NORMAL_95 * rows[f"{loss}_loss_se"]
            plot_band(axes, rows.step, rows[f"{loss}_loss_mean"], half, method)

    panels = {"test": "test", "kept training": "kept", "all training": "full"}
    labels = {"xlabel": "SGD step", "ylabel": "loss"}
    return facets(panels, draw, **labels, columns=3, height=3.2, yscale="log")


def data_figure(data: LinearData, keep_fraction: float) -> Figure:
    """Draw a data set of the linear model and what LiPrune keeps of it."""
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
    """Draw expected excess losses on a fixed scale."""
    figure, axes = plt.subplots(figsize=(5.6, 3.4))
    for method, curve in excess.items():
        axes.plot(curve, **METHODS[method])
    axes.set(yscale="log", ylim=(1e-5, 1e2), xlabel="SGD step", ylabel="expected excess test loss")
    axes.legend(loc="upper right")
    return figure
