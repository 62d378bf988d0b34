import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from experiments.your_problem.figures import METHOD_STYLES, answer_figure


@pytest.fixture
def panels() -> list[Axes]:
    compared = pd.DataFrame({
        "score": ["hessian", "loss", "random"], "difference": [1.0, -2.0, np.nan],
        "low": [0.5, -3.0, np.nan], "high": [2.0, -1.0, np.nan],
    })  # fmt: skip
    curves = pd.concat([
        pd.DataFrame({"method": method, "seed": seed, "step": [0, 1], "test_loss": [2, 1 + seed]})
        for method in ("liprune", "random", "longer")
        for seed in (0, 1)
    ])  # fmt: skip
    return answer_figure(compared, curves).axes


def test_a_score_has_a_row_and_random_is_the_zero_line(panels):
    axes = panels[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["hessian", "loss"]
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [1, -2])
    assert axes.lines[-1].get_xdata() == [0, 0]


def test_a_race_has_the_mean_of_each_way(panels):
    lines = panels[1].lines
    ways = ("liprune", "random", "longer")
    assert [line.get_label() for line in lines] == [METHOD_STYLES[way]["label"] for way in ways]
    np.testing.assert_array_equal(lines[0].get_ydata(), [2, 1.5])
