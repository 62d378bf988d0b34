"""Figures of page 03: the values that they were given."""

import numpy as np
import pandas as pd
import pytest
from figure_texts import legend

from experiments.liprune import figures
from experiments.liprune.batch_spread import BATCH_SIZES, INPUTS, spread_table
from experiments.liprune.runs import kept_table, population_table
from liprune_utils.lipschitz import sine_constant, sine_curvature

pytestmark = pytest.mark.usefixtures("book_style")


@pytest.mark.parametrize(("x", "y"), [(1.2, 0.6), (-0.7, -1.5)])
def test_sine_figure_marks_every_weight_that_attains_the_constant(x, y):
    top, bottom = figures.sine_figure(x, y, 9.9, 12.1).axes
    marked, drawn = ({line.get_marker(): line for line in a.lines}["v"] for a in (bottom, top))
    np.testing.assert_allclose(marked.get_ydata(), -sine_constant(x, y), rtol=1e-12)
    np.testing.assert_allclose(drawn.get_ydata(), top.lines[0].get_ydata().max(), rtol=1e-3)
    w = bottom.lines[0].get_xdata()
    near = np.abs(w[:, None] - marked.get_xdata()).min(axis=1) < 0.1
    assert np.abs(sine_curvature(w[~near], x, y)).max() < sine_constant(x, y) * (1 - 1e-4)


def test_overlap_figure_has_a_curve_and_chance_for_each_fraction():
    curves = population_table([0.01, 100])
    measured = curves.assign(overlap=curves.population, overlap_se=0.01)
    figure = figures.overlap_figure(curves, measured)
    lines = figure.axes[0].lines
    levels = {line.get_ydata()[0] for line in lines if len({*line.get_ydata()}) == 1}
    assert {0.1, 0.3, 0.5, 0.9} <= levels
    assert set(legend(figure)) == {"keep 0.1", "keep 0.3", "keep 0.5"}


def test_kept_figure_says_the_overlap():
    x = np.array([-3.0, -1.0, 1.0, 2.0])
    kept = kept_table(x, np.zeros(4), {0.0: 1.0}, 0.5)  # no noise: GraNd ranks by x squared
    kept.loc[0, "grand"] = False
    assert figures.kept_figure(kept).axes[0].get_title() == "overlap 0.50"


def test_spread_figure_has_a_line_for_each_kind_of_input():
    rows = [(name, run, size) for name in INPUTS for run in range(3) for size in BATCH_SIZES]
    runs = pd.DataFrame(rows, columns=["inputs", "run", "batch_size"])
    values = {"variation": 1 / runs.batch_size + runs.run, "num_batches": 4, "mean_constant": 1.0}
    runs = runs.assign(**values, **{f"gain_{r:g}": 1.0 for r in (0.1, 0.2, 0.5)})
    table = spread_table(runs)
    figure = figures.spread_figure(table)
    assert set(legend(figure)) == {*INPUTS, "falling as 1/√B"}
    bars = figure.axes[0].containers[0].lines[2][0].get_segments()
    first = table[table.inputs == table.inputs[0]]
    np.testing.assert_allclose(
        [segment[:, 1] for segment in bars], first[["variation_low", "variation_high"]]
    )
