"""One run of the paper's experiment: train, prune at the start of an epoch, train on (Section 4.2).

Each run has a folder of its own and resumes where it was left. Runs of one seed share images,
batches, initialisation, order and augmentation, and what comes before the pruning, which is a run
of its own; they differ in what is kept.
"""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from liprune_utils.data import Dataset
from liprune_utils.example_scores import example_losses
from liprune_utils.images import Images, fixed_batches, images_sha256, make_images
from liprune_utils.runs import RunError, RunFolder, open_run, run_folder
from liprune_utils.selection import batch_table, kept_batches, run_scores
from liprune_utils.settings import ENGINE, Recipe, TrainingRun
from liprune_utils.training import State, start, steps


@dataclass(frozen=True)
class Workspace:
    """What all runs share."""

    dataset: Dataset
    root: Path  #: folder of run folders and scores
    device: str = "cpu"  #: or a GPU such as "cuda:0"

    def settings(self, run: Recipe) -> dict[str, object]:
        """List what decides a run's result, as JSON has it: fields, the data's hash, the engine."""
        facts = dict(run) | {"pixel_sha256": self.dataset.sha256, "engine": ENGINE}
        return json.loads(json.dumps(facts))

    def folder(self, run: TrainingRun) -> Path:
        """Name the folder of a run, whether or not it exists."""
        return run_folder(self.root / "runs", run.label, self.settings(run))

    def is_done(self, run: TrainingRun) -> bool:
        """Tell whether a run is finished: ``done.json`` is in its folder."""
        return (self.folder(run) / "done.json").exists()

    def images(self, run: Recipe) -> Images:
        """Return the images of a run, kept for the next one with the same."""
        return _make_images(self.dataset, *_image_settings(run), self.device)

    def open(self, run: TrainingRun, *, wait: bool = False) -> AbstractContextManager[RunFolder]:
        """Open the folder of a run, as `open_run` does."""
        return open_run(self.root / "runs", run.label, self.settings(run), wait=wait)


# A worker does many runs on the same images.
@lru_cache(maxsize=1)
def _make_images(
    dataset: Dataset, num_images: int, num_test_images: int, seed: int, device: str
) -> Images:
    return make_images(dataset, num_images, num_test_images, seed=seed, device=device)


def _image_settings(run: Recipe) -> tuple[int, int, int]:
    return run.num_images, run.num_test_images, run.seed


def run_training(run: TrainingRun, workspace: Workspace, *, wait: bool = False) -> Path:
    """Do a run, or the rest of it, unless it is done.

    With ``wait`` it waits while another process does the same run; otherwise that is refused.

    Returns:
        The run's folder, with ``curve.csv`` (see `curve`), ``kept.csv`` (``image``: indices into
        the experiment's images, ``batch``: the batch of an epoch that it is in), where LiPrune has
        chosen ``scores.csv`` (see `liprune_utils.selection.batch_table`), and ``done.json``, with
        `final_losses` and the hash of the images.
    """
    with workspace.open(run, wait=wait) as folder:
        if not folder.done:
            _complete(folder, run, workspace)
        return folder.path


def _complete(folder: RunFolder, run: TrainingRun, workspace: Workspace) -> None:
    images, state = workspace.images(run), before_pruning(run, workspace)
    source = state, images, workspace.dataset, workspace.root / "scores"
    kept = kept_batches(run, run_scores(run, *source), len(images.labels))
    tables = {"scores": batch_table(run, *source)} if run.method == "liprune" else {}
    if saved := folder.restore():
        state.load_dict(saved)
    for _ in steps(state, images, kept, run, run.num_epochs):
        if state.step == 0 or folder.is_due():
            folder.save((state.epoch, state.step), state.to_dict())
    numbers = np.repeat(np.arange(len(kept)), [len(batch) for batch in kept])
    tables["kept"] = pd.DataFrame({"image": np.concatenate(kept), "batch": numbers})
    tables["curve"] = curve(run, state, len(kept))
    facts = final_losses(state, images, kept) | {"device": workspace.device}
    facts["images_sha256"] = images_sha256(workspace.dataset, *_image_settings(run))
    folder.finish(tables, **facts)


def before_pruning(run: TrainingRun, workspace: Workspace) -> State:
    """Return the network at the start of the prune epoch, trained once for all that share it."""
    if run.prune_epoch > 1:
        return final_state(run.before_pruning(), workspace)
    return start(run, workspace.images(run))


def final_state(run: TrainingRun, workspace: Workspace) -> State:
    """Do a run if need be, and return its last state; a done run that has lost it is refused."""
    run_training(run, workspace, wait=True)
    state = start(run, workspace.images(run))
    with workspace.open(run, wait=True) as folder:
        saved = folder.restore()
        if not saved or len(saved["test_errors"]) < run.num_epochs:
            raise RunError(f"{folder.path} is done, but without its last checkpoint; delete it.")
        state.load_dict(saved)
    return state


def curve(run: TrainingRun, state: State, num_kept: int) -> pd.DataFrame:
    """Tabulate a finished run, whose epochs have ``num_kept`` batches after the pruning.

    Returns:
        One row per epoch: ``epoch``, ``num_updates`` (steps of SGD so far), ``test_error`` (per
        cent) and ``train_loss`` (mean during the epoch).
    """
    epochs = np.arange(1, run.num_epochs + 1)
    num_batches = len(fixed_batches(len(state.correct), run.batch_size, run.seed))
    updates = np.where(epochs < run.prune_epoch, num_batches, num_kept).cumsum()
    return pd.DataFrame({
        "epoch": epochs, "num_updates": updates,
        "test_error": state.test_errors, "train_loss": state.train_losses,
    })  # fmt: skip


def final_losses(state: State, images: Images, kept: Sequence[np.ndarray]) -> dict[str, float]:
    """Measure the mean cross-entropy of a trained network, without augmentation, in eval mode.

    Returns:
        ``full_set_loss`` over all training images and ``kept_set_loss`` over the kept ones.
    """
    values = example_losses(state.model, images.inputs, images.labels)
    chosen = values[np.concatenate(kept)]
    return {"full_set_loss": float(values.mean()), "kept_set_loss": float(chosen.mean())}
