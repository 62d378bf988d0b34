"""Recorded study of page 11: the gradient's noise, the sharpness and the loss after the pruning.

``python -m experiments.why.record`` trains on from the networks of
``experiments/grids/examples.yml`` at the
moment of pruning, with random batches, LiPrune's batches and the examples with the largest Hessian
norms; then again with the learning rate divided by the measured growth of the gradient's second
moment (Johnson and Guestrin 2018). It uses the networks and scores in ``reruns/sweep``, so that
grid should be run before. It writes three tables and their provenance to ``book/results/11_why/``,
in about forty minutes on two cores; what is finished lies in ``reruns/dynamics``.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from experiments.liprune.batch_spread import kept_gain
from experiments.why.gradient_noise import batch_gradients, importance_gain
from experiments.why.pruning_effects import kept_shift, measure, rate_factor, whole
from liprune_utils import data
from liprune_utils.checks import exit_status, require
from liprune_utils.files import (
    PROJECT,
    provenance,
    read_table,
    results_folder,
    write_json,
    write_table,
)
from liprune_utils.grid import read_grid
from liprune_utils.images import Task, fixed_batches
from liprune_utils.runs import RunError
from liprune_utils.selection import kept_batches, point_scores
from liprune_utils.settings import EXAMPLE_METHODS, Point
from liprune_utils.training import State, train_until
from liprune_utils.training_run import Laboratory, before_pruning, curve

RECORDED, GRID, RUNS = "book/results/11_why", "experiments/grids/examples.yml", "reruns/sweep"
METHODS, KEEP_FRACTION = ("random", "liprune", "hessian"), 0.2
EPOCHS_BETWEEN = 2  # two looks at the gradients
TABLES = ("dynamics", "dynamics_kept", "dynamics_curves")  # the last is written last


@dataclass(frozen=True)
class Arm:
    """One training to follow.

    Attributes:
        point: The run that it is; its learning rate is that before the rescaling.
        rescaled: Whether the rate is multiplied by `rate_factor` from the pruning on.
    """

    point: Point
    rescaled: bool = False

    @property
    def name(self) -> str:
        """Such as "liprune rescaled"."""
        return self.point.method + (" rescaled" if self.rescaled else "")

    @property
    def label(self) -> str:
        """The beginning of its files' names."""
        return f"{self.name.replace(' ', '-')}-seed{self.point.seed}"


def arms() -> list[Arm]:
    """List what the study follows: the points of the grid, then those whose rate is rescaled.

    Returns:
        The arms; neighbours have different seeds.
    """
    chosen = [
        point
        for method in METHODS
        for point in read_grid(PROJECT / GRID).points
        if (point.method, point.keep_fraction) == (method, KEEP_FRACTION)
    ]
    rescaled = [Arm(point, rescaled=True) for point in chosen if point.method != "random"]
    return [*map(Arm, chosen), *rescaled]


def main() -> None:
    """Run or resume the study, and collect its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=PROJECT / "reruns" / "dynamics")
    parser.add_argument("--processes", type=int, default=2, help="arms side by side")
    options = parser.parse_args()
    require(options.processes >= 1, "--processes", options.processes, "at least 1")
    laboratory()  # damaged data are told here, not by each process
    work = results_folder(options.work, "--work")
    os.environ |= {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}  # of the processes to come
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, spawn) as executor:
        tables = run_arms(arms(), work, executor)
    write_record(tables, results_folder(RECORDED))


def run_arms(arms: Sequence[Arm], work: Path, executor: Executor) -> dict[str, pd.DataFrame]:
    """Follow all arms, several at once.

    Args:
        arms: The arms.
        work: Folder of what is finished.
        executor: Runs them.

    Returns:
        The tables of `follow` for all arms, in the arms' order.
    """
    futures = [executor.submit(run_arm, arm, work) for arm in arms]
    try:
        for future in tqdm(as_completed(futures), "Dynamics", len(futures), unit=" arms"):
            future.result()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
    found = [future.result() for future in futures]
    return {name: pd.concat([part[name] for part in found], ignore_index=True) for name in TABLES}


def run_arm(arm: Arm, work: Path) -> dict[str, pd.DataFrame]:
    """Follow an arm, or read what an earlier run has found.

    Args:
        arm: The arm.
        work: Folder of what is finished.

    Returns:
        The tables of `follow`.
    """
    torch.set_num_threads(1)
    work.mkdir(parents=True, exist_ok=True)
    if not (work / f"{arm.label}-{TABLES[-1]}.csv").exists():
        for name, table in follow(arm, laboratory()).items():
            write_table(work, f"{arm.label}-{name}", table)
    return {name: read_table(work / f"{arm.label}-{name}.csv") for name in TABLES}


@cache
def laboratory() -> Laboratory:
    """Return this process's data and folders; the data are read once.

    Returns:
        The laboratory of the sweep.
    """
    return Laboratory(data.load(), PROJECT / RUNS)


def follow(arm: Arm, lab: Laboratory) -> dict[str, pd.DataFrame]:
    """Train one arm from the moment of pruning, and measure on the way.

    Args:
        arm: The arm.
        lab: Data, device and folders.

    Returns:
        ``dynamics``: a row each time of `experiments.why.pruning_effects.measure`;
        ``dynamics_kept``: one row, from `kept_shift`, `describe_scores` and `rate_factor`;
        ``dynamics_curves``: a row an epoch, from `liprune_utils.training_run.curve`.
    """
    began, point, task = time.perf_counter(), arm.point, lab.task(arm.point)
    state = before_pruning(point, lab)
    (kept, scores), (random, _) = (
        choose(p, state, lab) for p in (point, replace(point, method="random"))
    )
    factor = rate_factor(state.model, task, kept, random)
    facts = kept_shift(state.model, task, kept) | describe_scores(point, scores, state, lab)
    facts["rate_factor"] = factor
    rate = point.learning_rate * (factor if arm.rescaled else 1.0)
    recipe = replace(point, learning_rate=rate)
    measured = pd.DataFrame(list(_measured(state, task, kept, recipe)))
    facts["seconds"] = round(time.perf_counter() - began, 1)
    found = measured, pd.DataFrame([facts]), curve(recipe, state, len(kept))
    columns = {"arm": arm.name, "seed": point.seed, "learning_rate": recipe.learning_rate}
    tables = (pd.DataFrame(columns, index=table.index).join(table) for table in found)
    return dict(zip(TABLES, tables, strict=True))


# At the start of the pruning, then after every second epoch and the last.
def _measured(
    state: State, task: Task, kept: Sequence[np.ndarray], point: Point
) -> Iterator[dict[str, float]]:
    first, last = point.prune_epoch - 1, point.num_epochs
    for epoch in [*range(first, last, EPOCHS_BETWEEN), last]:
        train_until(state, task, kept, point, epoch)
        yield {"epoch": epoch} | measure(state, task, kept, point)


def choose(point: Point, state: State, lab: Laboratory) -> tuple[list[np.ndarray], np.ndarray]:
    """Choose what a point keeps.

    Args:
        point: The run.
        state: The network at the start of the prune epoch.
        lab: Data, device and folders.

    Returns:
        The kept batches, and the scores of all batches or examples.
    """
    task = lab.task(point)
    scores = point_scores(point, state, task, lab.dataset, lab.root / "scores")
    return kept_batches(point, scores, len(task.labels)), scores


def describe_scores(
    point: Point, scores: np.ndarray, state: State, lab: Laboratory
) -> dict[str, float]:
    """Say how much the scored functions differ, and what sampling them by score would do.

    Args:
        point: The run.
        scores: Hessian norms of all batches, of which the smaller last one is left out, or of all
            examples, whose gradients are in eval mode.
        state: The network at the start of the prune epoch.
        lab: Data, device and folders.

    Returns:
        ``score_sd`` (standard deviation over mean), ``score_gain`` (mean of the highest over mean
        of all, for the point's fraction) and ``importance_gain``, as `importance_gain`; NaN, 1 and
        1 where random pruning has no scores.
    """
    if point.method == "random":
        return {"score_sd": np.nan, "score_gain": 1.0, "importance_gain": 1.0}
    task = lab.task(point)
    if point.method in EXAMPLE_METHODS:
        squares = choose(replace(point, method="grand"), state, lab)[1] ** 2
    else:
        batches = whole(fixed_batches(len(task.labels), point.batch_size, point.seed))
        gradients = batch_gradients(state.model, task.images, task.labels, batches)
        squares = (gradients**2).sum(axis=1)
        scores = scores[: len(batches)]
    return {
        "score_sd": scores.std(ddof=1) / scores.mean(),
        "score_gain": kept_gain(scores, point.keep_fraction),
        "importance_gain": importance_gain(squares, scores),
    }


def write_record(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    """Write the study's tables and where they come from.

    Args:
        tables: From `run_arms`.
        folder: Where to.
    """
    for name, table in tables.items():
        write_table(folder, name, table)
    dataset, differ = laboratory().dataset, ("method", "seed", "batch_norm", "tolerance")
    shared = {name: value for name, value in asdict(arms()[0].point).items() if name not in differ}
    facts = {
        "command": "python -m experiments.why.record",
        "data_source": dataset.source,
        "pixel_sha256": dataset.sha256,
        "device": "cpu",
        "threads": 1,
        "seconds": round(float(tables["dynamics_kept"].seconds.sum()), 1),
    }
    write_json(folder / "dynamics_provenance.json", provenance(**facts, **shared))


if __name__ == "__main__":
    from experiments.why import record  # processes cannot import what is in __main__

    sys.exit(exit_status(record.main, RunError))
