"""Scores of batches: the Hessian norm of each batch's mean cross-entropy."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from liprune_utils.curvature import Mode, hessian_norm
from liprune_utils.parameters import InputError, require

FIELDS = ("eigenvalue", "norm", "residual", "num_products", "converged")


def batch_hessian_norms(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    batches: Sequence[np.ndarray],
    *,
    batch_norm: Mode = "train",
    seed: int = 0,
    tolerance: float = 1e-2,
    max_products: int = 50,
) -> pd.DataFrame:
    """Score each batch by the Hessian norm of its mean cross-entropy, leaving the model as it was.

    Args:
        model: A classifier, as in `hessian_norm`.
        images: Its inputs, shape ``[n, ...]``, on its device.
        labels: Their classes, int64, shape ``[n]``, on its device.
        batches: One array of indices below n for each batch; the lengths may differ.
        batch_norm: As in `hessian_norm`.
        seed: Seed of the start vector, the same for all, so that equal batches score equal.
        tolerance: As in `hessian_norm`.
        max_products: As in `hessian_norm`, for each batch.

    Returns:
        One row a batch, in their order; columns ``batch`` (from 0), ``eigenvalue`` (signed),
        ``norm`` (the score), ``residual``, ``num_products`` and ``converged``.

    Raises:
        InputError: If a batch cannot be scored; the sentence names it.
    """
    require(len(labels) == len(images), "The number of labels", len(labels), f"{len(images)}")
    options = {
        "batch_norm": batch_norm,
        "seed": seed,
        "tolerance": tolerance,
        "max_products": max_products,
    }
    rows = []
    for number, batch in enumerate(tqdm(batches, "Scoring", unit=" batches", disable=None)):
        try:
            chosen = _to_indices(batch, len(images)).to(images.device)
            pair = images[chosen], labels[chosen]
            result = hessian_norm(model, functional.cross_entropy, *pair, **options)
        except InputError as error:
            raise InputError(f"Batch {number}: {error}") from error
        rows.append((number, *(getattr(result, name) for name in FIELDS)))
    return pd.DataFrame(rows, columns=["batch", *FIELDS])


def _to_indices(batch: np.ndarray, num_examples: int) -> Tensor:
    batch = np.asarray(batch)
    whole = batch.ndim == 1 and (batch.size == 0 or batch.dtype.kind in "iu")
    kind = f"{batch.dtype} of shape {list(batch.shape)}"
    require(whole, "The array of indices", kind, "integers in one dimension")
    outside = batch[(batch < 0) | (batch >= num_examples)]
    require(not len(outside), "The index", outside[:1].tolist(), f"0 to {num_examples - 1}")
    return torch.from_numpy(batch.astype(np.int64))
