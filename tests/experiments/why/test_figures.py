"""The figures of page 11 show the numbers of their tables."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import why_tables as toy

from experiments.why.figures import (
    ARMS,
    differences_figure,
    dynamics_figure,
    linear_noise_figure,
    long_figure,
    spread_figure,
)
from experiments.why.tables import example_table


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def labels(figure: plt.Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_long_training_shows_the_mean_error_and_each_runs_losses():
    curves = toy.curves()[lambda table: table.arm.isin(["random", "liprune", "hessian"])]
    runs = toy.long_runs(0.5, 1.0)
    figure = long_figure(curves.rename(columns={"arm": "method"}), runs)
    left, right = figure.axes
    assert labels(figure) == [ARMS[name]["label"] for name in ("random", "liprune", "hessian")]
    thick = [line for line in left.lines if line.get_label() == "Random pruning"]
    expected = curves[curves.arm == "random"].groupby("epoch").test_error.mean()
    np.testing.assert_allclose(thick[0].get_ydata(), expected)
    ends = sorted(tuple(line.get_ydata()) for line in right.lines)
    assert ends == sorted(zip(runs.kept_set_loss, runs.full_set_loss, strict=True))
    assert right.get_yscale() == "log"


def test_linear_noise_has_a_line_for_each_fraction():
    other = toy.linear((0.4, 1.5), (0.8, 0.9)).assign(keep_fraction=0.5)
    table = pd.concat([toy.linear((0.2, 2.0), (0.7, 0.8)), other])
    figure = linear_noise_figure(table)
    assert labels(figure) == ["keep 0.1", "keep 0.5"]
    left, right = figure.axes
    lines = [container.lines[0].get_ydata().tolist() for container in left.containers]
    assert lines == [[0.2, 2.0], [0.4, 1.5]]
    assert [c.lines[0].get_ydata().tolist() for c in right.containers] == [[0.7, 0.8], [0.8, 0.9]]
    assert left.xaxis_inverted()


def test_dynamics_have_a_panel_for_each_measure():
    table = toy.dynamics()
    figure = dynamics_figure(table)
    assert len(figure.axes) == 4
    assert labels(figure) == [ARMS[name]["label"] for name in toy.ARMS]
    first = [line for line in figure.axes[0].lines if line.get_label() == ARMS["hessian"]["label"]]
    expected = table[table.arm == "hessian"].groupby("epoch").kept_noise.mean()
    np.testing.assert_allclose(first[0].get_ydata(), expected)


def test_differences_stand_in_the_tables_order_with_the_margin():
    table = example_table(toy.example_curves())
    names = [f"row {number}" for number in range(len(table))]
    figure = differences_figure(table, names, 1.0)
    axes = figure.axes[0]
    points = [container.lines[0].get_xdata()[0] for container in axes.containers]
    assert points == pytest.approx(table.difference)
    heights = [container.lines[0].get_ydata()[0] for container in axes.containers]
    assert heights == sorted(heights, reverse=True)
    shown = dict(
        zip(axes.get_yticks(), (t.get_text() for t in axes.get_yticklabels()), strict=True)
    )
    assert [shown[height] for height in heights] == names
    assert labels(figure) == ["within 1 point of zero"]


def test_spreads_are_marked_on_the_curve():
    races = pd.DataFrame({
        "spread": [0.9, 0.1], "ratio": [0.1, 0.8], "ratio_low": [0.05, 0.75],
        "ratio_high": [0.15, 0.85], "expected": [0.11, 0.79],
    })  # fmt: skip
    marks = pd.DataFrame({"what": ["batches", "examples"], "spread": [0.17, 1.1]})
    figure = spread_figure(races, marks)
    axes = figure.axes[0]
    assert {"batches", "examples", "convex model, exact"} < set(labels(figure))
    found = {line.get_label(): line.get_xdata() for line in axes.lines}
    assert found["examples"] == [1.1, 1.1]
    assert found["convex model, exact"].tolist() == [0.1, 0.9]


def test_colours_and_dashes_are_distinct():
    for name in ("color", "linestyle", "marker", "label"):
        assert len({str(look[name]) for look in ARMS.values()}) == len(ARMS)
