"""Figures of page 02: bounds on pruned runs against exact errors."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.importance_sampling.figures import LINES, SAMPLINGS
from liprune_utils.book.style import facets

TAILS = {
    "exact": {"color": "#009E73", "linestyle": "-", "label": "exact (binomial)"},
    "chernoff": {"color": "#CC79A7", "linestyle": "-.", "label": "exp(−rt/8), Chernoff"},
    "stated": {"color": "#E69F00", "linestyle": "--", "label": "exp(−r²t/2), stated"},
}


def tail_figure(table: pd.DataFrame) -> Figure:
    """Draw the chance that fewer than half of the expected steps are made, and its bounds."""

    def draw(axes: Axes, keep: float) -> None:
        rows = table[table.keep_probability == keep]
        for name, look in TAILS.items():
            axes.plot(rows.expected_steps, rows[name], **look)
        axes.axhline(0.05, color="black", linewidth=0.8)

    panels = {f"r = {keep:g}": keep for keep in sorted(table.keep_probability.unique())}
    labels = {
        "xlabel": "expected number of steps made, r t",
        "ylabel": "chance of fewer than r t / 2",
    }
    return facets(panels, draw, **labels, xscale="log", yscale="log", ylim=(1e-4, 1.5))


def looseness_figure(table: pd.DataFrame, keep: float) -> Figure:
    """Draw the error of Eq. (2) and its bounds for one r, a panel per sampling."""

    def draw(axes: Axes, sampling: str) -> None:
        rows = table[table.sampling == sampling]
        axes.set_xlim(0, rows.time.max() / 3)  # the same for every r
        rows = rows[rows.keep_probability == keep]
        for name, look in LINES.items():
            shown = rows[:: max(1, len(rows) // 12)] if name == "simulated" else rows
            axes.plot(shown.time, shown[name], markersize=4, **look)

    panels = {SAMPLINGS[sampling]["label"]: sampling for sampling in ("uniform", "optimal")}
    labels = {"xlabel": "step t", "ylabel": "error / first error"}
    return facets(
        panels, draw, **labels, height=4, legend=2, share="y", yscale="log", ylim=(5e-4, 2)
    )


def touched_figure(table: pd.DataFrame) -> Figure:
    """Draw the share of the data that n steps of Eq. (2) draw, against r."""
    figure, axes = plt.subplots(figsize=(6.4, 3.8))
    axes.plot([0, 1], [0, 1], color="black", linewidth=1, label="a fraction r")
    for sampling, rows in table.groupby("sampling", sort=False):
        look = SAMPLINGS[sampling]
        axes.plot(rows.keep_probability, rows.exact, **look | {"marker": ""})
        axes.plot(rows.keep_probability, rows.share, look["marker"], color=look["color"])
    axes.set(
        xlabel="r, the chance that a step is made", ylabel="share of the data drawn in n steps"
    )
    axes.legend()
    return figure
