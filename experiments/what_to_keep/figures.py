"""Figures of page 12's races: excess test losses over that of random pruning."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter

from experiments.other_scores.figures import METHOD_STYLES
from experiments.what_to_keep.races import STEPS, WEIGHTED
from liprune_utils.book.style import METHODS, facets, plot_intervals

LABELS = {
    "none": "No pruning", "liprune": "LiPrune", "grand": "GraNd", "IBOSS": "IBOSS",
    "leverage": "Top leverage", "D": "D-optimal", "V": "V-optimal", "A": "A-optimal",
    WEIGHTED: "A, weighted",
}  # fmt: skip
STYLES = {
    "none": METHODS["none"] | {"marker": "s"},
    "liprune": METHODS["liprune"] | {"marker": "o"},
    "grand": METHOD_STYLES["grand"],
    "IBOSS": {"color": "#E69F00", "linestyle": "--", "marker": "v"},
    "leverage": {"color": "#009E73", "linestyle": "-", "marker": "^"},
    "D": {"color": "#56B4E9", "linestyle": ":", "marker": "P"},
    "V": {"color": "#999999", "linestyle": (0, (5, 1)), "marker": "*"},
    "A": {"color": "#A51E22", "linestyle": "-", "marker": "X"},
    WEIGHTED: {"color": "#000000", "linestyle": (0, (1, 1)), "marker": "d"},
}
FIRST_METHODS = ("liprune", "leverage", "A", "none")
FAMILIES = {"least squares": "noise 0.5", "logistic regression": "logistic"}
RATIO = "excess test loss / that of random pruning"


def _log_ratios(axis: object, ticks: Sequence[float]) -> None:
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def first_figure(methods: pd.DataFrame, keep_fraction: float = 0.1, step: int = 100) -> Figure:
    """Draw the excess of four methods over random pruning's against the dimension, by loss."""
    here = methods[(methods.keep_fraction == keep_fraction) & (methods.step == step)]
    dims = list(here.dim.unique())

    def draw(axes: Axes, labels: str) -> None:
        axes.axhline(1, **METHODS["random"])
        for offset, name in zip(np.linspace(-0.24, 0.24, 4), FIRST_METHODS, strict=True):
            rows = here[(here.labels == labels) & (here.method == name)]
            look = STYLES[name] | {"linestyle": "none", "label": LABELS[name], "markersize": 6}
            places = np.array([dims.index(dim) for dim in rows.dim]) + offset
            plot_intervals(axes, places, rows, "ratio", **look)
        axes.set_yscale("log")
        _log_ratios(axes.yaxis, (0.1, 0.2, 0.5, 1, 2))
        axes.set_xticks(range(len(dims)), dims)

    labels = {"xlabel": "number of features", "ylabel": RATIO, "height": 4.2}
    return facets(FAMILIES, draw, **labels, legend=3)


def races_figure(methods: pd.DataFrame, labels: str) -> Figure:
    """Draw every method's excess over random pruning's by number of steps, a panel per case."""
    here = methods[(methods.labels == labels) & (methods.dim > 1)]
    groups = here.groupby(["dim", "keep_fraction"])

    def draw(axes: Axes, key: tuple[int, float]) -> None:
        axes.axhline(1, **METHODS["random"])
        rows = groups.get_group(key)
        names = [name for name in LABELS if name in set(rows.method)]
        for place, name in enumerate(names):
            mine = rows[rows.method == name]
            shift = 1 + 0.05 * (place - (len(names) - 1) / 2)
            look = STYLES[name] | {"label": LABELS[name], "markersize": 5, "linewidth": 1}
            plot_intervals(axes, mine.step * shift, mine, "ratio", **look)
        axes.set(xscale="log", yscale="log")
        _log_ratios(axes.yaxis, (0.2, 0.3, 0.5, 0.7, 1, 1.5))
        _log_ratios(axes.xaxis, STEPS)

    panels = {
        f"{dim} features, keep {fraction:g}": (dim, fraction) for dim, fraction in groups.groups
    }
    return facets(panels, draw, xlabel="SGD steps", ylabel=RATIO, height=6.4)
