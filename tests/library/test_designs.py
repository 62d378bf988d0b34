"""Optimal designs: against every kept set, their invariances, and what is refused."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liprune_utils.checks import InputError
from liprune_utils.designs import CRITERIA, keep_extremes, leverages, optimal_design
from liprune_utils.problems import SQUARED, draw_sized_normals
from liprune_utils.pruning import keep_highest, overlap

criteria = pytest.mark.parametrize("criterion", CRITERIA)


def value(x: np.ndarray, kept: np.ndarray, criterion: str) -> float:
    """The criterion as the module's docstring has it."""
    moment = np.mean([np.outer(point, point) for point in x[kept].reshape(-1, x.shape[-1])], axis=0)
    flat = x.reshape(-1, x.shape[-1])
    if np.linalg.matrix_rank(moment) < len(moment):
        return np.inf
    return {
        "A": lambda: np.trace(np.linalg.inv(moment)),
        "D": lambda: np.linalg.det(moment) ** (-1 / len(moment)),
        "V": lambda: np.trace(flat.T @ flat / len(flat) @ np.linalg.inv(moment)),
    }[criterion]()


def best_value(x: np.ndarray, count: int, criterion: str) -> float:
    """The least criterion of all kept sets."""
    sets = map(list, combinations(range(len(x)), count))
    return min(value(x, np.array(chosen), criterion) for chosen in sets)


@criteria
@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(4, 6))
def test_a_design_is_nearly_the_best_of_all_sets(criterion, seed, dim, count):
    generator = np.random.default_rng(seed)
    x = draw_sized_normals(generator, 10, dim, spread=1.0) * np.geomspace(3, 0.3, dim)
    design = optimal_design(x, count / 10, criterion)
    ratio = best_value(x, count, criterion) / value(x, design.kept, criterion)
    assert len(design.kept) == count
    assert design.efficiency <= ratio + 1e-6  # a bound
    assert ratio > 0.9


@criteria
def test_batches_are_kept_as_wholes(criterion):
    x = np.random.default_rng(0).standard_normal((8, 3, 2))
    kept = optimal_design(x, 0.5, criterion).kept
    assert value(x, kept, criterion) == pytest.approx(best_value(x, 4, criterion))
    single = optimal_design(x[:, :1], 0.5, criterion).kept
    np.testing.assert_array_equal(single, optimal_design(x[:, 0], 0.5, criterion).kept)


@criteria
def test_many_points_in_many_dimensions_have_an_efficient_design(criterion):
    x = np.random.default_rng(0).standard_normal((2000, 20)) * np.geomspace(3, 1 / 3, 20)
    design = optimal_design(x, 0.1, criterion)
    random = value(x, np.arange(200), criterion)
    found = value(x, design.kept, criterion)
    assert design.efficiency > 0.95
    assert found < 0.8 * random


@pytest.mark.parametrize("criterion", ["D", "V"])
def test_coordinates_do_not_matter_to_d_and_v(criterion):
    generator = np.random.default_rng(3)
    x = generator.standard_normal((50, 3))
    turned = x @ generator.standard_normal((3, 3))
    kept = optimal_design(x, 0.2, criterion).kept
    np.testing.assert_array_equal(kept, optimal_design(turned, 0.2, criterion).kept)


@criteria
def test_a_direction_without_points_is_left_out(criterion):
    x = np.random.default_rng(4).standard_normal((40, 2))
    wide = np.column_stack([x[:, :1], 0 * x[:, :1], x[:, 1:], x[:, 1:]])
    narrow = np.column_stack([x[:, :1], np.sqrt(2) * x[:, 1:]])
    kept = optimal_design(wide, 0.2, criterion).kept
    np.testing.assert_array_equal(kept, optimal_design(narrow, 0.2, criterion).kept)


@criteria
def test_in_one_dimension_designs_are_liprune(criterion):
    x = np.random.default_rng(5).standard_normal((200, 1))
    largest = keep_highest(SQUARED.constants(x), 0.1)
    np.testing.assert_array_equal(optimal_design(x, 0.1, criterion).kept, largest)
    np.testing.assert_array_equal(keep_highest(leverages(x), 0.1), largest)


def test_a_leverage_is_a_lipschitz_constant_in_the_metric_of_the_moment():
    x = np.random.default_rng(6).standard_normal((60, 3)) * (5.0, 1.0, 0.1)
    root = np.linalg.cholesky(np.linalg.inv(x.T @ x / 60))
    np.testing.assert_allclose(leverages(x), SQUARED.constants(x @ root))
    assert leverages(x).mean() == pytest.approx(3)


def test_among_gaussian_points_the_largest_leverages_are_d_optimal():
    x = np.random.default_rng(7).standard_normal((20_000, 3)) * (3.0, 1.0, 0.3)
    design, simple = optimal_design(x, 0.1, "D").kept, keep_highest(leverages(x), 0.1)
    assert overlap(design, simple) > 0.97
    assert value(x, simple, "D") / value(x, design, "D") < 1.001


def test_extremes_are_those_of_each_coordinate_in_turn():
    x = np.random.default_rng(8).standard_normal((100, 2))
    free, kept = list(range(100)), []
    for column, end in ((0, 0), (0, -1), (1, 0), (1, -1)):
        for _ in range(5):
            point = sorted(free, key=lambda i, column=column: x[i, column])[end]
            kept.append(point)
            free.remove(point)
    np.testing.assert_array_equal(keep_extremes(x, 0.2), sorted(kept))
    assert len(keep_extremes(x, 0.03)) == 3
    assert len(keep_extremes(x, 1.0)) == 100


@criteria
def test_everything_may_be_kept(criterion):
    x = np.random.default_rng(9).standard_normal((6, 2))
    design = optimal_design(x, 1.0, criterion)
    np.testing.assert_array_equal(design.kept, range(6))
    assert design.efficiency == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("x", "fraction", "criterion", "words"),
    [
        (np.ones(4), 0.5, "V", "shape of x is [4]; expected [n, dim] or [n, batch_size, dim]"),
        (np.ones((0, 2)), 0.5, "V", "shape of x is [0, 2]; expected"),
        (np.array([[1.0, np.nan]]), 1.0, "V", "x is [[0, 1]]; expected a finite number"),
        (np.zeros((4, 2)), 0.5, "V", "x is 0; expected points of which one at least is not 0"),
        (np.eye(4), 0.5, "V", "number of points kept is 2; expected at least the rank of x, 4"),
        (np.eye(4), 0.0, "V", "keep_fraction is 0.0; expected a fraction in (0, 1]"),
        (np.eye(4), 1.0, "E", "criterion is 'E'; expected one of A, D, V"),
    ],
)
def test_bad_input_is_refused(x, fraction, criterion, words):
    with pytest.raises(InputError) as refusal:
        optimal_design(x, fraction, criterion)
    assert words in str(refusal.value)
