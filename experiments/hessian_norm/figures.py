"""Figures of page 08: secants, spreads, rankings, and speed against accuracy."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from liprune_utils.book.style import METHODS, facets, plot_intervals, shared_legend
from liprune_utils.pruning import keep_highest

DIRECTIONS = {
    "eigenvector": {"color": "#009E73", "marker": "o", "linestyle": "-"},
    "gradient": {"color": "#E69F00", "marker": "s", "linestyle": "--"},
    "random": {"color": "#CC79A7", "marker": "^", "linestyle": ":"},
}
STAGES = {  # the epoch that begins
    1: {"color": "#56B4E9", "marker": "s", "linestyle": "--"},
    5: {"color": "#009E73", "marker": "o", "linestyle": "-"},
}
KINDS = {
    "seeds": {"color": "#E69F00", "marker": "s"},
    "training": {"color": "#009E73", "marker": "o"},
    "batch norm": {"color": "#CC79A7", "marker": "^"},
}
RATES = (  # styles, the lowest learning rate first
    {"color": "#56B4E9", "marker": "s", "linestyle": "--"},
    {"color": "#009E73", "marker": "o", "linestyle": "-"},
)
PEER_COLORS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444", "#999999")
NAMES = {"relu": "ReLU", "softplus": "softplus", "eigenvector": "top eigenvector"}


def _start_of(epoch: int) -> str:
    return "before training" if epoch == 1 else f"start of epoch {epoch}"


def _after(epochs: int) -> str:
    return "before training" if epochs == 0 else f"after {epochs} epochs"


def secants_figure(secants: pd.DataFrame) -> Figure:
    """Draw secants in units of the Hessian norm against distance, a panel for each network."""

    def draw(axes: Axes, rows: pd.DataFrame) -> None:
        for direction, line in rows.groupby("direction", sort=False):
            kind = direction.split()[0]
            style = DIRECTIONS[kind] | {"markersize": 4, "label": NAMES.get(kind, kind)}
            axes.plot(line.distance, line.ratio, **style)
        axes.axhline(1, color="black", linewidth=0.8, label="Hessian norm")

    networks = secants.groupby(["activation", "epochs"], sort=False)
    return facets(
        {f"{NAMES[name]}, {_after(epochs)}": rows for (name, epochs), rows in networks},
        draw, xlabel="distance ‖w' − w‖", ylabel="rate of change / Hessian norm", height=4.2,
        legend=4, xscale="log", yscale="log", xticks=[1e-7, 1e-5, 1e-3, 1e-1],
    )  # fmt: skip


def steps_figure(summary: pd.DataFrame, limits: dict[str, tuple[float, ...]]) -> Figure:
    """Draw ratios and overlaps against the epoch, a line per learning rate; limits are dotted."""
    epochs = sorted(summary.epoch.unique())

    def draw(axes: Axes, name: str) -> None:
        rates = summary.groupby("learning_rate")
        for shift, style, (rate, rows) in zip((-0.06, 0.06), RATES, rates, strict=True):
            ends = {"low": rows[f"{name}_low"], "high": rows[f"{name}_high"]}
            places = [epochs.index(epoch) + shift for epoch in rows.epoch]
            look = style | {"markersize": 5, "label": f"learning rate {rate:g}"}
            plot_intervals(axes, places, rows[[name]].assign(**ends), name, **look)
        for limit in limits.get(name, ()):
            axes.axhline(limit, color="black", linewidth=0.8, linestyle=":")
        axes.set_xticks(range(len(epochs)), [f"{epoch:g}" for epoch in epochs])
        axes.set_ylim(bottom=0)

    panels = {"top eigenvector": "eigenvector", "a step": "step", "kept by both": "overlap"}
    labels = {"xlabel": "start of epoch", "ylabel": "ratio to the norm, or share"}
    return facets(panels, draw, **labels, columns=3, height=3.2, legend=2, share=False)


def eigenvalues_figure(scores: pd.DataFrame) -> Figure:
    """Draw the sorted dominant eigenvalues of all batches, a panel for each stage of training."""

    def draw(axes: Axes, epoch: int) -> None:
        values = scores.eigenvalue[scores.epoch == epoch].sort_values(ascending=False).to_numpy()
        axes.plot(np.arange(1, len(values) + 1), values, ".", color=STAGES[epoch]["color"])
        axes.axhline(0, color="black", linewidth=0.8)

    panels = {_start_of(epoch): epoch for epoch in sorted(scores.epoch.unique())}
    labels = {"xlabel": "rank of the batch", "ylabel": "dominant eigenvalue"}
    return facets(panels, draw, **labels, height=3.4, legend=0, share=False)


def spread_figure(spreads: pd.DataFrame) -> Figure:
    """Draw how much the norms of batches differ against the batch size."""
    figure, axes = plt.subplots(figsize=(6.4, 3.6))
    for epoch, rows in spreads.groupby("epoch"):
        style = STAGES[epoch] | {"markersize": 5, "label": _start_of(epoch)}
        plot_intervals(axes, rows.batch_size, rows, "relative_sd", **style)
        root = rows.relative_sd.iloc[0] * np.sqrt(rows.batch_size.iloc[0] / rows.batch_size)
        axes.plot(rows.batch_size, root, color="black", linewidth=0.8, linestyle=":", zorder=1)
    axes.lines[-1].set_label("falling as 1/√B")
    axes.set(xscale="log", yscale="log", xlabel="images in a batch, B")
    axes.set_ylabel("standard deviation / mean")
    axes.minorticks_off()
    sizes, ticks = spreads.batch_size.unique(), [0.02, 0.05, 0.1, 0.2, 0.5, 1]
    axes.set_xticks(sizes, [f"{size}" for size in sizes])
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_ylim(0.8 * spreads.low.min(), 1.25 * spreads.high.max())
    shared_legend(figure)
    return figure


def agreement_figure(agreements: pd.DataFrame) -> Figure:
    """Draw how alike two rankings of the same batches are."""
    figure, axes = plt.subplots(figsize=(6.4, 0.9 + 0.34 * len(agreements)))
    places = np.arange(len(agreements))[::-1]
    for kind, style in KINDS.items():
        chosen = (agreements.kind == kind).to_numpy()
        rows = agreements[chosen]
        bars = [rows.correlation - rows.low, rows.high - rows.correlation]
        style = style | {"linestyle": "none", "label": kind}
        axes.errorbar(rows.correlation, places[chosen], xerr=bars, **style)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(places, agreements.comparison)
    axes.set(xlim=(-1, 1.02), xlabel="rank correlation of the batches' norms")
    shared_legend(figure)
    return figure


def training_frame(scores: pd.DataFrame, epoch: int) -> Figure:
    """Draw the batches' norms at one epoch, in the order that they had at the first."""
    table = scores.pivot(index="epoch", columns="batch", values="norm")
    mean = table.loc[epoch].mean()
    table = table.div(table.mean(axis=1), axis=0)
    values = table.loc[epoch, table.iloc[0].sort_values(ascending=False).index].to_numpy()
    ranks, kept = np.arange(1, len(values) + 1), keep_highest(values, 0.2)
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    axes.plot(ranks, values, "o", color="#999999", label="pruned")
    style = {"color": METHODS["liprune"]["color"], "label": "kept by LiPrune"}
    axes.plot(ranks[kept], values[kept], "D", **style)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_title(f"{_start_of(epoch)}, mean norm {mean:.3g}")
    axes.set(xlabel="rank of the batch before training", ylabel="norm / mean norm")
    axes.set_ylim(0, 1.05 * table.to_numpy().max())
    axes.legend(loc="upper right", ncols=2)
    return figure


def peers_figure(summary: pd.DataFrame) -> Figure:
    """Draw error against time for each method of the benchmark, a panel for each stage."""
    methods = summary.method.unique()
    styles = dict(zip(methods, zip(PEER_COLORS, "oDs^vP", strict=True), strict=False))

    def draw(axes: Axes, rows: pd.DataFrame) -> None:
        for row in rows.itertuples():
            color, marker = styles[row.method]
            style = {"color": color, "marker": marker, "markersize": 7, "linestyle": "none"}
            axes.plot(row.seconds, row.worst_error, **style, label=row.method)

    panels = {_after(epochs): rows for epochs, rows in summary.groupby("epochs")}
    labels = {"xlabel": "seconds per batch (median)", "ylabel": "worst relative error"}
    figure = facets(panels, draw, **labels, height=4, xscale="log", yscale="log")
    ticks = [1, 2, 5, 10, 20]
    figure.axes[0].set_xticks(ticks, [f"{tick}" for tick in ticks])
    figure.axes[0].minorticks_off()
    return figure
