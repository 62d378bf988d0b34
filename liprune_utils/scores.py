"""The scores that pruning can keep the largest of: of batches, and of single examples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from liprune_utils.batch_scores import batch_hessian_norms, best_estimates, to_indices
from liprune_utils.checks import InputError, require
from liprune_utils.example_scores import (
    el2n_scores,
    example_gauss_newton_norms,
    example_gradient_norms,
    example_hessian_norms,
    forgetting_counts,
    losses,
    negative_margins,
)

MAX_PRODUCTS = 50  # of each batch or example in `score`


def score(
    name: str,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    batches: Sequence[np.ndarray] | None = None,
    correct: np.ndarray | None = None,
    seed: int = 0,
    tolerance: float = 1e-2,
    chunk_size: int | None = None,
) -> np.ndarray:
    """Score every example of a data set by one of the methods of ``SCORES``; larger is kept first.

    The loss is the cross-entropy. ``"hessian-batch"`` (each batch's Hessian norm, the paper's
    score) has batch norm in train mode; the scores of single examples have it in eval mode, with
    the model's running statistics (see
    `liprune_utils.batch_statistics.with_population_statistics`):
    ``"hessian"``, ``"gauss-newton"``, ``"grand"`` (gradient norm), ``"el2n"``, ``"loss"`` and
    ``"margin"`` (negative). ``"forgetting"`` and ``"random"`` (uniform in [0, 1)) use no network. A
    Hessian norm that 50 products have not settled is a lower bound.

    Args:
        name: A name in ``SCORES``.
        model: A classifier, as in `liprune_utils.example_scores.losses`.
        images: Its inputs, shape ``[n, ...]``, on its device.
        labels: Their classes, int64, shape ``[n]``, on its device.
        batches: For ``"hessian-batch"``: arrays of indices that partition the data set.
        correct: For ``"forgetting"``: as in `forgetting_counts`, shape ``[num_epochs, n]``.
        seed: Seed of the start vectors of the Hessian norms, or of ``"random"``.
        tolerance: As in `liprune_utils.curvature.hessian_norm`, for the Hessian norms.
        chunk_size: Examples at once, for the scores of single examples; by default theirs.

    Returns:
        Float64 array of shape ``[n]``, in the data set's order.

    Raises:
        InputError: If the name is unknown, or something that the score needs is not as described.

    Example:
        >>> import torch
        >>> model = nn.Linear(2, 3)
        >>> inputs, labels = torch.zeros(4, 2), torch.tensor([0, 1, 2, 0])
        >>> score("random", model, inputs, labels, seed=1).round(2)
        array([0.51, 0.95, 0.14, 0.95])
    """
    require(name in SCORES, "The score", name, f"one of {', '.join(SCORES)}")
    chunks = {} if chunk_size is None else {"chunk_size": chunk_size}
    limits = {"seed": seed, "tolerance": tolerance, "max_products": MAX_PRODUCTS}
    task = _Task((model, images, labels), batches, correct, limits, chunks)
    return np.asarray(SCORES[name](task), dtype=np.float64)


# What a score may need.
@dataclass(frozen=True)
class _Task:
    classified: tuple[nn.Module, Tensor, Tensor]  # model, images, labels
    batches: Sequence[np.ndarray] | None
    correct: np.ndarray | None
    limits: dict[str, float]  # of Lanczos' method
    chunks: dict[str, int]  # the chunk size, where one is wished

    @property
    def problem(self) -> tuple:
        model, *pair = self.classified
        return model, functional.cross_entropy, *pair

    @property
    def num_examples(self) -> int:
        return len(self.classified[1])


def _score_by_batch(task: _Task) -> np.ndarray:
    expected = "arrays of indices that partition the data set"
    require(task.batches is not None, "batches", task.batches, expected)
    batches = [to_indices(batch, task.num_examples).numpy() for batch in task.batches]
    _check_partition(batches, task.num_examples)
    scores = np.empty(task.num_examples)
    table = batch_hessian_norms(*task.classified, batches, **task.limits)
    for batch, norm in zip(batches, best_estimates(table), strict=True):
        scores[batch] = norm
    return scores


def _check_partition(batches: list[np.ndarray], num_examples: int) -> None:
    counts = np.zeros(num_examples, dtype=int)
    for batch in batches:
        np.add.at(counts, batch, 1)
    wrong = np.flatnonzero(counts != 1)
    if len(wrong):
        found = f"The batches hold index {wrong[0]} {counts[wrong[0]]} times"
        raise InputError(f"{found}; expected once, since they partition the data set.")


def _score_by_history(task: _Task) -> np.ndarray:
    expected = "whether each example was right at each epoch"
    require(task.correct is not None, "correct", task.correct, expected)
    counts = forgetting_counts(task.correct)
    name = "The number of examples in correct"
    require(len(counts) == task.num_examples, name, len(counts), f"{task.num_examples}")
    return counts


SCORES: Mapping[str, Callable[[_Task], np.ndarray]] = {
    "hessian-batch": _score_by_batch,
    "hessian": lambda task: example_hessian_norms(
        *task.problem, **task.limits, **task.chunks
    ).norm.to_numpy(),
    "gauss-newton": lambda task: example_gauss_newton_norms(*task.problem, **task.chunks),
    "grand": lambda task: example_gradient_norms(*task.problem, **task.chunks),
    "el2n": lambda task: el2n_scores(*task.classified, **task.chunks),
    "loss": lambda task: losses(*task.classified, **task.chunks),
    "margin": lambda task: negative_margins(*task.classified, **task.chunks),
    "forgetting": _score_by_history,
    "random": lambda task: np.random.default_rng(task.limits["seed"]).random(task.num_examples),
}
