"""One run of the paper's experiment: train, prune at the start of an epoch, train on (Section 4.2).

A point is the unit of every table and sweep: one run folder, resumed where it was left. Points of
one seed share images, batches, initialisation, order and augmentation, and what comes before the
pruning, which is a run of its own; they differ in what is kept.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from liprune_utils.data import Dataset
from liprune_utils.example_scores import losses
from liprune_utils.images import Task, fixed_batches, images_sha256, make_task
from liprune_utils.runs import Run, RunError, open_run, run_folder
from liprune_utils.selection import batch_table, kept_batches, point_scores
from liprune_utils.settings import ENGINE, Point
from liprune_utils.training import State, start, steps


@dataclass(frozen=True)
class Laboratory:
    """What all runs share.

    Attributes:
        dataset: The data.
        root: Folder of run folders and scores.
        device: "cpu", or a GPU such as "cuda:0".
    """

    dataset: Dataset
    root: Path
    device: str = "cpu"

    def settings(self, point: Point) -> dict[str, object]:
        """Say everything that decides a run's result.

        Args:
            point: The run.

        Returns:
            The point's fields, the data's hash and the engine's number, as JSON has them.
        """
        facts = asdict(point) | {"pixel_sha256": self.dataset.sha256, "engine": ENGINE}
        return json.loads(json.dumps(facts))

    def folder(self, point: Point) -> Path:
        """Name the folder of a run.

        Args:
            point: The run.

        Returns:
            The path, whether or not it exists.
        """
        return run_folder(self.root / "runs", point.label, self.settings(point))

    def task(self, point: Point) -> Task:
        """Return the images of a run, kept for the next one with the same.

        Args:
            point: The run.

        Returns:
            The task.
        """
        return _task(self.dataset, *_images(point), self.device)


# A worker runs many points on the same images.
@lru_cache(maxsize=1)
def _task(dataset: Dataset, num_images: int, num_test_images: int, seed: int, device: str) -> Task:
    return make_task(dataset, num_images, num_test_images, seed=seed, device=device)


# What decides the images of a run.
def _images(point: Point) -> tuple[int, int, int]:
    return point.num_images, point.num_test_images, point.seed


def run_point(point: Point, laboratory: Laboratory, *, wait: bool = False) -> Path:
    """Do a run, or the rest of it, unless it is done.

    Args:
        point: The run.
        laboratory: Data, device and folders.
        wait: Whether to wait while another process does the same run; otherwise that is refused.

    Returns:
        The run's folder, with ``curve.csv`` (see `curve`), ``kept.csv`` (``image``: indices into
        the experiment's images, ``batch``: the batch of an epoch that it is in), where LiPrune has
        chosen ``scores.csv`` (see `liprune_utils.selection.batch_table`), and ``done.json``, with
        `final_losses` and the hash of the images.
    """
    settings, task = laboratory.settings(point), laboratory.task(point)
    with open_run(laboratory.root / "runs", point.label, settings, wait=wait) as run:
        if not run.done:
            state = before_pruning(point, laboratory)
            where = laboratory.dataset, laboratory.root / "scores"
            scores = point_scores(point, state, task, *where)
            kept = kept_batches(point, scores, len(task.labels))
            looked = batch_table(point, state, task, *where) if point.method == "liprune" else None
            if saved := run.restore():
                state.load_dict(saved)
            train_on(run, state, task, kept, point)
            tables = {"curve": curve(point, state, len(kept)), "kept": kept_table(kept)}
            tables |= {} if looked is None else {"scores": looked}
            facts = final_losses(state, task, kept) | {"device": laboratory.device}
            facts["images_sha256"] = images_sha256(laboratory.dataset, *_images(point))
            run.finish(tables, threads=torch.get_num_threads(), **facts)
        return run.folder


def before_pruning(point: Point, laboratory: Laboratory) -> State:
    """Return the network at the start of the prune epoch, trained once for all that share it.

    Args:
        point: The run.
        laboratory: Data, device and folders.

    Returns:
        The state.
    """
    state = start(point, laboratory.task(point))
    return load_final(point.before_pruning(), laboratory, state) if point.prune_epoch > 1 else state


def load_final(point: Point, laboratory: Laboratory, state: State) -> State:
    """Do a run if need be, and bring a network to its end.

    Args:
        point: The run.
        laboratory: Data, device and folders.
        state: A network of its depth; becomes the run's last state.

    Returns:
        The same state.

    Raises:
        RunError: If the run is done but its last checkpoint is lost or damaged.
    """
    run_point(point, laboratory, wait=True)
    settings = laboratory.settings(point)
    with open_run(laboratory.root / "runs", point.label, settings, wait=True) as run:
        saved = run.restore()
        if not saved or len(saved["test_errors"]) < point.num_epochs:
            raise RunError(f"{run.folder} is done, but without its last checkpoint; delete it.")
        state.load_dict(saved)
    return state


def train_on(
    run: Run, state: State, task: Task, batches: Sequence[np.ndarray], point: Point
) -> None:
    """Train to the last epoch, with a checkpoint at each epoch's end and when one is due.

    Args:
        run: Where checkpoints go.
        state: The network, trained in place.
        task: The images.
        batches: The kept batches.
        point: The run.
    """
    for _ in steps(state, task, batches, point, point.num_epochs):
        if state.step == 0 or run.is_due():
            run.save((state.epoch, state.step), state.to_dict())


def curve(point: Point, state: State, num_kept: int) -> pd.DataFrame:
    """Tabulate a finished run.

    Args:
        point: The run.
        state: Its last state.
        num_kept: Batches of an epoch after the pruning.

    Returns:
        One row an epoch: ``epoch``, ``num_updates`` (steps of SGD so far), ``test_error`` (per
        cent) and ``train_loss`` (mean during the epoch).
    """
    epochs = np.arange(1, point.num_epochs + 1)
    num_batches = len(fixed_batches(len(state.correct), point.batch_size, point.seed))
    updates = np.where(epochs < point.prune_epoch, num_batches, num_kept).cumsum()
    return pd.DataFrame({
        "epoch": epochs, "num_updates": updates,
        "test_error": state.test_errors, "train_loss": state.train_losses,
    })  # fmt: skip


def final_losses(state: State, task: Task, kept: Sequence[np.ndarray]) -> dict[str, float]:
    """Measure what a trained network has made of its images, kept and not.

    Args:
        state: The network.
        task: The images.
        kept: The kept batches, arrays of indices.

    Returns:
        ``full_set_loss`` and ``kept_set_loss``: mean cross-entropy over all training images and
        over the kept ones, without augmentation, in eval mode.
    """
    found = losses(state.model, task.images, task.labels)
    chosen = found[np.concatenate(kept)]
    return {"full_set_loss": float(found.mean()), "kept_set_loss": float(chosen.mean())}


def kept_table(kept: Sequence[np.ndarray]) -> pd.DataFrame:
    """Tabulate what was kept.

    Args:
        kept: The kept batches, arrays of indices.

    Returns:
        One row an image: ``image`` and the number of its ``batch``.
    """
    numbers = np.repeat(np.arange(len(kept)), [len(batch) for batch in kept])
    return pd.DataFrame({"image": np.concatenate(kept), "batch": numbers})
