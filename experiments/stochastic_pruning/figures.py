"""Figures of page 02: bounds on pruned runs against exact errors."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.importance_sampling.figures import LINES, SAMPLINGS
from liprune_utils.book.style import shared_legend


def draw_lines(axes: Axes, steps: np.ndarray, lines: dict[str, np.ndarray]) -> None:
    """Draw curves in the looks of ``LINES``; simulated ones as a few dots.

    Args:
        axes: Where to draw.
        steps: Abscissae, shape ``[k]``.
        lines: The curves by name.
    """
    for name, values in lines.items():
        every = max(1, len(steps) // 12) if name == "simulated" else 1
        axes.plot(steps[::every], values[::every], markersize=4, **LINES[name])


TAILS = {
    "exact": {"color": "#009E73", "linestyle": "-", "label": "exact (binomial)"},
    "chernoff": {"color": "#CC79A7", "linestyle": "-.", "label": "exp(−rt/8), Chernoff"},
    "stated": {"color": "#E69F00", "linestyle": "--", "label": "exp(−r²t/2), stated"},
}


def tail_figure(table: pd.DataFrame) -> Figure:
    """Draw the chance that fewer than half of the expected steps are made, and its bounds.

    Args:
        table: From `experiments.stochastic_pruning.tables.tail_table`.

    Returns:
        The figure.
    """
    figure, panels = plt.subplots(2, 2, figsize=(6.4, 5.2), sharex=True, sharey=True)
    groups = table.groupby("keep_probability")
    for axes, (keep, rows) in zip(panels.flat, groups, strict=True):
        for name, style in TAILS.items():
            axes.plot(rows.expected_steps, rows[name], **style)
        axes.axhline(0.05, color="black", linewidth=0.8)
        axes.set(title=f"r = {keep:g}", xscale="log", yscale="log", ylim=(1e-4, 1.5))
    figure.supxlabel("expected number of steps made, r t", fontsize=11)
    figure.supylabel("chance of fewer than r t / 2", fontsize=11)
    shared_legend(figure)
    return figure


def looseness_figure(table: pd.DataFrame, keep: float) -> Figure:
    """Draw the error of Eq. (2) and its bounds for one r, a panel a sampling.

    Args:
        table: From `experiments.stochastic_pruning.runs.looseness_table`.
        keep: r.

    Returns:
        The figure; panels keep their axes for every r.
    """
    figure, panels = plt.subplots(1, 2, figsize=(6.4, 4), sharey=True)
    here = table[table.keep_probability == keep]
    for axes, sampling in zip(panels, ("uniform", "optimal"), strict=True):
        rows = here[here.sampling == sampling]
        draw_lines(axes, rows.time.to_numpy(), {name: rows[name].to_numpy() for name in LINES})
        axes.set(title=SAMPLINGS[sampling]["label"], xlabel="step t", yscale="log")
        axes.set(ylim=(5e-4, 2), xlim=(0, table[table.sampling == sampling].time.max() / 3))
    panels[0].set_ylabel("error / first error")
    shared_legend(figure)
    return figure


def touched_figure(table: pd.DataFrame) -> Figure:
    """Draw the share of the data that n steps of Eq. (2) draw, against r.

    Args:
        table: From `experiments.stochastic_pruning.runs.touched_table`.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(figsize=(6.4, 3.8))
    axes.plot([0, 1], [0, 1], color="black", linewidth=1, label="a fraction r")
    for sampling, rows in table.groupby("sampling", sort=False):
        look = {key: SAMPLINGS[sampling][key] for key in ("color", "label")}
        axes.plot(
            rows.keep_probability, rows.exact, linestyle=SAMPLINGS[sampling]["linestyle"], **look
        )
        axes.plot(
            rows.keep_probability, rows.share, SAMPLINGS[sampling]["marker"], color=look["color"]
        )
    axes.set(
        xlabel="r, the chance that a step is made", ylabel="share of the data drawn in n steps"
    )
    axes.legend()
    return figure
