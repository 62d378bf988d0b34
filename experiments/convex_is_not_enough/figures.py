"""Figures of page 06: convex problems where LiPrune is ahead or behind, and races on real data."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from experiments.convex_is_not_enough.runs import NUM_STEPS
from experiments.convex_is_not_enough.tables import LIMIT, RULES
from liprune_utils.book.style import METHODS, NORMAL_95, facets, plot_intervals, shared_legend

METHOD_STYLES = METHODS | {
    "importance": {"label": "Sampling p ∝ L", "color": "#009E73", "linestyle": "-."}
}
# Okabe and Ito's palette without the colours of the methods; markers differ too.
FRACTION_STYLES = {
    0.1: {"label": "keep 0.1", "color": "#56B4E9", "marker": "o"},
    0.3: {"label": "keep 0.3", "color": "#CC79A7", "marker": "s"},
    0.5: {"label": "keep 0.5", "color": "#E69F00", "marker": "^"},
    1.0: {"label": "all points", "color": "#444444", "marker": "_", "markersize": 14},
}
RATE_STYLES = {
    "same": {"marker": "o", "color": "#56B4E9", "label": "same rate"},
    "best": {"marker": "s", "color": "#444444", "label": "each at its best rate"},
}
RULE_LABELS = {**RULES, LIMIT: "minimiser of the kept points"}
NEVER = 2 * NUM_STEPS  # where a median that is never reached is drawn
RATIO_RANGE = (1e-3, 1e3)  # ratios beyond are drawn at the edge, as arrows
BAR_STYLE = {"linestyle": "none", "linewidth": 1.2, "markersize": 5}


def _plot_sideways(
    axes: Axes, rows: pd.DataFrame, name: str, heights: np.ndarray, **look: object
) -> None:
    """Draw a column of estimates with horizontal bars from the columns ``low`` and ``high``."""
    bars = np.array([rows[name] - rows.low, rows.high - rows[name]])
    axes.errorbar(rows[name], heights, xerr=bars, **(BAR_STYLE | look))


def ratio_figure(summary: pd.DataFrame) -> Figure:
    """Draw LiPrune's excess loss over that of random pruning on each convex problem."""
    tasks = list(summary.task.unique())

    def draw(axes: Axes, steps: int) -> None:
        here = summary[(summary.step == steps) & (summary.rival == "random")]
        for offset, (rates, look) in zip((0.14, -0.14), RATE_STYLES.items(), strict=True):
            rows = here[here.rates == rates].set_index("task")
            rows = rows.loc[tasks, ["ratio", "low", "high"]].clip(*RATIO_RANGE)
            heights = offset - np.arange(len(tasks))
            _plot_sideways(axes, rows, "ratio", heights, **look)
            over = rows.high == RATIO_RANGE[1]
            axes.plot(rows.high[over], heights[over], ">", color=look["color"], markersize=5)
        axes.axvline(1, color="black", linewidth=1)
        axes.set_yticks(-np.arange(len(tasks)), tasks)

    panels = {f"after {steps} steps": steps for steps in sorted(summary.step.unique())}
    label, limits = (
        "excess loss, LiPrune / random pruning",
        (RATIO_RANGE[0] * 3, RATIO_RANGE[1] * 1.5),
    )
    return facets(panels, draw, xlabel=label, ylabel="", height=4.2, xscale="log", xlim=limits)


def problems_figure(curves: pd.DataFrame) -> Figure:
    """Draw the expected excess loss on each convex problem, each method at its best rate."""

    def draw(axes: Axes, task: str) -> None:
        for method, rows in curves[curves.task == task].groupby("method", sort=False):
            axes.plot(rows.step, rows.excess, **METHOD_STYLES[method])
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())

    panels = {task: task for task in curves.task.unique()}
    label = "median excess loss on new data"
    return facets(panels, draw, xlabel="SGD step", ylabel=label, share="x")


def excess_curves(curves: pd.DataFrame, keep_fraction: float) -> Figure:
    """Draw the excess on all training points during SGD, each method at its own step size."""
    here = curves.query("rule == 'final' and step > 0 and keep_fraction in [@keep_fraction, 1]")

    def draw(axes: Axes, name: str) -> None:
        for method, rows in here[here.data_set == name].groupby("method", sort=False):
            axes.plot(rows.step, rows.excess, **METHOD_STYLES[method])
            half = NORMAL_95 * rows.excess_se
            band = {"color": METHOD_STYLES[method]["color"], "alpha": 0.25, "linewidth": 0}
            axes.fill_between(rows.step, rows.excess - half, rows.excess + half, **band)

    labels = {"xlabel": "SGD step", "ylabel": "excess training loss"}
    panels = {name: name for name in here.data_set.unique()}
    scales = {"xscale": "log", "yscale": "log"}
    return facets(panels, draw, **labels, columns=3, height=3.6, share="y", **scales)


def gap_figure(losses: pd.DataFrame) -> Figure:
    """Draw the paired differences of LiPrune and random pruning at every rule and in the limit."""
    here = losses[losses.against == "random"]
    names, stages = here.data_set.unique(), list(here.rule.unique())
    figure, panels = plt.subplots(2, 3, figsize=(6.4, 6.2), sharey=True)
    labels = {"excess": "difference of excess", "test_loss": "difference of test loss"}
    for row, (measure, label) in zip(panels, labels.items(), strict=True):
        for axes, name in zip(row, names, strict=True):
            _draw_gaps(axes, here[(here.measure == measure) & (here.data_set == name)], stages)
        row[1].set_xlabel(label)
        row[0].set_yticks(-np.arange(len(stages)), [RULE_LABELS[stage] for stage in stages], size=9)
    for axes, name in zip(panels[0], names, strict=True):
        axes.set_title(name)
    shared_legend(figure)
    return figure


def _draw_gaps(axes: Axes, rows: pd.DataFrame, stages: list[str]) -> None:
    """Draw one panel of differences, a height per rule or limit."""
    axes.axvline(0, color="black", linewidth=1.2)
    groups = rows.groupby("keep_fraction")
    for offset, (fraction, group) in zip((0.22, 0, -0.22), groups, strict=True):
        heights = np.array([offset - stages.index(rule) for rule in group.rule])
        _plot_sideways(axes, group, "difference", heights, **FRACTION_STYLES[fraction])
    axes.locator_params(axis="x", nbins=3)
    axes.tick_params(axis="x", labelsize=9)


def step_figure(steps: pd.DataFrame) -> Figure:
    """Draw the median steps to the target, at one step size for all and at each method's own."""
    order = steps[["method", "keep_fraction"]].drop_duplicates().sort_values("keep_fraction")
    settings = list(order.itertuples(index=False, name=None))
    labels = [f"{METHOD_STYLES[method]['label']}, {fraction:g}" for method, fraction in settings]
    looks = {"shared": (0.15, "s", "white"), "arrival": (-0.15, "o", "#555555")}
    capped = steps.assign(**steps[["median", "low", "high"]].clip(upper=NEVER))

    def draw(axes: Axes, name: str) -> None:
        for rule, (offset, marker, face) in looks.items():
            rows = capped[(capped.data_set == name) & (capped.rule == rule)]
            pairs = zip(rows.method, rows.keep_fraction, strict=True)
            heights = np.array([offset - settings.index(pair) for pair in pairs])
            look = {"marker": marker, "markerfacecolor": face, "color": "#555555"}
            _plot_sideways(axes, rows, "median", heights, label=RULES[rule], **look)
        axes.axvline(NUM_STEPS, color="#777777", linewidth=0.8, linestyle=":")
        axes.set_xscale("log")
        axes.set_xticks([10, 100, NEVER], ["10", "100", "never"], size=9)
        axes.set_yticks(-np.arange(len(settings)), labels, size=9)
        axes.minorticks_off()

    panels = {name: name for name in steps.data_set.unique()}
    return facets(panels, draw, xlabel="steps", ylabel="", columns=3, height=4.2)


def class_figure(classes: pd.DataFrame) -> Figure:
    """Draw the share of each class among the points that LiPrune keeps."""
    figure, panels = plt.subplots(1, 2, figsize=(6.4, 3.4), width_ratios=(1, 3))
    groups = classes.groupby("data_set", sort=False)
    for axes, (name, group) in zip(panels, groups, strict=True):
        labels = list(group.label.unique())
        fractions = group.groupby("keep_fraction")
        for shift, (fraction, rows) in zip((-0.2, 0, 0.2, 0), fractions, strict=True):
            at = np.arange(len(labels)) + shift
            plot_intervals(axes, at, rows, "share", **(BAR_STYLE | FRACTION_STYLES[fraction]))
        axes.set(title=name, xlabel="class", ylim=(0, None))
        axes.set_xticks(range(len(labels)), labels, size=9)
    panels[0].set_ylabel("share of the points")
    shared_legend(figure)
    return figure


def head_figure(bands: pd.DataFrame) -> Figure:
    """Draw the test loss of the convex head by step, pruned by batches and by points."""

    def draw(axes: Axes, unit: str) -> None:
        for method, rows in bands[bands.unit == unit].groupby("method", sort=False):
            look = METHOD_STYLES[method]
            axes.plot(rows.step, rows.test_loss, **look)
            axes.fill_between(rows.step, rows.low, rows.high, color=look["color"], alpha=0.25)

    panels = {f"pruned by {unit}": unit for unit in bands.unit.unique()}
    labels = {"xlabel": "SGD step", "ylabel": "test loss (nats)"}
    figure = facets(panels, draw, **labels, height=3.6, share=True, xscale="log", yscale="log")
    axes, ticks = figure.axes[0], [0.5, 0.7, 1, 1.5, 2, 3]  # all panels share them
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.yaxis.minorticks_off()
    axes.xaxis.set_major_formatter("{x:g}")
    return figure
