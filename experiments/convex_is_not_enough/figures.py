"""Figures of page 06: convex problems where LiPrune is ahead or behind, and races on real data."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from experiments.convex_is_not_enough.runs import NUM_STEPS
from experiments.convex_is_not_enough.tables import LIMIT, RULES
from liprune_utils.book.style import METHODS, NORMAL_95, shared_legend

LOOKS = METHODS | {"importance": {"label": "p ∝ L", "color": "#009E73", "linestyle": "-."}}
# Okabe and Ito's palette without the colours of the methods; markers differ too.
FRACTIONS = {
    0.1: {"label": "keep 0.1", "color": "#56B4E9", "marker": "o"},
    0.3: {"label": "keep 0.3", "color": "#CC79A7", "marker": "s"},
    0.5: {"label": "keep 0.5", "color": "#E69F00", "marker": "^"},
    1.0: {"label": "all points", "color": "#444444", "marker": "_", "markersize": 14},
}
STAGES = {**RULES, LIMIT: "minimiser of the kept points"}
NEVER = 2 * NUM_STEPS  # where a median that is never reached is drawn
SHOWN = (1e-3, 1e3)  # ratios beyond are drawn at the edge, as arrows
BARS = {"linestyle": "none", "linewidth": 1.2, "markersize": 5}


def ratio_figure(summary: pd.DataFrame) -> Figure:
    """Draw LiPrune's excess loss over that of random pruning on each convex problem.

    Args:
        summary: From `experiments.convex_is_not_enough.counterexample_tables.summary_table`.

    Returns:
        The figure; markers are medians over data sets, bars 99% intervals.
    """
    tasks = list(summary.task.unique())
    figure, panels = plt.subplots(1, 2, figsize=(6.4, 4.2), sharey=True, sharex=True)
    looks = {
        "same": {"marker": "o", "color": "#56B4E9", "label": "same rate"},
        "best": {"marker": "s", "color": "#444444", "label": "each at its best rate"},
    }
    for axes, (steps, here) in zip(panels, summary.groupby("step"), strict=True):
        for offset, (rates, look) in zip((0.14, -0.14), looks.items(), strict=True):
            rows = here[(here.rates == rates) & (here.rival == "random")].set_index("task")
            rows = rows.loc[tasks, ["ratio", "low", "high"]].clip(*SHOWN)
            bars = [rows.ratio - rows.low, rows.high - rows.ratio]
            height = offset - np.arange(len(tasks))
            axes.errorbar(rows.ratio, height, xerr=bars, linestyle="none", markersize=5, **look)
            over = rows.high == SHOWN[1]
            axes.plot(rows.high[over], height[over], ">", color=look["color"], markersize=5)
        axes.axvline(1, color="black", linewidth=1)
        axes.set(title=f"after {steps} steps", xscale="log")
        axes.set_xlim(SHOWN[0] * 3, SHOWN[1] * 1.5)
    panels[0].set_yticks(-np.arange(len(tasks)), tasks)
    figure.supxlabel("excess loss, LiPrune / random pruning", fontsize=11)
    shared_legend(figure)
    return figure


def problems_figure(curves: pd.DataFrame) -> Figure:
    """Draw the expected excess loss on each convex problem, each method at its best rate.

    Args:
        curves: From `experiments.convex_is_not_enough.counterexample_tables.curve_table`.

    Returns:
        The figure.
    """
    figure, panels = plt.subplots(4, 2, figsize=(6.4, 8.4), sharex=True)
    for axes, (task, here) in zip(panels.flat, curves.groupby("task", sort=False), strict=True):
        for method, rows in here.groupby("method", sort=False):
            axes.plot(rows.step, rows.excess, **LOOKS[method])
        axes.set(title=task, yscale="log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    figure.supxlabel("SGD step", fontsize=11)
    figure.supylabel("median excess loss on new data", fontsize=11)
    shared_legend(figure)
    return figure


def excess_curves(curves: pd.DataFrame, keep_fraction: float) -> Figure:
    """Draw the excess on all training points during SGD, each method at its own step size.

    Args:
        curves: From `experiments.convex_is_not_enough.tables.race_all`.
        keep_fraction: What LiPrune and random pruning keep.

    Returns:
        The figure, a panel a data set; bands are 95% intervals of the mean.
    """
    here = curves.query("rule == 'final' and step > 0 and keep_fraction in [@keep_fraction, 1]")
    figure, panels = plt.subplots(1, 3, figsize=(6.4, 3.6), sharey=True)
    groups = here.groupby("data_set", sort=False)
    for axes, (name, group) in zip(panels, groups, strict=True):
        for method, rows in group.groupby("method", sort=False):
            axes.plot(rows.step, rows.excess, **LOOKS[method])
            half = NORMAL_95 * rows.excess_se
            band = {"color": LOOKS[method]["color"], "alpha": 0.25, "linewidth": 0}
            axes.fill_between(rows.step, rows.excess - half, rows.excess + half, **band)
        axes.set(title=name, xscale="log", yscale="log", xlabel="SGD step")
    panels[0].set_ylabel("excess training loss")
    shared_legend(figure)
    return figure


def gap_figure(losses: pd.DataFrame) -> Figure:
    """Draw the paired differences of LiPrune and random pruning at every rule and in the limit.

    Args:
        losses: From `experiments.convex_is_not_enough.tables.loss_table`.

    Returns:
        The figure, a row a measure and a column a data set; bars are 99% intervals.
    """
    here = losses[losses.against == "random"]
    names, stages = here.data_set.unique(), list(here.rule.unique())
    figure, panels = plt.subplots(2, 3, figsize=(6.4, 6.2), sharey=True)
    words = {"excess": "difference of excess", "test_loss": "difference of test loss"}
    for row, (measure, label) in zip(panels, words.items(), strict=True):
        for axes, name in zip(row, names, strict=True):
            _draw_gaps(axes, here[(here.measure == measure) & (here.data_set == name)], stages)
        row[1].set_xlabel(label)
        row[0].set_yticks(-np.arange(len(stages)), [STAGES[stage] for stage in stages], size=9)
    for axes, name in zip(panels[0], names, strict=True):
        axes.set_title(name)
    shared_legend(figure)
    return figure


# One panel of differences, a height a rule or limit.
def _draw_gaps(axes: Axes, rows: pd.DataFrame, stages: list[str]) -> None:
    axes.axvline(0, color="black", linewidth=1.2)
    for offset, (fraction, group) in zip(
        (0.22, 0, -0.22), rows.groupby("keep_fraction"), strict=True
    ):
        height = [offset - stages.index(rule) for rule in group.rule]
        bars = np.array([group.difference - group.low, group.high - group.difference])
        axes.errorbar(group.difference, height, xerr=bars, **(BARS | FRACTIONS[fraction]))
    axes.locator_params(axis="x", nbins=3)
    axes.tick_params(axis="x", labelsize=9)


def step_figure(steps: pd.DataFrame) -> Figure:
    """Draw the median steps to the target, at one step size for all and at each method's own.

    Args:
        steps: From `experiments.convex_is_not_enough.tables.step_table`.

    Returns:
        The figure, a panel a data set; bars are 99% intervals, those that leave the panel are open.
    """
    figure, panels = plt.subplots(1, 3, figsize=(6.4, 4.2), sharey=True, sharex=True)
    order = steps[["method", "keep_fraction"]].drop_duplicates().sort_values("keep_fraction")
    cells = list(order.itertuples(index=False, name=None))
    looks = {"shared": (0.15, "s", "white"), "arrival": (-0.15, "o", "#555555")}
    groups = steps.groupby("data_set", sort=False)
    for axes, (name, group) in zip(panels, groups, strict=True):
        for rule, (offset, marker, face) in looks.items():
            rows = group[group.rule == rule]
            median, low, high = (np.minimum(rows[c], NEVER) for c in ("median", "low", "high"))
            pairs = zip(rows.method, rows.keep_fraction, strict=True)
            height = [offset - cells.index(pair) for pair in pairs]
            look = {"marker": marker, "markerfacecolor": face, "color": "#555555"}
            bars = np.array([median - low, high - median])
            axes.errorbar(median, height, xerr=bars, label=RULES[rule], **BARS, **look)
        axes.axvline(NUM_STEPS, color="#777777", linewidth=0.8, linestyle=":")
        axes.set(title=name, xscale="log", xlabel="steps")
        axes.set_xticks([10, 100, NEVER], ["10", "100", "never"], size=9)
        axes.minorticks_off()
    labels = [f"{LOOKS[method]['label']}, {fraction:g}" for method, fraction in cells]
    panels[0].set_yticks(-np.arange(len(cells)), labels, size=9)
    shared_legend(figure)
    return figure


def class_figure(classes: pd.DataFrame) -> Figure:
    """Draw the share of each class among the points that LiPrune keeps.

    Args:
        classes: From `experiments.convex_is_not_enough.tables.class_table`.

    Returns:
        The figure, a panel a data set; bars are 99% intervals.
    """
    figure, panels = plt.subplots(1, 2, figsize=(6.4, 3.4), width_ratios=(1, 3))
    groups = classes.groupby("data_set", sort=False)
    for axes, (name, group) in zip(panels, groups, strict=True):
        labels = list(group.label.unique())
        for shift, (fraction, rows) in zip(
            (-0.2, 0, 0.2, 0), group.groupby("keep_fraction"), strict=True
        ):
            bars = np.array([rows.share - rows.low, rows.high - rows.share])
            at = np.arange(len(labels)) + shift
            axes.errorbar(at, rows.share, yerr=bars, **(BARS | FRACTIONS[fraction]))
        axes.set(title=name, xlabel="class", ylim=(0, None))
        axes.set_xticks(range(len(labels)), labels, size=9)
    panels[0].set_ylabel("share of the points")
    shared_legend(figure)
    return figure
