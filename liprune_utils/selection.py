"""Which images a point keeps: scores at the start of its prune epoch, written once, read by all."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from torch import nn

from liprune_utils.batch_scores import batch_hessian_norms, best_estimates
from liprune_utils.batch_statistics import with_population_statistics
from liprune_utils.data import Dataset
from liprune_utils.images import Task, fixed_batches, generator
from liprune_utils.output_scores import forgetting_counts
from liprune_utils.points import ENGINE, EXAMPLE_METHODS, HESSIAN_METHODS, Point
from liprune_utils.pruning import keep_highest
from liprune_utils.runs import locked
from liprune_utils.score_files import ScoreManifest, resumable_scores, weights_sha256
from liprune_utils.scores import score
from liprune_utils.stopping import leave_if_asked
from liprune_utils.training import State

BATCHES_IN_A_PART, EXAMPLES_IN_A_PART = 64, 512  # scored between two writes


def kept_batches(point: Point, values: np.ndarray, num_images: int) -> list[np.ndarray]:
    """Apply Algorithm 1 to batches, or to examples that are then cut into batches anew.

    Args:
        point: Method, fraction and batches.
        values: A score for each batch, or for each image; the largest are kept.
        num_images: Number of images.

    Returns:
        The batches of an epoch after the pruning, in their fixed order.
    """
    batches = fixed_batches(num_images, point.batch_size, point.seed)
    kept = keep_highest(values, point.keep_fraction)
    if point.method not in EXAMPLE_METHODS:
        return [batches[number] for number in kept]
    order = np.concatenate(batches)
    chosen = order[np.isin(order, kept)]
    cuts = range(point.batch_size, len(chosen), point.batch_size)
    # A last batch of one has no batch statistics: it joins the batch before.
    return np.split(chosen, [cut for cut in cuts if len(chosen) - cut > 1])


def point_scores(
    point: Point, state: State, task: Task, dataset: Dataset, folder: Path
) -> np.ndarray:
    """Score what a point prunes, or read what another point with the same network has found.

    Args:
        point: Method, tolerance and seed.
        state: The network at the start of the prune epoch, left as it was.
        task: The images.
        dataset: Where they come from, for the manifest.
        folder: Folder of all scores; network and score have a folder of their own in it.

    Returns:
        A score for each batch, or for each image where ``method`` is a score of examples.
    """
    num_batches = len(fixed_batches(len(task.labels), point.batch_size, point.seed))
    if point.method in ("none", "random"):
        return generator(point.seed, "choice").random(num_batches)
    if point.method == "forgetting":
        return forgetting_counts(state.correct_history())
    network, part_size = state.model, BATCHES_IN_A_PART
    by_batch = point.method == "liprune"
    if not by_batch:
        network, part_size = with_population_statistics(network, task.images), EXAMPLES_IN_A_PART
    manifest = ScoreManifest(
        score="hessian-batch" if by_batch else point.method,
        model=f"ResNet-{point.depth}",
        epoch=point.prune_epoch - 1,
        data_source=dataset.source,
        pixel_sha256=dataset.sha256,
        weights_sha256=weights_sha256(network),
        batch_norm=point.batch_norm if by_batch else "eval",
        seed=point.seed,
        num_examples=num_batches if by_batch else len(task.labels),
        tolerance=point.tolerance if point.method in HESSIAN_METHODS else 0.0,
    )
    folder = folder / scores_key(manifest, len(task.labels), point.batch_size)
    with locked(folder, wait=True):
        return resumable_scores(folder, manifest, part_scorer(point, network, task), part_size)


def part_scorer(point: Point, network: nn.Module, task: Task) -> Callable[[int, int], np.ndarray]:
    """Return what scores a part of the batches or examples; a part depends on no other.

    Args:
        point: Method, tolerance, mode of batch norm and seed.
        network: The network that scores.
        task: The images.

    Returns:
        Function of the first number and of the number after the last.
    """
    batches = fixed_batches(len(task.labels), point.batch_size, point.seed)

    def score_batches(first: int, last: int) -> np.ndarray:
        leave_if_asked()
        table = batch_hessian_norms(
            network, task.images, task.labels, batches[first:last],
            batch_norm=point.batch_norm, seed=point.seed, tolerance=point.tolerance,
        )  # fmt: skip
        return best_estimates(table)

    def score_examples(first: int, last: int) -> np.ndarray:
        leave_if_asked()
        pair = task.images[first:last], task.labels[first:last]
        return score(point.method, network, *pair, seed=point.seed, tolerance=point.tolerance)

    return score_batches if point.method == "liprune" else score_examples


def scores_key(manifest: ScoreManifest, num_images: int, batch_size: int) -> str:
    """Name the folder of scores after all that decides them.

    Args:
        manifest: What they are of.
        num_images: Images of the experiment.
        batch_size: Images in each batch; another size may give as many batches.

    Returns:
        The manifest's name and a hash.
    """
    shared = {"num_images": num_images, "batch_size": batch_size, "engine": ENGINE}
    facts = asdict(manifest) | shared
    text = json.dumps(facts, sort_keys=True)
    return f"{manifest.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
