"""The figures of page 12's races: what is drawn where."""

import warnings
from itertools import product

import numpy as np
import pandas as pd
import pytest

from experiments.what_to_keep import figures
from experiments.what_to_keep.figures import LABELS, STYLES
from experiments.what_to_keep.races import KEEP_FRACTIONS, STEPS

pytestmark = pytest.mark.usefixtures("book_style")
METHODS = [name for name in LABELS if name != "weighted"]


@pytest.fixture(scope="module")
def races() -> pd.DataFrame:
    """Ratios of every method in every case."""
    labels = ("noise 0.5", "logistic", "even signal")
    names = ["labels", "dim", "keep_fraction", "step", "method"]
    cells = product(labels, (1, 10, 50), KEEP_FRACTIONS, STEPS, METHODS)
    table = pd.DataFrame(cells, columns=names)
    ratio = np.exp(np.random.default_rng(0).normal(0, 0.5, len(table)))
    return table.assign(ratio=ratio, low=ratio / 1.3, high=ratio * 1.5)


def bars(axes) -> dict[str, np.ndarray]:
    """The markers and ends of each method, ``[cases, (x, y, low, high)]``."""
    found = {}
    for container in axes.containers:
        points = container.lines[0].get_xydata()
        ends = np.array(container.lines[2][0].get_segments())[:, :, 1]
        found[container.get_label()] = np.hstack([points, ends])
    return found


def test_the_first_figure_has_four_methods_by_dimension(races):
    figure = figures.first_figure(races)
    assert [axes.get_title() for axes in figure.axes] == list(figures.FAMILIES)
    for axes, labels in zip(figure.axes, ("noise 0.5", "logistic"), strict=True):
        here = races[(races.labels == labels) & (races.keep_fraction == 0.1) & (races.step == 100)]
        drawn = bars(axes)
        assert list(drawn) == [LABELS[name] for name in ("liprune", "leverage", "A", "none")]
        for name in figures.FIRST_METHODS:
            rows = here[here.method == name]
            found = drawn[LABELS[name]]
            np.testing.assert_allclose(found[:, 1:], rows[["ratio", "low", "high"]])
            assert found[:, 0].round().tolist() == [0, 1, 2]
        assert axes.lines[0].get_ydata() == [1, 1]
        assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "10", "50"]


def test_races_have_a_panel_per_case(races):
    figure = figures.races_figure(races, "logistic")
    cells = list(product((10, 50), KEEP_FRACTIONS))
    for axes, (dim, fraction) in zip(figure.axes, cells, strict=True):
        assert axes.get_title() == f"{dim} features, keep {fraction:g}"
        here = races[(races.labels == "logistic") & (races.dim == dim)]
        here = here[here.keep_fraction == fraction]
        for name, found in bars(axes).items():
            rows = here[here.method.map(LABELS.get) == name]
            np.testing.assert_allclose(found[:, 1:], rows[["ratio", "low", "high"]])
            np.testing.assert_allclose(found[:, 0], STEPS, rtol=0.2)


def test_methods_can_be_told_apart():
    assert set(STYLES) == set(LABELS)
    assert len({(look["color"], look["marker"]) for look in STYLES.values()}) == len(STYLES)
    assert len({look["marker"] for look in STYLES.values()}) == len(STYLES)


def test_the_books_font_has_every_sign(races):
    every = [figures.first_figure(races), figures.races_figure(races, "noise 0.5")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in every:
            figure.canvas.draw()
