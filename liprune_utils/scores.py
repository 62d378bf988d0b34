"""The scores that pruning can keep the largest of: of batches, and of single examples."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from liprune_utils.batch_scores import batch_hessian_norms, best_estimates, to_indices
from liprune_utils.checks import InputError, require, whole_number
from liprune_utils.curvature import check_arguments
from liprune_utils.example_scores import (
    el2n_scores,
    example_gauss_newton_norms,
    example_gradient_norms,
    example_hessian_norms,
    example_losses,
    forgetting_counts,
    negative_margins,
)
from liprune_utils.features import leverage_scores
from liprune_utils.losses import Loss, accurate, check_targets, cross_entropy
from liprune_utils.scoring import check_inputs, check_outputs, untouched

SCORES = (
    "hessian-batch", "hessian", "gauss-newton", "grand", "el2n", "loss", "margin", "leverage",
    "forgetting", "random",
)  # fmt: skip
_FEW = 2  # examples that show what the outputs are
_MAX_PRODUCTS = 50  # of each batch or example


def score(
    name: str,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    batches: Sequence[np.ndarray] | None = None,
    correct: np.ndarray | None = None,
    loss: Loss = functional.cross_entropy,
    seed: int = 0,
    tolerance: float = 1e-2,
    chunk_size: int | None = None,
) -> np.ndarray:
    """Score every example of a data set by one of the methods of ``SCORES``; larger is kept first.

    The model is left as it was, and so are all generators of random numbers. ``"hessian-batch"``
    (each batch's Hessian norm, the paper's score) has batch norm in train mode. The scores of
    single examples have it in eval mode, with the model's running statistics: ``"hessian"``,
    ``"gauss-newton"``, ``"grand"`` (gradient norm), ``"el2n"``, ``"loss"``, ``"margin"`` (negative)
    and ``"leverage"`` (of the last layer's features, without labels; of classifiers that end in an
    ``nn.Linear``). Leverages depend on all examples that are scored together, the others on one
    alone. ``"forgetting"`` and ``"random"`` (uniform in [0, 1)) use no network. A Hessian norm is a
    lower bound; how often it is off by more than ``tolerance``, see
    `liprune_utils.lanczos.DominantEigenvalue`.

    Args:
        name: A name in ``SCORES``.
        model: A classifier, or any network with a ``loss`` of its own.
        images: Its inputs, shape ``[n, ...]``, on its device.
        labels: Their classes, int64, shape ``[n]``, on its device; or what ``loss`` takes.
        batches: For ``"hessian-batch"``: arrays of indices that partition the data set.
        correct: For ``"forgetting"``: as in `forgetting_counts`, shape ``[num_epochs, n]``.
        loss: Mean loss, (outputs, labels) -> scalar, of all scores that have one; ``"el2n"`` and
            ``"margin"`` are of the cross-entropy alone.
        seed: Seed of the start vectors of the Hessian norms, or of ``"random"``.
        tolerance: As in `liprune_utils.curvature.hessian_norm`, for the Hessian norms.
        chunk_size: Examples at once, for the scores of single examples; by default theirs.

    Returns:
        Float64 array of shape ``[n]``, in the data set's order.

    Example:
        >>> import torch
        >>> model = nn.Linear(2, 3)
        >>> inputs, labels = torch.zeros(4, 2), torch.tensor([0, 1, 2, 0])
        >>> score("random", model, inputs, labels, seed=1).round(2)
        array([0.51, 0.95, 0.14, 0.95])
    """
    require(name in SCORES, "The score", name, f"one of {', '.join(SCORES)}")
    if name in ("el2n", "margin"):
        classifies = accurate(loss) is cross_entropy
        require(classifies, f"The loss of {name!r}", loss, "the cross-entropy without options")
    data, problem = (model, images, labels), (model, loss, images, labels)
    chunks = {} if chunk_size is None else {"chunk_size": chunk_size}
    limits = {"seed": seed, "tolerance": tolerance, "max_products": _MAX_PRODUCTS}
    match name:
        case "hessian-batch":
            return _batch_norms(*problem, batches, **limits)
        case "hessian":
            return example_hessian_norms(*problem, **limits, **chunks).norm.to_numpy()
        case "gauss-newton":
            return example_gauss_newton_norms(*problem, **chunks)
        case "grand":
            return example_gradient_norms(*problem, **chunks)
        case "el2n":
            return el2n_scores(*data, **chunks)
        case "loss":
            return example_losses(*data, loss_fn=loss, **chunks)
        case "margin":
            return negative_margins(*data, **chunks)
        case "leverage":
            return leverage_scores(model, images, **chunks)
        case "forgetting":
            return _forgetting(correct, len(images))
        case "random":
            return np.random.default_rng(whole_number("seed", seed, 0)).random(len(images))


def _batch_norms(
    model: nn.Module,
    loss: Loss,
    images: Tensor,
    labels: Tensor,
    batches: Sequence[np.ndarray] | None,
    **limits: float,
) -> np.ndarray:
    """Return the Hessian norm of each example's batch."""
    require(
        batches is not None, "batches", batches, "arrays of indices that partition the data set"
    )
    check_arguments(model, images, "eval")
    check_inputs(model, labels, "labels")
    batches = [to_indices(batch, len(images)).numpy() for batch in batches]
    _check_partition(batches, len(images))
    with untouched(model, "eval"), torch.no_grad():  # all labels, before any work
        some = images[:_FEW].clone()
        check_targets(accurate(loss), check_outputs(model(some), len(some)), labels)
    scores = np.empty(len(images))
    table = batch_hessian_norms(model, images, labels, batches, loss_fn=loss, **limits)
    for batch, norm in zip(batches, best_estimates(table), strict=True):
        scores[batch] = norm
    return scores


def _check_partition(batches: list[np.ndarray], num_examples: int) -> None:
    counts = np.bincount(np.concatenate([[], *batches]).astype(int), minlength=num_examples)
    wrong = np.flatnonzero(counts != 1)
    if len(wrong):
        times = f"The batches hold index {wrong[0]} {counts[wrong[0]]} times"
        raise InputError(f"{times}; expected once, since they partition the data set.")


def _forgetting(correct: np.ndarray | None, num_examples: int) -> np.ndarray:
    require(correct is not None, "correct", correct, "whether each example was right at each epoch")
    counts = forgetting_counts(correct)
    name = "The number of examples in correct"
    require(len(counts) == num_examples, name, len(counts), f"{num_examples}")
    return counts
