"""How long a run takes on this machine, before it is run."""

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from liprune_utils.images import fixed_batches
from liprune_utils.settings import Point
from liprune_utils.training import start, steps
from liprune_utils.training_run import Laboratory

# Cost of scoring an image, in gradients of one; rough, from page 08.
SCORE_COSTS = {"liprune": 8, "hessian": 100, "gauss-newton": 12, "grand": 5}
OTHER_COST = 0.5
TIMED_STEPS, WARM_STEPS = 8, 2


def work(point: Point) -> dict[object, float]:
    """Estimate the parts of a run's work, in gradients of an image.

    Args:
        point: The run.

    Returns:
        Training and evaluation (a third of a gradient) before and after the pruning, and scoring;
        points that share a part have the same key for it.
    """
    before, tests = point.before_pruning(), point.num_test_images / 3
    kept = point.num_images * point.keep_fraction
    cost = {"none": 0, "random": 0}.get(point.method, SCORE_COSTS.get(point.method, OTHER_COST))
    return {
        before: before.num_epochs * (point.num_images + tests),
        (before, point.method): cost * point.num_images,
        point: (point.num_epochs - before.num_epochs) * (kept + tests),
    }


def seconds_per_image(point: Point, lab: Laboratory) -> float:
    """Time some steps of training, after two that warm up.

    Args:
        point: Depth, batch size and precision.
        lab: Data and device.

    Returns:
        Seconds of a gradient of one image.
    """
    size = point.batch_size
    num_batches = min(TIMED_STEPS, point.num_images // size)
    few = replace(point, num_images=num_batches * size, num_test_images=1)
    task, times = lab.task(few), []
    state, batches = start(few, task), fixed_batches(len(task.labels), size, few.seed)
    for _ in islice(steps(state, task, batches, few, TIMED_STEPS), TIMED_STEPS):
        state.loss_sum.item()  # waits for a GPU
        times.append(time.perf_counter())
    return (times[-1] - times[WARM_STEPS - 1]) / (TIMED_STEPS - WARM_STEPS) / size


def estimate_hours(points: Sequence[Point], lab: Laboratory, num_workers: int) -> float:
    """Estimate how long points take.

    Args:
        points: The points to do.
        lab: Data and device.
        num_workers: Runs side by side.

    Returns:
        Hours, if all workers are as fast as this process and busy to the end.
    """
    kinds = {(p.depth, p.batch_size, p.precision): p for p in points}
    pace = {kind: seconds_per_image(point, lab) for kind, point in kinds.items()}
    seconds = {}
    for p in points:
        each = pace[p.depth, p.batch_size, p.precision]
        seconds |= {part: gradients * each for part, gradients in work(p).items()}
    return sum(seconds.values()) / 3600 / num_workers
