r"""A convex loss on the images of CIFAR-10: logistic regression on a network's last features.

Multinomial regression on the penultimate features of a trained network, with a one for the bias.
Its Lipschitz constants are exact, and it is pruned as the networks are, by batches or by points.
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from torch import Tensor, nn

from experiments.convex_is_not_enough.runs import (
    Draws,
    Setting,
    kept_points,
    sgd_iterates,
    stream,
)
from liprune_utils.features import last_layer_features
from liprune_utils.lipschitz import batch_constant
from liprune_utils.problems import MULTINOMIAL, Objective

BATCH_SIZE, NUM_STEPS = 128, 1170  # three passes over all batches without pruning
KEEP_FRACTIONS, UNITS = (0.2, 0.5), ("batches", "points")
STEP_SIZES = 2.0 ** np.arange(-4, 2.5, 0.5)  # a factor of root two apart
CHUNK = 500  # images that the network sees at once
Root = tuple[int, ...]


class Arm(NamedTuple):
    """What is pruned, by which method, and the fraction kept."""

    unit: str  # "batches" or "points"
    method: str  # "liprune", "random" or "none"
    keep_fraction: float


PRUNED = [Arm(*arm) for arm in product(UNITS, ("liprune", "random"), KEEP_FRACTIONS)]
UNPRUNED = Arm("batches", "none", 1.0)
ARMS = [*PRUNED, UNPRUNED]


def features(model: nn.Module, images: Tensor) -> np.ndarray:
    """Compute what the classifier of a network sees in eval mode, and a one: ``[n, 65]``."""
    return last_layer_features(model, images, chunk_size=CHUNK)


def head(points: np.ndarray, labels: np.ndarray, num_classes: int = 10) -> Objective:
    """Make the mean cross-entropy of a linear classifier on features."""
    return Objective(MULTINOMIAL, points, np.eye(num_classes)[labels], ridge=0.0)


def batch_constants(train: Objective, batches: np.ndarray) -> np.ndarray:
    r"""Compute the exact constants of batches' mean losses, ``[num_batches]``.

    Half of the largest eigenvalue of the mean of :math:`z z^\top`: the Hessian is the mean of
    :math:`(\mathrm{diag}(p) - p p^\top) \otimes z z^\top`, and comes near it where all points of
    the batch have the same two equally likely classes.
    """
    return train.loss.curvature * batch_constant(train.x[batches])


def cut(points: np.ndarray, root: Root) -> np.ndarray:
    """Cut points in random order into whole batches, ``[num_batches, BATCH_SIZE]``."""
    order = stream(root, "head_batches", len(points)).permutation(points)
    whole = len(points) // BATCH_SIZE * BATCH_SIZE
    return order[:whole].reshape(-1, BATCH_SIZE)


def kept_batches(train: Objective, arm: Arm, root: Root) -> np.ndarray:
    """Choose and cut what an arm keeps, ``[num_kept, BATCH_SIZE]``."""
    setting = Setting(arm.method, arm.keep_fraction)
    if arm.unit == "points":
        return cut(kept_points(train.lipschitz, setting, root), root)
    batches = cut(np.arange(len(train.x)), root)
    if arm == UNPRUNED:
        return batches
    return batches[kept_points(batch_constants(train, batches), setting, root)]


def predicted(train: Objective, arm: Arm, root: Root) -> tuple[float, float]:
    """Compute the mean constant of the kept over that of all, and the constants' sd over mean."""
    kept = kept_batches(train, arm, root)
    if arm.unit == "points":
        constants, chosen = train.lipschitz, train.lipschitz[np.sort(kept, axis=None)]
    else:
        constants, chosen = (
            batch_constants(train, batches)
            for batches in (kept_batches(train, UNPRUNED, root), kept)
        )
    return chosen.mean() / constants.mean(), constants.std(ddof=1) / constants.mean()


def draw_steps(kept: Sequence[np.ndarray], root: Root, num_steps: int) -> Draws:
    """Draw the batch of every step: each pass takes all kept batches of an arm in a random order.

    The order is the same for arms with equally many batches.
    """
    points = np.empty((num_steps, len(kept), BATCH_SIZE), dtype=int)
    for place, batches in enumerate(kept):
        generator, count = stream(root, "head_order", len(batches)), len(batches)
        passes = [generator.permutation(count) for _ in range(0, num_steps, count)]
        order = np.concatenate(passes)
        points[:, place] = batches[order[:num_steps]]
    return Draws(points, np.ones(points.shape))


def recorded_steps(num_steps: int) -> np.ndarray:
    """List the steps at which losses are recorded: 1 to 10, then about a tenth apart."""
    count = round(np.log(num_steps / 10) / np.log(1.1))
    later = np.geomspace(10, num_steps, count).round().astype(int)
    return np.unique([*range(1, min(10, num_steps) + 1), *later[later <= num_steps]])


def race(
    train: Objective, tests: Sequence[Objective], root: Root, step_sizes: np.ndarray,
    num_steps: int, steps: Sequence[int] | None = None, arms: Sequence[Arm] = ARMS,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Run SGD from zero weights for all arms, each at some step sizes, ``[num_arms, num_sizes]``.

    Returns the losses and the errors (per cent) on each of some sets of points at the recorded
    steps, both ``[num_records, num_sets, num_arms, num_sizes]``.
    """
    watched, records = set(recorded_steps(num_steps) if steps is None else steps), []
    kept = [kept_batches(train, arm, root) for arm in arms]
    iterates = sgd_iterates(train, draw_steps(kept, root, num_steps), step_sizes)
    for step, weights in enumerate(iterates):
        if step in watched:
            records.append([[measure(test, of_arm) for of_arm in weights] for test in tests])
    losses, errors = np.moveaxis(np.array(records), 3, 0)
    return losses, errors


def measure(test: Objective, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the loss and the error in per cent for weights ``[num_sizes, num_classes, dim]``."""
    wrong = (weights @ test.x.T).argmax(axis=1) != test.y.argmax(axis=1)
    return test.value(weights), 100 * wrong.mean(axis=1)
