"""Figures of page 01: every sampling, its own look, the values that it was given."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from figure_texts import legend

from experiments.importance_sampling import figures
from experiments.importance_sampling.figures import LINES, SAMPLINGS
from experiments.importance_sampling.step_counts import RULES
from liprune_utils.book import style

pytestmark = pytest.mark.usefixtures("book_style")


def test_samplings_differ_in_colour_and_shape_from_each_other_and_from_the_methods():
    looks = [SAMPLINGS[name] for name in SAMPLINGS]
    for key in ("color", "marker", "linestyle"):
        assert len({look[key] for look in looks}) == len(looks)
    methods = {look["color"] for look in style.METHODS.values()}
    assert not methods & {look["color"] for look in (*looks, *LINES.values())}


def test_theorem_figure_shows_and_names_every_case():
    rows = [(1, 0.0, name, 0.1) for name in SAMPLINGS]
    rows += [(10, 0.2, "uniform", 0.3), (1, np.nan, "mixture", 0.2)]
    table = pd.DataFrame(rows, columns=["dim", "noise_sd", "sampling", "error_over_target"])
    figure = figures.theorem_figure(table)
    axes = figure.axes[0]
    shown = np.concatenate([line.get_xdata() for line in axes.lines[:-1]])
    np.testing.assert_array_equal(np.sort(shown), np.sort(table.error_over_target))
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["d = 1, no noise", "d = 10, noise 0.2", "d = 1, logistic"]
    assert set(legend(figure)) == {look["label"] for look in SAMPLINGS.values()}


def test_fewest_steps_figure_has_the_best_step_sizes_in_ten_dimensions():
    settings = product(("optimal", "mixture"), RULES, (1, 10), (0.01, 0.1))
    table = pd.DataFrame(settings, columns=["sampling", "rule", "dim", "target"])
    ratio = 1.0 + np.arange(len(table))
    table = table.assign(noise_sd=0.2, low=ratio / 2, ratio=ratio, high=2 * ratio)
    (axes,) = figures.fewest_steps_figure(table).axes
    wanted = table[(table.rule == "best") & (table.dim == 10)]
    shown = np.concatenate([bars.lines[0].get_xdata() for bars in axes.containers])
    np.testing.assert_array_equal(shown, wanted.ratio)
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["noise 0.2, target 0.01", "noise 0.2, target 0.1"]


def test_steps_figure_has_a_panel_per_rule_with_its_intervals():
    settings = product(("optimal", "mixture"), RULES, (1, 10), (0.01, 0.1))
    table = pd.DataFrame(settings, columns=["sampling", "rule", "dim", "target"])
    ratio = 1.0 + np.arange(len(table))
    table = table.assign(noise_sd=0.2, low=ratio / 2, ratio=ratio, high=2 * ratio)
    panels = figures.steps_figure(table).axes
    assert len(panels) == len(RULES)
    best = table[(table.rule == "best") & (table.sampling == "mixture")]
    bars = panels[list(RULES).index("best")].containers[1]
    np.testing.assert_array_equal(bars.lines[0].get_xdata(), best.ratio)
    ends = [segment[:, 0] for segment in bars.lines[2][0].get_segments()]
    np.testing.assert_allclose(ends, best[["low", "high"]])
