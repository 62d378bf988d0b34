import numpy as np
import pandas as pd

from experiments.your_problem.figures import LOOKS, differences_figure, race_figure


def test_a_score_has_a_row_and_random_is_the_zero_line():
    compared = pd.DataFrame({
        "score": ["hessian", "loss", "random"], "difference": [1.0, -2.0, np.nan],
        "low": [0.5, -3.0, np.nan], "high": [2.0, -1.0, np.nan],
    })  # fmt: skip
    (axes,) = differences_figure(compared, "points").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["hessian", "loss"]
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [1, -2])
    assert axes.get_xlabel() == "points"


def test_a_race_has_the_mean_of_each_way():
    steps = [0, 1]
    curves = pd.concat([
        pd.DataFrame({"method": method, "seed": seed, "step": steps, "test_loss": [2, 1 + seed]})
        for method in ("liprune", "random", "longer")
        for seed in (0, 1)
    ])  # fmt: skip
    figure = race_figure(curves)
    lines = figure.axes[0].lines
    assert [line.get_label() for line in lines] == [
        LOOKS[m]["label"] for m in curves.method.unique()
    ]
    np.testing.assert_array_equal(lines[0].get_ydata(), [2, 1.5])
