"""Figures in one visual language: methods keep their colour and dash everywhere."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib_inline.backend_inline import set_matplotlib_formats

# Near Okabe and Ito's palette, a step of lightness apart, so that grey tells them apart as well.
METHODS = {
    "liprune": {"label": "LiPrune", "color": "#00639B", "linestyle": "-"},
    "random": {"label": "Random pruning", "color": "#DE6A10", "linestyle": "--"},
    "none": {"label": "No pruning", "color": "#333333", "linestyle": ":"},
}
NORMAL_95 = 1.96  # half-width of a 95% interval, in standard errors


def use_style() -> None:
    """Draw this notebook's figures in the book's style, as SVG."""
    plt.style.use(Path(__file__).with_name("liprune.mplstyle"))
    set_matplotlib_formats("svg", metadata={"Date": None, "Creator": None})


def plot_band(
    axes: Axes, x: np.ndarray, mean: np.ndarray, half_width: np.ndarray, method: str
) -> None:
    """Draw a method's curve with a band.

    Args:
        axes: Where to draw.
        x: Abscissae, shape ``[n]``.
        mean: The curve, shape ``[n]``.
        half_width: Half the height of the band, shape ``[n]``.
        method: A key of ``METHODS``.
    """
    axes.plot(x, mean, **METHODS[method])
    band = (mean - half_width, mean + half_width)
    axes.fill_between(x, *band, color=METHODS[method]["color"], alpha=0.25, linewidth=0)


def shared_legend(figure: Figure) -> None:
    """Put one legend above all panels.

    Args:
        figure: The figure; its panels share their labels.
    """
    entries = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=3)


def grid_of_panels(count: int) -> tuple[Figure, np.ndarray]:
    """Lay out panels with shared axes, two in a row.

    Args:
        count: Number of panels.

    Returns:
        The figure and its panels, an array of shape ``[count]``.
    """
    columns = min(2, count)
    rows = -(-count // columns)
    figure, panels = plt.subplots(
        rows, columns, figsize=(6.4, 2 + 1.8 * rows), sharex=True, sharey=True, squeeze=False
    )
    for axes in panels.flat[count:]:
        axes.remove()
    return figure, panels.flat[:count]


def race_figure(curves: pd.DataFrame, loss: str = "test") -> Figure:
    """Draw one of the paper's linear-model figures: a panel for each keep fraction.

    Args:
        curves: Rows of one figure of the table of curves.
        loss: "test", "kept" or "full".

    Returns:
        The figure; bands are 95% intervals of the mean.
    """
    fractions = sorted(curves.keep_fraction[curves.method != "none"].unique())
    figure, panels = grid_of_panels(len(fractions))
    for axes, fraction in zip(panels, fractions, strict=True):
        here = (curves.keep_fraction == fraction) | (curves.method == "none")
        for method, rows_ in curves[here].groupby("method", sort=False):
            half = NORMAL_95 * rows_[f"{loss}_loss_se"]
            plot_band(axes, rows_.step, rows_[f"{loss}_loss_mean"], half, method)
        axes.set(title=f"keep {fraction:g}", yscale="log")
    words = {"test": "test loss", "kept": "loss, kept points", "full": "loss, all training points"}
    figure.supxlabel("SGD step", fontsize=11)
    figure.supylabel(words[loss], fontsize=11)
    shared_legend(figure)
    return figure
