"""Runs of the experiment: paired up to the pruning, done once, resumed to the same result."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import checkpoints
from synthetic import BATCHES, RUN, dataset, images, same

from liprune_utils import runs, training, training_run
from liprune_utils.images import draw_images
from liprune_utils.pruning import keep_highest
from liprune_utils.runs import RunError, Stopped, ask_to_stop, locked, withdraw_stop
from liprune_utils.selection import run_scores
from liprune_utils.settings import TrainingRun
from liprune_utils.training import start, train_until
from liprune_utils.training_run import Workspace, before_pruning, final_state, run_training

pytestmark = pytest.mark.usefixtures("one_thread")
LIPRUNE = RUN.replace(method="liprune", keep_fraction=0.67, prune_epoch=2, tolerance=0.2)
RANDOM = RUN.replace(method="random", keep_fraction=0.34, prune_epoch=2)
EL2N = RANDOM.replace(method="el2n", keep_fraction=0.67)
WHOLE = [RUN, *(run.replace(keep_fraction=1.0) for run in (LIPRUNE, RANDOM))]
RUNS = [*WHOLE, LIPRUNE, RANDOM, EL2N]
DATA = dataset()


def make_workspace(root: Path, **changes) -> Workspace:
    return Workspace(replace(DATA, **changes), root)


def tables(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.csv")}


@pytest.fixture(scope="module")
def workspace(one_thread, tmp_path_factory) -> Workspace:
    """All runs are done here; no test may change it."""
    workspace = Workspace(DATA, tmp_path_factory.mktemp("workspace"))
    for run in RUNS:
        run_training(run, workspace)
    return workspace


@pytest.fixture
def no_steps(monkeypatch):
    def never(*_):
        raise AssertionError

    monkeypatch.setattr(training, "take_step", never)


def curve(workspace: Workspace, run: TrainingRun) -> pd.DataFrame:
    return pd.read_csv(workspace.folder(run) / "curve.csv")


# What a run is


def test_methods_share_everything_before_the_pruning(workspace):
    rows = [curve(workspace, run).iloc[0].to_dict() for run in RUNS]
    assert all(row == rows[0] for row in rows)
    assert rows[0]["num_updates"] == 3
    others = {tuple(curve(workspace, run).train_loss) for run in RUNS}
    assert len(others) == 4  # three that keep a part, and one that keeps all


def test_methods_are_identical_where_all_is_kept(workspace):
    assert len({tables(workspace.folder(run))["curve.csv"] for run in WHOLE}) == 1


def test_a_run_without_pruning_is_plain_training(workspace):
    state = train_until(start(RUN, images()), images(), BATCHES, RUN, 3)
    found = curve(workspace, RUN)
    assert found.epoch.tolist() == [1, 2, 3]
    assert found.test_error.tolist() == state.test_errors
    assert found.train_loss.tolist() == state.train_losses


@pytest.mark.parametrize("run", [LIPRUNE, RANDOM, EL2N], ids=lambda run: run.method)
def test_a_pruned_run_goes_on_with_what_it_keeps(workspace, run):
    kept = pd.read_csv(workspace.folder(run) / "kept.csv")
    batches = [rows.image.to_numpy() for _, rows in kept.groupby("batch")]
    state = train_until(start(RUN, images()), images(), BATCHES, RUN, 1)
    train_until(state, images(), batches, RUN, 3)
    assert curve(workspace, run).test_error.tolist() == state.test_errors
    assert curve(workspace, run).train_loss.tolist() == state.train_losses


def test_final_losses_are_of_all_images_and_of_the_kept(workspace):
    state = final_state(LIPRUNE, workspace)
    state.model.eval()
    with torch.no_grad():
        logits = state.model(images().inputs)
    losses = torch.nn.functional.cross_entropy(logits, images().labels, reduction="none").numpy()
    kept = pd.read_csv(workspace.folder(LIPRUNE) / "kept.csv").image
    done = json.loads((workspace.folder(LIPRUNE) / "done.json").read_text())
    assert len(kept) < len(losses)
    assert done["full_set_loss"] == pytest.approx(losses.mean(), rel=1e-4)
    assert done["kept_set_loss"] == pytest.approx(losses[kept].mean(), rel=1e-4)


def test_updates_are_counted(workspace):
    assert curve(workspace, RUN).num_updates.tolist() == [3, 6, 9]
    assert curve(workspace, LIPRUNE).num_updates.tolist() == [3, 5, 7]
    assert curve(workspace, RANDOM).num_updates.tolist() == [3, 4, 5]
    assert curve(workspace, EL2N).num_updates.tolist() == [3, 5, 7]  # eight images


def test_the_kept_batches_are_those_with_the_largest_scores(workspace, tmp_path):
    state = train_until(start(RUN, images()), images(), BATCHES, RUN, 1)
    values = run_scores(LIPRUNE, state, images(), DATA, tmp_path)
    expected = [BATCHES[number] for number in keep_highest(values, 0.67)]
    kept = pd.read_csv(workspace.folder(LIPRUNE) / "kept.csv")
    assert kept.columns.tolist() == ["image", "batch"]
    assert kept.image.tolist() == np.concatenate(expected).tolist()
    assert kept.batch.tolist() == [0] * 4 + [1] * 4


def test_the_network_at_the_pruning_is_the_last_of_the_run_before(workspace, no_steps):
    found = before_pruning(LIPRUNE, workspace)
    assert (found.epoch, found.step) == (2, 0)
    assert found.test_errors == curve(workspace, RUN).test_error.tolist()[:1]
    early = before_pruning(LIPRUNE.replace(prune_epoch=1), workspace)
    assert same(early.to_dict(), start(RUN, images()).to_dict())


def test_a_run_notes_its_settings_and_its_circumstances(workspace):
    folder = workspace.folder(LIPRUNE)
    done = json.loads((folder / "done.json").read_text())
    assert (done["device"], done["threads"]) == ("cpu", 1)
    noted = json.loads((folder / "run.json").read_text())
    assert noted == workspace.settings(LIPRUNE)
    assert folder.name.startswith(LIPRUNE.label)
    del noted["engine"], noted["pixel_sha256"]
    assert TrainingRun(**noted) == LIPRUNE


def test_runs_do_not_depend_on_each_other_or_on_where_they_lie(workspace, tmp_path):
    generators = torch.get_rng_state()
    alone = run_training(LIPRUNE, make_workspace(tmp_path))
    assert tables(alone) == tables(workspace.folder(LIPRUNE))
    assert set(tables(alone)) == {"curve.csv", "kept.csv", "scores.csv"}
    assert torch.equal(torch.get_rng_state(), generators)


# One folder a run


@pytest.mark.parametrize("run", [RUN, LIPRUNE, EL2N], ids=lambda run: run.method)
def test_a_run_that_is_done_is_not_done_again(workspace, run, no_steps):
    def moments() -> dict[Path, int]:
        return {
            path: path.stat().st_mtime_ns for path in workspace.root.rglob("*") if path.is_file()
        }

    before = moments()
    assert run_training(run, workspace) == workspace.folder(run)
    assert moments() == before


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"tolerance": 0.1}, {"num_test_images": 41}, {"precision": "bfloat16"}]
)
def test_another_point_has_another_folder(workspace, change):
    assert workspace.folder(LIPRUNE.replace(**change)) != workspace.folder(LIPRUNE)


def test_another_engine_and_other_data_have_other_folders(workspace, monkeypatch):
    first = workspace.folder(LIPRUNE)
    other = make_workspace(workspace.root, sha256="1").folder(LIPRUNE)
    monkeypatch.setattr(training_run, "ENGINE", training_run.ENGINE + 1)
    assert len({first, other, workspace.folder(LIPRUNE)}) == 3


def test_a_point_has_one_folder_however_its_numbers_are_typed(workspace):
    typed = LIPRUNE.replace(keep_fraction=1, learning_rate=1, weight_decay=0, decay_epochs=[3])
    floats = {"keep_fraction": 1.0, "learning_rate": 1.0, "weight_decay": 0.0}
    assert workspace.folder(typed) == workspace.folder(LIPRUNE.replace(**floats))


def test_a_run_in_use_is_refused(tmp_path):
    workspace = make_workspace(tmp_path)
    with (
        locked(workspace.folder(RUN)),
        pytest.raises(RunError, match="is in use by another process"),
    ):
        run_training(RUN, workspace)


def test_methods_of_one_seed_share_their_images(workspace):
    assert workspace.images(LIPRUNE) is workspace.images(RUN)
    fewer = workspace.images(RUN.replace(num_images=10))
    assert (len(fewer.labels), len(fewer.test_labels)) == (10, 40)


def test_a_seed_draws_its_images_and_test_images_from_all(workspace, tmp_path):
    own, other = (
        run_training(RUN.replace(seed=seed), make_workspace(tmp_path), wait=True) for seed in (0, 1)
    )
    hashes = [
        json.loads((folder / "done.json").read_text())["images_sha256"]
        for folder in (own, other, workspace.folder(LIPRUNE), workspace.folder(RANDOM))
    ]
    assert hashes[0] == hashes[2] == hashes[3] != hashes[1]
    first, second = (workspace.images(RUN.replace(seed=seed)) for seed in (0, 1))
    assert not torch.equal(first.labels, second.labels)
    assert not torch.equal(first.test_labels, second.test_labels)
    train, test = draw_images(DATA, 12, 40, seed=0)
    pixels = DATA.train_images[train].tobytes() + DATA.test_images[test].tobytes()
    assert hashes[0] == hashlib.sha256(pixels).hexdigest()


# Runs that were left


@pytest.mark.parametrize("last_only", [False, True])
def test_a_done_run_without_its_last_checkpoint_is_of_no_use_to_another(tmp_path, last_only):
    workspace, run = make_workspace(tmp_path), RANDOM.replace(prune_epoch=3)
    before = run_training(run.before_pruning(), workspace)
    lost = checkpoints(before)[-1:] if last_only else checkpoints(before)
    for path in lost:
        path.unlink()
    assert len(checkpoints(before)) == last_only
    with pytest.raises(RunError) as refused:
        run_training(run, workspace)
    message = f"{before} is done, but without its last checkpoint; delete it."
    assert str(refused.value) == message


def test_a_lost_run_is_done_again_once_it_is_deleted(workspace, tmp_path):
    other = make_workspace(tmp_path)
    before = run_training(RANDOM.before_pruning(), other)
    for path in before.iterdir():
        path.unlink()
    assert tables(run_training(RANDOM, other)) == tables(workspace.folder(RANDOM))


class Failure(Exception):  # noqa: N818 - planted
    """A step that failed."""


@pytest.mark.parametrize(  # of seven steps, three before the pruning
    ("run", "fatal"), [*((LIPRUNE, step) for step in range(1, 8)), (EL2N, 5)]
)
def test_a_run_that_failed_at_a_step_goes_on_from_there(
    workspace, tmp_path, monkeypatch, run, fatal
):
    other, take_step, done = make_workspace(tmp_path), training.take_step, []

    def step(*given):
        if len(done) + 1 == fatal:
            done.append("lost")
            raise Failure
        take_step(*given)
        done.append("step")

    monkeypatch.setattr(training, "take_step", step)
    monkeypatch.setattr(runs, "CHECKPOINT_SECONDS", 0)
    with pytest.raises(Failure):
        run_training(run, other)
    folder = run_training(run, other)
    assert done.count("step") == 7  # none twice
    assert tables(folder) == tables(workspace.folder(run))
    states = [final_state(run, where) for where in (workspace, other)]
    assert same(*(state.to_dict() for state in states))


@pytest.fixture
def ending():
    yield
    withdraw_stop()


@pytest.mark.usefixtures("ending")
def test_a_run_that_is_asked_to_stop_saves_and_goes_on_later(workspace, tmp_path, monkeypatch):
    other, take_step = make_workspace(tmp_path), training.take_step

    def step(*given):
        take_step(*given)
        ask_to_stop()

    monkeypatch.setattr(training, "take_step", step)
    for _ in range(5):
        with pytest.raises(Stopped):
            run_training(RANDOM, other)
        withdraw_stop()
    monkeypatch.setattr(training, "take_step", None)
    assert tables(run_training(RANDOM, other)) == tables(workspace.folder(RANDOM))
