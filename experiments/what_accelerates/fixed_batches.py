r"""Pruning fixed batches of the linear model instead of points, as the paper does for networks.

The points of a data set, which are in random order, are cut into batches; a step draws one of the
kept batches. A batch acts like a point whose :math:`x^2` is the batch's mean of :math:`x^2`, with
noise that is smaller by the square root of the batch size.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from experiments.linear_model.runs import (
    KEEP_FRACTIONS,
    NUM_POINTS,
    NUM_STEPS,
    Paths,
    Setting,
    stream,
)
from experiments.what_accelerates.closed_forms import LEARNING_RATE
from liprune_utils.problems import NOISE_SD, draw_linear
from liprune_utils.pruning import num_kept, overlap, rank
from liprune_utils.sgd import Moments, descend, distinct_batches, exact_moments, run_in_blocks
from liprune_utils.streams import StreamFamily

BATCH_SIZES = (1, 10, 20, 100)  # paper, Figures 7, 1, 8, 9
batch_stream = StreamFamily({"choice": 6, "draws": 7})  # beside those of points
Kept = tuple[int, int]  # batch size, number of batches kept


class FixedBatches(NamedTuple):
    """Paths on the kept batches, whose "kept" set has a point for each batch."""

    liprune: Paths
    random: Paths
    overlap: np.ndarray  # share of LiPrune's kept batches that random pruning kept, [num_runs]


def simulate_fixed_batches(unpruned: Paths, *, seed: int) -> dict[tuple[int, float], FixedBatches]:
    """Prune the data sets of unpruned runs by batches, for each batch size and keep fraction."""
    kept_batches = {
        (size, num_kept(NUM_POINTS // size, fraction)): (size, fraction)
        for size in BATCH_SIZES
        for fraction in KEEP_FRACTIONS
    }
    streams = _Streams(
        stream(seed, "data"),
        {size: batch_stream(seed, "choice", size) for size in BATCH_SIZES},
        {kept: batch_stream(seed, "draws", *kept) for kept in kept_batches},
    )
    run_block = partial(_simulate_block, streams, unpruned.slope)
    blocks = run_in_blocks(run_block, unpruned.error.shape[1], name="fixed batches")
    pruned = {}
    for kept, (*arrays, shared) in blocks.items():
        liprune, random = (_paths(unpruned, kept, *terms) for terms in (arrays[:3], arrays[3:]))
        pruned[kept_batches[kept]] = FixedBatches(liprune, random, shared)
    return pruned


class _Streams(NamedTuple):
    data: np.random.Generator
    choice: dict[int, np.random.Generator]
    draws: dict[Kept, np.random.Generator]


def _simulate_block(streams: _Streams, slope: float, num_runs: int) -> dict[Kept, list[np.ndarray]]:
    """Error, mean and mean square of the kept batches' x^2 by method, and the overlap."""
    data, arrays = draw_linear(streams.data, num_runs, NUM_POINTS, slope=slope), {}
    for size, choice in streams.choice.items():
        shape = (num_runs, NUM_POINTS // size, size)
        xx, xy = (terms.reshape(shape).mean(axis=2) for terms in (data.x**2, data.x * data.y))
        orders = rank(xx), rank(choice.random(xx.shape))
        for kept in (kept for kept in streams.draws if kept[0] == size):
            chosen = [order[:, : kept[1]] for order in orders]
            paths = race(xx, xy, chosen, streams.draws[kept], NUM_STEPS)
            arrays[kept] = []
            for weights, indices in zip(paths, chosen, strict=True):
                constants = np.take_along_axis(xx, indices, axis=1)
                moments = constants.mean(axis=1), (constants**2).mean(axis=1)
                arrays[kept] += [weights - slope, *moments]
            arrays[kept].append(overlap(*chosen))
    return arrays


def _paths(
    unpruned: Paths, kept: Kept, error: np.ndarray, mean: np.ndarray, square: np.ndarray
) -> Paths:
    size, count = kept
    sets = {"test": unpruned.sets["test"], "kept": batch_moments(count, mean, square)}
    return replace(unpruned, setting=Setting(size, LEARNING_RATE, ()), error=error, sets=sets)


def race(
    xx: np.ndarray,
    xy: np.ndarray,
    chosen: Sequence[np.ndarray],
    draws: np.random.Generator,
    num_steps: int,
) -> list[np.ndarray]:
    """Run SGD on several choices of the same batches, with the same draws.

    ``xx`` and ``xy`` are batch means, ``chosen`` has the indices of the kept, all
    ``[num_runs, num]``; the weights are ``[num_steps + 1, num_runs]`` for each choice.
    """
    batches = distinct_batches(draws, *chosen[0].shape, 1, num_steps)
    drawn = np.array([batch[0].copy() for batch in batches])  # flat indices into [num, num_runs]
    paths = []
    for kept in chosen:
        squares, products = (
            np.take_along_axis(values, kept, axis=1).T.copy() for values in (xx, xy)
        )
        paths.append(descend(squares.take(drawn), products.take(drawn), LEARNING_RATE))
    return paths


def batch_moments(count: int, mean: np.ndarray, square: np.ndarray) -> Moments:
    """Take kept batches for points: the mean and mean square of their constants."""
    return Moments(count, mean, square, *np.zeros((2, len(mean))))  # the noise's are not used


def expected_square(kept: Moments, batch_size: int, num_steps: int, slope: float) -> np.ndarray:
    r"""Compute :math:`E(w_t - w^*)^2` for fixed batches, given the inputs."""
    options = {"batch_size": 1, "learning_rate": LEARNING_RATE, "num_steps": num_steps}
    noise_sd = NOISE_SD / np.sqrt(batch_size)
    return exact_moments(kept, **options, slope=slope, noise_sd=noise_sd).square
