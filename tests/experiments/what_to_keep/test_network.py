"""Networks on designed images: differences by plain loops, the rule at its edges, the figure."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from experiments.what_to_keep import network
from experiments.what_to_keep.claims import network_claim
from experiments.what_to_keep.network import (
    CLAIM,
    LABELS,
    REFERENCE,
    estimates,
    network_figure,
    network_gaps,
    recorded_networks,
)
from liprune_utils.files import PROJECT, write_json, write_table
from liprune_utils.grid import read_grid

METHODS = (REFERENCE, *LABELS)
FRACTIONS, SEEDS, PRUNE_EPOCH, LAST_EPOCH = (0.2, 0.5), (0, 1, 2, 3), 3, 6


def curves(shifts: dict[float, float] | None = None, noise: float = 0.1) -> pd.DataFrame:
    """Curves of all methods; the design's errors are shifted from the pruning on."""
    draw, rows = np.random.default_rng(0), []
    epochs = range(1, LAST_EPOCH + 1)
    for method, fraction, seed, epoch in product(METHODS, FRACTIONS, SEEDS, epochs):
        error = 50 + 10 * seed - epoch + noise * draw.normal()
        if shifts and method == "design" and epoch >= PRUNE_EPOCH:
            error += shifts[fraction]
        rows.append((method, fraction, seed, PRUNE_EPOCH, epoch, error))
    columns = ["method", "keep_fraction", "seed", "prune_epoch", "epoch", "test_error"]
    return pd.DataFrame(rows, columns=columns)


def test_differences_are_those_of_plain_loops():
    table = curves(noise=3.0)
    error = table.set_index(["method", "keep_fraction", "seed", "epoch"]).test_error.to_dict()
    gaps = network_gaps(table)
    assert len(gaps) == 2 * 2 * 3
    for row in gaps.itertuples():
        epochs = (3, 4, 5, 6) if row.measure == "mean" else (6,)
        found = [
            sum(error[row.method, row.keep_fraction, seed, epoch] for epoch in epochs) / len(epochs)
            - sum(error[REFERENCE, row.keep_fraction, seed, epoch] for epoch in epochs)
            / len(epochs)
            for seed in SEEDS
        ]
        assert row.difference == pytest.approx(sum(found) / 4)
        half = student.ppf(0.95, 3) * np.std(found, ddof=1) / 2
        assert [row.low, row.high] == pytest.approx([row.difference - half, row.difference + half])
        assert row.num_seeds == 4


@pytest.mark.parametrize(
    ("shifts", "verdict"),
    [
        ((-3.0, -1.5), "holds"),
        ((-3.0, -0.7), "holds-in-part"),  # below zero, not below the margin
        ((-3.0, 0.0), "inconclusive"),
        ((-3.0, 3.0), "inconclusive"),
        ((0.0, 0.0), "inconclusive"),
        ((0.5, 3.0), "does-not-hold"),
    ],
)
def test_the_rule_is_about_both_fractions(shifts, verdict):
    gaps = network_gaps(curves(dict(zip(FRACTIONS, shifts, strict=True))))
    found = network_claim(gaps, cost=12.34)
    assert (found.id, found.verdict) == (CLAIM, verdict)
    assert found.estimate == pytest.approx(max(shifts), abs=0.2)  # the less favourable case
    assert (found.num_runs, found.cost, found.source) == (4, 12.3, "recorded")
    assert "keep 0.2: " in found.note
    assert "keep 0.5: " in found.note
    assert "over 4 seeds" in found.note
    worst = max(estimates(gaps, "design").values(), key=lambda estimate: estimate.value)
    assert (found.low, found.high) == (worst.low, worst.high)


def test_the_figure_has_every_method_in_every_panel():
    gaps = network_gaps(curves({0.2: -3.0, 0.5: 1.0}))
    figure = network_figure(gaps)
    assert [axes.get_title() for axes in figure.axes] == ["keep 0.2", "keep 0.5"]
    for axes, fraction in zip(figure.axes, FRACTIONS, strict=True):
        drawn = [c.lines[0].get_xydata()[0] for c in axes.containers]
        rows = gaps[(gaps.measure == "mean") & (gaps.keep_fraction == fraction)]
        expected = [(row.difference, -place) for place, row in enumerate(rows.itertuples())]
        np.testing.assert_allclose(drawn, expected)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == list(LABELS.values())


def test_the_grid_is_that_of_the_claim():
    runs = read_grid(PROJECT / "experiments/grids/design.yml").runs
    assert {run.method for run in runs} == set(METHODS)
    assert {run.keep_fraction for run in runs} == set(FRACTIONS)
    assert {run.seed for run in runs} == set(SEEDS)
    (shared,) = {
        (run.depth, run.learning_rate, run.prune_epoch, run.num_epochs, run.num_images)
        for run in runs
    }
    assert shared == (14, 0.1, 5, 20, 5120)
    reduced = read_grid(PROJECT / "experiments/grids/examples.yml").runs
    assert {run.before_pruning() for run in runs} == {run.before_pruning() for run in reduced}


def test_recorded_tables_are_read_back(monkeypatch, tmp_path):
    monkeypatch.setattr(network, "RECORDED", str(tmp_path))
    write_table(tmp_path, "design_curves", curves())
    write_table(tmp_path, "design_runs", pd.DataFrame({"seed": [0, 4]}))
    write_json(tmp_path / "design_provenance.json", {"complete_seeds": [0, 1], "seconds": 9.0})
    found, runs, facts = recorded_networks()
    assert set(found.seed) == {0, 1}  # a seed under way does not count
    assert len(runs) == 1
    assert facts["seconds"] == 9.0
