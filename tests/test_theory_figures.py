"""Figures of the theory pages: every sampling, its own look, the values that it was given."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from liprune_utils import figures, lipschitz_figures, theory_figures
from liprune_utils.batch_spread import BATCH_SIZES, INPUTS, spread_table
from liprune_utils.liprune import kept_table, population_table
from liprune_utils.lipschitz import sine_constant, sine_curvature
from liprune_utils.stochastic_pruning import tail_table
from liprune_utils.theory_figures import LINES, SAMPLINGS


@pytest.fixture(autouse=True)
def book_style():
    plt.switch_backend("agg")
    with plt.style.context(Path(figures.__file__).with_name("liprune.mplstyle")):
        yield
    plt.close("all")


def legend(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.legends[0].get_texts()}


def test_samplings_differ_in_colour_and_shape_from_each_other_and_from_the_methods():
    looks = [SAMPLINGS[name] for name in SAMPLINGS]
    for key in ("color", "marker", "linestyle"):
        assert len({look[key] for look in looks}) == len(looks)
    methods = {look["color"] for look in figures.METHODS.values()}
    assert not methods & {look["color"] for look in (*looks, *LINES.values())}


def test_cases_are_named_for_a_reader():
    table = pd.DataFrame({"dim": [1, 10, 1], "noise_sd": [0.0, 0.2, np.nan]})
    named = list(theory_figures.case_names(table))
    assert named == ["d = 1, no noise", "d = 10, noise 0.2", "d = 1, logistic"]


def test_theorem_figure_shows_every_case():
    rows = [(1, 0.0, name, 0.1) for name in SAMPLINGS] + [(2, 0.2, "uniform", 0.3)]
    table = pd.DataFrame(rows, columns=["dim", "noise_sd", "sampling", "error_over_target"])
    figure = theory_figures.theorem_figure(table)
    shown = np.concatenate([line.get_xdata() for line in figure.axes[0].lines[:-1]])
    np.testing.assert_array_equal(np.sort(shown), np.sort(table.error_over_target))
    assert legend(figure) == {look["label"] for look in SAMPLINGS.values()}


def test_tail_figure_has_a_panel_for_each_r_and_a_line_for_each_bound():
    table = tail_table()
    figure = theory_figures.tail_figure(table)
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
    drawn = [theory_figures.looseness_figure(table, keep) for keep in (0.1, 0.5)]
    for axes, other in zip(drawn[0].axes, drawn[1].axes, strict=True):
        assert axes.get_xlim() == other.get_xlim()
        assert axes.get_ylim() == other.get_ylim()
        assert len(axes.lines) == len(LINES)


def test_worst_weights_attain_the_constant_and_nothing_else_in_the_range_does():
    w = np.linspace(-4, 9, 20_001)
    for x, y in ((1.2, 0.6), (-0.7, -1.5)):
        worst = lipschitz_figures.worst_weights(x, y, w)
        np.testing.assert_allclose(-sine_curvature(worst, x, y), sine_constant(x, y), rtol=1e-12)
        near = np.abs(w[:, None] - worst).min(axis=1) < 0.1
        assert np.abs(sine_curvature(w[~near], x, y)).max() < sine_constant(x, y) * (1 - 1e-4)
    figure = lipschitz_figures.sine_figure(1.2, 0.6, 9.9, 12.1)
    assert len(figure.axes) == 2


def test_overlap_figure_draws_the_measured_means():
    curves = population_table([0.1, 1.0])
    measured = curves.assign(overlap=0.5, overlap_se=0.01)
    figure = lipschitz_figures.overlap_figure(curves, measured)
    assert legend(figure) == {"keep 0.1", "keep 0.3", "keep 0.5"}


def test_spread_figure_has_a_line_for_each_kind_of_input():
    rows = [(name, run, size) for name in INPUTS for run in range(3) for size in BATCH_SIZES]
    runs = pd.DataFrame(rows, columns=["inputs", "run", "batch_size"])
    values = {"variation": 1 / runs.batch_size + runs.run, "num_batches": 4, "mean_constant": 1.0}
    runs = runs.assign(**values, **{f"gain_{r:g}": 1.0 for r in (0.1, 0.2, 0.5)})
    assert legend(lipschitz_figures.spread_figure(spread_table(runs))) >= set(INPUTS)


def test_kept_figure_says_the_overlap():
    x = np.array([-3.0, -1.0, 1.0, 2.0])
    kept = kept_table(x, np.zeros(4), {0.0: 1.0}, 0.5)  # no noise: GraNd ranks by x squared
    axes = lipschitz_figures.kept_figure(kept).axes[0]
    assert axes.get_title() == "overlap 1.00"
    assert axes.get_ylabel().startswith("gradient norm")
