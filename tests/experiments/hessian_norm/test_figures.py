"""Figures of page 08 draw what their tables say."""

import warnings
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from figure_texts import legend, titles
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from experiments.hessian_norm import figures

DIRECTIONS = ("eigenvector", "gradient", "random 1", "random 2")


@pytest.fixture(autouse=True)
def drawn_without_warning(book_style):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a missing glyph
        yield
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()


def scales(figure: Figure) -> set[str]:
    return {scale for axes in figure.axes for scale in (axes.get_xscale(), axes.get_yscale())}


def test_secants_have_a_panel_for_each_network():
    grid = product(("relu", "softplus"), (0, 4), DIRECTIONS, (1e-1, 1e-3, 1e-7))
    table = pd.DataFrame(grid, columns=["activation", "epochs", "direction", "distance"])
    table["ratio"] = np.random.default_rng(0).uniform(0.1, 9, len(table))
    figure = figures.secants_figure(table)
    assert titles(figure) == [
        "ReLU, before training", "ReLU, after 4 epochs",
        "softplus, before training", "softplus, after 4 epochs",
    ]  # fmt: skip
    networks = product(("relu", "softplus"), (0, 4))
    for axes, (activation, epochs) in zip(figure.axes, networks, strict=True):
        rows = table[(table.activation == activation) & (table.epochs == epochs)]
        for line, name in zip(axes.lines[:4], DIRECTIONS, strict=True):
            expected = rows[rows.direction == name][["distance", "ratio"]]
            np.testing.assert_array_equal(line.get_xydata(), expected)
        np.testing.assert_array_equal(axes.lines[4].get_ydata(), [1, 1])
    assert scales(figure) == {"log"}
    assert legend(figure) == ["top eigenvector", "gradient", "random", "Hessian norm"]


def test_eigenvalues_fall_with_their_rank():
    values = np.random.default_rng(1).normal(size=(2, 7))
    scores = pd.DataFrame({"epoch": np.repeat([1, 5], 7), "eigenvalue": values.ravel()})
    figure = figures.eigenvalues_figure(scores.sample(frac=1, random_state=0))
    assert titles(figure) == ["before training", "start of epoch 5"]
    for axes, row in zip(figure.axes, values, strict=True):
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), np.sort(row)[::-1])
        np.testing.assert_array_equal(axes.lines[0].get_xdata(), np.arange(1, 8))


def test_spreads_are_drawn_with_their_intervals_beside_the_root_law():
    table = pd.DataFrame(product((1, 5), (16, 64, 256)), columns=["epoch", "batch_size"])
    sd = np.linspace(0.5, 0.1, len(table))
    table = table.assign(relative_sd=sd, low=0.9 * sd, high=1.2 * sd)
    (axes,) = (figure := figures.spread_figure(table)).axes
    names = ["before training", "start of epoch 5"]
    assert set(legend(figure)) == {*names, "falling as 1/√B"}
    laws = [line for line in axes.lines if line.get_linestyle() == ":"]
    stages = table.groupby("epoch")
    for bars, law, name, (_, rows) in zip(axes.containers, laws, names, stages, strict=True):
        assert bars.get_label() == name
        points = rows[["batch_size", "relative_sd"]]
        np.testing.assert_array_equal(bars.lines[0].get_xydata(), points)
        ends = np.array(bars.lines[2][0].get_segments())[:, :, 1]
        np.testing.assert_allclose(ends, rows[["low", "high"]])
        first = rows.relative_sd.iloc[0]
        np.testing.assert_allclose(law.get_ydata(), [first, first / 2, first / 4])
    assert scales(figure) == {"log"}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["16", "64", "256"]


def test_agreements_are_listed_from_the_top_in_their_order():
    rows = [
        ("seeds", "seed 0 and 1", 0.1, -0.3, 0.4),
        ("seeds", "seed 0 and 2", -0.2, -0.5, 0.2),
        ("training", "epoch 1 and 5", 0.5, 0.3, 0.6),
        ("batch norm", "train and eval", 0.9, 0.8, 0.95),
    ]
    table = pd.DataFrame(rows, columns=["kind", "comparison", "correlation", "low", "high"])
    (axes,) = (figure := figures.agreement_figure(table)).axes
    ticks = zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
    names, drawn = {y: label.get_text() for y, label in ticks}, []
    for bars in axes.containers:
        ends = np.array(bars.lines[2][0].get_segments())[:, :, 0]
        for (x, y), (low, high) in zip(bars.lines[0].get_xydata(), ends, strict=True):
            drawn.append((y, bars.get_label(), names[y], x, low, high))
    drawn = pd.DataFrame(sorted(drawn, reverse=True)).drop(columns=0)
    pd.testing.assert_frame_equal(drawn.set_axis(table.columns, axis=1), table)
    assert legend(figure) == ["seeds", "training", "batch norm"]


def test_a_method_is_one_marker_and_looks_the_same_in_both_panels():
    rows = [  # one is missing from the second stage
        (0, "accurate", 2.0, 1e-3), (0, "ranking", 1.0, 2e-2), (0, "peer", 9.0, 5e-3),
        (2, "peer", 8.0, 4e-1), (2, "accurate", 2.5, 2e-3),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["epochs", "method", "seconds", "worst_error"])
    figure = figures.peers_figure(table)
    assert titles(figure) == ["before training", "after 2 epochs"]
    for axes, (_, rows) in zip(figure.axes, table.groupby("epochs"), strict=True):
        assert [line.get_label() for line in axes.lines] == rows.method.tolist()
        points = [line.get_xydata()[0] for line in axes.lines]
        np.testing.assert_array_equal(points, rows[["seconds", "worst_error"]])
    left, right = ({line.get_label(): line for line in axes.lines} for axes in figure.axes)
    for name, line in right.items():
        assert line.get_marker() == left[name].get_marker()
        assert same_color(line.get_color(), left[name].get_color())
    assert legend(figure) == ["accurate", "ranking", "peer"]
    assert scales(figure) == {"log"}


@pytest.mark.parametrize("marks", [figures.DIRECTIONS, figures.STAGES, figures.KINDS])
def test_marks_differ_in_colour_and_shape(marks):
    for key in ("color", "marker"):
        assert len({mark[key] for mark in marks.values()}) == len(marks)


def test_a_training_frame_keeps_the_first_order_and_marks_the_largest():
    norms = {1: [5.0, 3.0, 4.0, 1.0, 2.0], 2: [1.0, 1.0, 2.0, 5.0, 1.0]}
    rows = [(epoch, k, norm) for epoch, values in norms.items() for k, norm in enumerate(values)]
    scores = pd.DataFrame(rows, columns=["epoch", "batch", "norm"])
    axes = figures.training_frame(scores, 2).axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.5, 1, 0.5, 0.5, 2.5])
    np.testing.assert_array_equal(axes.lines[1].get_xdata(), [5])
    assert axes.get_title() == "start of epoch 2, mean norm 2"
    first = figures.training_frame(scores, 1).axes[0]
    assert first.get_title() == "before training, mean norm 3"
    assert first.get_ylim() == axes.get_ylim()


def test_steps_have_a_line_for_each_rate_with_its_intervals():
    rows = pd.DataFrame(product((0.01, 0.1), (1, 5, 10)), columns=["learning_rate", "epoch"])
    for number, name in enumerate(("eigenvector", "step", "overlap")):
        rows[name] = 1 + np.arange(6) / 10 + number
        rows[f"{name}_low"], rows[f"{name}_high"] = rows[name] - 0.1, rows[name] + 0.3
    figure = figures.steps_figure(rows, {"eigenvector": (0.8, 1.25)})
    assert titles(figure) == ["top eigenvector", "a step", "kept by both"]
    assert legend(figure) == ["learning rate 0.01", "learning rate 0.1"]
    for number, axes in enumerate(figure.axes):
        assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "5", "10"]
        for rate, bars in enumerate(axes.containers):
            line, _, (interval,) = bars
            values = 1 + number + (np.arange(3) + 3 * rate) / 10
            np.testing.assert_allclose(line.get_ydata(orig=False), values)
            ends = np.array([segment[:, 1] for segment in interval.get_segments()])
            np.testing.assert_allclose(ends, np.c_[values - 0.1, values + 0.3])
    limits = [line.get_ydata()[0] for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert limits == [0.8, 1.25]
