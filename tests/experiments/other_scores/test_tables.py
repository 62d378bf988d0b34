"""What page 10 reads off its tables, on tables made by hand."""

import numpy as np
import pandas as pd
import pytest

from experiments.other_scores import tables
from liprune_utils.intervals import mean_interval
from liprune_utils.scores import SCORES

METHODS = list(tables.METHODS)


def curves(shift: dict | None = None, spread: float = 0.0) -> pd.DataFrame:
    """Error 60 - 2 epoch + seed, the same for all methods but for a shift after the pruning."""
    rows = []
    for method in METHODS:
        for fraction in (0.2, 0.5):
            for seed in range(3):
                for epoch in range(1, 8):
                    moved = (shift or {}).get((method, fraction), 0.0) * (epoch >= 5)
                    noise = spread * (seed - 1) * (method != "random")
                    error = 60 - 2 * epoch + seed + moved + noise
                    rows.append((method, fraction, 5, seed, epoch, error))
    names = ["method", "keep_fraction", "prune_epoch", "seed", "epoch", "test_error"]
    return pd.DataFrame(rows, columns=names)


def test_every_score_and_method_has_a_name():
    assert set(tables.LABELS) == set(SCORES)
    assert set(tables.METHODS) == {"liprune", "random", "hessian", "gauss-newton", "grand",
                                    "el2n", "loss", "forgetting"}  # fmt: skip


def test_costs_are_reduced_by_score():
    costs = pd.DataFrame({
        "score": ["b", "a", "b", "a", "b"], "gradients": [3.0, 1.0, 1.0, 2.0, 8.0],
        "products": [4.0, np.nan, 5.0, np.nan, 6.0],
    })  # fmt: skip
    table = tables.cost_table(costs).set_index("score")
    assert list(table.index) == ["b", "a"]
    assert table.loc["b"].tolist() == [3.0, 1.0, 8.0, 5.0, 3]
    assert table.loc["a"].iloc[:3].tolist() == [1.5, 1.0, 2.0]
    assert np.isnan(table.products["a"])


def test_errors_are_the_last_and_the_mean_since_the_pruning():
    table = tables.error_table(curves().sample(frac=1, random_state=0))
    assert len(table) == len(METHODS) * 2 * 3
    row = table[(table.method == "loss") & (table.keep_fraction == 0.2) & (table.seed == 1)]
    assert row[["final", "mean"]].to_numpy().tolist() == [[47.0, 49.0]]


@pytest.mark.parametrize("level", [0.9, 0.99])
def test_gaps_are_paired_by_seed(level):
    table = tables.gap_table(curves({("grand", 0.2): -3.0}, spread=0.5), level)
    assert len(table) == 2 * 2 * (len(METHODS) - 1)
    assert list(table.method.unique()) == [name for name in METHODS if name != "random"]
    row = table[(table.measure == "final") & (table.method == "grand")].set_index("keep_fraction")
    expected = mean_interval(np.array([-3.5, -3.0, -2.5]), level)
    found = row.loc[0.2]
    assert (found.difference, found.low, found.high, found.num_seeds) == pytest.approx(expected)
    assert row.difference[0.5] == pytest.approx(0)
    assert set(row.random_error) == {47.0}
    means = table[table.measure == "mean"]
    assert set(means.random_error) == {49.0}
    assert means.difference.min() == pytest.approx(-3)


def test_gaps_in_words_have_a_row_a_method():
    table = tables.gap_table(curves({("grand", 0.2): -3.0}, spread=0.5))
    shown = tables.gap_words(table)
    assert shown.shape == (len(METHODS) - 1, 4)
    low, high = (
        f"{value:.3g}".replace("-", "−") for value in mean_interval([-3.5, -3, -2.5], 0.9)[1:3]
    )
    assert shown.loc["GraNd", ("after the last epoch", 0.2)] == f"−3 [{low}, {high}]"


def test_recorded_words_count_who_is_surely_ahead_or_behind():
    shift = {("grand", 0.2): -3.0, ("loss", 0.2): 4.0, ("el2n", 0.2): 2.0, ("loss", 0.5): 1.0}
    words = tables.recorded_words(tables.gap_table(curves(shift, spread=0.1)), "final")
    first, second = words.split(" With 0.5")
    assert first.startswith("With 0.2 kept, 1 of 7 ways to choose have a 90% interval below zero")
    assert "and 2 above; lowest: GraNd, −3 [" in first
    assert "highest: loss, 4 [" in first
    assert "kept, 0 of 7 ways" in second
    assert "and 1 above" in second


def test_agreement_words_name_correlations_and_overlaps():
    others = [name for name in SCORES if name != "hessian"]
    numbers = dict(zip(others, np.linspace(0.9, 0.1, len(others)), strict=True))
    correlations = pd.DataFrame(
        [{"score": "hessian", "other": n, "correlation": c} for n, c in numbers.items()]
    )
    pairs = [("hessian", n) if k % 2 else (n, "hessian") for k, n in enumerate(others)]
    overlaps = pd.DataFrame(pairs, columns=["score", "other"])
    overlaps = overlaps.assign(overlap=numbers.values(), chance=0.2, keep_fraction=0.2)
    extra = overlaps.assign(keep_fraction=0.5, overlap=1.0)
    words = tables.agreement_words(correlations, pd.concat([overlaps, extra]))
    for name in ("gauss-newton", "grand", "el2n", "loss", "margin", "forgetting", "hessian-batch"):
        assert f"{numbers[name]:.2f} with {tables.LABELS[name]}" in words
    assert f"GraNd keeps {numbers['grand']:.0%} too, EL2N {numbers['el2n']:.0%}" in words
    assert words.endswith("chance would give 20%.")


def test_class_words_name_what_chance_does_not_explain():
    rows = [(0.2, "loss", 0.3), (0.2, "random", 0.1), (0.5, "loss", 0.1), (0.5, "random", 0.1)]
    table = pd.DataFrame(rows, columns=["keep_fraction", "score", "distance"])
    words = tables.class_words(table.assign(chance_high=0.2))
    assert "With 0.2 kept, 1 of 2 kept sets" in words
    assert "random subsets, 0.20: loss 0.30." in words
    assert words.endswith("With 0.5 kept, 0 of 2 kept sets are farther from the classes of all "
                          "images than 99% of random subsets, 0.20.")  # fmt: skip


def test_gallery_rows_are_the_ends_of_each_score():
    scores = pd.DataFrame({"loss": [0.5, 2000.0, 1.0], "el2n": [0.1, 0.2, 0.31]})
    images = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((32, 32, 3), np.uint8)
    rows = tables.gallery_rows(scores, images, ["cat", "dog", "ship"], ("loss", "el2n"), 2)
    assert [row[0] for row in rows] == [
        "loss, highest", "loss, lowest", "EL2N, highest", "EL2N, lowest",
    ]  # fmt: skip
    assert rows[0][1][:, 0, 0, 0].tolist() == [1, 2]
    assert rows[0][2] == ["dog\n2,000", "ship\n1"]
    assert rows[1][2] == ["cat\n0.5", "ship\n1"]
    assert rows[2][2] == ["ship\n0.31", "dog\n0.2"]
