"""Recorded study of page 11: the gradient's noise, the sharpness and the loss after the pruning.

``python -m experiments.why.record`` trains on from the networks of
``experiments/grids/examples.yml`` at the moment of pruning, with random batches, LiPrune's batches
and the examples with the largest Hessian norms; then again with the learning rate divided by the
measured growth of the gradient's second moment (Johnson and Guestrin 2018). It uses the networks
and scores in ``reruns/sweep``, so that grid should be run before. It writes three tables and their
provenance to ``book/results/11_why/``, in about forty minutes on two cores; what is finished lies
in ``reruns/dynamics`` and is not computed again.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from experiments.liprune.batch_spread import kept_gain
from experiments.why.pruning_effects import (
    batch_gradients,
    full_batches,
    importance_gain,
    kept_shift,
    measure,
    rate_factor,
)
from liprune_utils import data
from liprune_utils.checks import exit_status, require
from liprune_utils.files import (
    PROJECT,
    provenance,
    results_folder,
    writable_folder,
    write_json,
    write_table,
)
from liprune_utils.grid import read_grid
from liprune_utils.images import Images, fixed_batches
from liprune_utils.runs import RunError, finished_tables
from liprune_utils.selection import kept_batches, run_scores
from liprune_utils.settings import EXAMPLE_METHODS, TrainingRun
from liprune_utils.training import State, train_until
from liprune_utils.training_run import Workspace, before_pruning, curve

RECORDED, GRID, RUNS = "book/results/11_why", "experiments/grids/examples.yml", "reruns/sweep"
METHODS, KEEP_FRACTION = ("random", "liprune", "hessian"), 0.2
EPOCHS_BETWEEN = 2  # two measurements of the gradients
TABLES = ("dynamics", "dynamics_kept", "dynamics_curves")


@dataclass(frozen=True)
class Branch:
    """One training to follow: a run, its rate multiplied by `rate_factor` if rescaled."""

    run: TrainingRun
    rescaled: bool = False

    @property
    def name(self) -> str:
        """Such as "liprune rescaled"."""
        return self.run.method + (" rescaled" if self.rescaled else "")

    @property
    def label(self) -> str:
        """The beginning of its folder's name."""
        return f"{self.name.replace(' ', '-')}-seed{self.run.seed}"


def branches() -> list[Branch]:
    """List what the study follows: the runs of the grid, then those whose rate is rescaled."""
    chosen = [
        run
        for method in METHODS
        for run in read_grid(PROJECT / GRID).runs
        if (run.method, run.keep_fraction) == (method, KEEP_FRACTION)
    ]
    rescaled = [Branch(run, rescaled=True) for run in chosen if run.method != "random"]
    return [*map(Branch, chosen), *rescaled]


def main() -> None:
    """Run or resume the study, and collect its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=PROJECT / "reruns" / "dynamics")
    parser.add_argument("--processes", type=int, default=2, help="branches side by side")
    options = parser.parse_args()
    require(options.processes >= 1, "--processes", options.processes, "at least 1")
    workspace()  # raises an error if the data are damaged, before any process starts
    work = writable_folder(options.work, "--work")
    os.environ |= {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}  # of the processes to come
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, spawn) as executor:
        results = executor.map(_run_branch, branches(), repeat(work))
        found = list(tqdm(results, "Dynamics", len(branches()), unit=" branches"))
    tables = {name: pd.concat([one[name] for one in found], ignore_index=True) for name in TABLES}
    _write_record(tables, results_folder(RECORDED))


def _run_branch(branch: Branch, work: Path) -> dict[str, pd.DataFrame]:
    """Follow a branch, or read what an earlier run has found."""
    torch.set_num_threads(1)
    settings = workspace().settings(branch.run) | {"rescaled": branch.rescaled}
    return finished_tables(work, branch.label, settings, lambda: follow(branch, workspace()))


@cache
def workspace() -> Workspace:
    """Return this process's data and folders; the data are read once."""
    return Workspace(data.load(), PROJECT / RUNS)


def follow(branch: Branch, workspace: Workspace) -> dict[str, pd.DataFrame]:
    """Train one branch from the moment of pruning, and measure on the way."""
    began, run, images = time.perf_counter(), branch.run, workspace.images(branch.run)
    state = before_pruning(run, workspace)
    kept, scores = kept_and_scores(run, state, workspace)
    random, _ = kept_and_scores(run.replace(method="random"), state, workspace)
    factor = rate_factor(state.model, images, kept, random)
    facts = kept_shift(state.model, images, kept) | _describe_scores(run, scores, state, workspace)
    facts["rate_factor"] = factor
    rate = run.learning_rate * (factor if branch.rescaled else 1.0)
    recipe = run.replace(learning_rate=rate)
    measured = pd.DataFrame(list(_measured(state, images, kept, recipe)))
    facts["seconds"] = round(time.perf_counter() - began, 1)
    found = measured, pd.DataFrame([facts]), curve(recipe, state, len(kept))
    columns = {"arm": branch.name, "seed": run.seed, "learning_rate": recipe.learning_rate}
    tables = (pd.DataFrame(columns, index=table.index).join(table) for table in found)
    return dict(zip(TABLES, tables, strict=True))


def _measured(
    state: State, images: Images, kept: Sequence[np.ndarray], run: TrainingRun
) -> Iterator[dict[str, float]]:
    """Yield measurements at the pruning, then after every second epoch and the last."""
    first, last = run.prune_epoch - 1, run.num_epochs
    for epoch in [*range(first, last, EPOCHS_BETWEEN), last]:
        train_until(state, images, kept, run, epoch)
        yield {"epoch": epoch} | measure(state, images, kept, run)


def kept_and_scores(
    run: TrainingRun, state: State, workspace: Workspace
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the batches that a run keeps, and the scores that chose them."""
    images = workspace.images(run)
    scores = run_scores(run, state, images, workspace.dataset, workspace.root / "scores")
    return kept_batches(run, scores, len(images.labels)), scores


def _describe_scores(
    run: TrainingRun, scores: np.ndarray, state: State, workspace: Workspace
) -> dict[str, float]:
    """Measure the spread of the scores, and what sampling by score would gain."""
    if run.method == "random":
        return {"score_sd": np.nan, "score_gain": 1.0, "importance_gain": 1.0}
    images = workspace.images(run)
    if run.method in EXAMPLE_METHODS:
        squares = kept_and_scores(run.replace(method="grand"), state, workspace)[1] ** 2
    else:
        batches = full_batches(fixed_batches(len(images.labels), run.batch_size, run.seed))
        gradients = batch_gradients(state.model, images.inputs, images.labels, batches)
        squares = (gradients**2).sum(axis=1)
        scores = scores[: len(batches)]
    return {
        "score_sd": scores.std(ddof=1) / scores.mean(),
        "score_gain": kept_gain(scores, run.keep_fraction),
        "importance_gain": importance_gain(squares, scores),
    }


def _write_record(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    """Write the study's tables and where they come from."""
    for name, table in tables.items():
        write_table(folder, name, table)
    dataset, differ = workspace().dataset, ("method", "seed", "batch_norm", "tolerance")
    shared = {name: value for name, value in dict(branches()[0].run).items() if name not in differ}
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
