"""Scores of batches: in order, each equal to the norm of it alone; and the selection."""

import gc

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import seeded
from torch import nn
from torch.nn import functional

from liprune_utils.batch_scores import (
    Estimates,
    Selection,
    batch_hessian_norms,
    best_estimates,
    select_batches,
)
from liprune_utils.checks import InputError
from liprune_utils.curvature import hessian_norm
from liprune_utils.pruning import keep_highest

pytestmark = pytest.mark.usefixtures("one_thread")
NUM_EXAMPLES = 12


def problem(count: int = NUM_EXAMPLES) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    images = torch.randn(count, 2, 4, 4, generator=seeded(1), dtype=torch.float64)
    labels = torch.randint(0, 3, (count,), generator=seeded(2))
    layers = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 3)
    model = nn.Sequential(*layers).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=seeded(3))
    return model, images, labels


def overlapping_batches() -> list[np.ndarray]:
    return [np.delete(np.arange(NUM_EXAMPLES), number) for number in range(NUM_EXAMPLES)]


@pytest.mark.parametrize("batch_norm", ["train", "eval"])
def test_rows_are_the_norms_of_the_batches_in_order(batch_norm):
    model, images, labels = problem()
    batches = [np.array([7, 1, 4, 0]), [2, 3, 5, 6], np.array([9, 8]), [2, 3, 5, 6]]  # ragged
    options = {"batch_norm": batch_norm, "tolerance": 1e-3, "seed": 3, "max_products": 4}
    table = batch_hessian_norms(model, images, labels, batches, warm_start=False, **options)
    kinds = table.dtypes.astype(str).to_dict()
    numbers = dict.fromkeys(("eigenvalue", "norm", "residual", "error"), "float64")
    assert kinds == {"batch": "int64", **numbers, "num_products": "int64", "converged": "bool"}
    for number, (row, batch) in enumerate(zip(table.itertuples(), batches, strict=True)):
        alone = hessian_norm(
            model, functional.cross_entropy, images[batch], labels[batch], **options
        )
        for name in ("eigenvalue", "norm", "residual", "error", "num_products", "converged"):
            assert getattr(row, name) == getattr(alone, name)
        assert row.batch == number
    assert table.norm.nunique() == 3


def test_warm_starts_save_products_and_change_no_norm():
    cold, warm = (
        batch_hessian_norms(*problem(), overlapping_batches(), tolerance=1e-6, warm_start=warm)
        for warm in (False, True)
    )
    np.testing.assert_allclose(warm.norm, cold.norm, rtol=1e-5)
    assert warm.num_products[0] == cold.num_products[0]
    assert warm.num_products[1:].mean() < cold.num_products[1:].mean() - 0.5


def test_the_estimate_is_nearer_than_the_ritz_value():
    exact = batch_hessian_norms(*problem(), overlapping_batches(), tolerance=1e-9).norm
    rough = batch_hessian_norms(*problem(), overlapping_batches(), tolerance=0.3)
    assert (rough.norm <= exact * (1 + 1e-9)).all()
    errors = [np.abs(values - exact).mean() for values in (best_estimates(rough), rough.norm)]
    assert errors[0] < errors[1]


@pytest.mark.parametrize("chunk_size", [5, 64])
@pytest.mark.parametrize("keep_fraction", [0.1, 0.25, 0.5, 0.75, 1.0])
def test_the_selection_is_that_of_exact_norms_and_costs_less(keep_fraction, chunk_size):
    batches, cached = overlapping_batches(), []

    def cache(numbers, tolerance, compute):
        cached.append((tolerance, *numbers))
        return compute()

    exact = batch_hessian_norms(*problem(), batches, tolerance=1e-9)
    selection = select_batches(
        *problem(), batches, keep_fraction, chunk_size=chunk_size, cache=cache
    )
    assert selection.kept.tolist() == keep_highest(exact.norm, keep_fraction).tolist()
    assert not len(selection.undecided)
    assert selection.scores.batch.tolist() == list(range(len(batches)))
    assert selection.scores.num_products.sum() < exact.num_products.sum()
    firsts = [number for tolerance, *numbers in cached if tolerance == 0.1 for number in numbers]
    assert firsts == list(range(len(batches)))
    assert max(map(len, cached)) <= chunk_size + 1


def test_refinements_do_not_depend_on_the_chunks():
    computed = []

    def remember(numbers, tolerance, compute):
        computed.append(compute())
        return computed[-1]

    def recall(numbers, tolerance, compute):
        scores, starts = computed[0]
        return compute() if tolerance < 0.1 else Estimates(scores.iloc[numbers], starts[numbers])

    tied = [np.roll(np.arange(6), number) for number in range(3)]
    batches = [tied[0], np.arange(6, 12), *tied[1:]]
    joined = select_batches(*problem(), batches, 0.5, chunk_size=64, cache=remember)
    single = select_batches(*problem(), batches, 0.5, chunk_size=1, cache=recall)
    assert single.undecided.tolist() == [0, 2, 3]
    pd.testing.assert_frame_equal(single.scores, joined.scores, check_exact=True)


@pytest.mark.parametrize("keep_fraction", [0.2, 0.5])
def test_of_forty_batches_those_are_kept_that_a_tight_reference_keeps(keep_fraction):
    inputs, batches = problem(40 * 16), np.split(np.arange(40 * 16), 40)
    exact = batch_hessian_norms(*inputs, batches, tolerance=1e-9, warm_start=False)
    selection = select_batches(*inputs, batches, keep_fraction, tolerance=1e-2)
    assert selection.kept.tolist() == keep_highest(exact.norm, keep_fraction).tolist()
    everywhere = batch_hessian_norms(*inputs, batches, tolerance=1e-2)
    products = [table.num_products.sum() for table in (selection.scores, everywhere)]
    assert products[0] < 0.9 * products[1]


def test_a_tie_at_the_threshold_is_named():
    batches = [np.arange(6), np.arange(6, 12), np.arange(6)[::-1]]
    norms = batch_hessian_norms(*problem(), batches, tolerance=1e-9).norm
    twins_first = norms[0] > norms[1]
    tied = select_batches(*problem(), batches, 1 / 3 if twins_first else 2 / 3)
    assert tied.undecided.tolist() == [0, 2]
    decided = select_batches(*problem(), batches, 2 / 3 if twins_first else 1 / 3)
    assert not len(decided.undecided)
    assert tied.scores.num_products[0] > decided.scores.num_products[0]  # all refinements count


@given(
    st.lists(st.tuples(st.floats(0.1, 10), st.floats(0, 1), st.floats(0, 1)), min_size=1),
    st.floats(0.01, 1.0),
)
def test_a_decided_set_is_right_where_the_bounds_hold(batches, keep_fraction):
    norms, fractions, errors = np.array(batches).T
    scores = pd.DataFrame({"norm": norms - fractions * errors, "error": errors})
    selection = Selection.from_scores(scores, keep_fraction)
    kept, undecided = selection.kept, selection.undecided
    surely_kept = np.setdiff1d(kept, undecided)
    surely_dropped = np.setdiff1d(np.arange(len(norms)), np.union1d(kept, undecided))
    ranks = (norms[:, None] > norms).sum(axis=0)  # how many norms are larger
    assert (ranks[surely_kept] < len(kept)).all()
    assert (norms[surely_dropped] <= norms[kept].min()).all()


@pytest.mark.parametrize("name", ["keep_fraction", "tolerance", "chunk_size"])
def test_a_selection_that_makes_no_sense_is_refused(name):
    options = {"keep_fraction": 0.5, name: 0}
    with pytest.raises(InputError, match=f"^{name} is 0; expected a"):
        select_batches(*problem(), [[0, 1]], **options)


def test_no_batches_give_an_empty_table():
    assert batch_hessian_norms(*problem(), []).empty


def test_memory_does_not_grow_with_the_number_of_batches():
    model, images, labels = problem()
    alive = []
    hook = model.register_forward_hook(
        lambda *_: alive.append(sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects()))
    )
    batch_hessian_norms(model, images, labels, [np.arange(6)] * 8)
    hook.remove()
    assert len(alive) == 8
    assert max(alive[2:]) <= alive[1]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([], "examples is 0"),
        ([3], "examples is 1"),
        ([0, 12], r"The index is \[12\]; expected 0 to 11"),
        ([0, -1], r"The index is \[-1\]; expected 0 to 11"),
        (np.ones(12, dtype=bool), "is 'bool of shape"),
        ([0.0, 1.0], "is 'float64 of shape"),
        ([[0, 1]], r"shape \[1, 2\]'; expected integers in one dimension"),
    ],
)
def test_batch_that_cannot_be_scored_is_named(batch, message):
    with pytest.raises(InputError, match=f"^Batch 1: .*{message}"):
        batch_hessian_norms(*problem(), [[0, 1], batch])


def test_missing_labels_are_refused():
    model, images, labels = problem()
    with pytest.raises(InputError, match=r"^The number of labels is 11; expected 12"):
        batch_hessian_norms(model, images, labels[:11], [[0, 1]])
