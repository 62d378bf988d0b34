r"""Scores of batches: the Hessian norm of each batch's mean cross-entropy, and which to keep.

Batches of one data set have similar Hessians, so each search starts from the leading eigenvectors
found for the batch before. A selection needs no more accuracy than it takes to tell the kept from
the dropped: `select_batches` refines only the batches near the threshold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from liprune_utils.checks import InputError, require
from liprune_utils.curvature import Mode, hessian_norm
from liprune_utils.lanczos import DominantEigenvalue
from liprune_utils.pruning import keep_highest

FIELDS = ("eigenvalue", "norm", "residual", "error", "num_products", "converged")
ROUGH = 0.1  # tolerance of the first look
REFINEMENT = 10.0  # how much finer the next look at an undecided batch is
# (numbers of batches, their start vectors or None, tolerance) -> rows, better start vectors
Look = Callable[[np.ndarray, np.ndarray | None, float], tuple[pd.DataFrame, np.ndarray]]


@dataclass(frozen=True)
class Selection:
    """The batches that Algorithm 1 keeps, and how sure that is.

    Attributes:
        kept: Sorted numbers of the kept batches.
        undecided: Sorted numbers of the batches whose place is within their error bounds; empty
            where the kept set is certain as far as the bounds hold.
        scores: The table of `batch_hessian_norms` after the last look at each batch, with all its
            products.
    """

    kept: np.ndarray
    undecided: np.ndarray
    scores: pd.DataFrame


def batch_hessian_norms(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    batches: Sequence[np.ndarray],
    *,
    batch_norm: Mode = "train",
    seed: int = 0,
    warm_start: bool = True,
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
        seed: Seed of the first start vector.
        warm_start: Whether each batch starts from what was found for the one before; otherwise all
            have the same random start, and equal batches score equal.
        tolerance: As in `hessian_norm`.
        max_products: As in `hessian_norm`, for each batch.

    Returns:
        One row a batch, in their order; columns ``batch`` (from 0), ``eigenvalue`` (signed),
        ``norm``, ``residual``, ``error``, ``num_products`` and ``converged``, as in
        `liprune_utils.lanczos.DominantEigenvalue`.

    Raises:
        InputError: If a batch cannot be scored; the sentence names it.
    """
    require(len(labels) == len(images), "The number of labels", len(labels), f"{len(images)}")
    options = {"batch_norm": batch_norm, "seed": seed}
    options |= {"tolerance": tolerance, "max_products": max_products}
    rows, start = [], None
    for number, batch in enumerate(tqdm(batches, "Scoring", unit=" batches", disable=None)):
        found = _score(number, model, images, labels, batch, start=start, **options)
        start = found.guess if warm_start else None
        rows.append(_row(number, found))
    return pd.DataFrame(rows, columns=["batch", *FIELDS])


def best_estimates(scores: pd.DataFrame) -> np.ndarray:
    r"""Estimate each norm as the middle of :math:`[|\lambda|, |\lambda| + \mathrm{error}]`.

    A Ritz value lies below the norm, and the error is an upper estimate of how far.

    Args:
        scores: The table of `batch_hessian_norms`.

    Returns:
        Array of shape ``[num_batches]``, the scores to rank by.
    """
    return (scores.norm + scores.error / 2).to_numpy()


def select_batches(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    batches: Sequence[np.ndarray],
    keep_fraction: float,
    *,
    batch_norm: Mode = "train",
    seed: int = 0,
    finest: float = 1e-3,
    max_products: int = 50,
) -> Selection:
    """Keep the batches with the largest Hessian norms, no more exact than that takes.

    Args:
        model: As in `batch_hessian_norms`.
        images: As in `batch_hessian_norms`.
        labels: As in `batch_hessian_norms`.
        batches: As in `batch_hessian_norms`.
        keep_fraction: Fraction of the batches kept, in (0, 1].
        batch_norm: As in `batch_hessian_norms`.
        seed: As in `batch_hessian_norms`.
        finest: Tolerance of the last look, as in `refine`.
        max_products: As in `batch_hessian_norms`, for each look.

    Returns:
        The selection.
    """
    look = partial(
        look_at_batches, model, images, labels, batches,
        batch_norm=batch_norm, seed=seed, max_products=max_products,
    )  # fmt: skip
    return refine(look, len(batches), keep_fraction, finest=finest)


def refine(look: Look, num_batches: int, keep_fraction: float, *, finest: float) -> Selection:
    r"""Look at all batches roughly, then again and again at those near the threshold.

    Batches whose interval :math:`[|\lambda|, |\lambda| + \mathrm{error}]` reaches across the
    threshold are scored ten times finer, from the vectors found for them, until none does or the
    finest tolerance is reached.

    Args:
        look: Scores some batches, as `look_at_batches` does.
        num_batches: Number of batches.
        keep_fraction: Fraction of the batches kept, in (0, 1].
        finest: Tolerance of the last look, up to that of the first, 0.1.

    Returns:
        The selection. Memory: two bytes for each parameter and batch.
    """
    require(0 < finest <= ROUGH, "finest", finest, f"a number in (0, {ROUGH}]")
    keep_highest(np.zeros(num_batches), keep_fraction)  # refuses bad arguments before the work
    tolerance = ROUGH
    scores, guesses = look(np.arange(num_batches), None, tolerance)
    while True:
        kept, undecided = split(scores, keep_fraction)
        if tolerance == finest or not len(undecided):
            return Selection(kept, undecided, scores)
        tolerance = max(tolerance / REFINEMENT, finest)
        finer, guesses[undecided] = look(undecided, guesses[undecided], tolerance)
        finer = finer.set_index(undecided)
        finer.num_products += scores.num_products[undecided]
        scores.loc[undecided] = finer


def look_at_batches(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    batches: Sequence[np.ndarray],
    numbers: np.ndarray,
    starts: np.ndarray | None,
    tolerance: float,
    **options: object,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Score some of the batches to a tolerance, in one product each where the guess is good.

    Args:
        model: As in `batch_hessian_norms`.
        images: As in `batch_hessian_norms`.
        labels: As in `batch_hessian_norms`.
        batches: As in `batch_hessian_norms`.
        numbers: Which of the batches.
        starts: A start vector for each; None to start each from what was found for the one before.
        tolerance: As in `batch_hessian_norms`.
        **options: ``batch_norm``, ``seed`` and ``max_products`` of `batch_hessian_norms`.

    Returns:
        The rows of `batch_hessian_norms`, and better start vectors, float16, shape
        ``[len(numbers), num_parameters]``.
    """
    rows, guesses, start = [], [], None
    for place, number in enumerate(tqdm(numbers, "Scoring", unit=" batches", disable=None)):
        if starts is not None:
            start = torch.from_numpy(starts[place]).double()
        cold = start is None  # and so scored finer, since the others build on it
        options |= {"rough": not cold, "tolerance": tolerance / REFINEMENT if cold else tolerance}
        found = _score(number, model, images, labels, batches[number], start=start, **options)
        start = found.guess
        rows.append(_row(number, found))
        guesses.append(_to_float16(found.guess))
    return pd.DataFrame(rows, columns=["batch", *FIELDS]), np.stack(guesses)


def split(scores: pd.DataFrame, keep_fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Keep the highest estimates, and list the batches that could be on the other side.

    Args:
        scores: The table of `batch_hessian_norms`.
        keep_fraction: Fraction kept, in (0, 1].

    Returns:
        Sorted numbers of the kept batches and of the undecided ones.
    """
    lower = scores.norm.to_numpy()
    upper = lower + scores.error.to_numpy()
    kept = keep_highest(best_estimates(scores), keep_fraction)
    is_kept = np.isin(np.arange(len(scores)), kept)
    weakest, strongest = lower[is_kept].min(), upper[~is_kept].max(initial=0.0)
    undecided = np.where(is_kept, lower < strongest, upper > weakest)
    return kept, np.flatnonzero(undecided)


def _row(number: int, found: DominantEigenvalue) -> tuple:
    return (number, *(getattr(found, name) for name in FIELDS))


# Of size 1 on average, since the smallest numbers of float16 have few digits.
def _to_float16(vector: Tensor) -> np.ndarray:
    return (vector * (vector.numel() ** 0.5 / vector.norm())).half().cpu().numpy()


# The Hessian norm of one batch; an error names its number.
def _score(
    number: int, model: nn.Module, images: Tensor, labels: Tensor, batch: np.ndarray, **options
) -> DominantEigenvalue:
    try:
        chosen = to_indices(batch, len(images)).to(images.device)
        pair = images[chosen], labels[chosen]
        return hessian_norm(model, functional.cross_entropy, *pair, **options)
    except InputError as error:
        raise InputError(f"Batch {number}: {error}") from error


def to_indices(batch: np.ndarray, num_examples: int) -> Tensor:
    """Check the indices of a batch.

    Args:
        batch: Whole numbers in one dimension.
        num_examples: What they must lie below.

    Returns:
        The same as an int64 tensor.
    """
    batch = np.asarray(batch)
    whole = batch.ndim == 1 and (batch.size == 0 or batch.dtype.kind in "iu")
    kind = f"{batch.dtype} of shape {list(batch.shape)}"
    require(whole, "The array of indices", kind, "integers in one dimension")
    outside = batch[(batch < 0) | (batch >= num_examples)]
    require(not len(outside), "The index", outside[:1].tolist(), f"0 to {num_examples - 1}")
    return torch.from_numpy(batch.astype(np.int64))
