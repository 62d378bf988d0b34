"""Batch pruning on CIFAR-10 ResNets: LiPrune against random pruning (paper, Section 4.2)."""

import copy
from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd
from tqdm import tqdm

from liprune_utils.batch_scores import batch_hessian_norms, best_estimates
from liprune_utils.pruning import keep_highest
from liprune_utils.training import (
    CifarParameters,
    Task,
    fixed_batches,
    generator,
    start,
    train_until,
)


def choices(
    scores: pd.DataFrame, parameters: CifarParameters, seed: int
) -> Iterator[tuple[str, float, np.ndarray]]:
    """List the subsets to train on: each method at each fraction, and all batches.

    Args:
        scores: One row a batch, from `batch_hessian_norms`.
        parameters: The fractions.
        seed: The repetition.

    Yields:
        Method, fraction kept, and the sorted numbers of the kept batches.
    """
    yield "none", 1.0, np.arange(len(scores))
    by_method = {
        "liprune": best_estimates(scores),
        "random": generator(seed, "choice").random(len(scores)),
    }
    for fraction, (method, values) in product(parameters.keep_fractions, by_method.items()):
        yield method, fraction, keep_highest(values, fraction)


def run_cell(
    task: Task, parameters: CifarParameters, *, depth: int, rate: float, prune_epoch: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train up to the pruning, score the batches, and go on from there with every subset.

    Args:
        task: The data.
        parameters: What every run shares.
        depth: ResNet depth.
        rate: Learning rate.
        prune_epoch: Epoch at whose start the batches are pruned.
        seed: The repetition.

    Returns:
        Test error by method, fraction kept and epoch; and the scores of the batches.
    """
    batches = fixed_batches(len(task.labels), parameters.batch_size, seed)
    before = start(parameters, depth, rate, seed)
    train_until(before, task, batches, parameters, prune_epoch - 1, seed)
    images, tolerance = (task.images, task.labels), parameters.tolerance
    scores = batch_hessian_norms(before.model, *images, batches, seed=seed, tolerance=tolerance)
    cell = {"depth": depth, "learning_rate": rate, "prune_epoch": prune_epoch, "seed": seed}
    tables = []
    for method, fraction, kept in choices(scores, parameters, seed):
        state = copy.deepcopy(before)
        chosen = [batches[number] for number in kept]
        train_until(state, task, chosen, parameters, parameters.num_epochs, seed)
        columns = {**cell, "method": method, "keep_fraction": fraction, "num_batches": len(kept)}
        columns |= {"epoch": np.arange(1, parameters.num_epochs + 1)}
        tables.append(pd.DataFrame(columns | {"test_error": state.test_errors}))
    return pd.concat(tables, ignore_index=True), scores.assign(**cell)


def run_grid(task: Task, parameters: CifarParameters) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run every cell and seed.

    Args:
        task: The data.
        parameters: The grid.

    Returns:
        The tables of `run_cell`, joined.
    """
    grid = list(
        product(
            parameters.depths,
            parameters.learning_rates,
            parameters.prune_epochs,
            range(parameters.num_seeds),
        )
    )
    results = [
        run_cell(task, parameters, depth=depth, rate=rate, prune_epoch=epoch, seed=seed)
        for depth, rate, epoch, seed in tqdm(grid, desc="CIFAR-10", unit="cell")
    ]
    curves, scores = (pd.concat(tables, ignore_index=True) for tables in zip(*results, strict=True))
    return curves, scores
