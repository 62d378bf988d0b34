"""What pruning changes at the moment it happens, and what is measured of the training after it."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from torch import nn

from experiments.why.gradient_noise import batch_gradients, gradient_moments
from liprune_utils.batch_scores import batch_hessian_norms, best_estimates
from liprune_utils.batch_statistics import with_population_statistics
from liprune_utils.example_scores import el2n_scores, losses
from liprune_utils.images import Task, fixed_batches
from liprune_utils.settings import Point
from liprune_utils.training import State
from liprune_utils.training_run import final_losses

NUM_SHARP, SHARP_TOLERANCE = 3, 0.1  # batches whose Hessian norm is measured, and how well


def whole(batches: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Leave out what is left over at the end, since a smaller batch has a noisier gradient.

    Args:
        batches: Batches of one size, but for one that may be smaller.

    Returns:
        Those of the largest size.
    """
    size = max(map(len, batches))
    return [batch for batch in batches if len(batch) == size]


def class_shift(labels: np.ndarray, chosen: np.ndarray) -> float:
    r"""Compute how far the classes of a part are from those of all.

    Args:
        labels: Classes of all images, whole numbers >= 0, array of shape ``[n]``.
        chosen: Indices of the part.

    Returns:
        Total variation distance :math:`\frac12 \sum_c |q_c - p_c|` of the class shares, in [0, 1].
    """
    num_classes = labels.max() + 1
    everything, part = (
        np.bincount(values, minlength=num_classes) / len(values)
        for values in (labels, labels[chosen])
    )
    return float(np.abs(part - everything).sum() / 2)


def kept_shift(model: nn.Module, task: Task, kept: Sequence[np.ndarray]) -> dict[str, float]:
    """Say how the kept images differ from all.

    Args:
        model: The network at the pruning; its batch norms' statistics are taken over all images.
        task: The images.
        kept: The kept batches.

    Returns:
        ``num_kept``; ``class_shift``, as `class_shift`; and the mean ``loss`` and ``el2n`` of the
        kept (``kept_``) and of all (``all_``).
    """
    chosen, network = np.concatenate(kept), with_population_statistics(model, task.images)
    labels = task.labels.cpu().numpy()
    facts = {"num_kept": len(chosen), "class_shift": class_shift(labels, chosen)}
    for name, score in (("loss", losses), ("el2n", el2n_scores)):
        values = score(network, task.images, task.labels)
        facts |= {f"kept_{name}": values[chosen].mean(), f"all_{name}": values.mean()}
    return facts


def rate_factor(
    model: nn.Module, task: Task, kept: Sequence[np.ndarray], random: Sequence[np.ndarray]
) -> float:
    r"""Compute by how much the gradient's second moment is smaller than with random batches.

    :math:`E \|g_{\mathrm{random}}\|^2 / E \|g\|^2` at the same weights: the factor by which
    Johnson and Guestrin (2018) multiply the learning rate.

    Args:
        model: The network at the pruning.
        task: The images.
        kept: The kept batches.
        random: The batches that random pruning keeps.

    Returns:
        The factor; below 1 where the gradient has grown.
    """
    theirs, own = (
        gradient_moments(batch_gradients(model, task.images, task.labels, whole(batches)))
        for batches in (random, kept)
    )
    return theirs.second_moment / own.second_moment


def measure(state: State, task: Task, kept: Sequence[np.ndarray], point: Point) -> dict[str, float]:
    """Measure a network in training, and leave it as it was.

    Args:
        state: The network between two epochs, after at least one.
        task: The images.
        kept: The kept batches.
        point: The run.

    Returns:
        Moments of the gradient over the whole kept batches (``kept_``) and over all (``all_``);
        ``sharpness``, the largest Hessian norm of the first three batches of all images; losses of
        all images and of the kept; and test error and training loss of the last epoch.
    """
    model, pair = state.model, (task.images, task.labels)
    batches = whole(fixed_batches(len(task.labels), point.batch_size, point.seed))
    found: dict[str, float] = {}
    for name, part in (("kept", whole(kept)), ("all", batches)):
        moments = gradient_moments(batch_gradients(model, *pair, part))
        values = asdict(moments) | {
            "second_moment": moments.second_moment,
            "noise_scale": moments.noise_scale(len(part[0])),
        }
        found |= {f"{name}_{key}": value for key, value in values.items()}
    norms = batch_hessian_norms(model, *pair, batches[:NUM_SHARP], tolerance=SHARP_TOLERANCE)
    found |= {"sharpness": best_estimates(norms).max()} | final_losses(state, task, kept)
    return found | {"test_error": state.test_errors[-1], "train_loss": state.train_losses[-1]}
