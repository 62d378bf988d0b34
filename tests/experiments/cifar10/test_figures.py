"""Page 09's figures: what is drawn where, from tables with known effects."""

import numpy as np
import pandas as pd
import pytest
from cifar_grid import NUM_EPOCHS, grid_curves
from figure_texts import legend
from matplotlib.colors import same_color

from experiments.cifar10.claims import Comparison
from experiments.cifar10.figures import (
    cells_figure,
    effects_figure,
    kept_figure,
    summary_figure,
    updates_figure,
)
from experiments.cifar10.kept_batches import PROPERTIES
from experiments.cifar10.tables import effect_table, select
from liprune_utils.book import style
from liprune_utils.intervals import Estimate
from liprune_utils.speed_up import SpeedUp

LABELS = ["LiPrune", "No pruning", "Random pruning"]
TITLES = [f"ResNet-{depth}, keep {fraction}" for depth in (14, 20) for fraction in (0.2, 0.5)]


pytestmark = pytest.mark.usefixtures("book_style")


@pytest.fixture(scope="module")
def curves() -> pd.DataFrame:
    return grid_curves(lambda *key: key[-1] - key[0] / 10)


def lines(axes) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in axes.lines}


@pytest.mark.parametrize("pruned", [1, 5])
def test_cells_have_a_panel_each(curves, pruned):
    figure = cells_figure(select(curves, learning_rate=0.1, prune_epoch=pruned))
    assert [axes.get_title() for axes in figure.axes] == TITLES
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("epoch", "test error (%)")
    assert sorted(legend(figure)) == LABELS
    for axes in figure.axes:
        mark = [line for line in axes.lines if line.get_label() not in LABELS]
        assert [line.get_xdata()[0] for line in mark] == [pruned - 1]


def test_cells_show_the_seeds_mean_and_range(curves):
    here = select(curves, learning_rate=0.01, prune_epoch=5)
    axes = cells_figure(here).axes[3]
    rows = select(here, depth=20, keep_fraction=0.5)
    for method, look in style.METHODS.items():
        table = rows[rows.method == method].pivot(
            index="epoch", columns="seed", values="test_error"
        )
        np.testing.assert_allclose(lines(axes)[look["label"]][:, 1], table.mean(axis=1))
        (band,) = [
            b for b in axes.collections if same_color(b.get_facecolor()[0, :3], look["color"])
        ]
        heights = band.get_paths()[0].vertices
        for epoch in (1, NUM_EPOCHS):
            drawn = heights[np.isclose(heights[:, 0], epoch), 1]
            expected = table.loc[epoch].agg(["min", "max"])
            np.testing.assert_allclose((drawn.min(), drawn.max()), expected)


def test_cells_of_several_rates_say_which(curves):
    kept = curves[(curves.method != "none") & (curves.depth == 14) & (curves.keep_fraction == 0.2)]
    figure = cells_figure(kept[kept.prune_epoch == 5])
    assert [axes.get_title() for axes in figure.axes] == [
        f"ResNet-14, keep 0.2, rate {rate}" for rate in (0.01, 0.1)
    ]
    assert [axes.get_title() for axes in cells_figure(kept).axes] == [
        f"ResNet-14, keep 0.2, rate {rate}, pruned at {epoch}"
        for rate in (0.01, 0.1) for epoch in (1, 5)
    ]  # fmt: skip
    assert sorted(legend(figure)) == LABELS[::2]


def intervals(axes) -> np.ndarray:
    """Value, low and high of every interval of a panel, from the top."""
    (bars,) = axes.containers
    points, ends = bars.lines[0].get_xydata(), np.array(bars.lines[2][0].get_segments())
    return np.column_stack([points[:, 0], ends[:, :, 0]])[points[:, 1].argsort()[::-1]]


def test_effects_have_a_row_each_and_a_margin(curves):
    effects = effect_table(curves)
    figure = effects_figure(effects)
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == effects[effects.statistic == "mean_error"].name.tolist()
    assert len(names) == 16 + 4 + 1
    for axes, statistic in zip(figure.axes, ("mean_error", "final_error"), strict=True):
        rows = effects[effects.statistic == statistic]
        np.testing.assert_allclose(intervals(axes), rows[["difference", "low", "high"]])
        assert (axes.patches[0].get_x(), axes.patches[0].get_width()) == (-1, 2)


def case(error: tuple[float, ...], speed: tuple[float, ...]) -> Comparison:
    return Comparison(Estimate(*error, 48), SpeedUp(Estimate(*speed, 3), {}, ()))


def test_a_summary_has_error_and_epochs_of_each_group():
    none = (np.nan, np.nan, np.nan)
    found = {
        "all": case((-1, -2, 3), (2, 0.5, 2.5)), "some": case((0, -5, 1), (0.5, 0.25, 1)),
        "late": case((0, -1, 1), none),
    }  # fmt: skip
    left, right = summary_figure(found).axes
    np.testing.assert_allclose(intervals(left), [(-1, -2, 3), (0, -5, 1), (0, -1, 1)])
    np.testing.assert_allclose(intervals(right), [(0.5, 0.4, 2), (2, 1, 4)])  # late has none
    labels = [text.get_text() for text in left.get_yticklabels()]
    assert labels == ["all (n = 48)", "some (n = 48)", "late (n = 48)"]
    assert [axes.lines[0].get_xdata()[0] for axes in (left, right)] == [0, 1]
    assert right.get_xscale() == "log"
    assert right.patches[0].get_x() == pytest.approx(1 / 1.1)


def test_kept_batches_have_a_row_for_each_property():
    rows = [
        {"prune_epoch": epoch, "property": name, "shift": place + epoch / 10,
         "low": place - 0.2, "high": place + 1.0}
        for epoch in (5, 1) for place, name in enumerate(PROPERTIES)
    ]  # fmt: skip
    (axes,) = kept_figure(pd.DataFrame(rows)).axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == list(PROPERTIES.values())
    for epoch, bars in zip((1, 5), axes.containers, strict=True):
        points = bars.lines[0].get_xydata()
        np.testing.assert_allclose(points[:, 0], np.arange(len(names)) + epoch / 10)
        np.testing.assert_allclose(points[:, 1].round(), np.arange(len(names))[::-1])
    assert axes.get_legend_handles_labels()[1] == ["pruned at epoch 1", "pruned at epoch 5"]


def test_updates_are_marked_before_the_rate_falls(curves):
    here = select(curves, prune_epoch=1)
    figure = updates_figure(here, decay_epochs=[4, 6])
    assert [axes.get_title() for axes in figure.axes] == [
        f"ResNet-{depth}, rate {rate}" for depth in (14, 20) for rate in (0.01, 0.1)
    ]
    axes = figure.axes[1]
    assert axes.get_xscale() == "log"
    kept = [f"{name}, keep {keep}" for name in ("LiPrune", "Random pruning") for keep in (0.2, 0.5)]
    assert sorted(lines(axes)) == sorted([*kept, "No pruning"])
    rows = select(here, depth=14, learning_rate=0.1, keep_fraction=0.2)
    rows = rows[rows.method == "liprune"].groupby("epoch")[["num_updates", "test_error"]].mean()
    np.testing.assert_allclose(lines(axes)["LiPrune, keep 0.2"], rows)
    (line,) = [line for line in axes.lines if line.get_label() == "LiPrune, keep 0.2"]
    assert line.get_xdata()[line.get_markevery()].tolist() == [3 * 8, 5 * 8]
    assert len({line.get_marker() for line in axes.lines}) == 3


def test_methods_keep_their_look(curves):
    drawn = (
        updates_figure(select(curves, prune_epoch=1), [4]),
        cells_figure(select(curves, depth=14)),
    )
    for line in [line for figure in drawn for axes in figure.axes for line in axes.lines]:
        for look in style.METHODS.values():
            if line.get_label().startswith(look["label"]):
                assert same_color(line.get_color(), look["color"])
                assert line.get_linestyle() == look["linestyle"]
