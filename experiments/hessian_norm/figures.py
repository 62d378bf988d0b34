"""Figures of page 08: secants, spreads, rankings, and speed against accuracy."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from liprune_utils.book.style import METHODS, shared_legend
from liprune_utils.pruning import keep_highest

DIRECTIONS = {
    "eigenvector": {"color": "#009E73", "marker": "o", "linestyle": "-"},
    "gradient": {"color": "#E69F00", "marker": "s", "linestyle": "--"},
    "random": {"color": "#CC79A7", "marker": "^", "linestyle": ":"},
}
STAGES = (
    {"color": "#56B4E9", "marker": "s", "linestyle": "--"},
    {"color": "#009E73", "marker": "o", "linestyle": "-"},
)
KINDS = {
    "seeds": {"color": "#E69F00", "marker": "s"},
    "training": {"color": "#009E73", "marker": "o"},
    "batch norm": {"color": "#CC79A7", "marker": "^"},
}
NAMES = {"relu": "ReLU", "softplus": "softplus"}


def secants_figure(table: pd.DataFrame) -> Figure:
    """Draw secants in units of the Hessian norm against distance, a panel for each network.

    Args:
        table: From `experiments.hessian_norm.runs.probe_networks`.

    Returns:
        The figure.
    """
    figure, panels = plt.subplots(2, 2, figsize=(6.4, 5.6), sharex=True, sharey=True)
    cases = table.groupby(["activation", "epochs"], sort=False)
    for axes, ((activation, epochs), rows) in zip(panels.flat, cases, strict=True):
        for name, line in rows.groupby("direction", sort=False):
            kind = name.split()[0]
            axes.plot(line.distance, line.ratio, **DIRECTIONS[kind], markersize=4, label=kind)
        axes.axhline(1, color="black", linewidth=0.8)
        when = "before training" if epochs == 0 else f"after {epochs} epochs"
        axes.set_title(f"{NAMES[activation]}, {when}", fontsize=11)
    panels[0, 0].set(xscale="log", yscale="log")
    panels[0, 0].set_xticks([1e-7, 1e-5, 1e-3, 1e-1])
    figure.supxlabel("distance ‖w' − w‖", fontsize=11)
    figure.supylabel("secant / Hessian norm", fontsize=11)
    shared_legend(figure)
    return figure


def eigenvalues_figure(scores: pd.DataFrame) -> Figure:
    """Draw the sorted dominant eigenvalues of all batches, a panel for each stage of training.

    Args:
        scores: One row a batch, with ``epoch`` and ``eigenvalue``.

    Returns:
        The figure.
    """
    stages = scores.groupby("epoch")
    figure, panels = plt.subplots(1, stages.ngroups, figsize=(6.4, 3.4), squeeze=False)
    for axes, look, (epoch, rows) in zip(panels.flat, STAGES, stages, strict=False):
        values = rows.eigenvalue.sort_values(ascending=False).to_numpy()
        axes.plot(np.arange(1, len(values) + 1), values, ".", color=look["color"])
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_title("before training" if epoch == 1 else f"start of epoch {epoch}", fontsize=11)
    panels[0, 0].set_ylabel("dominant eigenvalue")
    figure.supxlabel("rank of the batch", fontsize=11)
    return figure


def spread_figure(spreads: pd.DataFrame) -> Figure:
    """Draw how much the norms of batches differ against the batch size.

    Args:
        spreads: From `experiments.hessian_norm.tables.spreads`, by ``epoch`` and ``batch_size``.

    Returns:
        The figure; bars are 99% bootstrap intervals.
    """
    figure, axes = plt.subplots(figsize=(6.4, 3.6))
    for look, (epoch, rows) in zip(STAGES, spreads.groupby("epoch"), strict=False):
        bars = [rows.relative_sd - rows.low, rows.high - rows.relative_sd]
        name = "before training" if epoch == 1 else f"start of epoch {epoch}"
        axes.errorbar(rows.batch_size, rows.relative_sd, bars, **look, markersize=5, label=name)
        root = rows.relative_sd.iloc[0] * np.sqrt(rows.batch_size.iloc[0] / rows.batch_size)
        axes.plot(rows.batch_size, root, color="black", linewidth=0.8, linestyle=":", zorder=1)
    axes.lines[-1].set_label("falling as 1/√B")
    axes.set(xscale="log", yscale="log", xlabel="images in a batch, B")
    axes.set_ylabel("standard deviation / mean")
    sizes = spreads.batch_size.unique()
    axes.set_xticks(sizes, [f"{size}" for size in sizes])
    axes.minorticks_off()
    ticks = [0.02, 0.05, 0.1, 0.2, 0.5, 1]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_ylim(0.8 * spreads.low.min(), 1.25 * spreads.high.max())
    shared_legend(figure)
    return figure


def agreement_figure(agreements: pd.DataFrame) -> Figure:
    """Draw how alike two rankings of the same batches are.

    Args:
        agreements: From `experiments.hessian_norm.tables.agreements`.

    Returns:
        The figure; bars are 99% bootstrap intervals.
    """
    figure, axes = plt.subplots(figsize=(6.4, 0.9 + 0.34 * len(agreements)))
    places = np.arange(len(agreements))[::-1]
    for kind, look in KINDS.items():
        mine = (agreements.kind == kind).to_numpy()
        rows = agreements[mine]
        bars = [rows.correlation - rows.low, rows.high - rows.correlation]
        axes.errorbar(
            rows.correlation, places[mine], xerr=bars, **look, linestyle="none", label=kind
        )
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(places, agreements.comparison)
    axes.set(xlim=(-1, 1.02), xlabel="rank correlation of the batches' norms")
    shared_legend(figure)
    return figure


def training_frame(scores: pd.DataFrame, epoch: int, keep_fraction: float = 0.2) -> Figure:
    """Draw the batches' norms at one epoch, in the order that they had at the first.

    Args:
        scores: One row a batch and epoch, of the same batches at each, with ``norm``.
        epoch: The epoch to draw.
        keep_fraction: Fraction that LiPrune would keep, in (0, 1].

    Returns:
        The figure; its vertical scale is the same for all epochs.
    """
    table = scores.pivot(index="epoch", columns="batch", values="norm")
    mean = table.loc[epoch].mean()
    table = table.div(table.mean(axis=1), axis=0)
    values = table.loc[epoch, table.iloc[0].sort_values(ascending=False).index].to_numpy()
    places, kept = np.arange(1, len(values) + 1), keep_highest(values, keep_fraction)
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    axes.plot(places, values, "o", color="#999999", label="pruned")
    look = {"marker": "D", "color": METHODS["liprune"]["color"], "linestyle": "none"}
    axes.plot(places[kept], values[kept], **look, label="kept by LiPrune")
    axes.axhline(1, color="black", linewidth=0.8)
    when = "before training" if epoch == 1 else f"start of epoch {epoch}"
    axes.set(title=f"{when}, mean norm {mean:.3g}", xlabel="rank of the batch before training")
    axes.set(ylabel="norm / mean norm", ylim=(0, 1.05 * table.to_numpy().max()))
    axes.legend(loc="upper right", ncols=2)
    return figure


def peers_figure(summary: pd.DataFrame) -> Figure:
    """Draw error against time for each method of the benchmark, a panel for each stage.

    Args:
        summary: ``epochs``, ``method``, ``seconds`` a batch and ``worst_error``.

    Returns:
        The figure.
    """
    stages = summary.groupby("epochs")
    figure, panels = plt.subplots(1, 2, figsize=(6.4, 4), sharex=True, sharey=True)
    methods = summary.method.unique()
    markers = dict(zip(methods, "oDs^vP", strict=False))
    colors = ["#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444", "#999999"]
    colors = dict(zip(methods, colors, strict=False))
    for axes, (epochs, rows) in zip(panels, stages, strict=True):
        for row in rows.itertuples():
            look = {"color": colors[row.method], "marker": markers[row.method], "linestyle": "none"}
            axes.plot(row.seconds, row.worst_error, **look, markersize=7, label=row.method)
        title = "before training" if epochs == 0 else f"after {epochs} epochs"
        axes.set_title(title, fontsize=11)
    panels[0].set(xscale="log", yscale="log", ylabel="worst relative error")
    ticks = [1, 2, 5, 10, 20]
    panels[0].set_xticks(ticks, [f"{tick}" for tick in ticks])
    panels[0].minorticks_off()
    figure.supxlabel("seconds a batch (median)", fontsize=11)
    shared_legend(figure)
    return figure
