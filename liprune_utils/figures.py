"""Figures in one visual language: methods keep their colour and dash everywhere."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib_inline.backend_inline import set_matplotlib_formats

from liprune_utils.problems import LinearData
from liprune_utils.pruning import keep_highest

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


def plot_errors(axes: Axes, curves: pd.DataFrame) -> None:
    """Draw test error by epoch: thin lines for the seeds, a thick one for their mean.

    Args:
        axes: Where to draw.
        curves: Rows of one panel.
    """
    for method, rows in curves.groupby("method", sort=False):
        look = METHODS[method]
        seeds = rows.pivot_table(index="epoch", columns="seed", values="test_error")
        axes.plot(seeds, color=look["color"], linestyle=look["linestyle"], linewidth=0.8, alpha=0.6)
        axes.plot(seeds.mean(axis=1), marker="o", markersize=4, **look)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def error_figure(curves: pd.DataFrame) -> Figure:
    """Draw test error against epoch, a panel for each cell and fraction kept.

    Args:
        curves: The table of test errors.

    Returns:
        The figure.
    """
    keys = ["depth", "learning_rate", "prune_epoch", "keep_fraction"]
    cells = list(curves[curves.method != "none"].groupby(keys).groups)
    figure, panels = grid_of_panels(len(cells))
    for axes, (depth, rate, epoch, fraction) in zip(panels, cells, strict=True):
        here = curves.query("depth == @depth and learning_rate == @rate")
        pruned = (here.prune_epoch == epoch) & (here.keep_fraction == fraction)
        plot_errors(axes, here[pruned | (here.method == "none")])
        axes.set_title(
            f"depth {depth}, rate {rate:g}, pruned at {epoch}, keep {fraction:g}", size=9
        )
    figure.supxlabel("epoch", fontsize=11)
    figure.supylabel("test error (%)", fontsize=11)
    shared_legend(figure)
    return figure


def scores_figure(scores: pd.DataFrame) -> Figure:
    """Draw the sorted dominant eigenvalues of the batches, a curve for each scoring.

    Args:
        scores: The table of scores.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    keys = ["depth", "learning_rate", "prune_epoch", "seed"]
    markers = "osD^vP*X"
    varying = [key for key in keys if scores[key].nunique() > 1] or ["seed"]
    for number, (_, rows) in enumerate(scores.groupby(keys)):
        values = rows.eigenvalue.sort_values(ascending=False).to_numpy()
        marker = markers[number % len(markers)]
        label = ", ".join(f"{key.replace('_', ' ')} {rows[key].iloc[0]:g}" for key in varying)
        axes.plot(range(1, len(values) + 1), values, marker, markersize=5, label=label)
    axes.axhline(0, color="#444444", linewidth=0.8)
    axes.set(xlabel="rank of the batch", ylabel="dominant eigenvalue")
    if scores.groupby(keys).ngroups <= len(markers):
        axes.legend()
    return figure


def overview_figure(linear: pd.DataFrame, cifar: pd.DataFrame, source: str) -> Figure:
    """Draw the paper's two experiments side by side: linear model and ResNet.

    Args:
        linear: Curves of page 04.
        cifar: Curves of page 08.
        source: Where the images of page 08 come from.

    Returns:
        The figure.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.6))
    fraction = linear.keep_fraction.min()
    first = linear[linear.figure == 1]
    for method, rows in first[first.keep_fraction.isin([fraction, 1.0])].groupby(
        "method", sort=False
    ):
        half = NORMAL_95 * rows.test_loss_se
        plot_band(left, rows.step, rows.test_loss_mean, half, method)
    left.set(title=f"Linear model, keep {fraction:g}", yscale="log")
    left.set(xlabel="SGD step", ylabel="test loss")
    fraction = cifar.keep_fraction[cifar.method != "none"].max()
    plot_errors(right, cifar[cifar.keep_fraction.isin([fraction, 1.0])])
    right.set_title(f"ResNet, keep {fraction:g}\n{source}", size=10)
    right.set(xlabel="epoch", ylabel="test error (%)")
    shared_legend(figure)
    return figure
