"""What a training run keeps: scores at the start of its prune epoch, written once, read by all."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from liprune_utils.batch_scores import Estimates, Selection, best_estimates, select_batches
from liprune_utils.data import Dataset
from liprune_utils.designs import optimal_design
from liprune_utils.example_scores import forgetting_counts
from liprune_utils.features import last_layer_features
from liprune_utils.images import Images, fixed_batches, generator
from liprune_utils.pruning import keep_highest
from liprune_utils.runs import leave_if_asked, locked
from liprune_utils.score_files import (
    ScoreManifest,
    resumable_scores,
    saved_estimates,
    weights_sha256,
)
from liprune_utils.scores import score
from liprune_utils.settings import ENGINE, EXAMPLE_METHODS, HESSIAN_METHODS, TrainingRun
from liprune_utils.training import State, with_population_statistics

BATCH_CHUNK, EXAMPLE_CHUNK = 64, 512  # scored between two writes


def kept_batches(run: TrainingRun, values: np.ndarray, num_images: int) -> list[np.ndarray]:
    """Apply Algorithm 1 to batches, or to examples that are then cut into batches anew.

    ``values`` has a score for each batch, or for each image; the largest are kept.

    Returns:
        The batches of an epoch after the pruning, arrays of indices, in their fixed order.
    """
    batches = fixed_batches(num_images, run.batch_size, run.seed)
    kept = keep_highest(values, run.keep_fraction)
    if run.method not in EXAMPLE_METHODS:
        return [batches[number] for number in kept]
    order = np.concatenate(batches)
    chosen = order[np.isin(order, kept)]
    cuts = range(run.batch_size, len(chosen), run.batch_size)
    # A last batch of one has no batch statistics: it joins the batch before.
    return np.split(chosen, [cut for cut in cuts if len(chosen) - cut > 1])


def run_scores(
    run: TrainingRun, state: State, images: Images, dataset: Dataset, folder: Path
) -> np.ndarray:
    """Score what a run prunes, or read what another run with the same network has computed.

    The state is that at the start of the prune epoch, and stays as it was. In ``folder`` each
    network and score has a folder of its own.

    Returns:
        A score for each batch, or for each image where ``method`` keeps examples; of a design, 1
        where it keeps the image and 0 elsewhere.
    """
    if run.method in ("none", "random", "random-examples"):
        return generator(run.seed, "choice").random(_num_units(run, images))
    if run.method == "forgetting":
        return forgetting_counts(state.correct_history())
    if run.method == "liprune":
        return best_estimates(_select(run, state.model, images, dataset, folder).scores)
    network = with_population_statistics(state.model, images.inputs)
    if run.method == "design":
        return _design(network, images, run.keep_fraction)
    manifest = _manifest(run, network, images, dataset)
    folder = folder / _folder_name(manifest, run, images)

    def score_range(first: int, last: int) -> np.ndarray:
        leave_if_asked()
        pair = images.inputs[first:last], images.labels[first:last]
        return score(run.method, network, *pair, seed=run.seed, tolerance=run.tolerance)

    whole = run.method == "leverage"  # depends on all images
    with locked(folder, wait=True):
        chunk_size = len(images.labels) if whole else EXAMPLE_CHUNK
        return resumable_scores(folder, manifest, score_range, chunk_size)


def _design(network: nn.Module, images: Images, keep_fraction: float) -> np.ndarray:
    """Return 1 for each image that the V-optimal design of last-layer features keeps, else 0."""
    kept = optimal_design(last_layer_features(network, images.inputs), keep_fraction).kept
    return np.isin(np.arange(len(images.labels)), kept).astype(np.float64)


def _num_units(run: TrainingRun, images: Images) -> int:
    """Count what a run keeps some of: batches, or images."""
    by_example = run.method in EXAMPLE_METHODS
    return len(images.labels) if by_example else len(_batches(run, images))


def batch_table(
    run: TrainingRun, state: State, images: Images, dataset: Dataset, folder: Path
) -> pd.DataFrame:
    """Tabulate the Hessian norms by which LiPrune has chosen, and which batches it keeps.

    Returns:
        One row per batch: ``batch``, ``norm``, ``norm_error``, ``num_products`` and ``kept``.
    """
    selection = _select(run, state.model, images, dataset, folder)
    table = selection.scores.rename(columns={"error": "norm_error"})
    table = table[["batch", "norm", "norm_error", "num_products"]]
    return table.assign(kept=table.batch.isin(selection.kept))


# Batches are scored as exactly as LiPrune's choice needs. What has been scored is kept on the disk,
# and runs that differ in the fraction kept alone share their first, rough scores.
def _select(
    run: TrainingRun, network: nn.Module, images: Images, dataset: Dataset, folder: Path
) -> Selection:
    folder = folder / _folder_name(_manifest(run, network, images, dataset), run, images)

    def cache(numbers: np.ndarray, tolerance: float, compute: Callable[[], Estimates]) -> Estimates:
        def compute_unless_stopped() -> Estimates:
            leave_if_asked()
            return compute()

        path = folder / f"look-{tolerance:g}-{_short_hash(numbers.tobytes())}.npz"
        return saved_estimates(path, compute_unless_stopped)

    with locked(folder, wait=True):
        return select_batches(
            network, images.inputs, images.labels, _batches(run, images), run.keep_fraction,
            batch_norm=run.batch_norm, seed=run.seed, tolerance=run.tolerance,
            chunk_size=BATCH_CHUNK, cache=cache,
        )  # fmt: skip


def _manifest(
    run: TrainingRun, network: nn.Module, images: Images, dataset: Dataset
) -> ScoreManifest:
    by_batch = run.method == "liprune"
    return ScoreManifest(
        score="hessian-batch" if by_batch else run.method,
        model=f"ResNet-{run.depth}",
        epoch=run.prune_epoch - 1,
        data_source=dataset.source,
        pixel_sha256=dataset.sha256,
        weights_sha256=weights_sha256(network),
        batch_norm=run.batch_norm if by_batch else "eval",
        seed=run.seed,
        num_examples=_num_units(run, images),
        tolerance=run.tolerance if run.method in HESSIAN_METHODS else 0.0,
    )


# After all that decides the scores: another batch size may give as many batches.
def _folder_name(manifest: ScoreManifest, run: TrainingRun, images: Images) -> str:
    sizes = {"num_images": len(images.labels), "batch_size": run.batch_size, "engine": ENGINE}
    text = json.dumps(dict(manifest) | sizes, sort_keys=True)
    return f"{manifest.name}-{_short_hash(text.encode())}"


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _batches(run: TrainingRun, images: Images) -> list[np.ndarray]:
    return fixed_batches(len(images.labels), run.batch_size, run.seed)
