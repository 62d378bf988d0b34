"""Speed of the linear-model simulation against a plain loop over runs, drawing the data included.

    .venv/bin/python benchmarks/linear_model.py

The loop is what one writes first: one run, one figure, one step at a time, each batch by numpy's
`choice`. Prints both times per run and their ratio. Then the loop runs again, untimed, on the
batches of the fast way, and the benchmark stops if a single iterate or loss differs.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import cache

import numpy as np

from experiments.linear_model.runs import (
    NUM_DRAWN,
    NUM_POINTS,
    NUM_STEPS,
    NUM_TEST,
    PAPER_FIGURES,
    Pruning,
    Streams,
    prunings,
    simulate,
)
from liprune_utils.checks import exit_status, require
from liprune_utils.problems import draw_linear
from liprune_utils.pruning import num_kept, rank
from liprune_utils.sgd import distinct_batches

NUM_COMPARED = 5  # runs whose iterates and losses are held against the loop's
Draw = Callable[[Streams, int, int], list[np.ndarray]]


def loop_run(
    streams: Streams, draw: Draw
) -> dict[tuple[int, Pruning], tuple[np.ndarray, np.ndarray]]:
    """One run of every figure: weights and the three losses at every step."""
    data = draw_linear(streams.data, 1, NUM_POINTS)
    test = draw_linear(streams.test, 1, NUM_TEST)
    orders = {"liprune": rank(data.lipschitz[0]), "random": rank(streams.choice.random(NUM_POINTS))}
    orders["none"] = orders["random"]
    points, tests, paths = (data.x[0], data.y[0]), (test.x[0], test.y[0]), {}
    for figure, setting in PAPER_FIGURES.items():
        batches = {}  # LiPrune and random pruning share them
        for pruning in prunings(setting.keep_fractions):
            count = num_kept(NUM_POINTS, pruning.keep_fraction)
            if count not in batches:
                batches[count] = draw(streams, setting.batch_size, count)
            kept = tuple(values[orders[pruning.method][:count]] for values in points)
            path = descend(kept, points, tests, batches[count], setting.learning_rate)
            paths[figure, pruning] = path
    return paths


def draw_plainly(streams: Streams, batch_size: int, count: int) -> list[np.ndarray]:
    """The batches of one run, as one would draw them in a loop."""
    draws = streams.batches(count)
    return [draws.choice(count, batch_size, replace=False) for _ in range(NUM_STEPS)]


def replay() -> Draw:
    """The batches of one run as the fast way draws them: once for all figures that share them."""

    @cache
    def largest(streams: Streams, count: int) -> list[np.ndarray]:
        drawn = distinct_batches(streams.batches(count), 1, count, NUM_DRAWN, NUM_STEPS)
        return [batch[:, 0].copy() for batch in drawn]

    return lambda streams, size, count: [batch[:size] for batch in largest(streams, count)]


def descend(
    kept: tuple, points: tuple, tests: tuple, batches: list[np.ndarray], rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """Plain SGD from zero on the kept points, measuring the three losses at every step."""
    weight, weights, losses = 0.0, [0.0], [measure(0.0, tests, kept, points)]
    for batch in batches:
        x, y = kept[0][batch], kept[1][batch]
        weight -= rate * np.mean((weight * x - y) * x)
        weights.append(weight)
        losses.append(measure(weight, tests, kept, points))
    return np.array(weights), np.array(losses)


def measure(weight: float, *sets: tuple[np.ndarray, np.ndarray]) -> list[float]:
    """Mean loss over each set of points."""
    return [np.mean((weight * x - y) ** 2) / 2 for x, y in sets]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num-runs", type=int, default=2000, help="runs of the fast way")
    parser.add_argument("--num-loops", type=int, default=30, help="runs of the loop")
    options = parser.parse_args()
    num_runs, num_loops = options.num_runs, options.num_loops
    require(num_runs >= NUM_COMPARED, "--num-runs", num_runs, f"at least {NUM_COMPARED}")
    require(num_loops >= 1, "--num-loops", num_loops, "at least 1")

    began = time.perf_counter()
    fast = simulate(PAPER_FIGURES, num_runs=num_runs)
    fast_losses = {
        (figure, pruning): [paths.loss(name) for name in ("test", "kept", "full")]
        for figure, pruned in fast.items()
        for pruning, paths in pruned.items()
    }
    fast_s = (time.perf_counter() - began) / num_runs

    streams, began = Streams(seed=0), time.perf_counter()
    for _ in range(num_loops):
        loop_run(streams, draw_plainly)
    slow_s = (time.perf_counter() - began) / num_loops

    streams = Streams(seed=0)
    slow = [loop_run(streams, replay()) for _ in range(NUM_COMPARED)]
    for run, paths in enumerate(slow):
        for (figure, pruning), (weights, losses) in paths.items():
            errors = fast[figure][pruning].error[:, run]
            np.testing.assert_allclose(errors + 1.0, weights, atol=1e-12)
            ours = np.stack([loss[:, run] for loss in fast_losses[figure, pruning]], axis=1)
            np.testing.assert_allclose(ours, losses, atol=1e-10)
    print(f"loop {1e3 * slow_s:.1f} ms per run, vectorised {1e3 * fast_s:.2f} ms per run")
    print(f"ratio {slow_s / fast_s:.0f}; same iterates and losses in {len(slow)} runs")


if __name__ == "__main__":
    sys.exit(exit_status(main))
