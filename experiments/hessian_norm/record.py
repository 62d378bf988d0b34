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
from dataclasses import asdict, dataclass, replace
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
    read_table,
    results_folder,
    write_json,
    write_table,
)
from liprune_utils.images import Task, fixed_batches, make_task
from liprune_utils.runs import read_network, save_network
from liprune_utils.settings import Recipe
from liprune_utils.training import State, initial_network, start, train_until

RECORDED = "book/results/08_hessian_norm"
DEPTH, RATE, TOLERANCE = 14, 0.01, 1e-2
EPOCHS = (1, 2, 3, 4, 5)  # at the start of these; 1 is before training
SEEDS = (0, 1, 2)
RECIPE = Recipe(depth=DEPTH, learning_rate=RATE)


@dataclass(frozen=True)
class Point:
    """One network and the batches to score with it; the batches are the same for all seeds."""

    seed: int  # of initialisation, order and augmentation
    epoch: int  # at its start
    batch_norm: str = "train"
    batch_size: int = 128
    num_batches: int = 32  # the first so many of the fixed batches

    @property
    def name(self) -> str:
        """The point's name in a file's."""
        values = self.seed, self.epoch, self.batch_norm, self.batch_size, self.num_batches
        return "-".join(map(str, values))


def points() -> Iterator[Point]:
    """List what the study scores.

    Yields:
        All batches at the start of epochs 1 and 5; thirty-two with other seeds, epochs and modes of
        batch norm; and batches of other sizes.
    """
    first, last = EPOCHS[0], EPOCHS[-1]
    yield from (Point(0, epoch, num_batches=391) for epoch in (first, last))
    yield from (Point(0, epoch) for epoch in EPOCHS[1:-1])
    yield from (Point(seed, epoch) for seed, epoch in product(SEEDS[1:], (first, last)))
    yield from (Point(0, epoch, batch_norm="eval") for epoch in (first, last))
    for epoch, size in product((first, last), (16, 32, 64, 256)):
        yield Point(0, epoch, batch_size=size, num_batches=20)


def main() -> None:
    """Run or resume the study, and collect its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=PROJECT / "reruns" / "hessian_study")
    options = parser.parse_args()
    dataset, work = data.load(), results_folder(options.work, "--work")
    task = make_task(dataset, RECIPE.num_images, RECIPE.num_test_images)
    tables = [run_point(task, point, work) for point in points()]
    folder = results_folder(RECORDED)
    write_table(folder, "batch_norms", pd.concat(tables, ignore_index=True))
    model = network(task, 0, EPOCHS[-1], work)
    save_network(model, folder / "resnet14_seed0_epoch5.pt")
    facts = asdict(RECIPE) | {
        "command": "python -m experiments.hessian_norm.record",
        "data_source": dataset.source,
        "pixel_sha256": dataset.sha256,
        "device": "cpu",
        "threads": torch.get_num_threads(),
    }
    write_json(folder / "provenance.json", provenance(**facts))


def recorded_network(epoch: int) -> nn.Module:
    """Return the study's network of seed 0, as recorded.

    Args:
        epoch: At its start: 1, the initialisation, or the last of ``EPOCHS``.

    Returns:
        The network.
    """
    require(epoch in (1, EPOCHS[-1]), "epoch", epoch, f"1 or {EPOCHS[-1]}, which are recorded")
    model = initial_network(RECIPE)
    if epoch > 1:
        read_network(model, PROJECT / RECORDED / "resnet14_seed0_epoch5.pt")
    return model


def run_point(task: Task, point: Point, work: Path) -> pd.DataFrame:
    """Score the batches of a point, or read what an earlier run found.

    Args:
        task: The data.
        point: What to score.
        work: Folder of finished points and networks.

    Returns:
        The table of `batch_hessian_norms` with the point's own columns and the mean seconds a
        batch.
    """
    path = work / f"{point.name}.csv"
    if not path.exists():
        batches = fixed_batches(len(task.labels), point.batch_size, seed=0)[: point.num_batches]
        model = network(task, point.seed, point.epoch, work)
        began = time.perf_counter()
        scores = batch_hessian_norms(
            model, task.images, task.labels, batches,
            batch_norm=point.batch_norm, tolerance=TOLERANCE,
        )  # fmt: skip
        seconds = (time.perf_counter() - began) / len(batches)
        columns = {name: value for name, value in asdict(point).items() if name != "num_batches"}
        write_table(work, point.name, scores.assign(**columns, seconds=round(seconds, 3)))
        print(f"{point.name}: {seconds:.2f} s a batch", flush=True)
    return read_table(path)


def network(task: Task, seed: int, epoch: int, work: Path) -> nn.Module:
    """Train a network up to the start of an epoch, or read the one that an earlier run trained.

    Args:
        task: The data.
        seed: The repetition.
        epoch: The epoch, from 1.
        work: Folder of the networks.

    Returns:
        The network.
    """
    state = start(replace(RECIPE, seed=seed), task)
    path = work / f"network-{seed}-{epoch}.pt"
    if epoch > 1 and not path.exists():
        train_and_save(state, task, seed, epoch, work)
    if epoch > 1:
        read_network(state.model, path)
    return state.model


def train_and_save(state: State, task: Task, seed: int, last: int, work: Path) -> None:
    """Train from the beginning and save the network at the start of every epoch.

    Args:
        state: Before the first epoch; trained in place.
        task: The data.
        seed: The repetition.
        last: Save the network at the start of this epoch, and stop.
        work: Folder of the networks.
    """
    batches = fixed_batches(len(task.labels), RECIPE.batch_size, seed)
    for epoch in range(1, last):
        train_until(state, task, batches, replace(RECIPE, seed=seed), epoch)
        save_network(state.model, work / f"network-{seed}-{epoch + 1}.pt")
        print(f"seed {seed}, epoch {epoch}: {state.test_errors[-1]:.2f}% test error", flush=True)


if __name__ == "__main__":
    sys.exit(exit_status(main))
