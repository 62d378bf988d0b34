"""What page 10 reads off its runs, by brute force or on tables made by hand."""

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from experiments.other_scores import tables
from liprune_utils.intervals import mean_interval
from liprune_utils.scores import SCORES

CLASSES = np.array([0, 0, 0, 1, 1, 2])
METHODS = list(tables.METHODS)


def score_table(num_examples: int = 12) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    tied = draw.integers(0, 4, num_examples)
    return pd.DataFrame({"a": draw.random(num_examples), "b": tied, "c": -tied + draw.random()})


def test_every_score_and_method_has_a_name():
    assert set(tables.LABELS) == set(SCORES)
    assert set(METHODS) == {"liprune", *SCORES} - {"margin", "leverage", "hessian-batch"}


# Which images scores keep.


def test_correlations_are_scipys_ties_included():
    scores = score_table()
    found = tables.rank_correlations(scores).set_index(["score", "other"])
    assert len(found) == 9
    for pair, row in found.iterrows():
        expected = spearmanr(scores[pair[0]], scores[pair[1]]).statistic
        assert row.correlation == pytest.approx(expected, abs=1e-12)
    assert found.correlation["b", "c"] == pytest.approx(-1)


@settings(max_examples=25)
@given(st.lists(st.integers(-50, 50), min_size=3, max_size=20, unique=True), st.integers(0, 99))
def test_correlations_know_ranks_alone(values, seed):
    other = np.random.default_rng(seed).permutation(len(values))
    bent = pd.DataFrame({"a": np.exp(np.array(values) / 10), "b": -(2.0**-other)})
    expected = np.corrcoef(rankdata(values), other)[0, 1]
    assert tables.rank_correlations(bent).correlation[1] == pytest.approx(expected, abs=1e-12)


def test_chance_holds_99_per_cent_of_independent_scores():
    draw = np.random.default_rng(1)
    limit = tables.rank_correlations(pd.DataFrame(draw.random((40, 2)))).chance.iloc[0]
    centred = np.arange(40) - 19.5
    orders = draw.permuted(np.tile(centred, (5000, 1)), axis=1)
    inside = np.abs(orders @ centred / (centred @ centred)) < limit
    assert inside.mean() == pytest.approx(0.99, abs=0.004)


def test_overlaps_count_what_both_keep():
    scores = pd.DataFrame({"up": [1, 2, 3, 4], "down": [4, 3, 2, 1], "odd": [4, 1, 3, 2]})
    table = tables.overlap_table(scores, (0.5, 1.0))
    pairs = {("up", "down"): 0.0, ("up", "odd"): 0.5, ("down", "odd"): 0.5}
    shares = table.set_index(["keep_fraction", "score", "other"]).overlap
    assert shares.loc[0.5].to_dict() == pairs
    assert (shares.loc[1.0] == 1).all()
    assert set(table.num_kept) == {2, 4}
    assert set(table.num_examples) == {4}
    here = tables.overlaps_with("odd", table[table.keep_fraction == 0.5])
    assert dict(zip(here.name, here.overlap, strict=True)) == {"up": 0.5, "down": 0.5}


def test_chance_overlap_is_that_of_all_subsets():
    (row,) = tables.overlap_table(score_table(7)[["a", "b"]], [0.4]).itertuples()
    fixed = {0, 1, 2}
    shared = [len(fixed & set(other)) / 3 for other in combinations(range(7), 3)]
    assert row.chance == pytest.approx(np.mean(shared))
    inside = [row.chance_low - 1e-9 <= share <= row.chance_high + 1e-9 for share in shared]
    assert np.mean(inside) >= 0.99
    assert {row.chance_low, row.chance_high} <= set(shared)


def test_class_distances_beside_those_of_all_subsets():
    def distance(kept):  # total variation, class by class
        return sum(abs((CLASSES[kept] == c).mean() - (c == CLASSES).mean()) for c in range(3)) / 2

    scores = pd.DataFrame({"first": -np.arange(6.0), "last": np.arange(6.0)})
    table = tables.class_table(scores, CLASSES, [1 / 3, 1.0], 3)
    table = table.set_index(["keep_fraction", "score"])
    third = table.loc[1 / 3]
    assert third.distance["first"] == pytest.approx(distance([0, 1]))
    assert third.distance["last"] == pytest.approx(distance([4, 5]))
    assert third.largest_share.to_dict() == {"first": 1.0, "last": 0.5}
    assert third.smallest_share.to_dict() == {"first": 0.0, "last": 0.0}
    every = [distance(list(kept)) for kept in combinations(range(6), 2)]
    assert third.chance.iloc[0] == pytest.approx(np.mean(every), abs=0.01)
    assert third.chance_high.iloc[0] == pytest.approx(max(every))
    assert (table.loc[1.0][["distance", "chance", "chance_high"]].abs() < 1e-12).all(axis=None)


def test_flags_mark_the_kept():
    flags = tables.kept_flags(pd.DataFrame({"a": [3, 1, 2, 2], "b": [0, 1, 2, 3]}), (0.25, 0.5))
    expected = {
        "a keeps 0.25": [True, False, False, False], "a keeps 0.5": [True, False, True, False],
        "b keeps 0.25": [False, False, False, True], "b keeps 0.5": [False, False, True, True],
    }  # fmt: skip
    assert flags.to_dict("list") == expected


def test_gallery_rows_are_the_ends_of_each_score():
    scores = pd.DataFrame({"loss": [0.5, 2000.0, 1.0], "el2n": [0.1, 0.2, 0.31]})
    images = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((32, 32, 3), np.uint8)
    rows = tables.gallery_rows(scores, images, ["cat", "dog", "ship"], ("loss", "el2n"), 2)
    assert [(title, shown[:, 0, 0, 0].tolist(), captions) for title, shown, captions in rows] == [
        ("loss, highest", [1, 2], ["dog\n2,000", "ship\n1"]),
        ("loss, lowest", [0, 2], ["cat\n0.5", "ship\n1"]),
        ("EL2N, highest", [2, 1], ["ship\n0.31", "dog\n0.2"]),
        ("EL2N, lowest", [0, 1], ["cat\n0.1", "dog\n0.2"]),
    ]


# What they cost, and whether they help.


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


def curves(shift: dict, spread: float) -> pd.DataFrame:
    """Error 60 - 2 epoch + seed, the same for all methods but for a shift after the pruning."""
    rows = []
    for method, fraction, seed, epoch in product(METHODS, (0.2, 0.5), range(3), range(1, 8)):
        moved = shift.get((method, fraction), 0.0) * (epoch >= 5)
        noise = spread * (seed - 1) * (method != "random")
        rows.append((method, fraction, 5, seed, epoch, 60 - 2 * epoch + seed + moved + noise))
    names = ["method", "keep_fraction", "prune_epoch", "seed", "epoch", "test_error"]
    return pd.DataFrame(rows, columns=names).sample(frac=1, random_state=0)


@pytest.mark.parametrize("level", [0.9, 0.99])
def test_gaps_are_paired_by_seed(level):
    table = tables.gap_table(curves({("grand", 0.2): -3.0}, spread=0.5), level)
    assert len(table) == 2 * 2 * (len(METHODS) - 1)
    assert list(table.method.unique()) == [name for name in METHODS if name != "random"]
    for measure, random_error in {"final": 47.0, "mean": 49.0}.items():
        here = table[table.measure == measure]
        assert set(here.random_error) == {random_error}
        row = here[here.method == "grand"].set_index("keep_fraction")
        expected = mean_interval(np.array([-3.5, -3.0, -2.5]), level)
        found = row.loc[0.2]
        assert (found.difference, found.low, found.high, found.num_seeds) == pytest.approx(expected)
        assert row.difference[0.5] == pytest.approx(0)


def test_gaps_have_one_row_per_fraction_and_method_and_columns_for_the_ends():
    gaps = tables.gap_table(curves({("grand", 0.2): -3.0}, spread=0.5))
    shown = tables.gap_words(gaps)
    names = [tables.METHODS[name] for name in METHODS if name != "random"]
    assert list(shown.index) == list(product((0.2, 0.5), names))
    columns = product(tables.MEASURES.values(), ("difference", "low", "high"))
    assert list(shown.columns) == list(columns)
    found = shown.loc[(0.2, "GraNd"), "after the last epoch"]
    assert tuple(found) == pytest.approx(mean_interval(np.array([-3.5, -3, -2.5]), 0.9)[:3])
    for row in gaps.itertuples():
        cells = shown.loc[(row.keep_fraction, tables.METHODS[row.method])]
        assert cells[tables.MEASURES[row.measure], "high"] == row.high


def test_scores_of_images_are_listed_from_the_lowest_for_the_fewest_kept():
    shift = {("grand", 0.2): -3.0, ("loss", 0.2): 4.0, ("el2n", 0.5): -9.0, ("liprune", 0.2): -8}
    found = tables.image_score_gaps(tables.gap_table(curves(shift, spread=0.1)))
    assert set(found) == set(METHODS) - {"liprune", "random"}
    assert (next(iter(found)), list(found)[-1]) == ("grand", "loss")
    assert found["grand"] == pytest.approx(mean_interval(np.array([-3.1, -3.0, -2.9]), 0.9))
    assert found["grand"].num_runs == 3
