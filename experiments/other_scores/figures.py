"""Figures of page 10: how scores agree, which images they keep, and how training goes on them."""

from collections.abc import Sequence
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.other_scores.convex_tables import LABELS as RIVALS
from experiments.other_scores.tables import LABELS
from experiments.other_scores.tables import METHODS as NAMES
from liprune_utils.book.style import METHODS, facets, shared_legend

# Okabe and Ito's palette, told apart by dash and marker as well.
METHOD_STYLES = {
    "liprune": METHODS["liprune"] | {"marker": "o"},
    "random": METHODS["random"] | {"marker": "s"},
    "hessian": {"color": "#009E73", "linestyle": "-", "marker": "^"},
    "gauss-newton": {"color": "#E69F00", "linestyle": "--", "marker": "v"},
    "grand": {"color": "#CC79A7", "linestyle": "-.", "marker": "D"},
    "el2n": {"color": "#56B4E9", "linestyle": ":", "marker": "P"},
    "loss": {"color": "#000000", "linestyle": (0, (1, 1)), "marker": "X"},
    "forgetting": {"color": "#999999", "linestyle": (0, (5, 1)), "marker": "*"},
}
MEASURES = {"final": "last epoch", "mean": "mean of epochs"}
BARS = {"linestyle": "none", "linewidth": 1.2, "markersize": 5}


def correlation_figure(correlations: pd.DataFrame) -> Figure:
    """Draw the rank correlations of all scores, with their values."""
    names = list(correlations.score.unique())
    wide = correlations.pivot(index="score", columns="other", values="correlation")
    matrix = wide.loc[names, names].to_numpy()
    figure, axes = plt.subplots(figsize=(6.4, 5.6))
    image = axes.imshow(matrix, cmap="cividis", vmin=-1, vmax=1)
    for (row, column), value in np.ndenumerate(matrix):
        color = "black" if value > 0 else "white"
        text = f"{value:.2f}".replace("0.", ".", 1).replace("-", "\N{MINUS SIGN}")
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=10)
    labels = [LABELS[name] for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), labels)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, label="rank correlation", shrink=0.8)
    return figure


def _panels(table: pd.DataFrame) -> dict[str, float]:
    return {f"keep {fraction:g}": fraction for fraction in sorted(table.keep_fraction.unique())}


def gallery_figure(rows: Sequence[tuple[str, np.ndarray, Sequence[str]]]) -> Figure:
    """Show images in rows, each with its caption below."""
    columns = max(len(images) for _, images, _ in rows)
    figure, panels = plt.subplots(
        len(rows), columns, figsize=(6.4, 1.62 * len(rows)), squeeze=False
    )
    for line, (title, images, captions) in zip(panels, rows, strict=True):
        line[0].set_title(title, loc="left", fontsize=10)
        for axes, image, caption in zip(line, images, captions, strict=False):
            axes.imshow(image, interpolation="none")
            axes.set_xlabel(caption, fontsize=9, labelpad=2)
    for axes in panels.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure


def problem_figure(problems: pd.DataFrame, rivals: pd.DataFrame) -> Figure:
    """Draw LiPrune's excess test loss over each rival's on every convex problem, and the mean."""
    names = [*problems.problem.unique(), "mean over problems"]
    rows = pd.concat([problems, rivals.assign(problem=names[-1])])
    figure, axes = plt.subplots(figsize=(6.4, 6.4))
    axes.axvline(1, color="black", linewidth=1)
    axes.axhline(1.5 - len(names), color="black", linewidth=0.8)
    for offset, name in zip((0.3, 0.1, -0.1, -0.3), RIVALS, strict=True):
        here = rows[rows.against == name]
        ratio, low, high = np.exp(here[["log_ratio", "low", "high"]].to_numpy().T)
        heights = [offset - names.index(problem) for problem in here.problem]
        look = {key: METHOD_STYLES[name][key] for key in ("color", "marker")}
        bars = np.array([ratio - low, high - ratio])
        axes.errorbar(ratio, heights, xerr=bars, label=RIVALS[name], **(BARS | look))
    axes.set(xscale="log", xlabel="excess test loss, LiPrune / rival")
    axes.set_yticks(-np.arange(len(names)), names)
    axes.xaxis.set_major_formatter("{x:g}")
    shared_legend(figure, 4)
    return figure


def gap_figure(gaps: pd.DataFrame) -> Figure:
    """Draw each method's test error less random pruning's in the recorded runs."""
    fractions, methods = sorted(gaps.keep_fraction.unique()), list(gaps.method.unique())

    def draw(axes: Axes, choice: tuple[str, float]) -> None:
        axes.axvline(0, color="black", linewidth=1)
        here = gaps[(gaps.measure == choice[0]) & (gaps.keep_fraction == choice[1])]
        for row in here.itertuples():
            bars = [[row.difference - row.low], [row.high - row.difference]]
            look = {key: METHOD_STYLES[row.method][key] for key in ("color", "marker")}
            axes.errorbar(row.difference, -methods.index(row.method), xerr=bars, **(BARS | look))

    panels = {
        f"keep {fraction:g}, {MEASURES[measure]}": (measure, fraction)
        for measure, fraction in product(gaps.measure.unique(), fractions)
    }
    figure = facets(
        panels, draw, xlabel="test error less that of random batches (points)", ylabel="",
        columns=len(fractions), height=1.2 + 2.4 * gaps.measure.nunique(), legend=0,
        yticks=-np.arange(len(methods)), yticklabels=[NAMES[name] for name in methods],
    )  # fmt: skip
    for axes in figure.axes:
        axes.title.set_size(10)
    return figure


def error_figure(curves: pd.DataFrame) -> Figure:
    """Draw the recorded test errors by epoch, means over seeds, one panel per fraction."""

    def draw(axes: Axes, fraction: float) -> None:
        rows = curves[curves.keep_fraction == fraction]
        means = rows.groupby(["method", "epoch"]).test_error.mean()
        for method in (name for name in NAMES if name in means.index.levels[0]):
            look = METHOD_STYLES[method] | {"label": NAMES[method], "markersize": 4, "markevery": 3}
            axes.plot(means[method], **look)
        axes.axvline(rows.prune_epoch.iloc[0] - 0.5, color="black", linewidth=0.8, linestyle=":")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))

    return facets(_panels(curves), draw, xlabel="epoch", ylabel="test error (%)", height=4.6)
