"""Which images a point keeps: scores at the start of its prune epoch, written once, read by all."""

import hashlib
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from liprune_utils.batch_scores import ROUGH, Selection, best_estimates, look_at_batches, refine
from liprune_utils.batch_statistics import with_population_statistics
from liprune_utils.data import Dataset
from liprune_utils.example_scores import forgetting_counts
from liprune_utils.images import Task, fixed_batches, generator
from liprune_utils.pruning import keep_highest
from liprune_utils.runs import leave_if_asked, locked
from liprune_utils.score_files import (
    ScoreManifest,
    remembered_look,
    resumable_scores,
    weights_sha256,
)
from liprune_utils.scores import score
from liprune_utils.settings import ENGINE, EXAMPLE_METHODS, HESSIAN_METHODS, Point
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
        point: Method, fraction, tolerance and seed.
        state: The network at the start of the prune epoch, left as it was.
        task: The images.
        dataset: Where they come from, for the manifest.
        folder: Folder of all scores; network and score have a folder of their own in it.

    Returns:
        A score for each batch, or for each image where ``method`` is a score of examples.
    """
    if point.method in ("none", "random"):
        return generator(point.seed, "choice").random(len(_batches(point, task)))
    if point.method == "forgetting":
        return forgetting_counts(state.correct_history())
    if point.method == "liprune":
        return best_estimates(select(point, state.model, task, dataset, folder).scores)
    network = with_population_statistics(state.model, task.images)
    manifest = score_manifest(point, network, task, dataset)
    folder = folder / scores_key(manifest, len(task.labels), point.batch_size)

    def score_part(first: int, last: int) -> np.ndarray:
        leave_if_asked()
        pair = task.images[first:last], task.labels[first:last]
        return score(point.method, network, *pair, seed=point.seed, tolerance=point.tolerance)

    with locked(folder, wait=True):
        return resumable_scores(folder, manifest, score_part, EXAMPLES_IN_A_PART)


def select(
    point: Point, network: nn.Module, task: Task, dataset: Dataset, folder: Path
) -> Selection:
    """Score batches as exactly as LiPrune's choice needs; each part of a look is kept on the disk.

    Args:
        point: As in `point_scores`.
        network: The network that scores.
        task: As in `point_scores`.
        dataset: As in `point_scores`.
        folder: As in `point_scores`.

    Returns:
        The selection; points that differ in the fraction kept share their first look.
    """
    batches = _batches(point, task)
    manifest = score_manifest(point, network, task, dataset)
    folder = folder / scores_key(manifest, len(task.labels), point.batch_size)

    def look_at_part(
        numbers: np.ndarray, starts: np.ndarray | None, tolerance: float
    ) -> tuple[pd.DataFrame, np.ndarray]:
        leave_if_asked()
        return look_at_batches(
            network, task.images, task.labels, batches, numbers, starts, tolerance,
            batch_norm=point.batch_norm, seed=point.seed,
        )  # fmt: skip

    def look(
        numbers: np.ndarray, starts: np.ndarray | None, tolerance: float
    ) -> tuple[pd.DataFrame, np.ndarray]:
        tables, guesses = [], []
        for first in range(0, len(numbers), BATCHES_IN_A_PART):
            part = slice(first, first + BATCHES_IN_A_PART)
            own = None if starts is None else starts[part]
            path = folder / f"look-{tolerance:g}-{short_hash(numbers[part])}.npz"
            found = remembered_look(path, partial(look_at_part, numbers[part], own, tolerance))
            tables.append(found[0])
            guesses.append(found[1])
        return pd.concat(tables, ignore_index=True), np.concatenate(guesses)

    with locked(folder, wait=True):
        return refine(look, len(batches), point.keep_fraction, finest=min(point.tolerance, ROUGH))


def batch_table(
    point: Point, state: State, task: Task, dataset: Dataset, folder: Path
) -> pd.DataFrame:
    """Tabulate what LiPrune saw of the batches, and which it keeps.

    Args:
        point: As in `point_scores`.
        state: As in `point_scores`.
        task: As in `point_scores`.
        dataset: As in `point_scores`.
        folder: As in `point_scores`.

    Returns:
        One row per batch: ``batch``, ``norm``, ``norm_error``, ``num_products`` and ``kept``.
    """
    found = select(point, state.model, task, dataset, folder)
    table = found.scores.rename(columns={"error": "norm_error"})
    table = table[["batch", "norm", "norm_error", "num_products"]]
    return table.assign(kept=table.batch.isin(found.kept))


def score_manifest(point: Point, network: nn.Module, task: Task, dataset: Dataset) -> ScoreManifest:
    """Say what a point's scores are of.

    Args:
        point: As in `point_scores`.
        network: The network that scores.
        task: As in `point_scores`.
        dataset: As in `point_scores`.

    Returns:
        The manifest.
    """
    by_batch = point.method == "liprune"
    return ScoreManifest(
        score="hessian-batch" if by_batch else point.method,
        model=f"ResNet-{point.depth}",
        epoch=point.prune_epoch - 1,
        data_source=dataset.source,
        pixel_sha256=dataset.sha256,
        weights_sha256=weights_sha256(network),
        batch_norm=point.batch_norm if by_batch else "eval",
        seed=point.seed,
        num_examples=len(_batches(point, task) if by_batch else task.labels),
        tolerance=point.tolerance if point.method in HESSIAN_METHODS else 0.0,
    )


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


def short_hash(numbers: np.ndarray) -> str:
    """Hash whole numbers, for a file's name.

    Args:
        numbers: Int64 array.

    Returns:
        16 hexadecimal digits.
    """
    return hashlib.sha256(numbers.tobytes()).hexdigest()[:16]


def _batches(point: Point, task: Task) -> list[np.ndarray]:
    return fixed_batches(len(task.labels), point.batch_size, point.seed)
