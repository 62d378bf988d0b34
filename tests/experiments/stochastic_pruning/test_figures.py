"""Figures of page 02: every bound, its own look, the values that it was given."""

import numpy as np
import pandas as pd
import pytest

from experiments.importance_sampling.figures import LINES
from experiments.stochastic_pruning import figures
from experiments.stochastic_pruning.runs import tail_table

pytestmark = pytest.mark.usefixtures("book_style")


def test_tail_figure_has_a_panel_for_each_r_and_a_line_for_each_bound():
    table = tail_table()
    figure = figures.tail_figure(table)
    assert [axes.get_title() for axes in figure.axes] == [
        f"r = {keep:g}" for keep in sorted(table.keep_probability.unique())
    ]
    first = table[table.keep_probability == table.keep_probability.min()]
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), first.exact)


def test_looseness_figures_keep_their_axes_for_every_r():
    rows = [
        (sampling, keep, time / keep, *(np.exp(-time / 10) * height for height in (4, 2, 1, 1)))
        for sampling in ("uniform", "optimal")
        for keep in (0.1, 0.5)
        for time in range(40)
    ]
    table = pd.DataFrame(rows, columns=["sampling", "keep_probability", "time", *LINES])
    drawn = [figures.looseness_figure(table, keep) for keep in (0.1, 0.5)]
    for axes, other in zip(drawn[0].axes, drawn[1].axes, strict=True):
        assert axes.get_xlim() == other.get_xlim()
        assert axes.get_ylim() == other.get_ylim()
        assert len(axes.lines) == len(LINES)
