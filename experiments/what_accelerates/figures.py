"""Figures of page 05: who is ahead at which rate, batch size and fraction kept, and where not."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.linear_model.runs import KEEP_FRACTIONS
from experiments.linear_model.tables import typical_moments
from experiments.what_accelerates.closed_forms import (
    BATCH_SIZE,
    LEARNING_RATE,
    MEAN_SQUARE,
    crossing_rate,
    expected_square,
    square_factor,
)
from liprune_utils.book.style import METHODS, facets, plot_intervals

STYLES = METHODS | {
    "matched": {"label": "Random, LiPrune's step", "color": "#E69F00", "linestyle": "-."},
    "unbiased": {"label": "Unbiased, p ∝ L", "color": "#009E73", "linestyle": (0, (6, 2))},
    "theorem2": {"label": "Theorem 2", "color": "#CC79A7", "linestyle": (0, (1, 1))},
}
MARKERS = {"liprune": "o", "random": "s", "none": "^", "unbiased": "D"}
FRACTION_MARKERS = {
    0.1: {"marker": "o", "color": "#56B4E9"},
    0.3: {"marker": "s", "color": "#CC79A7"},
    0.5: {"marker": "^", "color": "#E69F00"},
    0.7: {"marker": "D", "color": "#009E73"},
}
FRACTION_PANELS = {f"keep {fraction:g}": fraction for fraction in KEEP_FRACTIONS}


def excess_figure(curves: pd.DataFrame, methods: Sequence[str], height: float) -> Figure:
    """Draw the excess test loss of some methods in the paper's setting, by keep fraction."""

    def draw(axes: Axes, fraction: float) -> None:
        here = curves[curves.keep_fraction == fraction].set_index("method")
        for method in methods:
            axes.plot(here.loc[method].step, here.loc[method].excess, **STYLES[method])

    labels = {"xlabel": "SGD step", "ylabel": "excess test loss", "height": height}
    return facets(FRACTION_PANELS, draw, **labels, yscale="log", ylim=(5e-5, 10))


def rates_figure(best: pd.DataFrame, slope: float) -> Figure:
    """Draw the excess after 10 and 30 steps against the step size, a tenth kept."""
    rates, options = np.geomspace(1e-3, 0.2, 80), {"batch_size": BATCH_SIZE, "slope": slope}

    def draw(axes: Axes, steps: int) -> None:
        rows = best[(best.step == steps) & (best.keep_fraction == 0.1)].set_index("rival")
        optima = {"liprune": rows.loc["random", ["rate", "excess"]]}
        optima |= {m: rows.loc[m, ["rival_rate", "rival_excess"]] for m in ("random", "unbiased")}
        for method, optimum in optima.items():
            curve = [
                expected_square(method, 0.1, learning_rate=rate, num_steps=steps, **options)[-1]
                for rate in rates
            ]
            axes.plot(rates, np.array(curve) * MEAN_SQUARE / 2, **STYLES[method])
            _plot_markers(axes, *optimum, method)
        axes.axvline(LEARNING_RATE, color="black", linewidth=0.8)

    panels = {f"after {steps} steps": steps for steps in sorted(best.step.unique())}
    labels = {"xlabel": "learning rate", "ylabel": "excess test loss"}
    scales = {"xscale": "log", "yscale": "log", "ylim": (5e-5, 10)}
    return facets(panels, draw, **labels, height=3.6, **scales)


def _plot_markers(axes: Axes, x: np.ndarray, y: np.ndarray, method: str) -> None:
    style = {"color": STYLES[method]["color"], "marker": MARKERS[method], "markersize": 5}
    axes.plot(x, y, linestyle="none", **style)


def contraction_figure(table: pd.DataFrame) -> Figure:
    """Draw the mean-square contraction against the step size, by keep fraction."""
    rates = np.linspace(0, 0.25, 200)

    def draw(axes: Axes, fraction: float) -> None:
        kept = {method: typical_moments(fraction, method) for method in ("liprune", "random")}
        for method, moments in kept.items():
            factors = [square_factor(moments, BATCH_SIZE, rate)[0] for rate in rates]
            axes.plot(rates, factors, **STYLES[method])
            here = table[(table.keep_fraction == fraction) & (table.method == method)]
            _plot_markers(axes, here.learning_rate, here.measured, method)
        axes.plot(rates, (1 - rates * MEAN_SQUARE) ** 2, **STYLES["unbiased"])
        axes.axhline(1, color="black", linewidth=1)
        crossing = crossing_rate(kept["liprune"], kept["random"], BATCH_SIZE)[0]
        axes.axvline(crossing, color="#888888", linewidth=0.8)

    labels = {"xlabel": "learning rate", "ylabel": "factor of the mean square error"}
    limits = {"ylim": (0, 1.5), "xlim": (0, 0.25), "xticks": [0, 0.1, 0.2]}
    return facets(FRACTION_PANELS, draw, **labels, **limits)


def batch_figure(table: pd.DataFrame) -> Figure:
    """Draw the ratio of excess test losses against the batch size, pruning points and batches."""

    def draw(axes: Axes, pruned: str) -> None:
        axes.set(xscale="log", yscale="log")
        for fraction, style in FRACTION_MARKERS.items():
            rows = table[(table.pruned == pruned) & (table.keep_fraction == fraction)]
            style = style | {"linestyle": "none", "markersize": 5, "label": f"keep {fraction:g}"}
            plot_intervals(axes, rows.batch_size, rows, "ratio", **style)
            axes.plot(rows.batch_size, rows.expected, color=style["color"], linewidth=1)
        axes.set_xticks([1, 10, 100], ["1", "10", "100"])

    panels = {f"pruning {pruned}": pruned for pruned in ("points", "batches")}
    labels = {"xlabel": "batch size", "ylabel": "excess, LiPrune / random"}
    return facets(panels, draw, **labels, height=3.8, legend=4)


def bound_figure(bounds: pd.DataFrame, measured: dict[str, np.ndarray]) -> Figure:
    """Draw Theorem 1's bound for the kept points beside the error, a tenth kept."""

    def draw(axes: Axes, method: str) -> None:
        here = bounds[(bounds.keep_fraction == 0.1) & (bounds.method == method)]
        means = here.groupby("step")[["error", "bound", "total_bound"]].mean()
        color = STYLES[method]["color"]
        axes.plot(means.total_bound, "--", color="black", label="bound, from $w^*$")
        axes.plot(means.bound, color="#888888", label="bound, from $w_K$")
        axes.plot(measured[method], color=color, label="error, from $w^*$ (simulated)")
        axes.plot(means.error, ":", color=color, label="error, from $w_K$ (exact)")
        axes.legend(fontsize=8)

    panels = {STYLES[method]["label"]: method for method in measured}
    labels = {"xlabel": "SGD step", "ylabel": "mean square error of w"}
    return facets(panels, draw, **labels, height=3.6, legend=0, yscale="log")
