"""Figures of page 01, bounds against exact errors, and the looks that page 02 shares."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.importance_sampling.step_counts import RULES
from liprune_utils.book.style import shared_legend

# Okabe and Ito's palette without the colours of the pruning methods; marker and dash differ too.
SAMPLINGS = {
    "uniform": {"color": "#E69F00", "marker": "s", "linestyle": "--", "label": "uniform"},
    "optimal": {"color": "#009E73", "marker": "o", "linestyle": "-", "label": "p ∝ L"},
    "mixture": {"color": "#CC79A7", "marker": "^", "linestyle": "-.", "label": "half and half"},
}
INTERVAL = {"linewidth": 1.2, "markersize": 5, "linestyle": "none"}


def case_names(table: pd.DataFrame) -> pd.Series:
    """Name the problems of a table for an axis.

    Args:
        table: Columns ``dim``, ``noise_sd`` (NaN for logistic loss), perhaps ``target``.

    Returns:
        The names, one a row.
    """
    noise = table.noise_sd.map(
        lambda sd: "logistic" if np.isnan(sd) else f"noise {sd:g}" if sd else "no noise"
    )
    names = "d = " + table.dim.astype(str) + ", " + noise
    if "target" in table and "rule" in table:
        names += ", target " + table.target.map("{:g}".format)
    return names


def theorem_figure(table: pd.DataFrame) -> Figure:
    """Draw, for each problem, the error at the theorem's step count over its target.

    Args:
        table: From `experiments.importance_sampling.runs.theorem_table`.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(figsize=(6.4, 4.4))
    table = table.assign(case=case_names(table))
    cases = list(table.case.unique())
    for offset, (sampling, style) in zip((0.24, 0, -0.24), SAMPLINGS.items(), strict=True):
        here = table[table.sampling == sampling]
        height = [-cases.index(case) + offset for case in here.case]
        look = {key: style[key] for key in ("color", "marker", "label")}
        axes.plot(here.error_over_target, height, linestyle="none", markersize=3, alpha=0.5, **look)
    axes.axvline(1, color="black", linewidth=1.2)
    axes.set(xscale="log", xlabel="error at the stated step / target error")
    axes.set_yticks(-np.arange(len(cases)), cases)
    shared_legend(figure)
    return figure


def steps_figure(summary: pd.DataFrame) -> Figure:
    """Draw how many times fewer steps importance sampling needs, a panel a rule of step sizes.

    Args:
        summary: From `experiments.importance_sampling.claims.speed_summary`.

    Returns:
        The figure; bars are 99% intervals of the median.
    """
    summary = summary.assign(case=case_names(summary))
    cases = list(summary.case.unique())
    figure, panels = plt.subplots(2, 2, figsize=(6.4, 6.4), sharey=True, sharex=True)
    for axes, (rule, title) in zip(panels.flat, RULES.items(), strict=True):
        for offset, sampling in ((0.15, "optimal"), (-0.15, "mixture")):
            here = summary[(summary.rule == rule) & (summary.sampling == sampling)]
            height = [-cases.index(case) + offset for case in here.case]
            bars = np.array([here.ratio - here.low, here.high - here.ratio])
            look = {key: SAMPLINGS[sampling][key] for key in ("color", "marker", "label")}
            axes.errorbar(here.ratio, height, xerr=bars, **INTERVAL, **look)
        axes.axvline(1, color="black", linewidth=1.2)
        axes.set_title(title.replace("'s ", "'s\n"), size=10)
        axes.set(xscale="log", xticks=[0.5, 1, 2, 4, 8], xticklabels=["½", "1", "2", "4", "8"])
        axes.minorticks_off()
        axes.set_yticks(-np.arange(len(cases)), cases, size=8.5)
    figure.supxlabel("steps of uniform sampling / steps of the sampling", fontsize=11)
    shared_legend(figure)
    return figure


def exponent_figure(table: pd.DataFrame) -> Figure:
    r"""Draw what sampling by a power of L does to the bound and to the steps needed.

    Args:
        table: From `experiments.importance_sampling.step_counts.exponent_table`.

    Returns:
        The figure; curves are medians over problems.
    """
    figure, panels = plt.subplots(1, 2, figsize=(6.4, 3.8), sharey=True)
    medians = table.groupby(["dim", "noise_sd", "exponent"], as_index=False).median()
    quiet, noisy = sorted(medians.noise_sd.unique())
    for axes, (dim, rows) in zip(panels, medians.groupby("dim"), strict=True):
        still, loud = rows[rows.noise_sd == quiet], rows[rows.noise_sd == noisy]
        dots = {"markersize": 4, "label": "steps, no noise", "color": "#009E73"}
        axes.plot(still.exponent, still.lipschitz_sup, ":", color="black", label="bound's constant")
        axes.plot(still.exponent, still.steps, "o-", **dots)
        dots |= {"label": f"steps, noise {noisy:g}", "color": "#CC79A7"}
        axes.plot(loud.exponent, loud.steps, "s--", **dots)
        axes.axvline(1, color="#777777", linewidth=0.8)
        axes.set(title=f"d = {dim}", xlabel="exponent α of p ∝ L^α", yscale="log", ylim=(0.02, 12))
    panels[0].set_ylabel("relative to uniform sampling")
    shared_legend(figure)
    return figure


def approach_figure(curves: pd.DataFrame, target: float) -> Figure:
    """Draw the exact error and its bound at the theorem's step size, a panel a sampling.

    Args:
        curves: From `experiments.importance_sampling.step_counts.approach`.
        target: The target error, relative to the first.

    Returns:
        The figure.
    """
    figure, panels = plt.subplots(1, len(SAMPLINGS), figsize=(6.4, 3.6), sharey=True)
    for axes, (sampling, style) in zip(panels, SAMPLINGS.items(), strict=True):
        here = curves[curves.sampling == sampling]
        axes.plot(here.share, here.bound, **LINES["bound"])
        axes.plot(here.share, here.error, **LINES["exact"])
        axes.axhline(target, color="black", linewidth=0.8)
        axes.set_title(f"{style['label']}\nstated t = {here.step.iloc[-1]:,}", size=10)
        axes.set(yscale="log", xlabel="t / stated t", xticks=[0, 0.5, 1])
    panels[0].set_ylabel("error / first error")
    shared_legend(figure)
    return figure


LINES = {
    "bound": {"color": "#E69F00", "linestyle": "--", "label": "bound of the theorem"},
    "ours": {"color": "#CC79A7", "linestyle": "-.", "label": "bound, any ζ (ours)"},
    "exact": {"color": "#009E73", "linestyle": "-", "label": "exact error"},
    "simulated": {"color": "black", "linestyle": "none", "marker": "o", "label": "simulated"},
}
