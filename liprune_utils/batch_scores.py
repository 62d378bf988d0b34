r"""Scores of batches: the Hessian norm of each batch's mean cross-entropy, and which to keep.

Batches of one data set have similar Hessians, so each search starts from the leading eigenvectors
found for the batch before. A selection needs no more accuracy than it takes to tell the kept
batches from the others: `select_batches` refines only those near the threshold.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from liprune_utils.checks import InputError, require, require_fraction, whole_number
from liprune_utils.curvature import hessian_norm
from liprune_utils.lanczos import DominantEigenvalue, near_one
from liprune_utils.losses import Loss
from liprune_utils.model_inputs import Inputs, num_examples, rows, tensors
from liprune_utils.pruning import keep_highest
from liprune_utils.scoring import Mode, require_tensor

_FIELDS = ("eigenvalue", "norm", "residual", "error", "num_products", "converged")
_FIRST_TOLERANCE = 0.1  # of a selection; each refinement is this much finer than the one before
_REFINEMENT = 10.0
_ROUNDING = 1e-6  # norms in float32 that differ by less may be equal


class Estimates(NamedTuple):
    """Norms of some batches to one tolerance, and where finer searches should start."""

    scores: pd.DataFrame  #: rows of the table of batch_hessian_norms
    starts: np.ndarray  #: a start vector for each, float16, [num_rows, num_parameters]


# (numbers of the batches, tolerance, what computes their estimates) -> the estimates
Cache = Callable[[np.ndarray, float, Callable[[], Estimates]], Estimates]


@dataclass(frozen=True)
class Selection:
    """The batches that Algorithm 1 keeps, and which of its decisions are uncertain.

    Attributes:
        kept: Sorted numbers of the kept batches.
        undecided: Sorted numbers of the batches whose place is within their error bounds; empty
            where the kept set is certain as far as the bounds hold.
        scores: The table of `batch_hessian_norms`.
    """

    kept: np.ndarray
    undecided: np.ndarray
    scores: pd.DataFrame

    @classmethod
    def from_scores(cls, scores: pd.DataFrame, keep_fraction: float) -> Self:
        r"""Keep the highest `best_estimates`, and find the batches that may be on the wrong side.

        A norm may be anywhere in :math:`[|\lambda|, |\lambda| + \mathrm{error}]`. A kept batch is
        undecided if its interval begins no higher than the highest end among the others, another
        batch if its interval ends no lower than the lowest beginning among the kept: of equal
        batches any might be kept.

        Args:
            scores: The table of `batch_hessian_norms`, one row per batch.
            keep_fraction: Fraction of the batches kept, in (0, 1].

        Returns:
            The selection.

        Example:
            >>> scores = pd.DataFrame({"norm": [5.0, 2.0, 2.1], "error": [0.1, 0.2, 0.0]})
            >>> Selection.from_scores(scores, keep_fraction=2 / 3).undecided
            array([1, 2])
        """
        lower = scores.norm.to_numpy()
        upper = lower * (1 + _ROUNDING) + scores.error.to_numpy()
        kept = keep_highest(best_estimates(scores), keep_fraction)
        is_kept = np.isin(np.arange(len(scores)), kept)
        weakest, strongest = lower[is_kept].min(), upper[~is_kept].max(initial=-np.inf)
        undecided = np.where(is_kept, lower <= strongest, upper >= weakest)
        return cls(kept, np.flatnonzero(undecided), scores)


def batch_hessian_norms(
    model: nn.Module,
    images: Inputs,
    labels: Tensor,
    batches: Sequence[np.ndarray],
    *,
    loss_fn: Loss = functional.cross_entropy,
    batch_norm: Mode = "train",
    seed: int = 0,
    warm_start: bool = True,
    tolerance: float = 1e-2,
    max_products: int = 50,
) -> pd.DataFrame:
    r"""Compute each batch's :math:`\|\nabla_w^2 f_b\|_2`, with :math:`f_b` its mean loss.

    Args:
        model: A classifier, as in `hessian_norm`; it is left as it was.
        images: Its inputs, shape ``[n, ...]``, on its device.
        labels: Their classes, int64, shape ``[n]``, on its device; or another loss's targets.
        batches: One array of indices below n for each batch; the lengths may differ.
        loss_fn: Mean loss, (outputs, targets) -> scalar.
        batch_norm: As in `hessian_norm`.
        seed: Seed of the first start vector.
        warm_start: Whether each batch starts from what was found for the one before; otherwise all
            have the same random start, and equal batches score equal.
        tolerance: As in `hessian_norm`.
        max_products: As in `hessian_norm`, for each batch.

    Returns:
        One row per batch, in their order: ``batch`` (from 0), ``eigenvalue`` (signed), ``norm``,
        ``residual``, ``error``, ``num_products`` and ``converged``, as in
        `liprune_utils.lanczos.DominantEigenvalue`.
    """
    problem = _Problem(model, images, labels, batches, batch_norm, seed, max_products, loss_fn)
    rows, start = [], None
    for number in _progress(range(len(batches))):
        result = problem.hessian_norm(number, start=start, tolerance=tolerance)
        start = result.guess if warm_start else None
        rows.append(_row(number, result))
    return _table(rows)


def best_estimates(scores: pd.DataFrame) -> np.ndarray:
    r"""Estimate each norm as the middle of :math:`[|\lambda|, |\lambda| + \mathrm{error}]`.

    A Ritz value lies below the norm, and the error is an upper estimate of how far.

    Args:
        scores: The table of `batch_hessian_norms`.

    Returns:
        Array of shape ``[num_batches]``, the scores to rank by.

    Example:
        >>> best_estimates(pd.DataFrame({"norm": [2.0], "error": [1.0]}))
        array([2.5])
    """
    return (scores.norm + scores.error / 2).to_numpy()


def select_batches(
    model: nn.Module,
    images: Inputs,
    labels: Tensor,
    batches: Sequence[np.ndarray],
    keep_fraction: float,
    *,
    batch_norm: Mode = "train",
    seed: int = 0,
    tolerance: float = 1e-3,
    max_products: int = 50,
    chunk_size: int = 64,
    cache: Cache | None = None,
) -> Selection:
    r"""Keep the batches with the largest Hessian norms, each norm no more exact than that takes.

    All batches are scored to a tolerance of 0.1. Those that are undecided, as in
    `Selection.from_scores`, are scored ten times finer, from the vectors found for them, until none
    is left or ``tolerance`` is reached. Memory: two bytes per parameter and batch.

    Args:
        model: As in `batch_hessian_norms`.
        images: Its inputs.
        labels: Their classes.
        batches: Arrays of indices.
        keep_fraction: Fraction of the batches kept, in (0, 1].
        batch_norm: As in `batch_hessian_norms`.
        seed: Seed of the first start vector of each chunk.
        tolerance: Of the last refinement, in (0, 1); above 0.1 as 0.1.
        max_products: As in `batch_hessian_norms`, for each refinement.
        chunk_size: Batches that are scored one after the other and cached together, >= 1.
        cache: Given a chunk's numbers, its tolerance and a function that computes its `Estimates`,
            returns them; to keep them on the disk, or to stop between two chunks.

    Returns:
        The selection; its table has the last row of each batch, with the products of all.
    """
    require_fraction("tolerance", tolerance)
    chunk_size = whole_number("chunk_size", chunk_size, 1)
    keep_highest(np.zeros(len(batches)), keep_fraction)  # refuses bad arguments before the work
    problem = _Problem(model, images, labels, batches, batch_norm, seed, max_products)
    estimate = partial(_estimate_in_chunks, problem, chunk_size, cache)
    final, current = min(tolerance, _FIRST_TOLERANCE), _FIRST_TOLERANCE
    scores, starts = estimate(np.arange(len(batches)), None, current)
    while True:
        selection = Selection.from_scores(scores, keep_fraction)
        undecided = selection.undecided
        if current == final or not len(undecided):
            return selection
        current = max(current / _REFINEMENT, final)
        finer, starts[undecided] = estimate(undecided, starts[undecided], current)
        finer = finer.set_index(undecided)
        finer.num_products += scores.num_products[undecided]
        scores.loc[undecided] = finer


def to_indices(batch: np.ndarray, num_examples: int) -> Tensor:
    """Make an int64 tensor of a batch's indices, each checked to lie below ``num_examples``."""
    batch = np.asarray(batch)
    whole = batch.ndim == 1 and (batch.size == 0 or batch.dtype.kind in "iu")
    kind = f"{batch.dtype} of shape {list(batch.shape)}"
    require(whole, "The array of indices", kind, "integers in one dimension")
    outside = batch[(batch < 0) | (batch >= num_examples)]
    require(not len(outside), "The index", outside[:1].tolist(), f"0 to {num_examples - 1}")
    return torch.from_numpy(batch.astype(np.int64))


@dataclass(frozen=True)
class _Problem:
    """Batches to score, and what all searches share."""

    model: nn.Module
    images: Inputs
    labels: Tensor
    batches: Sequence[np.ndarray]
    batch_norm: Mode
    seed: int
    max_products: int
    loss_fn: Loss = functional.cross_entropy

    def __post_init__(self) -> None:
        for name, value in tensors(self.images).items():
            require_tensor(value, name)
        require_tensor(self.labels, "labels")
        count = num_examples(self.images)
        require(len(self.labels) == count, "The number of labels", len(self.labels), f"{count}")

    def hessian_norm(self, number: int, **options: object) -> DominantEigenvalue:
        try:
            chosen = to_indices(self.batches[number], len(self.labels)).to(self.labels.device)
            return hessian_norm(
                self.model, self.loss_fn, rows(self.images, chosen), self.labels[chosen],
                batch_norm=self.batch_norm, seed=self.seed, max_products=self.max_products,
                **options,
            )  # fmt: skip
        except InputError as error:
            raise InputError(f"Batch {number}: {error}") from error

    def estimate(
        self, numbers: np.ndarray, starts: np.ndarray | None, tolerance: float
    ) -> Estimates:
        """Return estimates of some batches, in one product each where the start is good."""
        rows, guesses, start = [], [], None
        for place, number in enumerate(_progress(numbers)):
            if starts is not None:
                start = torch.from_numpy(starts[place]).double()
            if start is None:  # more exact, since the others build on it
                options = {"tolerance": tolerance / _REFINEMENT}
            else:
                options = {"tolerance": tolerance, "rough": True}
            result = self.hessian_norm(number, start=start, **options)
            start = result.guess
            rows.append(_row(number, result))
            guesses.append(_to_float16(result.guess))
        return Estimates(_table(rows), np.stack(guesses))


def _estimate_in_chunks(
    problem: _Problem,
    chunk_size: int,
    cache: Cache | None,
    numbers: np.ndarray,
    starts: np.ndarray | None,
    tolerance: float,
) -> Estimates:
    chunks = []
    for first in range(0, len(numbers), chunk_size):
        chunk = slice(first, first + chunk_size)
        own = None if starts is None else starts[chunk]
        compute = partial(problem.estimate, numbers[chunk], own, tolerance)
        chunks.append(cache(numbers[chunk], tolerance, compute) if cache else compute())
    tables, starts = zip(*chunks, strict=True)
    return Estimates(pd.concat(tables, ignore_index=True), np.concatenate(starts))


def _progress(numbers: Sequence[int]) -> Iterable[int]:
    return tqdm(numbers, "Scoring", unit=" batches", disable=None)


def _row(number: int, result: DominantEigenvalue) -> tuple:
    return (number, *(getattr(result, name) for name in _FIELDS))


def _table(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["batch", *_FIELDS])


def _to_float16(vector: Tensor) -> np.ndarray:
    """Return a vector of mean square 1, since the smallest numbers of float16 have few digits."""
    vector = near_one(vector)
    return (vector * (vector.numel() ** 0.5 / vector.norm())).half().cpu().numpy()
