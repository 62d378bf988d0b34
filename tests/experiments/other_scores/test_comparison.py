"""Scores are compared by brute force: every subset of a few examples."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from experiments.other_scores.comparison import (
    class_distance,
    class_table,
    extremes,
    kept_flags,
    overlap_table,
    rank_correlations,
)
from liprune_utils.checks import InputError

LABELS = np.array([0, 0, 0, 1, 1, 2])


def frame(num_examples: int = 12, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    tied = draw.integers(0, 4, num_examples)
    return pd.DataFrame({"a": draw.random(num_examples), "b": tied, "c": -tied + draw.random()})


def test_correlations_are_scipys_ties_included():
    table = frame()
    found = rank_correlations(table).set_index(["score", "other"])
    assert len(found) == 9
    for pair, row in found.iterrows():
        expected = spearmanr(table[pair[0]], table[pair[1]]).statistic
        assert row.correlation == pytest.approx(expected, abs=1e-12)
    assert found.correlation["b", "c"] == pytest.approx(-1)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(-50, 50), min_size=3, max_size=20, unique=True), st.integers(0, 99))
def test_correlations_know_ranks_alone(values, seed):
    other = np.random.default_rng(seed).permutation(len(values))
    plain = pd.DataFrame({"a": values, "b": other})
    bent = pd.DataFrame({"a": np.exp(np.array(values) / 10), "b": -(2.0**-other)})
    one, two = (rank_correlations(table).correlation for table in (plain, bent))
    np.testing.assert_allclose(one, two, atol=1e-12)
    expected = np.corrcoef(rankdata(values), other)[0, 1]
    assert one[1] == pytest.approx(expected, abs=1e-12)


def test_chance_holds_99_per_cent_of_independent_scores():
    draw = np.random.default_rng(1)
    limit = rank_correlations(pd.DataFrame(draw.random((40, 2)))).chance.iloc[0]
    centred = np.arange(40) - 19.5
    orders = draw.permuted(np.tile(centred, (5000, 1)), axis=1)
    inside = np.abs(orders @ centred / (centred @ centred)) < limit
    assert inside.mean() == pytest.approx(0.99, abs=0.004)


def test_overlaps_count_what_both_keep():
    scores = pd.DataFrame({"up": [1, 2, 3, 4], "down": [4, 3, 2, 1], "odd": [4, 1, 3, 2]})
    table = overlap_table(scores, (0.5, 1.0)).set_index(["keep_fraction", "score", "other"])
    assert table.overlap.loc[0.5].to_dict() == {
        ("up", "down"): 0.0, ("up", "odd"): 0.5, ("down", "odd"): 0.5,
    }  # fmt: skip
    assert (table.overlap.loc[1.0] == 1).all()
    assert set(table.num_kept) == {2, 4}
    assert set(table.num_examples) == {4}


def test_chance_overlap_is_that_of_all_subsets():
    scores = frame(7)[["a", "b"]]
    (row,) = overlap_table(scores, [0.4]).itertuples()
    fixed = {0, 1, 2}
    shared = [len(fixed & set(other)) / 3 for other in combinations(range(7), 3)]
    assert row.chance == pytest.approx(np.mean(shared))
    inside = [row.chance_low - 1e-9 <= share <= row.chance_high + 1e-9 for share in shared]
    assert np.mean(inside) >= 0.99
    assert row.chance_low in shared
    assert row.chance_high in shared


def test_class_distance_of_known_sets():
    labels = np.array([0] * 9 + [1])
    assert class_distance(labels, np.array([9]), 2) == pytest.approx(0.9)
    assert class_distance(labels, np.arange(10), 2) == 0
    assert class_distance(LABELS, np.array([0, 3]), 4) == pytest.approx(1 / 6)


def test_class_table_beside_all_subsets():
    scores = pd.DataFrame({"first": -np.arange(6.0), "last": np.arange(6.0)})
    table = class_table(scores, LABELS, [1 / 3, 1.0], 3).set_index(["keep_fraction", "score"])
    third = table.loc[1 / 3]
    assert third.distance["first"] == pytest.approx(class_distance(LABELS, np.array([0, 1]), 3))
    assert third.distance["last"] == pytest.approx(class_distance(LABELS, np.array([4, 5]), 3))
    assert third.largest_share.to_dict() == {"first": 1.0, "last": 0.5}
    assert third.smallest_share.to_dict() == {"first": 0.0, "last": 0.0}
    every = [class_distance(LABELS, np.array(kept), 3) for kept in combinations(range(6), 2)]
    assert third.chance.iloc[0] == pytest.approx(np.mean(every), abs=0.01)
    assert third.chance_high.iloc[0] == pytest.approx(max(every))
    assert (table.loc[1.0][["distance", "chance", "chance_high"]].abs() < 1e-12).all(axis=None)


def test_flags_mark_the_kept():
    flags = kept_flags(pd.DataFrame({"a": [3, 1, 2, 2], "b": [0, 1, 2, 3]}), (0.25, 0.5))
    expected = {
        "a keeps 0.25": [True, False, False, False], "a keeps 0.5": [True, False, True, False],
        "b keeps 0.25": [False, False, False, True], "b keeps 0.5": [False, False, True, True],
    }  # fmt: skip
    assert flags.to_dict("list") == expected


def test_extremes_are_the_ends_of_the_ranking():
    high, low = extremes(np.array([0.5, 3.0, -1.0, 2.0]), 2)
    assert (high.tolist(), low.tolist()) == ([1, 3], [2, 0])
    with pytest.raises(InputError, match="count is 5; expected from 1 to the 4 examples"):
        extremes(np.zeros(4), 5)
