"""Figures of page 10 draw what their tables say."""

import warnings
from itertools import product

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from experiments.other_scores import figures
from experiments.other_scores.tables import LABELS, METHODS, rank_correlations

SCORES = ("hessian", "grand", "random")


pytestmark = pytest.mark.usefixtures("book_style")


def score_table() -> pd.DataFrame:
    draw = np.random.default_rng(0).random((30, 3))
    return pd.DataFrame(draw, columns=list(SCORES))


def ratio_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ratios by problem and rival, and their means."""
    names, rivals = ("outliers", "digits", "mean"), ("random", "grand", "el2n", "loss")
    table = pd.DataFrame(product(names, rivals), columns=["problem", "against"])
    value = np.random.default_rng(1).normal(size=len(table))
    table = table.assign(log_ratio=value, low=value - 1, high=value + 2)
    means = table.problem == "mean"
    return table[~means], table[means].drop(columns="problem")


def gap_table() -> pd.DataFrame:
    methods = [name for name in METHODS if name != "random"]
    rows = product(("final", "mean"), (0.2, 0.5), methods)
    table = pd.DataFrame(rows, columns=["measure", "keep_fraction", "method"])
    difference = np.random.default_rng(2).normal(size=len(table))
    return table.assign(difference=difference, low=difference - 1, high=difference + 2)


def curve_table() -> pd.DataFrame:
    rows = product(METHODS, (0.2, 0.5), range(3), range(1, 9))
    table = pd.DataFrame(rows, columns=["method", "keep_fraction", "seed", "epoch"])
    error = np.random.default_rng(3).uniform(20, 80, len(table))
    return table.assign(test_error=error, prune_epoch=5)


def bars(axes) -> list[tuple[float, float, float, float]]:
    """Value, height and ends of every interval of a panel."""
    found = []
    for container in axes.containers:
        ends = np.array(container.lines[2][0].get_segments())[:, :, 0]
        points = container.lines[0].get_xydata()
        found += [(*p, *e) for p, e in zip(points, ends, strict=True)]
    return found


def test_correlations_are_written_into_their_cells():
    table = rank_correlations(score_table())
    figure = figures.correlation_figure(table)
    axes = figure.axes[0]
    texts = {tuple(t.get_position()): t.get_text() for t in axes.texts}
    for (row, one), (column, two) in product(enumerate(SCORES), repeat=2):
        value = table.set_index(["score", "other"]).correlation[one, two]
        assert texts[column, row] == f"{value:.2f}".replace("0.", ".", 1).replace("-", "−")
        assert axes.images[0].get_array()[row, column] == pytest.approx(value)
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == [LABELS[name] for name in SCORES]
    assert figure.axes[1].get_ylabel() == "rank correlation"


def test_cells_are_readable_on_their_ground():
    figure = figures.correlation_figure(rank_correlations(score_table()))
    image = figure.axes[0].images[0]
    for text in figure.axes[0].texts:
        column, row = text.get_position()
        ground = np.dot(image.cmap(image.norm(image.get_array()[row, column]))[:3], [0.3, 0.6, 0.1])
        ink = 0.0 if text.get_color() == "black" else 1.0
        assert abs(ground - ink) > 0.4


def test_a_gallery_shows_pixels_as_they_are():
    images = np.random.default_rng(4).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    rows = [("loss, highest", images, ["cat\n1", "dog\n2"]), ("loss, lowest", images[:1], ["x"])]
    figure = figures.gallery_figure(rows)
    panels = np.array(figure.axes).reshape(2, 2)
    assert [panel[0].get_title(loc="left") for panel in panels] == ["loss, highest", "loss, lowest"]
    assert [axes.get_xlabel() for axes in panels.flat] == ["cat\n1", "dog\n2", "x", ""]
    for axes, image in zip(panels[0], images, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), image)
        assert axes.images[0].get_interpolation() == "none"


def test_problems_have_a_row_each_and_a_marker_for_each_rival():
    problems, means = ratio_tables()
    figure = figures.problem_figure(problems, means)
    (axes,) = figure.axes
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["outliers", "digits", "mean over problems"]
    rows = pd.concat([problems, means.assign(problem="mean over problems")])
    for rival, container in zip(figures.RIVALS, axes.containers, strict=True):
        here = rows[rows.against == rival]
        ends = np.array(container.lines[2][0].get_segments())[:, :, 0]
        points = container.lines[0].get_xydata()
        np.testing.assert_allclose(points[:, 0], np.exp(here.log_ratio))
        np.testing.assert_allclose(ends, np.exp(here[["low", "high"]]))
        assert [round(height) for height in points[:, 1]] == [0, -1, -2]
    assert axes.get_xscale() == "log"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == list(figures.RIVALS.values())


def test_gaps_stand_beside_their_method():
    table = gap_table()
    figure = figures.gap_figure(table)
    methods = [name for name in METHODS if name != "random"]
    cells = product(("final", "mean"), (0.2, 0.5))
    for axes, (measure, fraction) in zip(figure.axes, cells, strict=True):
        rows = table[(table.measure == measure) & (table.keep_fraction == fraction)]
        expected = [
            (r.difference, -methods.index(r.method), r.low, r.high) for r in rows.itertuples()
        ]
        np.testing.assert_allclose(bars(axes), expected)
        short = {"final": "last epoch", "mean": "mean of epochs"}[measure]
        assert axes.get_title() == f"keep {fraction:g}, {short}"
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == [METHODS[name] for name in methods]


def test_errors_are_means_over_seeds():
    table = curve_table()
    figure = figures.error_figure(table)
    for axes, fraction in zip(figure.axes, (0.2, 0.5), strict=True):
        lines = {line.get_label(): line for line in axes.lines[:-1]}
        assert list(lines) == list(METHODS.values())
        for method, name in METHODS.items():
            rows = table[(table.method == method) & (table.keep_fraction == fraction)]
            expected = rows.groupby("epoch").test_error.mean()
            np.testing.assert_allclose(lines[name].get_ydata(), expected)
        assert axes.lines[-1].get_xdata() == [4.5, 4.5]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == list(METHODS.values())


def test_methods_differ_in_colour_marker_and_dash():
    assert set(figures.METHOD_STYLES) == set(METHODS)
    for key in ("color", "marker", "linestyle"):
        values = [str(look[key]) for look in figures.METHOD_STYLES.values()]
        assert len(set(values)) >= len(values) - 2
    looks = [(to_hex(look["color"]), look["marker"]) for look in figures.METHOD_STYLES.values()]
    assert len(set(looks)) == len(looks)


def test_the_books_font_has_every_sign():
    scores = score_table()
    every = [
        figures.correlation_figure(rank_correlations(scores)),
        figures.problem_figure(*ratio_tables()), figures.gap_figure(gap_table()),
        figures.error_figure(curve_table()),
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in every:
            figure.canvas.draw()
