"""Networks trained on the images of the last layer's optimal design: page 12's recorded runs.

The runs of ``experiments/grids/design.yml``. All methods but one keep single images and cut them
into batches anew; "random" keeps whole random batches, as on pages 09 and 10.
"""

from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.other_scores.figures import BARS
from liprune_utils.book.register import load_register, margin
from liprune_utils.book.style import METHODS, facets
from liprune_utils.files import PROJECT
from liprune_utils.grid import read_tables
from liprune_utils.intervals import Estimate, mean_interval

CLAIM = "design-network"
RECORDED, REFERENCE = "book/results/12_what_to_keep", "random-examples"
LABELS = {"design": "optimal design", "leverage": "leverage", "random": "random batches"}
MEASURES = {"mean": "mean over the epochs after the pruning", "final": "after the last epoch"}
LOOKS = {
    "design": {"color": "#009E73", "marker": "^"},
    "leverage": {"color": "#CC79A7", "marker": "D"},
    "random": {"color": METHODS["random"]["color"], "marker": "s"},
}


def recorded_networks() -> tuple[pd.DataFrame, pd.DataFrame, dict[str, object]]:
    """Read the curves and the runs of the grid's complete seeds, and its provenance."""
    curves, runs, (provenance,) = read_tables(PROJECT / RECORDED, ["design"])
    return curves, runs, provenance


def network_gaps(curves: pd.DataFrame) -> pd.DataFrame:
    """Compare each method's test error with that of random images, paired by seed."""
    level, rows = load_register()[CLAIM]["level"], []
    after = curves[curves.epoch >= curves.prune_epoch].sort_values("epoch")
    groups = after.groupby(["seed", "keep_fraction", "method"]).test_error
    errors = {"mean": groups.mean(), "final": groups.last()}
    for measure, fraction in product(MEASURES, sorted(curves.keep_fraction.unique())):
        wide = errors[measure].xs(fraction, level="keep_fraction").unstack("method")
        for method in LABELS:
            facts = {"measure": measure, "keep_fraction": fraction, "method": method}
            facts |= {"random_error": wide[REFERENCE].mean()}
            found = mean_interval(wide[method] - wide[REFERENCE], level)
            rows.append(facts | found.columns("difference"))
    return pd.DataFrame(rows).rename(columns={"num_runs": "num_seeds"})


def estimates(gaps: pd.DataFrame, method: str, measure: str = "mean") -> dict[float, Estimate]:
    """List a method's differences by the fraction kept."""
    rows = gaps[(gaps.method == method) & (gaps.measure == measure)]
    named = rows.rename(columns={"num_seeds": "num_runs"}).itertuples()
    return {row.keep_fraction: Estimate.of(row, "difference") for row in named}


def network_figure(gaps: pd.DataFrame) -> Figure:
    """Draw each method's mean test error less that of random images, one panel per fraction."""
    least, here = margin(CLAIM, "test_error_points"), gaps[gaps.measure == "mean"]

    def draw(axes: Axes, fraction: float) -> None:
        axes.axvline(0, color="black", linewidth=1)
        axes.axvline(-least, color="black", linewidth=0.8, linestyle=":")
        rows = here[here.keep_fraction == fraction].set_index("method").loc[list(LABELS)]
        for place, (method, row) in enumerate(rows.iterrows()):
            bars = [[row.difference - row.low], [row.high - row.difference]]
            axes.errorbar(row.difference, -place, xerr=bars, **(BARS | LOOKS[method]))

    return facets(
        {f"keep {fraction:g}": fraction for fraction in sorted(here.keep_fraction.unique())}, draw,
        xlabel="mean test error less that of random images (points)", ylabel="", height=2.4,
        legend=0, yticks=-np.arange(len(LABELS)), yticklabels=LABELS.values(),
        ylim=(0.5 - len(LABELS), 0.5),
    )  # fmt: skip
