"""Algorithm 1: how many are kept, which, and what does not change the choice."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from liprune_utils.checks import InputError
from liprune_utils.pruning import keep_highest, num_kept, overlap, rank

fractions = st.floats(0, 1, exclude_min=True)
numbers = st.floats(-1e6, 1e6)
scores = arrays(np.float64, st.integers(1, 30), elements=numbers)
distinct = arrays(np.float64, st.integers(1, 30), elements=numbers, unique=True)
tied = arrays(np.float64, st.integers(1, 30), elements=st.sampled_from([0.0, 1.0, 2.0]))
matrices = arrays(np.float64, st.tuples(*3 * [st.integers(1, 5)]), elements=numbers)


@pytest.mark.parametrize(
    ("num_functions", "keep_fraction", "count"),
    [(1000, 0.1, 100), (10, 0.25, 3), (10, 0.24, 2), (3, 0.5, 2), (3, 0.01, 1), (1, 1, 1)],
)
def test_count_by_hand(num_functions, keep_fraction, count):
    assert num_kept(num_functions, keep_fraction) == count


@given(st.integers(1, 10**5), st.integers(1, 1000))
def test_count_rounds_to_the_nearest(num_functions, thousandths):
    exact = Fraction(thousandths, 1000) * num_functions
    count = num_kept(num_functions, thousandths / 1000)
    assert 1 <= count <= num_functions
    assert count == 1 or abs(count - exact) <= Fraction(1, 2)


@given(scores, fractions)
def test_kept_scores_are_the_largest(values, fraction):
    kept = keep_highest(values, fraction)
    dropped = np.delete(values, kept)
    assert len(kept) == max(1, math.floor(fraction * len(values) + 0.5))
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert not len(dropped) or values[kept].min() >= dropped.max()


@given(tied, fractions)
def test_lowest_index_comes_first_among_equals(values, fraction):
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    assert rank(values).tolist() == order
    assert keep_highest(values, fraction).tolist() == sorted(
        order[: num_kept(len(values), fraction)]
    )


@given(distinct, fractions, st.randoms(use_true_random=False))
def test_permuted_scores_give_the_permuted_choice(values, fraction, random):
    order = random.sample(range(len(values)), len(values))
    kept = keep_highest(values[order], fraction)
    assert sorted(order[i] for i in kept) == keep_highest(values, fraction).tolist()


@given(scores, fractions, st.integers(-20, 20))
def test_scaled_scores_give_the_same_choice(values, fraction, exponent):
    scaled = np.ldexp(values, exponent)
    if len(np.unique(scaled)) == len(np.unique(values)):  # no underflow made a tie
        np.testing.assert_array_equal(
            keep_highest(scaled, fraction), keep_highest(values, fraction)
        )


@given(scores)
def test_keeping_everything_keeps_everything(values):
    assert keep_highest(values, 1.0).tolist() == list(range(len(values)))


@given(matrices, fractions)
def test_rows_are_pruned_one_by_one(values, fraction):
    kept = keep_highest(values, fraction)
    for index in np.ndindex(values.shape[:-1]):
        np.testing.assert_array_equal(kept[index], keep_highest(values[index], fraction))


@given(st.floats(1e-6, 1), st.integers(1, 30))
def test_smaller_sets_lie_in_larger_ones(fraction, num_functions):
    values = np.random.default_rng(num_functions).random(num_functions)
    assert set(keep_highest(values, fraction / 2)) <= set(keep_highest(values, fraction))


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_overlap_counts_common_members_row_by_row(shape):
    draw = np.random.default_rng(len(shape))
    kept, other = (rank(draw.random((*shape, 9)))[..., :count] for count in (4, 6))
    shares = np.asarray(overlap(kept, other))
    assert shares.shape == shape
    for index in np.ndindex(shape):
        assert shares[index] == len({*kept[index]} & {*other[index]}) / 4


def test_infinite_scores_are_kept_first():
    assert keep_highest(np.array([1.0, np.inf, -np.inf, 2.0]), 0.5).tolist() == [1, 3]


@pytest.mark.parametrize("kind", ["uint8", "int8", "int64", "float16", "bool"])
def test_numbers_of_any_kind_are_scores(kind):
    least, most = (0, 1) if kind in ("uint8", "bool") else (-128, 127)
    values = np.array([most, 0, least, 1, most], dtype=kind)
    np.testing.assert_array_equal(rank(values), rank(values.astype(float)))
    np.testing.assert_array_equal(
        rank(values.tolist()), np.argsort(-values.astype(float), stable=True)
    )


def test_nan_is_refused_with_its_place():
    with pytest.raises(InputError, match=r"^The score at index 1, 2 is 'NaN'; expected a"):
        keep_highest(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, np.nan]]), 0.5)


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, math.nan, math.inf, "0.2"])
def test_impossible_fraction_is_refused(fraction):
    with pytest.raises(
        InputError, match=rf"^keep_fraction is {fraction!r}; expected a fraction in"
    ):
        keep_highest(np.ones(3), fraction)


def test_no_functions_are_refused():
    with pytest.raises(InputError, match=r"^num_functions is 0; expected at least 1\.$"):
        keep_highest(np.ones(0), 0.5)
