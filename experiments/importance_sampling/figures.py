"""Figures of page 01, bounds against exact errors, and the looks that page 02 shares."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.importance_sampling.step_counts import RULES
from liprune_utils.book.style import facets, shared_legend

# Okabe and Ito's palette without the colours of the pruning methods; marker and dash differ too.
SAMPLINGS = {
    "uniform": {"color": "#E69F00", "marker": "s", "linestyle": "--", "label": "uniform"},
    "optimal": {"color": "#009E73", "marker": "o", "linestyle": "-", "label": "p ∝ L"},
    "mixture": {"color": "#CC79A7", "marker": "^", "linestyle": "-.", "label": "half and half"},
}
LINES = {
    "bound": {"color": "#E69F00", "linestyle": "--", "label": "bound of the theorem"},
    "ours": {"color": "#CC79A7", "linestyle": "-.", "label": "bound, any ζ (ours)"},
    "exact": {"color": "#009E73", "linestyle": "-", "label": "exact error"},
    "simulated": {"color": "black", "linestyle": "none", "marker": "o", "label": "simulated"},
}


def _case_names(table: pd.DataFrame) -> pd.Series:
    noise = table.noise_sd.map(
        lambda sd: "logistic" if np.isnan(sd) else f"noise {sd:g}" if sd else "no noise"
    )
    return "d = " + table.dim.astype(str) + ", " + noise


def _plot_cases(
    axes: Axes, rows: pd.DataFrame, name: str, offsets: dict[str, float], **look: object
) -> None:
    """Draw a row of the axes per case, in the order of the table; a colour per sampling."""
    cases = list(rows.case.unique())
    for sampling, offset in offsets.items():
        here = rows[rows.sampling == sampling]
        height = [offset - cases.index(case) for case in here.case]
        bars = [here[name] - here.low, here.high - here[name]] if "low" in here else None
        marks = SAMPLINGS[sampling] | {"linestyle": "none"} | look
        axes.errorbar(here[name], height, xerr=bars, **marks)
    axes.axvline(1, color="black", linewidth=1.2)
    axes.set_yticks(-np.arange(len(cases)), cases)


def theorem_figure(table: pd.DataFrame) -> Figure:
    """Draw, for each problem, the error at the theorem's step count over its target."""
    figure, axes = plt.subplots(figsize=(6.4, 4.4))
    rows = table[["sampling", "error_over_target"]].assign(case=_case_names(table))
    offsets = {"uniform": 0.24, "optimal": 0, "mixture": -0.24}
    _plot_cases(axes, rows, "error_over_target", offsets, markersize=3, alpha=0.5)
    axes.set(xscale="log", xlabel="error at the stated step / target error")
    shared_legend(figure)
    return figure


def fewest_steps_figure(summary: pd.DataFrame) -> Figure:
    """Draw the ratios of steps in ten dimensions, each sampling at its best step size."""
    figure, axes = plt.subplots(figsize=(6.4, 3.2))
    rows = summary[(summary.rule == "best") & (summary.dim == 10)]
    noise = rows.noise_sd.map(lambda sd: f"noise {sd:g}" if sd else "no noise")
    rows = rows.assign(case=noise + ", target " + rows.target.map("{:g}".format))
    _plot_cases(axes, rows, "ratio", {"optimal": 0.12, "mixture": -0.12}, markersize=6)
    axes.set(xlabel="steps of uniform sampling / steps of the sampling", xlim=(0, None))
    shared_legend(figure)
    return figure


def steps_figure(summary: pd.DataFrame) -> Figure:
    """Draw how many times fewer steps importance sampling needs, a panel per rule of step sizes."""
    names = _case_names(summary) + ", target " + summary.target.map("{:g}".format)
    summary = summary.assign(case=names)

    def draw(axes: Axes, rule: str) -> None:
        offsets = {"optimal": 0.15, "mixture": -0.15}
        look = {"linewidth": 1.2, "markersize": 5}
        _plot_cases(axes, summary[summary.rule == rule], "ratio", offsets, **look)
        axes.tick_params(axis="y", labelsize=8.5)

    figure = facets(
        {title.replace("'s ", "'s\n"): rule for rule, title in RULES.items()},
        draw,
        xlabel="steps of uniform sampling / steps of the sampling",
        ylabel="",
        height=6.4,
        xscale="log",
        xticks=[0.5, 1, 2, 4, 8],
        xticklabels=["½", "1", "2", "4", "8"],
    )
    for axes in figure.axes:
        axes.minorticks_off()
    return figure


def exponent_figure(table: pd.DataFrame) -> Figure:
    """Draw what sampling by a power of L does to the bound and to the steps needed."""
    medians = table.groupby(["dim", "noise_sd", "exponent"], as_index=False).median()
    quiet, noisy = sorted(medians.noise_sd.unique())

    def draw(axes: Axes, dim: int) -> None:
        rows = medians[medians.dim == dim]
        still, loud = rows[rows.noise_sd == quiet], rows[rows.noise_sd == noisy]
        axes.plot(still.exponent, still.lipschitz_sup, ":", color="black", label="bound's constant")
        still_look = {"color": "#009E73", "label": "steps, no noise"}
        axes.plot(still.exponent, still.steps, "o-", markersize=4, **still_look)
        loud_look = {"color": "#CC79A7", "label": f"steps, noise {noisy:g}"}
        axes.plot(loud.exponent, loud.steps, "s--", markersize=4, **loud_look)
        axes.axvline(1, color="#777777", linewidth=0.8)

    panels = {f"d = {dim}": dim for dim in medians.dim.unique()}
    labels = {"xlabel": "exponent α of p ∝ L^α", "ylabel": "relative to uniform sampling"}
    return facets(panels, draw, **labels, height=3.8, yscale="log", ylim=(0.02, 12))


def approach_figure(curves: pd.DataFrame, target: float) -> Figure:
    """Draw the exact error and its bound at the theorem's step size, a panel per sampling."""

    def draw(axes: Axes, sampling: str) -> None:
        here = curves[curves.sampling == sampling]
        axes.plot(here.share, here.bound, **LINES["bound"])
        axes.plot(here.share, here.error, **LINES["exact"])
        axes.axhline(target, color="black", linewidth=0.8)

    last = curves.groupby("sampling").step.max()
    panels = {
        f"{look['label']}\nstated t = {last[name]:,}": name for name, look in SAMPLINGS.items()
    }
    labels = {"xlabel": "t / stated t", "ylabel": "error / first error"}
    settings = {"columns": 3, "height": 3.6, "yscale": "log", "xticks": [0, 0.5, 1]}
    return facets(panels, draw, **labels, **settings)
