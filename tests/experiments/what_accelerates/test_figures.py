"""Figures of page 05 draw what their tables say."""

import numpy as np
import pandas as pd
import pytest

from experiments.linear_model.runs import KEEP_FRACTIONS
from experiments.what_accelerates import figures
from experiments.what_accelerates.closed_forms import expected_square

pytestmark = pytest.mark.usefixtures("book_style")


def lines(axes):
    return {line.get_label(): np.asarray(line.get_ydata()) for line in axes.lines}


def test_every_method_looks_different():
    styles = figures.STYLES.values()
    assert len({style["color"] for style in styles}) == len(styles)
    assert len({str(style["linestyle"]) for style in styles}) == len(styles)


def test_excess_has_a_panel_per_fraction_and_a_line_per_method():
    rows = [
        {"keep_fraction": r, "method": m, "step": t, "excess": r * (t + 1)}
        for r in KEEP_FRACTIONS
        for m in figures.STYLES
        for t in range(3)
    ]
    figure = figures.excess_figure(pd.DataFrame(rows), ("matched", "liprune"), height=4.2)
    assert [axes.get_title() for axes in figure.axes] == [f"keep {r}" for r in KEEP_FRACTIONS]
    drawn = lines(figure.axes[2])
    assert list(drawn) == ["Random, LiPrune's step", "LiPrune"]
    np.testing.assert_allclose(drawn["LiPrune"], [0.5, 1, 1.5])


def test_rates_show_measured_optima_on_expected_curves():
    rows = [
        {"step": t, "keep_fraction": 0.1, "rival": m, "rate": 0.02, "excess": 3e-4,
         "rival_rate": 0.05, "rival_excess": 8e-4}
        for t in (10, 30)
        for m in ("random", "none", "unbiased")
    ]  # fmt: skip
    axes = figures.rates_figure(pd.DataFrame(rows), 1.0).axes[0]
    markers = [line.get_xydata()[0] for line in axes.lines if line.get_marker() != "None"]
    np.testing.assert_allclose(markers, [(0.02, 3e-4), (0.05, 8e-4), (0.05, 8e-4)])
    curve = next(line for line in axes.lines if line.get_label() == "LiPrune")
    rate, excess = curve.get_xydata()[20]
    options = {"batch_size": 10, "learning_rate": rate, "num_steps": 10, "slope": 1.0}
    assert excess == pytest.approx(expected_square("liprune", 0.1, **options)[-1] * 25 / 6)


def test_contraction_shows_measurements():
    rows = [
        {"keep_fraction": r, "method": m, "learning_rate": 0.1, "measured": 0.4}
        for r in KEEP_FRACTIONS
        for m in ("liprune", "random")
    ]
    figure = figures.contraction_figure(pd.DataFrame(rows))
    for axes in figure.axes:
        markers = [line for line in axes.lines if line.get_marker() in ("o", "s")]
        assert [line.get_ydata()[0] for line in markers] == [0.4, 0.4]
        assert lines(axes)["LiPrune"][0] == 1


def test_batches_have_a_panel_each():
    rows = [
        {"pruned": p, "keep_fraction": r, "batch_size": b, "ratio": r, "low": r / 2,
         "high": 2 * r, "expected": r}
        for p in ("points", "batches")
        for r in KEEP_FRACTIONS
        for b in (1, 10)
    ]  # fmt: skip
    figure = figures.batch_figure(pd.DataFrame(rows))
    assert [axes.get_title() for axes in figure.axes] == ["pruning points", "pruning batches"]
    assert [text.get_text() for text in figure.legends[0].texts] == [
        f"keep {r}" for r in KEEP_FRACTIONS
    ]


def test_bounds_are_means_over_data_sets():
    rows = [
        {"keep_fraction": 0.1, "method": m, "step": t, "error": n, "bound": 2 * n, "total_bound": 4}
        for m in ("liprune", "random")
        for n in (1, 3)
        for t in range(31)
    ]
    measured = {m: np.full(31, 5.0) for m in ("liprune", "random")}
    drawn = lines(figures.bound_figure(pd.DataFrame(rows), measured).axes[1])
    assert [set(values) for values in drawn.values()] == [{4}, {4}, {5}, {2}]
