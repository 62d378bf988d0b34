"""Scores of single examples that need no derivative: a network's outputs, or their history."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from liprune_utils.curvature import check_arguments, undisturbed
from liprune_utils.parameters import require
from liprune_utils.per_example import memory_advice


def losses(
    model: nn.Module, images: Tensor, labels: Tensor, *, chunk_size: int = 500
) -> np.ndarray:
    r"""Compute the cross-entropy of each example, :math:`-\log p_y` with p the softmax.

    The model is in eval mode meanwhile, and is left as it was; so are torch's generators.

    Args:
        model: A classifier, float32 or float64; its outputs are logits, shape ``[B, K]``.
        images: Its inputs, shape ``[n, ...]``, on its device.
        labels: Their classes y, int64, shape ``[n]``, on its device.
        chunk_size: Examples at once, >= 1.

    Returns:
        Float64 array of shape ``[n]``, >= 0.

    Raises:
        InputError: If an argument is not as described, a logit is not finite, or memory runs out.
    """

    def score(logits: Tensor, classes: Tensor) -> Tensor:
        return functional.cross_entropy(logits, classes, reduction="none")

    return _in_chunks(score, model, images, labels, chunk_size)


def el2n_scores(
    model: nn.Module, images: Tensor, labels: Tensor, *, chunk_size: int = 500
) -> np.ndarray:
    r"""Compute the length of each example's error vector, :math:`\|p - e_y\|_2`.

    p is the softmax of the logits, :math:`e_y` the one-hot label. EL2N (Paul et al., arXiv
    2107.07075) is its mean over initialisations.

    Args:
        model: As in `losses`.
        images: As in `losses`.
        labels: As in `losses`.
        chunk_size: As in `losses`.

    Returns:
        Float64 array of shape ``[n]``, from 0 to :math:`\sqrt 2`.
    """

    def score(logits: Tensor, classes: Tensor) -> Tensor:
        one_hot = functional.one_hot(classes, logits.shape[1])
        return (logits.softmax(dim=1) - one_hot).norm(dim=1)

    return _in_chunks(score, model, images, labels, chunk_size)


def negative_margins(
    model: nn.Module, images: Tensor, labels: Tensor, *, chunk_size: int = 500
) -> np.ndarray:
    r"""Compute minus the margin of each example, :math:`\max_{k \ne y} z_k - z_y` for logits z.

    A small margin is a hard example. The score is its negative, since every score keeps its
    largest; it is positive where the network is wrong.

    Args:
        model: As in `losses`, with at least two classes.
        images: As in `losses`.
        labels: As in `losses`.
        chunk_size: As in `losses`.

    Returns:
        Float64 array of shape ``[n]``.
    """

    def score(logits: Tensor, classes: Tensor) -> Tensor:
        require(logits.shape[1] >= 2, "The number of classes", logits.shape[1], "at least 2")
        own = logits.gather(1, classes[:, None])
        return (logits.scatter(1, classes[:, None], -torch.inf) - own).amax(dim=1)

    return _in_chunks(score, model, images, labels, chunk_size)


def correct_predictions(
    model: nn.Module, images: Tensor, labels: Tensor, *, chunk_size: int = 500
) -> np.ndarray:
    """Tell for each example whether its largest logit is its label's.

    Args:
        model: As in `losses`.
        images: As in `losses`.
        labels: As in `losses`.
        chunk_size: As in `losses`.

    Returns:
        Bool array of shape ``[n]``; those of the epochs, stacked, make `forgetting_counts`.
    """

    def score(logits: Tensor, classes: Tensor) -> Tensor:
        return logits.argmax(dim=1) == classes

    return _in_chunks(score, model, images, labels, chunk_size).astype(bool)


def forgetting_counts(correct: np.ndarray) -> np.ndarray:
    """Count how often each example was forgotten: right at one epoch, wrong at the next.

    Toneva et al., arXiv 1812.05159. There an example that was never right has been forgotten
    infinitely often; here as often as there are epochs, which no other example reaches.

    Args:
        correct: Whether each example was right at each epoch, bool, shape ``[num_epochs, n]``.

    Returns:
        Float64 array of shape ``[n]``, whole numbers from 0 to ``num_epochs``.

    Raises:
        InputError: If the history has another type or shape, or no epoch.

    Example:
        >>> forgetting_counts(np.array([[1, 1], [0, 1], [1, 1], [0, 0]], dtype=bool))
        array([2., 1.])
    """
    correct = np.asarray(correct)
    kind = f"{correct.dtype} of shape {list(correct.shape)}"
    fits = correct.dtype == bool and correct.ndim == 2 and len(correct) > 0
    require(fits, "The history of correct predictions", kind, "bool of shape [num_epochs, n]")
    counts = (correct[:-1] & ~correct[1:]).sum(axis=0)
    return np.where(correct.any(axis=0), counts, len(correct)).astype(np.float64)


# Score chunk after chunk with the model in eval mode, from logits in float64, and join them.
def _in_chunks(
    score: Callable[[Tensor, Tensor], Tensor],
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    chunk_size: int,
) -> np.ndarray:
    require(chunk_size >= 1, "chunk_size", chunk_size, "at least 1")
    require(len(labels) == len(images), "The number of labels", len(labels), f"{len(images)}")
    check_arguments(model, images, "eval")
    chunks, found = zip(images.split(chunk_size), labels.split(chunk_size), strict=True), []
    advice = memory_advice(min(chunk_size, len(images)))
    bar = tqdm(total=len(images), desc="Examples", disable=None, leave=None)
    with undisturbed(model, "eval"), torch.no_grad(), advice, bar:
        for number, (x, y) in enumerate(chunks):
            logits = model(x).double()
            _check(logits, y, first=number * chunk_size)
            found.append(score(logits, y).double().cpu().numpy())
            bar.update(len(x))
    return np.concatenate(found)


# Labels out of range would stop a GPU for good, and torch leaves out those that are -100.
def _check(logits: Tensor, labels: Tensor, first: int) -> None:
    fits = logits.ndim == 2 and len(logits) == len(labels)
    expected = f"[{len(labels)}, number of classes]"
    require(fits, "The outputs' shape", list(logits.shape), expected)
    fits = labels.dtype == torch.int64 and labels.ndim == 1
    kind = f"{labels.dtype} of shape {list(labels.shape)}"
    require(fits, "The chunk of labels", kind, "torch.int64 in one dimension")
    num_classes = logits.shape[1]
    outside = (labels < 0) | (labels >= num_classes)
    _refuse_first(outside, "label", labels, first, f"0 to {num_classes - 1}")
    _refuse_first(~logits.isfinite().all(dim=1), "logits", logits, first, "finite numbers")


def _refuse_first(bad: Tensor, name: str, values: Tensor, first: int, expected: str) -> None:
    number = int(bad.int().argmax())  # the first of them
    found = values[number].tolist()
    require(not bad.any(), f"The {name} of example {first + number}", found, expected)
