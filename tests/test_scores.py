"""Scores of batches: one row a batch, in order, equal to the norm of that batch alone."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from liprune_utils.curvature import hessian_norm
from liprune_utils.parameters import InputError
from liprune_utils.scores import batch_hessian_norms

NUM_EXAMPLES = 12


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def problem() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    images = torch.randn(NUM_EXAMPLES, 2, 4, 4, generator=seeded(1), dtype=torch.float64)
    labels = torch.randint(0, 3, (NUM_EXAMPLES,), generator=seeded(2))
    layers = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 3)
    model = nn.Sequential(*layers).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=seeded(3))
    return model, images, labels


def test_rows_are_the_norms_of_the_batches_in_order():
    model, images, labels = problem()
    batches = [np.array([7, 1, 4, 0]), np.array([2, 3, 5, 6]), np.array([9, 8])]  # ragged
    table = batch_hessian_norms(model, images, labels, batches, tolerance=1e-3, seed=3)
    assert table.batch.tolist() == [0, 1, 2]
    for row, batch in zip(table.itertuples(), batches, strict=True):
        pair = images[batch], labels[batch]
        alone = hessian_norm(model, functional.cross_entropy, *pair, tolerance=1e-3, seed=3)
        assert (row.eigenvalue, row.norm) == (alone.eigenvalue, alone.norm)
        assert (row.residual, row.num_products) == (alone.residual, alone.num_products)
        assert row.converged == alone.converged
    assert table.norm.nunique() == 3


def test_columns_have_their_types():
    table = batch_hessian_norms(*problem(), [np.arange(4)])
    assert table.dtypes.astype(str).to_dict() == {
        "batch": "int64",
        "eigenvalue": "float64",
        "norm": "float64",
        "residual": "float64",
        "num_products": "int64",
        "converged": "bool",
    }


def test_equal_batches_score_equal():
    model, images, labels = problem()
    table = batch_hessian_norms(model, images, labels, [[0, 1, 2], [3, 4, 5], [0, 1, 2]])
    assert table.norm[0] == table.norm[2] != table.norm[1]


def test_options_reach_the_norm():
    arguments = (*problem(), [np.arange(6)])
    first = batch_hessian_norms(*arguments, max_products=1)
    assert first.num_products.tolist() == [1]
    assert first.converged.tolist() == [False]
    train, evaluation = (batch_hessian_norms(*arguments, batch_norm=m) for m in ("train", "eval"))
    assert abs(train.norm[0] - evaluation.norm[0]) > 0.05 * train.norm[0]


def test_no_batches_give_an_empty_table():
    assert batch_hessian_norms(*problem(), []).empty


def test_model_is_left_as_it_was():
    model, images, labels = problem()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    batch_hessian_norms(model, images, labels, [np.arange(4)])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


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
