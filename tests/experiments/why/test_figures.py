"""The figures of page 11 show the numbers of their tables."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import why_tables as toy
from figure_texts import legend

from experiments.why import figures
from experiments.why.figures import BRANCH_STYLES
from experiments.why.less_variance import SCHEMES
from experiments.why.speed_ups import compared, comparison_table
from liprune_utils.intervals import Estimate

pytestmark = pytest.mark.usefixtures("book_style")


def thick_line(axes: plt.Axes, arm: str) -> np.ndarray:
    (line,) = (line for line in axes.lines if line.get_label() == BRANCH_STYLES[arm]["label"])
    return line.get_ydata()


def test_long_training_shows_the_mean_error_and_each_runs_losses():
    curves = toy.curves()[lambda table: table.arm.isin(["random", "liprune", "hessian"])]
    runs = toy.long_runs(0.5, 1.0)
    figure = figures.long_figure(curves.rename(columns={"arm": "method"}), runs)
    left, right = figure.axes
    assert legend(figure) == [
        BRANCH_STYLES[name]["label"] for name in ("random", "liprune", "hessian")
    ]
    expected = curves[curves.arm == "random"].groupby("epoch").test_error.mean()
    np.testing.assert_allclose(thick_line(left, "random"), expected)
    ends = sorted(tuple(line.get_ydata()) for line in right.lines)
    assert ends == sorted(zip(runs.kept_set_loss, runs.full_set_loss, strict=True))
    assert right.get_yscale() == "log"


def test_less_variance_has_a_panel_for_each_sampling():
    kinds = pd.DataFrame({"family": ["least squares", "logistic"], "dim": [1, 10]})
    schemes = pd.DataFrame({"scheme": SCHEMES, "variance": [0.3, 0.2, 0.5, 0.25, 0.125]})
    table = kinds.merge(schemes, how="cross").assign(steps=np.linspace(0.5, 1.4, 10))
    table = table.assign(steps_low=table.steps - 0.1, steps_high=table.steps + 0.1)
    figure = figures.variance_figure(table)
    assert legend(figure) == ["least squares, d = 1", "logistic, d = 10"]
    for axes, rows in zip(figure.axes, ([0], [1], [2, 3, 4]), strict=True):
        for container, first in zip(axes.containers, (0, 5), strict=True):
            points, shown = container.lines[0], table.iloc[[first + row for row in rows]]
            assert points.get_xdata().tolist() == shown.variance.tolist()
            assert points.get_ydata().tolist() == shown.steps.tolist()
        assert axes.get_xscale() == "log"


def test_dynamics_have_a_panel_for_each_measure():
    table = toy.dynamics()
    figure = figures.dynamics_figure(table)
    assert legend(figure) == [BRANCH_STYLES[name]["label"] for name in toy.ARMS]
    means = table[table.arm == "hessian"].groupby("epoch").mean(numeric_only=True)
    for axes, measure in zip(figure.axes, figures.MEASURES, strict=True):
        np.testing.assert_allclose(thick_line(axes, "hessian"), means[measure])
        assert axes.get_yscale() == "log"


def test_predicted_and_observed_have_a_row_for_each_model():
    one, two = Estimate(1.2, 1.1, 1.3, 3), Estimate(0.7, 0.1, 9.0, 3)
    cases = [("linear", "points"), ("head", "batches"), ("network", "batches")]
    table = comparison_table([compared(*case, one, two) for case in cases])
    figure = figures.answer_figure(table, bound=1.1)
    (axes,) = figure.axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["Linear model, points", "Convex head, batches", "ResNet, batches"]
    assert axes.get_xscale() == "log"
    predicted, observed = axes.containers
    assert predicted.lines[0].get_xdata().tolist() == [1.2] * 3
    assert observed.lines[0].get_xdata().tolist() == [0.7] * 3
    assert (predicted.lines[0].get_ydata() > observed.lines[0].get_ydata()).all()
    (bars,) = observed.lines[2]
    ends = np.array([segment[:, 0] for segment in bars.get_segments()])
    np.testing.assert_allclose(ends, [figures.SPEED_RANGE] * 3)  # the interval goes on
    assert {line.get_xdata()[0] for line in axes.lines[-2:]} == {1, 1.1}


def test_spreads_are_marked_on_the_curve():
    races = pd.DataFrame({
        "spread": [0.9, 0.1], "ratio": [0.1, 0.8], "ratio_low": [0.05, 0.75],
        "ratio_high": [0.15, 0.85], "expected": [0.11, 0.79],
    })  # fmt: skip
    marks = pd.DataFrame({"what": ["batches", "examples"], "spread": [0.17, 1.1]})
    figure = figures.spread_figure(races, marks)
    axes = figure.axes[0]
    assert {"batches", "examples", "linear model, exact"} < set(legend(figure))
    lines = {line.get_label(): line.get_xdata() for line in axes.lines}
    assert lines["examples"] == [1.1, 1.1]
    assert lines["linear model, exact"].tolist() == [0.1, 0.9]


def test_colours_and_dashes_are_distinct():
    for name in ("color", "linestyle", "marker", "label"):
        assert len({str(look[name]) for look in BRANCH_STYLES.values()}) == len(BRANCH_STYLES)
