"""Recorded study of page 06: a convex head on the features of a ResNet-14 trained on CIFAR-10.

``python -m experiments.convex_is_not_enough.record`` reads the unpruned network of seed 0 of
``experiments/grids/whole.yml`` (rate 0.1) from ``reruns/sweep``, or trains it, in about two hours
on two cores. It computes the features of all images, tunes the step sizes, races all methods, and
writes the network, three tables and their provenance to ``book/results/06_convex_is_not_enough/``,
in some minutes.
"""

import argparse
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import nn
from tqdm import tqdm

from experiments.convex_is_not_enough.convex_head import (
    ARMS,
    BATCH_SIZE,
    NUM_STEPS,
    PRUNED,
    STEP_SIZES,
    UNPRUNED,
    Arm,
    features,
    head,
    predicted,
    race,
    recorded_steps,
)
from experiments.convex_is_not_enough.tables import RACING, TUNING
from liprune_utils import data
from liprune_utils.checks import exit_status
from liprune_utils.files import (
    PROJECT,
    provenance,
    results_folder,
    writable_folder,
    write_json,
    write_table,
)
from liprune_utils.grid import read_grid
from liprune_utils.problems import Objective
from liprune_utils.runs import RunError, read_network, save_network
from liprune_utils.settings import TrainingRun
from liprune_utils.training import initial_network
from liprune_utils.training_run import Workspace, final_state

RECORDED, NETWORK = "book/results/06_convex_is_not_enough", "resnet14_none_seed0.pt"
GRID, RUNS = "experiments/grids/whole.yml", "reruns/sweep"
LEARNING_RATE = 0.1  # of the network
NUM_SEEDS, NUM_TUNING = 10, 4
RULES = ("shared", "own")  # step size: that of no pruning for all, or each arm's own
FACTS = list(Arm._fields)


def unpruned_run() -> TrainingRun:
    """Return the grid's run without pruning, of seed 0."""
    (run,) = (
        run
        for run in read_grid(PROJECT / GRID).runs
        if (run.method, run.learning_rate, run.seed) == ("none", LEARNING_RATE, 0)
    )
    return run


def recorded_network() -> nn.Module:
    """Return the network as recorded, in train mode."""
    model = initial_network(unpruned_run())
    read_network(model, PROJECT / RECORDED / NETWORK)
    return model


def main() -> None:
    """Read or train the network, run the study, and collect its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=PROJECT / RUNS, help="where runs are")
    options = parser.parse_args()
    dataset = data.load()
    workspace, run = Workspace(dataset, writable_folder(options.work, "--work")), unpruned_run()
    model = final_state(run, workspace).model
    began, folder = time.perf_counter(), results_folder(RECORDED)
    save_network(model, folder / NETWORK)
    train, test = heads(model, workspace, run)
    tables = study(train, test)
    for name, table in tables.items():
        write_table(folder, f"head_{name}", table)
    tuning = tables["tuning"]
    facts = dict(run) | {
        "command": "python -m experiments.convex_is_not_enough.record",
        "data_source": dataset.source,
        "pixel_sha256": dataset.sha256,
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - began, 1),
        "head_batch_size": BATCH_SIZE,
        "head_steps": NUM_STEPS,
        "last_train_loss": round(tuning.train_loss[tuning.method == UNPRUNED.method].min(), 6),
        "least_train_loss": round(least_loss(train), 6),
    }
    write_json(folder / "head_provenance.json", provenance(**facts))


def heads(model: nn.Module, workspace: Workspace, run: TrainingRun) -> tuple[Objective, Objective]:
    """Compute the features of the training images and of the test images of a run."""
    images = workspace.images(run)
    train = head(features(model, images.inputs), images.labels.numpy())
    return train, head(features(model, images.test_inputs), images.test_labels.numpy())


def least_loss(train: Objective) -> float:
    """Compute the least loss of all images, by scikit-learn's solver."""
    solver = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-4, max_iter=5000)
    labels = train.y.argmax(axis=1)
    return float(log_loss(labels, solver.fit(train.x, labels).predict_proba(train.x)))


def study(train: Objective, test: Objective) -> dict[str, pd.DataFrame]:
    """Tune the step sizes, race all arms, and predict."""
    tuning = tune(train, test)
    step_sizes = chosen_sizes(tuning)
    curves = [curve_table(train, test, seed, step_sizes) for seed in range(NUM_SEEDS)]
    constants = [constant_table(train, seed) for seed in range(NUM_SEEDS)]
    return {"tuning": tuning, "curves": pd.concat(curves), "constants": pd.concat(constants)}


def tune(train: Objective, test: Objective) -> pd.DataFrame:
    """Try all step sizes on seeds of their own: mean losses and errors after the last step."""
    sizes = np.tile(STEP_SIZES, (len(ARMS), 1))
    found = [
        race(train, (train, test), (0, TUNING, seed), sizes, NUM_STEPS, steps=(NUM_STEPS,))
        for seed in tqdm(range(NUM_TUNING), desc="convex head: step sizes")
    ]
    losses, errors = np.mean(found, axis=0)[:, 0]  # [num_sets, num_arms, num_sizes] each
    rows = [(*arm, size) for arm, size in product(ARMS, STEP_SIZES)]
    measured = {
        "train_loss": losses[0].ravel(), "test_loss": losses[1].ravel(),
        "test_error": errors[1].ravel(),
    }  # fmt: skip
    table = pd.DataFrame(rows, columns=[*FACTS, "step_size"])
    return table.assign(**measured, num_seeds=NUM_TUNING)


def chosen_sizes(tuning: pd.DataFrame) -> np.ndarray:
    """Find the step sizes with the lowest loss of all images, ``[num_arms, num_rules]``."""
    best = tuning.loc[tuning.groupby(FACTS).train_loss.idxmin()].set_index(FACTS).step_size
    own = best.loc[ARMS].to_numpy()
    return np.column_stack([np.full_like(own, best[UNPRUNED]), own])


def curve_table(
    train: Objective, test: Objective, seed: int, step_sizes: np.ndarray
) -> pd.DataFrame:
    """Race all arms under both rules on one seed: test loss and error at the recorded steps."""
    steps = recorded_steps(NUM_STEPS)
    losses, errors = race(train, (test,), (0, RACING, seed), step_sizes, NUM_STEPS)
    rows = [
        (*arm, rule, seed, size, step)
        for step in steps
        for arm, sizes in zip(ARMS, step_sizes, strict=True)
        for rule, size in zip(RULES, sizes, strict=True)
    ]
    table = pd.DataFrame(rows, columns=[*FACTS, "rule", "seed", "step_size", "step"])
    return table.assign(test_loss=losses.ravel().round(6), test_error=errors.ravel().round(2))


def constant_table(train: Objective, seed: int) -> pd.DataFrame:
    """Compute what the constants of one seed predict."""
    rows = [(*arm, seed, *predicted(train, arm, (0, RACING, seed))) for arm in PRUNED]
    return pd.DataFrame(rows, columns=[*FACTS, "seed", "gain", "spread"])


if __name__ == "__main__":
    sys.exit(exit_status(main, RunError))
