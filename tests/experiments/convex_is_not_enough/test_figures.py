"""Figures of page 06 show what their tables hold."""

import numpy as np
import pandas as pd
import pytest
from figure_texts import legend

from experiments.convex_is_not_enough.figures import (
    FRACTION_STYLES,
    NEVER,
    class_figure,
    excess_curves,
    gap_figure,
    head_figure,
    problems_figure,
    ratio_figure,
    step_figure,
)
from experiments.convex_is_not_enough.runs import KEEP_FRACTIONS, SETTINGS

NAMES = ("breast cancer", "digits", "diabetes")


pytestmark = pytest.mark.usefixtures("book_style")


def test_ratios_beyond_the_axis_are_arrows():
    rows = [
        {"task": task, "rival": "random", "step": t, "rates": rates, "ratio": ratio,
         "low": ratio / 2, "high": high}
        for task, ratio, high in (("a", 0.1, 0.2), ("b", 4.0, np.inf))
        for t in (100, 1000)
        for rates in ("same", "best")
    ]  # fmt: skip
    axes = ratio_figure(pd.DataFrame(rows)).axes[0]
    arrows = [line for line in axes.lines if line.get_marker() == ">"]
    assert [line.get_xdata().tolist() for line in arrows] == [[1000.0], [1000.0]]


def test_problems_have_a_panel_each():
    rows = [
        {"task": f"task {k}", "method": m, "step": t, "excess": 1.0 + k}
        for k in range(8)
        for m in ("liprune", "random", "none")
        for t in range(2)
    ]
    figure = problems_figure(pd.DataFrame(rows))
    assert [axes.get_title() for axes in figure.axes] == [f"task {k}" for k in range(8)]
    assert next(
        set(line.get_ydata()) for line in figure.axes[3].lines if line.get_label() == "No pruning"
    ) == {4.0}


def test_curves_have_a_panel_a_data_set_and_a_line_a_method():
    steps = np.arange(4)
    rows = [
        {
            "data_set": name,
            "rule": rule,
            **setting._asdict(),
            "step": step,
            "excess": 1 / (1 + step),
        }
        for name in NAMES
        for rule in ("final", "theorem")
        for setting in SETTINGS
        for step in steps
    ]
    figure = excess_curves(pd.DataFrame(rows).assign(excess_se=0.01), keep_fraction=0.3)
    assert legend(figure) == ["LiPrune", "Random pruning", "No pruning", "Sampling p ∝ L"]
    for axes, name in zip(figure.axes, NAMES, strict=True):
        assert axes.get_title() == name
        assert [line.get_xdata().tolist() for line in axes.lines] == [[1, 2, 3]] * 4


def test_gaps_stand_at_their_rule():
    rows = [
        {"measure": measure, "data_set": name, "rule": rule, "keep_fraction": r,
         "against": against, "difference": number + r, "low": number, "high": number + 1}
        for measure in ("excess", "test_loss")
        for name in NAMES
        for number, rule in enumerate(("theorem", "shared", "final", "minimiser"))
        for r in KEEP_FRACTIONS
        for against in ("random", "none")
    ]  # fmt: skip
    figure = gap_figure(pd.DataFrame(rows))
    assert legend(figure) == [FRACTION_STYLES[r]["label"] for r in KEEP_FRACTIONS]
    for axes in figure.axes:
        points = [bar.lines[0] for bar in axes.containers]
        assert [list(p.get_xdata()) for p in points] == [
            pytest.approx([r, 1 + r, 2 + r, 3 + r]) for r in KEEP_FRACTIONS
        ]
        heights = [[round(y) for y in p.get_ydata()] for p in points]
        assert heights == [[0, -1, -2, -3]] * 3
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels[0] == "all at 1/(2 max L)"
    assert labels[-1] == "minimiser of the kept points"


def test_what_never_arrives_stands_at_the_edge():
    rows = [
        {
            "data_set": name,
            "rule": rule,
            **setting._asdict(),
            "median": median,
            "low": 5,
            "high": np.inf,
        }
        for name in NAMES
        for rule, median in (("theorem", 8), ("shared", np.inf), ("arrival", 20))
        for setting in SETTINGS
    ]
    figure = step_figure(pd.DataFrame(rows))
    for axes in figure.axes:
        shared, own = (bar.lines[0] for bar in axes.containers)
        assert (shared.get_xdata() == NEVER).all()
        assert (own.get_xdata() == 20).all()
        assert len(shared.get_ydata()) == len(SETTINGS)
        assert [text.get_text() for text in axes.get_xticklabels()] == ["10", "100", "never"]
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels[0] == "LiPrune, 0.1"
    assert labels[-2:] == ["No pruning, 1", "Sampling p ∝ L, 1"]


def test_classes_stand_over_their_names():
    labels = {"breast cancer": ["malignant", "benign"], "digits": list("0123456789")}
    rows = [
        {"data_set": name, "keep_fraction": r, "label": label, "share": r / 10, "low": 0, "high": 1}
        for name, classes in labels.items()
        for r in (*KEEP_FRACTIONS, 1.0)
        for label in classes
    ]
    figure = class_figure(pd.DataFrame(rows))
    assert legend(figure) == [look["label"] for look in FRACTION_STYLES.values()]
    for axes, classes in zip(figure.axes, labels.values(), strict=True):
        assert [text.get_text() for text in axes.get_xticklabels()] == classes
        assert [len(bar.lines[0].get_xdata()) for bar in axes.containers] == [len(classes)] * 4


def test_the_convex_head_has_a_panel_for_what_is_pruned_and_lines_with_bands():
    rows = [
        {"unit": unit, "method": method, "step": step, "test_loss": loss + 1 / step}
        for unit in ("batches", "points")
        for method, loss in (("liprune", 1.0), ("random", 2.0), ("none", 3.0))
        for step in (1, 10, 100)
    ]
    bands = pd.DataFrame(rows).assign(low=lambda t: t.test_loss - 0.1, high=lambda t: t.test_loss)
    figure = head_figure(bands)
    assert [axes.get_title() for axes in figure.axes] == ["pruned by batches", "pruned by points"]
    assert legend(figure) == ["LiPrune", "Random pruning", "No pruning"]
    for axes in figure.axes:
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        first = [line.get_ydata()[0] for line in axes.lines]
        assert first == pytest.approx([2, 3, 4])
        (band,) = axes.collections[0].get_paths()
        assert band.vertices[:, 1].min() == pytest.approx(1.01 - 0.1)
