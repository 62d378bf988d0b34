"""Figures of page 01: every sampling, its own look, the values that it was given."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments.importance_sampling import figures
from experiments.importance_sampling.figures import LINES, SAMPLINGS
from liprune_utils.book import style


@pytest.fixture(autouse=True)
def book_style():
    plt.switch_backend("agg")
    with plt.style.context(Path(style.__file__).with_name("liprune.mplstyle")):
        yield
    plt.close("all")


def legend(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.legends[0].get_texts()}


def test_samplings_differ_in_colour_and_shape_from_each_other_and_from_the_methods():
    looks = [SAMPLINGS[name] for name in SAMPLINGS]
    for key in ("color", "marker", "linestyle"):
        assert len({look[key] for look in looks}) == len(looks)
    methods = {look["color"] for look in style.METHODS.values()}
    assert not methods & {look["color"] for look in (*looks, *LINES.values())}


def test_cases_are_named_for_a_reader():
    table = pd.DataFrame({"dim": [1, 10, 1], "noise_sd": [0.0, 0.2, np.nan]})
    named = list(figures.case_names(table))
    assert named == ["d = 1, no noise", "d = 10, noise 0.2", "d = 1, logistic"]


def test_theorem_figure_shows_every_case():
    rows = [(1, 0.0, name, 0.1) for name in SAMPLINGS] + [(2, 0.2, "uniform", 0.3)]
    table = pd.DataFrame(rows, columns=["dim", "noise_sd", "sampling", "error_over_target"])
    figure = figures.theorem_figure(table)
    shown = np.concatenate([line.get_xdata() for line in figure.axes[0].lines[:-1]])
    np.testing.assert_array_equal(np.sort(shown), np.sort(table.error_over_target))
    assert legend(figure) == {look["label"] for look in SAMPLINGS.values()}
