"""The figures of page 11 show the numbers of their tables."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import why_tables as toy

from experiments.why import figures
from experiments.why.figures import ARMS
from experiments.why.tables import example_table, remedy_table


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def labels(figure: plt.Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def thick_line(axes: plt.Axes, arm: str) -> np.ndarray:
    (line,) = (line for line in axes.lines if line.get_label() == ARMS[arm]["label"])
    return line.get_ydata()


def test_long_training_shows_the_mean_error_and_each_runs_losses():
    curves = toy.curves()[lambda table: table.arm.isin(["random", "liprune", "hessian"])]
    runs = toy.long_runs(0.5, 1.0)
    figure = figures.long_figure(curves.rename(columns={"arm": "method"}), runs)
    left, right = figure.axes
    assert labels(figure) == [ARMS[name]["label"] for name in ("random", "liprune", "hessian")]
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
    assert labels(figure) == [ARMS[name]["label"] for name in toy.ARMS]
    means = table[table.arm == "hessian"].groupby("epoch").mean(numeric_only=True)
    for axes, measure in zip(figure.axes, figures.MEASURES, strict=True):
        np.testing.assert_allclose(thick_line(axes, "hessian"), means[measure])
        assert axes.get_yscale() == "log"


@pytest.mark.parametrize("name", ["remedy", "examples"])
def test_differences_stand_in_the_tables_order_with_the_margin(name):
    if name == "remedy":
        table = remedy_table(toy.curves(), prune_epoch=5)
        figure = figures.remedy_figure(table, 1.0)
        second = [f"less {ARMS[arm]['label']}" for arm in table.against]
    else:
        table = example_table(toy.example_curves())
        figure = figures.examples_figure(table, 1.0)
        second = [f"keep {fraction:g}" for fraction in table.keep_fraction]
    (axes,) = figure.axes
    points = [container.lines[0].get_xdata()[0] for container in axes.containers]
    assert points == pytest.approx(table.difference)
    heights = [container.lines[0].get_ydata()[0] for container in axes.containers]
    assert heights == sorted(heights, reverse=True)
    ticks = zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
    shown = {height: label.get_text() for height, label in ticks}
    first = [ARMS[arm]["label"] for arm in table.arm]
    assert [shown[height] for height in heights] == [
        f"{one}\n{two}" for one, two in zip(first, second, strict=True)
    ]
    assert labels(figure) == ["within 1 point of zero"]


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
        assert len({str(look[name]) for look in ARMS.values()}) == len(ARMS)
