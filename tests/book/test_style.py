"""Figures: panels, labels, methods that look the same everywhere; frames that need no kernel."""

import base64
import io
import re
from itertools import combinations, product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from figure_texts import legend, titles
from ipywidgets.embed import embed_data
from matplotlib.colors import same_color, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from experiments.cifar10 import figures as cifar10_figures
from experiments.linear_model import figures
from experiments.linear_model.runs import PAPER_FIGURES, simulate
from experiments.linear_model.tables import curve_table
from experiments.verdict.figures import overview_figure
from liprune_utils.book import frames, style
from liprune_utils.files import PROJECT
from liprune_utils.pruning import keep_highest

LABELS = ["LiPrune", "Random pruning", "No pruning"]
# What is seen without one kind of cones: Machado et al. 2009, Table 1, of linear RGB.
BLINDNESS = {
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
XYZ = np.array([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])


def linear_rgb(color: str) -> np.ndarray:
    value = np.array(to_rgb(color))
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def cielab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear RGB, D65."""
    t = XYZ @ rgb.clip(0, 1) / XYZ.sum(axis=1)
    x, y, z = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_cielab_of_known_colours():
    np.testing.assert_allclose(cielab(linear_rgb("white")), [100, 0, 0], atol=0.01)
    np.testing.assert_allclose(cielab(linear_rgb("red")), [53.24, 80.09, 67.20], atol=0.05)


def test_methods_differ_in_grey_and_for_colour_blind_readers():
    colors = [linear_rgb(look["color"]) for look in style.METHODS.values()]
    for one, other in combinations(colors, 2):
        assert abs(cielab(one)[0] - cielab(other)[0]) > 15
        for seen in map(np.array, BLINDNESS.values()):
            assert np.linalg.norm(cielab(seen @ one) - cielab(seen @ other)) > 25
    contrasts = [1.05 / (XYZ[1] @ color + 0.05) for color in colors]  # WCAG 2.2, against white
    assert min(contrasts) > 3
    assert len({look["linestyle"] for look in style.METHODS.values()}) == len(colors)


def test_the_colours_of_methods_mean_nothing_else():
    for path in (PROJECT / "experiments").rglob("figures.py"):
        for look in style.METHODS.values():
            assert look["color"] not in path.read_text(), path


pytestmark = pytest.mark.usefixtures("book_style")


@pytest.fixture(scope="module")
def curves() -> pd.DataFrame:
    return curve_table(simulate({1: PAPER_FIGURES[1]}, num_runs=5))


def errors(depths=(14,), seeds=2, prune_epochs=(1,)) -> pd.DataFrame:
    pruned = product(("liprune", "random"), (0.2, 0.5), prune_epochs)
    grid = product(depths, range(seeds), [("none", 1.0, 1), *pruned], (1, 2, 3))
    rows = [(d, seed, *run, epoch, 91 - epoch - seed - run[-1]) for d, seed, run, epoch in grid]
    names = ["depth", "seed", "method", "keep_fraction", "prune_epoch", "epoch", "test_error"]
    return pd.DataFrame(rows, columns=names).assign(learning_rate=0.1)


def test_losses_have_a_panel_for_each_fraction_with_a_95_percent_band(curves):
    figure = style.loss_figure(curves)
    assert titles(figure) == ["keep 0.1", "keep 0.3", "keep 0.5", "keep 0.7"]
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("SGD step", "test loss")
    assert sorted(legend(figure)) == sorted(LABELS)
    assert all(axes.get_yscale() == "log" for axes in figure.axes)
    for axes, fraction in zip(figure.axes, (0.1, 0.3, 0.5, 0.7), strict=True):
        lines = {line.get_label(): line.get_ydata() for line in axes.lines}
        rows = curves[(curves.method == "liprune") & (curves.keep_fraction == fraction)]
        np.testing.assert_array_equal(lines["LiPrune"], rows.test_loss_mean)
        assert sorted(lines) == sorted(LABELS)
        row = rows[rows.step == 10].iloc[0]
        band = axes.collections[0].get_paths()[0].vertices
        heights = band[np.isclose(band[:, 0], 10), 1]
        half = 1.96 * row.test_loss_se
        expected = (row.test_loss_mean - half, row.test_loss_mean + half)
        np.testing.assert_allclose((heights.min(), heights.max()), expected)


def test_losses_of_one_fraction_have_one_panel(curves):
    figure = style.loss_figure(curves[curves.keep_fraction.isin([0.3, 1.0])], loss="kept")
    assert titles(figure) == ["keep 0.3"]
    assert figure.get_supylabel() == "loss, kept points"


def test_three_losses_side_by_side(curves):
    figure = figures.losses_figure(curves, keep_fraction=0.1)
    assert titles(figure) == ["test", "kept training", "all training"]
    assert set(LABELS[:2]) <= set(legend(figure))


def test_data_figure_tells_the_kept_from_the_pruned():
    x = np.linspace(-5, 5, 50)
    kept = keep_highest(x**2, 0.1)
    (axes,) = figures.data_figure(x, 2 * x, kept).axes
    pruned, marked = (points.get_offsets().data for points in axes.collections)
    np.testing.assert_array_equal(marked, np.column_stack([x[kept], 2 * x[kept]]))
    assert sorted([*pruned[:, 0], *marked[:, 0]]) == list(x)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("input x", "label y")


def test_settings_have_a_row_each_and_a_column_for_each_fraction(curves):
    slow, fast = curves.assign(learning_rate=0.005), curves.assign(learning_rate=0.05)
    fast = fast.assign(test_loss_mean=2 * fast.test_loss_mean)
    figure = figures.settings_figure(pd.concat([slow, fast]), "learning_rate")
    fractions = (0.1, 0.3, 0.5, 0.7)
    expected = [f"rate {rate:g}\nkeep {k:g}" for rate, k in product((0.005, 0.05), fractions)]
    assert titles(figure) == expected
    for axes, (rows, fraction) in zip(figure.axes, product((slow, fast), fractions), strict=True):
        lines = {line.get_label(): line.get_ydata() for line in axes.lines}
        here = rows[(rows.method == "liprune") & (rows.keep_fraction == fraction)]
        np.testing.assert_array_equal(lines["LiPrune"], here.test_loss_mean)
        assert sorted(lines) == sorted(LABELS)


def test_excess_has_a_fixed_scale():
    curve = np.geomspace(1, 1e-3, 31)
    (axes,) = figures.excess_figure({"liprune": curve, "random": 10 * curve}).axes
    assert axes.get_ylim() == (1e-5, 1e2)
    assert axes.get_legend_handles_labels()[1] == LABELS[:2]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("SGD step", "expected excess test loss")


@pytest.mark.parametrize(("depths", "epochs"), [((14,), (1,)), ((14, 20), (1,)), ((14,), (1, 5))])
def test_test_errors_have_a_panel_for_each_cell(depths, epochs):
    figure = cifar10_figures.error_figure(errors(depths, prune_epochs=epochs))
    cells = list(product(depths, epochs, (0.2, 0.5)))
    assert titles(figure) == [f"depth {d}, rate 0.1, pruned at {e}, keep {f}" for d, e, f in cells]
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("epoch", "test error (%)")
    assert sorted(legend(figure)) == sorted(LABELS)
    for axes, (_, pruned_at, _) in zip(figure.axes, cells, strict=True):
        assert len(axes.lines) == 3 * (2 + 1)  # two seeds and their mean
        for label, level in {"LiPrune": 90.5 - pruned_at, "No pruning": 89.5}.items():
            (mean,) = [line.get_ydata() for line in axes.lines if line.get_label() == label]
            np.testing.assert_allclose(mean, level - np.array([1, 2, 3]))


def test_overview_shows_both_experiments(curves):
    figure = overview_figure(curves, errors(), "CIFAR-10")
    assert titles(figure) == ["Linear model, keep 0.1", "ResNet, keep 0.5\nCIFAR-10"]
    assert sorted(legend(figure)) == sorted(LABELS)


def test_methods_look_the_same_everywhere(curves):
    drawn = style.loss_figure(curves), cifar10_figures.error_figure(errors())
    lines = [line for figure in drawn for axes in figure.axes for line in axes.lines]
    for look in style.METHODS.values():
        alike = [line for line in lines if line.get_label() == look["label"]]
        assert len(alike) == 4 + 2
        assert all(same_color(line.get_color(), look["color"]) for line in alike)
        assert {line.get_linestyle() for line in alike} == {look["linestyle"]}


def frame(rate: float) -> Figure:
    return figures.excess_figure({"liprune": np.full(31, rate)})


def test_a_frame_keeps_its_colours():
    data = base64.b64decode(frames.encode(frame(0.1)).split(",")[1])
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).reshape(-1, 3)
    for color in ("white", style.METHODS["liprune"]["color"]):
        off = np.abs(pixels - 255 * np.array(to_rgb(color))).max(axis=1)
        assert off.min() < 5, color
    assert (pixels[0] == 255).all()


def test_frames_follow_the_slider_without_a_kernel(monkeypatch):
    shown, rates = [], [0.01, 0.1, 1.0]
    monkeypatch.setattr(frames, "display", shown.append)
    box = frames.frame_browser(frame, rates, describe='rate "{}" & <x>'.format, name="rate")
    slider, stack = box.children
    assert shown[0].data.startswith('<noscript><img alt="rate &#34;0.01')  # without JavaScript
    assert [label for label, _ in slider.options] == ["0.01", "0.1", "1.0"]
    for index, rate in enumerate(rates):
        html = stack.children[index].value
        assert f'<img alt="rate &#34;{rate}&#34; &amp; &lt;x&gt;" src="data:image/webp' in html
        image = base64.b64decode(re.search(r'base64,([^"]*)"', html)[1])
        assert image[8:12] == b"WEBP"
        assert len(image) < 40_000
        assert html.count(frames.encode(frame(rate))) == 1  # drawn again, the same bytes
    assert len({child.value for child in stack.children}) == 3
    state = embed_data([box])["manager_state"]["state"].values()  # what the book's page keeps
    links = [model["state"] for model in state if model["model_name"] == "LinkModel"]
    (link,) = (link for link in links if slider.model_id in link["source"][0])
    ends = (
        (f"IPY_MODEL_{slider.model_id}", "index"),
        (f"IPY_MODEL_{stack.model_id}", "selected_index"),
    )
    assert (tuple(link["source"]), tuple(link["target"])) == ends
    assert not plt.get_fignums()
