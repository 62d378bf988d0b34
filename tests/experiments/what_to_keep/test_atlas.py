"""The atlas of page 12: charts read back from their SVG, and menus that need no kernel."""

import base64
import re
from itertools import product
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from ipywidgets.embed import embed_data

from experiments.what_to_keep import atlas
from experiments.what_to_keep.atlas import GAP, LEFT, MENUS, PANEL, RANGE, ROW, TOP
from experiments.what_to_keep.figures import LABELS, STYLES
from experiments.what_to_keep.races import KEEP_FRACTIONS, STEPS
from experiments.what_to_keep.runs import differs

METHODS = [name for name in LABELS if name != "weighted"]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Ratios of every method on every problem that the atlas has."""
    cells = product(*list(MENUS.values())[:3], KEEP_FRACTIONS, STEPS, METHODS)
    names = ["dim", "inputs", "labels", "keep_fraction", "step", "method"]
    made = pd.DataFrame(cells, columns=names)
    ratio = np.exp(np.random.default_rng(0).normal(0, 0.5, len(made)))
    made = made.assign(ratio=ratio, low=ratio / 1.3, high=ratio * 1.5)
    return made[[differs(dim, kind) for dim, kind in zip(made.dim, made.inputs, strict=True)]]


def chosen(table: pd.DataFrame, *choice: object) -> pd.DataFrame:
    names = ["dim", "inputs", "labels", "keep_fraction"]
    return table[(table[names] == list(choice)).all(axis=1)].copy()


def ratio_at(x: float, step: int) -> float:
    """The ratio that stands at a place of a chart."""
    share = (x - LEFT - STEPS.index(step) * (PANEL + GAP)) / PANEL
    return RANGE[0] * (RANGE[1] / RANGE[0]) ** share


def test_a_chart_shows_every_ratio_with_its_interval(table):
    rows = chosen(table, 10, "uneven", "logistic", 0.3)
    root = ElementTree.fromstring(atlas.chart(rows))
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"  # it scales
    groups = root.findall(f"{SVG}g")
    for number, (name, group) in enumerate(zip(METHODS, groups, strict=True)):
        color, height = STYLES[name]["color"], TOP + ROW * (number + 0.5)
        assert (group.get("stroke"), group.get("fill")) == (color, color)
        intervals = group.find(f"{SVG}path").get("d").split("M")[1:]
        mine, circles = rows[rows.method == name], group.findall(f"{SVG}circle")
        for row, circle, interval in zip(mine.itertuples(), circles, intervals, strict=True):
            decided = row.low > 1 or row.high < 1
            assert circle.get("fill") == (None if decided else "white")
            low, y, high = map(float, re.split("[ H]", interval))
            assert float(circle.get("cy")) == y == height
            places = float(circle.get("cx")), low, high
            for x, value in zip(places, (row.ratio, row.low, row.high), strict=True):
                assert ratio_at(x, row.step) == pytest.approx(np.clip(value, *RANGE), rel=0.02)
    texts = [text.text for text in root.iter(f"{SVG}text")]
    for words in [*(f"{step} steps" for step in STEPS), *(LABELS[name] for name in METHODS)]:
        assert texts.count(words) == 1


def test_what_lies_beyond_the_range_stands_at_the_edge():
    assert (atlas.place(1e-9), atlas.place(1e9)) == (0, PANEL)
    assert ratio_at(LEFT + atlas.place(1), 30) == pytest.approx(1, rel=0.02)


@pytest.fixture
def opened(table, monkeypatch):
    """The menus and their charts, and what is shown without JavaScript."""
    shown = []
    monkeypatch.setattr(atlas, "display", shown.append)
    return atlas.browser(table), shown


def test_menus_choose_charts_without_a_kernel(opened, table):
    box, shown = opened
    stack = box.children[1]
    for choice in product(*MENUS.values()):
        widget = stack
        for value, values in zip(choice, MENUS.values(), strict=True):
            widget = widget.children[values.index(value)]
        dim, inputs, labels, fraction = choice
        seen = inputs if differs(dim, inputs) else "even"
        words = f"features: {dim}, {seen} inputs, {labels}, keep {fraction:g}. Surely"
        assert words in widget.value
        drawn = base64.b64decode(re.search(r'base64,([^"]*)"', widget.value)[1]).decode()
        assert drawn == atlas.chart(chosen(table, dim, seen, labels, fraction))
    assert "features: 10, even inputs, noise 0.5, keep 0.1" in shown[0].data
    assert shown[0].data.startswith("<noscript><img alt=")


def test_every_stack_follows_its_menu(opened):
    box, _ = opened
    menus, stacks = box.children[0].children, [box.children[1]]
    assert [menu.description for menu in menus] == list(MENUS)
    for first, menu, values in zip(atlas.FIRST, menus, MENUS.values(), strict=True):
        assert values[menu.index] == first
        assert menu.options == tuple((str(value), n) for n, value in enumerate(values))
    state = embed_data([box])["manager_state"]["state"].values()  # what the book's page keeps
    links = [model["state"] for model in state if model["model_name"] == "LinkModel"]
    found = {(*link["source"], *link["target"]) for link in links}
    for menu in menus:
        for stack in stacks:
            assert stack.selected_index == menu.index
            ends = f"IPY_MODEL_{menu.model_id}", f"IPY_MODEL_{stack.model_id}"
            assert (ends[0], "index", ends[1], "selected_index") in found
        stacks = [child for stack in stacks for child in stack.children]
    assert len(stacks) == np.prod([len(values) for values in MENUS.values()])


def test_the_words_say_who_is_surely_ahead(table):
    rows = chosen(table, 2, "correlated", "noise 3", 0.1)
    value = atlas.frame(table, (2, "correlated", "noise 3", 0.1)).value
    for step in STEPS:
        here = rows[(rows.step == step) & (rows.high < 1)]
        assert f"after {step} steps {', '.join(map(LABELS.get, here.method)) or 'none'}" in value


def test_charts_are_small(table):
    kept = table[table.keep_fraction == 0.1]
    sizes = [len(atlas.chart(rows)) for _, rows in kept.groupby(["dim", "inputs", "labels"])]
    assert max(sizes) < 6000
