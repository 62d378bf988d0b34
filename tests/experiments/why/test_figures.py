"""The figures of page 11 show the numbers of their tables."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import why_tables as toy

from experiments.why import figures
from experiments.why.figures import BRANCH_STYLES


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def labels(figure: plt.Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def thick_line(axes: plt.Axes, arm: str) -> np.ndarray:
    (line,) = (line for line in axes.lines if line.get_label() == BRANCH_STYLES[arm]["label"])
    return line.get_ydata()


def test_long_training_shows_the_mean_error_and_each_runs_losses():
    curves = toy.curves()[lambda table: table.arm.isin(["random", "liprune", "hessian"])]
    runs = toy.long_runs(0.5, 1.0)
    figure = figures.long_figure(curves.rename(columns={"arm": "method"}), runs)
    left, right = figure.axes
    assert labels(figure) == [
        BRANCH_STYLES[name]["label"] for name in ("random", "liprune", "hessian")
    ]
    expected = curves[curves.arm == "random"].groupby("epoch").test_error.mean()
    np.testing.assert_allclose(thick_line(left, "random"), expected)
    ends = sorted(tuple(line.get_ydata()) for line in right.lines)
    assert ends == sorted(zip(runs.kept_set_loss, runs.full_set_loss, strict=True))
    assert right.get_yscale() == "log"


def test_linear_noise_has_a_line_for_each_fraction():
    other = toy.linear((0.4, 1.5), (0.8, 0.9)).assign(keep_fraction=0.5)
    table = pd.concat([toy.linear((0.2, 2.0), (0.7, 0.8)), other])
    figure = figures.linear_noise_figure(table)
    assert labels(figure) == ["keep 0.1", "keep 0.5"]
    left, right = figure.axes
    lines = [container.lines[0].get_ydata().tolist() for container in left.containers]
    assert lines == [[0.2, 2.0], [0.4, 1.5]]
    assert [c.lines[0].get_ydata().tolist() for c in right.containers] == [[0.7, 0.8], [0.8, 0.9]]
    assert left.xaxis_inverted()
    assert (left.get_xscale(), left.get_yscale(), right.get_yscale()) == ("log", "log", "linear")


def test_dynamics_have_a_panel_for_each_measure():
    table = toy.dynamics()
    figure = figures.dynamics_figure(table)
    assert labels(figure) == [BRANCH_STYLES[name]["label"] for name in toy.ARMS]
    means = table[table.arm == "hessian"].groupby("epoch").mean(numeric_only=True)
    for axes, measure in zip(figure.axes, figures.MEASURES, strict=True):
        np.testing.assert_allclose(thick_line(axes, "hessian"), means[measure])
        assert axes.get_yscale() == "log"


def test_predicted_and_observed_have_the_same_rows():
    predicted = toy.estimates(["liprune", "hessian"], [-30.0, -80.0], 1.0, spread=[0.16, 0.64])
    observed = toy.estimates(["liprune", "hessian"], [-1.0, 3.0], 2.0)
    left, right = figures.answer_figure(predicted, observed).axes
    for axes, table in ((left, predicted), (right, observed)):
        points = [container.lines[0].get_xdata()[0] for container in axes.containers]
        assert points == table.difference.tolist()
        low, high = axes.get_xlim()
        assert low == -high  # zero is in the middle of both
        assert high > max(table.high.max(), -table.low.min())
        heights = [container.lines[0].get_ydata()[0] for container in axes.containers]
        assert heights == [1, 0]
    assert [text.get_text().splitlines()[-1] for text in left.get_yticklabels()] == [
        "(spread 0.16)",
        "(spread 0.64)",
    ]


def test_spreads_are_marked_on_the_curve():
    races = pd.DataFrame({
        "spread": [0.9, 0.1], "ratio": [0.1, 0.8], "ratio_low": [0.05, 0.75],
        "ratio_high": [0.15, 0.85], "expected": [0.11, 0.79],
    })  # fmt: skip
    marks = pd.DataFrame({"what": ["batches", "examples"], "spread": [0.17, 1.1]})
    figure = figures.spread_figure(races, marks)
    axes = figure.axes[0]
    assert {"batches", "examples", "convex model, exact"} < set(labels(figure))
    lines = {line.get_label(): line.get_xdata() for line in axes.lines}
    assert lines["examples"] == [1.1, 1.1]
    assert lines["convex model, exact"].tolist() == [0.1, 0.9]


def test_colours_and_dashes_are_distinct():
    for name in ("color", "linestyle", "marker", "label"):
        assert len({str(look[name]) for look in BRANCH_STYLES.values()}) == len(BRANCH_STYLES)
