"""Figures in one visual language: methods keep their colour and dash everywhere."""

from collections.abc import Callable, Mapping
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
    """Draw this notebook's figures in the book's style."""
    # As SVG; JupyterLab shows that of trusted notebooks alone, and the PNG of others.
    plt.style.use(Path(__file__).with_name("liprune.mplstyle"))
    set_matplotlib_formats("svg", "png", metadata={"Date": None, "Creator": None})


def plot_band(
    axes: Axes, x: np.ndarray, mean: np.ndarray, half_width: np.ndarray, method: str
) -> None:
    """Draw a method's curve with a band of the given half-width."""
    axes.plot(x, mean, **METHODS[method])
    band = (mean - half_width, mean + half_width)
    axes.fill_between(x, *band, color=METHODS[method]["color"], alpha=0.25, linewidth=0)


def plot_intervals(
    axes: Axes, x: np.ndarray, rows: pd.DataFrame, name: str, **look: object
) -> None:
    """Draw a column of estimates, with bars from the columns ``low`` and ``high``."""
    values = rows[name]
    bars = np.array([values - rows.low, rows.high - values])
    axes.errorbar(x, values, yerr=bars.reshape(2, -1), **look)


def shared_legend(figure: Figure, columns: int = 3) -> None:
    """Put one legend above all panels, with each label once."""
    entries = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=columns)


def facets(
    panels: Mapping[str, object],
    draw: Callable[[Axes, object], None],
    *,
    xlabel: str,
    ylabel: str,
    columns: int = 2,
    height: float | None = None,
    legend: int = 3,
    share: bool | str = True,
    **settings: object,
) -> Figure:
    """Draw one panel per entry of ``panels``, by title, with shared axes, labels and legend.

    ``draw(axes, key)`` fills a panel; ``settings`` are those of ``Axes.set``, the same for all;
    ``legend`` is its number of columns, 0 for none; ``share`` is whether panels share both axes, or
    "x" or "y" for one of them.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    shared = {"sharex": share in (True, "x"), "sharey": share in (True, "y")}
    size = (6.4, height or 2 + 1.8 * rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, **shared)
    for axes, (title, key) in zip(grid.flat, panels.items(), strict=False):
        draw(axes, key)
        axes.set(title=title, **settings)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    figure.supxlabel(xlabel, fontsize=11)
    figure.supylabel(ylabel, fontsize=11)
    if legend:
        shared_legend(figure, legend)
    return figure


def loss_figure(curves: pd.DataFrame, loss: str = "test") -> Figure:
    """Draw a panel per keep fraction of a linear-model figure, with 95% bands of the mean.

    ``curves`` has the rows of one figure; ``loss`` is "test", "kept" or "full".
    """
    fractions = sorted(curves.keep_fraction[curves.method != "none"].unique())

    def draw(axes: Axes, fraction: float) -> None:
        here = (curves.keep_fraction == fraction) | (curves.method == "none")
        for method, rows in curves[here].groupby("method", sort=False):
            half = NORMAL_95 * rows[f"{loss}_loss_se"]
            plot_band(axes, rows.step, rows[f"{loss}_loss_mean"], half, method)

    labels = {"test": "test loss", "kept": "loss, kept points", "full": "loss, all training points"}
    panels = {f"keep {fraction:g}": fraction for fraction in fractions}
    return facets(panels, draw, xlabel="SGD step", ylabel=labels[loss], yscale="log")
