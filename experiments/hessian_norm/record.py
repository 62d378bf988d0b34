"""Recorded study of page 08: Hessian norms of batches of CIFAR-10, before and during training.

``python -m experiments.hessian_norm.record`` trains ResNets on the whole data set, scores
batches, and writes ``batch_norms.csv``, ``provenance.json`` and a trained network to
``book/results/08_hessian_norm/``. It takes one to two hours on two cores. Whatever is finished lies
in ``reruns/hessian_study/`` and is not computed again.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from liprune_utils import data
from liprune_utils.batch_scores import batch_hessian_norms
from liprune_utils.checks import exit_status, require
from liprune_utils.files import (
    PROJECT,
    provenance,
    results_folder,
    writable_folder,
    write_json,
    write_table,
)
from liprune_utils.images import fixed_batches
from liprune_utils.runs import RunError, finished_tables, open_run, read_network, save_network
from liprune_utils.settings import Recipe
from liprune_utils.training import State, initial_network, start, steps
from liprune_utils.training_run import Workspace

RECORDED = "book/results/08_hessian_norm"
DEPTH, RATE, TOLERANCE = 14, 0.01, 1e-2
EPOCHS = (1, 2, 3, 4, 5)  # at the start of these; 1 is before training
SEEDS = (0, 1, 2)
RECIPE = Recipe(depth=DEPTH, learning_rate=RATE)


@dataclass(frozen=True)
class Scoring:
    """One network and the batches to score with it; the batches are the same for all seeds."""

    seed: int  # of initialisation, order and augmentation
    epoch: int  # at its start
    batch_norm: str = "train"
    batch_size: int = 128
    num_batches: int = 32  # the first so many of the fixed batches


def _scorings() -> Iterator[Scoring]:
    """List what the study scores."""
    first, last = EPOCHS[0], EPOCHS[-1]
    yield from (Scoring(0, epoch, num_batches=391) for epoch in (first, last))
    yield from (Scoring(0, epoch) for epoch in EPOCHS[1:-1])
    yield from (Scoring(seed, epoch) for seed, epoch in product(SEEDS[1:], (first, last)))
    yield from (Scoring(0, epoch, batch_norm="eval") for epoch in (first, last))
    for epoch, size in product((first, last), (16, 32, 64, 256)):
        yield Scoring(0, epoch, batch_size=size, num_batches=20)


def main() -> None:
    """Run or resume the study, and collect its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=PROJECT / "reruns" / "hessian_study")
    options = parser.parse_args()
    dataset = data.load()
    workspace = Workspace(dataset, writable_folder(options.work, "--work"))
    tables = [batch_norms(scoring, workspace) for scoring in _scorings()]
    folder = results_folder(RECORDED)
    write_table(folder, "batch_norms", pd.concat(tables, ignore_index=True))
    model = network(0, EPOCHS[-1], workspace).model
    save_network(model, folder / "resnet14_seed0_epoch5.pt")
    facts = dict(RECIPE) | {
        "command": "python -m experiments.hessian_norm.record",
        "data_source": dataset.source,
        "pixel_sha256": dataset.sha256,
        "device": "cpu",
        "threads": torch.get_num_threads(),
    }
    write_json(folder / "provenance.json", provenance(**facts))


def recorded_network(epoch: int) -> nn.Module:
    """Return the study's network of seed 0, as recorded."""
    require(epoch in (1, EPOCHS[-1]), "epoch", epoch, f"1 or {EPOCHS[-1]}, which are recorded")
    model = initial_network(RECIPE)
    if epoch > 1:
        read_network(model, PROJECT / RECORDED / "resnet14_seed0_epoch5.pt")
    return model


def batch_norms(scoring: Scoring, workspace: Workspace) -> pd.DataFrame:
    """Score the batches, or read what an earlier run found."""

    def score() -> dict[str, pd.DataFrame]:
        images, size = workspace.images(RECIPE), scoring.batch_size
        batches = fixed_batches(len(images.labels), size, seed=0)[: scoring.num_batches]
        model = network(scoring.seed, scoring.epoch, workspace).model
        began = time.perf_counter()
        scores = batch_hessian_norms(
            model, images.inputs, images.labels, batches,
            batch_norm=scoring.batch_norm, tolerance=TOLERANCE,
        )  # fmt: skip
        seconds = round((time.perf_counter() - began) / len(batches), 3)
        columns = asdict(scoring) | {"seconds": seconds}
        del columns["num_batches"]
        return {"norms": scores.assign(**columns)}

    settings = workspace.settings(RECIPE) | {"scoring": asdict(scoring), "tolerance": TOLERANCE}
    label = "norms-" + "-".join(map(str, asdict(scoring).values()))
    return finished_tables(workspace.root, label, settings, score)["norms"]


def network(seed: int, epoch: int, workspace: Workspace) -> State:
    """Train a network up to the start of an epoch, from where an earlier run left it."""
    recipe, images = RECIPE.replace(seed=seed), workspace.images(RECIPE)
    if epoch == 1:
        return start(recipe, images)
    settings = workspace.settings(recipe) | {"epoch": epoch}
    with open_run(workspace.root, f"network-seed{seed}-epoch{epoch}", settings) as folder:
        saved = folder.restore()
        state = start(recipe, images) if saved else network(seed, epoch - 1, workspace)
        if saved:
            state.load_dict(saved)
        batches = fixed_batches(len(images.labels), recipe.batch_size, seed)
        for _ in steps(state, images, batches, recipe, epoch - 1):
            if state.step == 0 or folder.is_due():
                folder.save((state.epoch, state.step), state.to_dict())
    return state


if __name__ == "__main__":
    sys.exit(exit_status(main, RunError))
