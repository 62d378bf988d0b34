"""Figures of the linear model."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from liprune_utils.book.style import METHODS, NORMAL_95, facets, plot_band


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


def settings_figure(curves: pd.DataFrame, by: str) -> Figure:
    """Draw a row of panels per setting of ``by``, a column of the curves, one per keep fraction."""
    pruned = curves[curves.method != "none"]
    names = {"batch_size": "batch", "learning_rate": "rate"}
    pairs = pruned[[by, "keep_fraction"]].drop_duplicates().sort_values([by, "keep_fraction"])
    panels = {f"{names[by]} {s:g}\nkeep {k:g}": (s, k) for s, k in pairs.itertuples(index=False)}

    def draw(axes: Axes, pair: tuple[float, float]) -> None:
        setting, fraction = pair
        here = (curves[by] == setting) & curves.keep_fraction.isin([fraction, 1.0])
        for method, rows in curves[here].groupby("method", sort=False):
            plot_band(axes, rows.step, rows.test_loss_mean, NORMAL_95 * rows.test_loss_se, method)

    height = 1 + 1.8 * curves[by].nunique()
    labels = {"xlabel": "SGD step", "ylabel": "test loss", "yscale": "log"}
    return facets(panels, draw, **labels, columns=4, height=height)


def data_figure(x: np.ndarray, y: np.ndarray, kept: np.ndarray) -> Figure:
    """Draw a data set of the linear model and the points that LiPrune keeps."""
    figure, axes = plt.subplots(figsize=(6.4, 3.6))
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
