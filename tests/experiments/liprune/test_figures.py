"""Figures of page 03: the values that they were given."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments.liprune import figures
from experiments.liprune.batch_spread import BATCH_SIZES, INPUTS, spread_table
from experiments.liprune.runs import kept_table, population_table
from liprune_utils.book import style
from liprune_utils.lipschitz import sine_constant, sine_curvature


@pytest.fixture(autouse=True)
def book_style():
    plt.switch_backend("agg")
    with plt.style.context(Path(style.__file__).with_name("liprune.mplstyle")):
        yield
    plt.close("all")


def legend(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.legends[0].get_texts()}


def test_worst_weights_attain_the_constant_and_nothing_else_in_the_range_does():
    w = np.linspace(-4, 9, 20_001)
    for x, y in ((1.2, 0.6), (-0.7, -1.5)):
        worst = figures.worst_weights(x, y, w)
        np.testing.assert_allclose(-sine_curvature(worst, x, y), sine_constant(x, y), rtol=1e-12)
        near = np.abs(w[:, None] - worst).min(axis=1) < 0.1
        assert np.abs(sine_curvature(w[~near], x, y)).max() < sine_constant(x, y) * (1 - 1e-4)
    figure = figures.sine_figure(1.2, 0.6, 9.9, 12.1)
    assert len(figure.axes) == 2


def test_overlap_figure_draws_the_measured_means():
    curves = population_table([0.1, 1.0])
    measured = curves.assign(overlap=0.5, overlap_se=0.01)
    figure = figures.overlap_figure(curves, measured)
    assert legend(figure) == {"keep 0.1", "keep 0.3", "keep 0.5"}


def test_kept_figure_says_the_overlap():
    x = np.array([-3.0, -1.0, 1.0, 2.0])
    kept = kept_table(x, np.zeros(4), {0.0: 1.0}, 0.5)  # no noise: GraNd ranks by x squared
    axes = figures.kept_figure(kept).axes[0]
    assert axes.get_title() == "overlap 1.00"
    assert axes.get_ylabel().startswith("gradient norm")


def test_spread_figure_has_a_line_for_each_kind_of_input():
    rows = [(name, run, size) for name in INPUTS for run in range(3) for size in BATCH_SIZES]
    runs = pd.DataFrame(rows, columns=["inputs", "run", "batch_size"])
    values = {"variation": 1 / runs.batch_size + runs.run, "num_batches": 4, "mean_constant": 1.0}
    runs = runs.assign(**values, **{f"gain_{r:g}": 1.0 for r in (0.1, 0.2, 0.5)})
    assert legend(figures.spread_figure(spread_table(runs))) >= set(INPUTS)
