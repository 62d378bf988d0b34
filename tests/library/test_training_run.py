"""Runs of the experiment: paired up to the pruning, done once, resumed to the same result."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic import BATCHES, POINT, dataset, same, task

from liprune_utils import runs, training, training_run
from liprune_utils.images import draw_images
from liprune_utils.pruning import keep_highest
from liprune_utils.runs import RunError, Stopped, ask_to_stop, locked, withdraw_stop
from liprune_utils.selection import point_scores
from liprune_utils.settings import Point
from liprune_utils.training import start, train_until
from liprune_utils.training_run import Laboratory, before_pruning, load_final, run_point

pytestmark = pytest.mark.usefixtures("one_thread")
LIPRUNE = replace(POINT, method="liprune", keep_fraction=0.67, prune_epoch=2, tolerance=0.2)
RANDOM = replace(POINT, method="random", keep_fraction=0.34, prune_epoch=2)
EL2N = replace(RANDOM, method="el2n", keep_fraction=0.67)
WHOLE = [POINT, *(replace(point, keep_fraction=1.0) for point in (LIPRUNE, RANDOM))]
POINTS = [*WHOLE, LIPRUNE, RANDOM, EL2N]
DATA = dataset()


def laboratory(root: Path, **changes) -> Laboratory:
    return Laboratory(replace(DATA, **changes), root)


def tables(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.csv")}


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.pt"))


@pytest.fixture(scope="module")
def lab(one_thread, tmp_path_factory) -> Laboratory:
    """All points are done here; no test may change it."""
    lab = Laboratory(DATA, tmp_path_factory.mktemp("lab"))
    for point in POINTS:
        run_point(point, lab)
    return lab


@pytest.fixture
def no_steps(monkeypatch):
    def never(*_):
        raise AssertionError

    monkeypatch.setattr(training, "take_step", never)


def curve(lab: Laboratory, point: Point) -> pd.DataFrame:
    return pd.read_csv(lab.folder(point) / "curve.csv")


# What a run is


def test_methods_share_everything_before_the_pruning(lab):
    rows = [curve(lab, point).iloc[0].to_dict() for point in POINTS]
    assert all(row == rows[0] for row in rows)
    assert rows[0]["num_updates"] == 3
    others = {tuple(curve(lab, point).train_loss) for point in POINTS}
    assert len(others) == 4  # three that keep a part, and one that keeps all


def test_methods_are_identical_where_all_is_kept(lab):
    assert len({tables(lab.folder(point))["curve.csv"] for point in WHOLE}) == 1


def test_a_run_without_pruning_is_plain_training(lab):
    state = train_until(start(POINT, task()), task(), BATCHES, POINT, 3)
    found = curve(lab, POINT)
    assert found.epoch.tolist() == [1, 2, 3]
    assert found.test_error.tolist() == state.test_errors
    assert found.train_loss.tolist() == state.train_losses


@pytest.mark.parametrize("point", [LIPRUNE, RANDOM, EL2N], ids=lambda point: point.method)
def test_a_pruned_run_goes_on_with_what_it_keeps(lab, point):
    kept = pd.read_csv(lab.folder(point) / "kept.csv")
    batches = [rows.image.to_numpy() for _, rows in kept.groupby("batch")]
    state = train_until(start(POINT, task()), task(), BATCHES, POINT, 1)
    train_until(state, task(), batches, POINT, 3)
    assert curve(lab, point).test_error.tolist() == state.test_errors
    assert curve(lab, point).train_loss.tolist() == state.train_losses


def test_final_losses_are_of_all_images_and_of_the_kept(lab):
    state = load_final(LIPRUNE, lab, start(LIPRUNE, task()))
    state.model.eval()
    with torch.no_grad():
        logits = state.model(task().images)
    losses = torch.nn.functional.cross_entropy(logits, task().labels, reduction="none").numpy()
    kept = pd.read_csv(lab.folder(LIPRUNE) / "kept.csv").image
    done = json.loads((lab.folder(LIPRUNE) / "done.json").read_text())
    assert len(kept) < len(losses)
    assert done["full_set_loss"] == pytest.approx(losses.mean(), rel=1e-4)
    assert done["kept_set_loss"] == pytest.approx(losses[kept].mean(), rel=1e-4)


def test_updates_are_counted(lab):
    assert curve(lab, POINT).num_updates.tolist() == [3, 6, 9]
    assert curve(lab, LIPRUNE).num_updates.tolist() == [3, 5, 7]
    assert curve(lab, RANDOM).num_updates.tolist() == [3, 4, 5]
    assert curve(lab, EL2N).num_updates.tolist() == [3, 5, 7]  # eight images


def test_the_kept_batches_are_those_with_the_largest_scores(lab, tmp_path):
    state = train_until(start(POINT, task()), task(), BATCHES, POINT, 1)
    values = point_scores(LIPRUNE, state, task(), DATA, tmp_path)
    expected = [BATCHES[number] for number in keep_highest(values, 0.67)]
    kept = pd.read_csv(lab.folder(LIPRUNE) / "kept.csv")
    assert kept.columns.tolist() == ["image", "batch"]
    assert kept.image.tolist() == np.concatenate(expected).tolist()
    assert kept.batch.tolist() == [0] * 4 + [1] * 4


def test_the_network_at_the_pruning_is_the_last_of_the_run_before(lab, no_steps):
    found = before_pruning(LIPRUNE, lab)
    assert (found.epoch, found.step) == (2, 0)
    assert found.test_errors == curve(lab, POINT).test_error.tolist()[:1]
    early = before_pruning(replace(LIPRUNE, prune_epoch=1), lab)
    assert same(early.to_dict(), start(POINT, task()).to_dict())


def test_a_run_notes_its_settings_and_its_circumstances(lab):
    folder = lab.folder(LIPRUNE)
    done = json.loads((folder / "done.json").read_text())
    assert (done["device"], done["threads"]) == ("cpu", 1)
    noted = json.loads((folder / "run.json").read_text())
    assert noted == lab.settings(LIPRUNE)
    assert folder.name.startswith(LIPRUNE.label)
    del noted["engine"], noted["pixel_sha256"]
    assert Point(**noted) == LIPRUNE


def test_runs_do_not_depend_on_each_other_or_on_where_they_lie(lab, tmp_path):
    generators = torch.get_rng_state()
    alone = run_point(LIPRUNE, laboratory(tmp_path))
    assert tables(alone) == tables(lab.folder(LIPRUNE))
    assert set(tables(alone)) == {"curve.csv", "kept.csv", "scores.csv"}
    assert torch.equal(torch.get_rng_state(), generators)


# One folder a run


@pytest.mark.parametrize("point", [POINT, LIPRUNE, EL2N], ids=lambda point: point.method)
def test_a_run_that_is_done_is_not_done_again(lab, point, no_steps):
    def moments() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in lab.root.rglob("*") if path.is_file()}

    before = moments()
    assert run_point(point, lab) == lab.folder(point)
    assert moments() == before


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"tolerance": 0.1}, {"num_test_images": 41}, {"precision": "bfloat16"}]
)
def test_another_point_has_another_folder(lab, change):
    assert lab.folder(replace(LIPRUNE, **change)) != lab.folder(LIPRUNE)


def test_another_engine_and_other_data_have_other_folders(lab, monkeypatch):
    first = lab.folder(LIPRUNE)
    other = laboratory(lab.root, sha256="1").folder(LIPRUNE)
    monkeypatch.setattr(training_run, "ENGINE", training_run.ENGINE + 1)
    assert len({first, other, lab.folder(LIPRUNE)}) == 3


def test_a_point_has_one_folder_however_its_numbers_are_typed(lab):
    typed = replace(LIPRUNE, keep_fraction=1, learning_rate=1, weight_decay=0, decay_epochs=[3])
    floats = {"keep_fraction": 1.0, "learning_rate": 1.0, "weight_decay": 0.0}
    assert lab.folder(typed) == lab.folder(replace(LIPRUNE, **floats))


def test_a_run_in_use_is_refused(tmp_path):
    lab = laboratory(tmp_path)
    with locked(lab.folder(POINT)), pytest.raises(RunError, match="is in use by another process"):
        run_point(POINT, lab)


def test_methods_of_one_seed_share_their_images(lab):
    assert lab.task(LIPRUNE) is lab.task(POINT)
    fewer = lab.task(replace(POINT, num_images=10))
    assert (len(fewer.labels), len(fewer.test_labels)) == (10, 40)


def test_a_seed_draws_its_images_and_test_images_from_all(lab, tmp_path):
    own, other = (
        run_point(replace(POINT, seed=seed), laboratory(tmp_path), wait=True) for seed in (0, 1)
    )
    hashes = [
        json.loads((folder / "done.json").read_text())["images_sha256"]
        for folder in (own, other, lab.folder(LIPRUNE), lab.folder(RANDOM))
    ]
    assert hashes[0] == hashes[2] == hashes[3] != hashes[1]
    first, second = (lab.task(replace(POINT, seed=seed)) for seed in (0, 1))
    assert not torch.equal(first.labels, second.labels)
    assert not torch.equal(first.test_labels, second.test_labels)
    train, test = draw_images(DATA, 12, 40, seed=0)
    pixels = DATA.train_images[train].tobytes() + DATA.test_images[test].tobytes()
    assert hashes[0] == hashlib.sha256(pixels).hexdigest()


# Runs that were left


@pytest.mark.parametrize("last_only", [False, True])
def test_a_done_run_without_its_last_checkpoint_is_of_no_use_to_another(tmp_path, last_only):
    lab, point = laboratory(tmp_path), replace(RANDOM, prune_epoch=3)
    before = run_point(point.before_pruning(), lab)
    lost = checkpoints(before)[-1:] if last_only else checkpoints(before)
    for path in lost:
        path.unlink()
    assert len(checkpoints(before)) == last_only
    with pytest.raises(RunError) as refused:
        run_point(point, lab)
    message = f"{before} is done, but without its last checkpoint; delete it."
    assert str(refused.value) == message


def test_a_lost_run_is_done_again_once_it_is_deleted(lab, tmp_path):
    other = laboratory(tmp_path)
    before = run_point(RANDOM.before_pruning(), other)
    for path in before.iterdir():
        path.unlink()
    assert tables(run_point(RANDOM, other)) == tables(lab.folder(RANDOM))


class Failure(Exception):  # noqa: N818 - planted
    """A step that failed."""


@pytest.mark.parametrize(  # of seven steps, three before the pruning
    ("point", "fatal"), [*((LIPRUNE, step) for step in range(1, 8)), (EL2N, 5)]
)
def test_a_run_that_failed_at_a_step_goes_on_from_there(lab, tmp_path, monkeypatch, point, fatal):
    other, take_step, done = laboratory(tmp_path), training.take_step, []

    def step(*given):
        if len(done) + 1 == fatal:
            done.append("lost")
            raise Failure
        take_step(*given)
        done.append("step")

    monkeypatch.setattr(training, "take_step", step)
    monkeypatch.setattr(runs, "CHECKPOINT_SECONDS", 0)
    with pytest.raises(Failure):
        run_point(point, other)
    folder = run_point(point, other)
    assert done.count("step") == 7  # none twice
    assert tables(folder) == tables(lab.folder(point))
    states = [load_final(point, where, start(point, task())) for where in (lab, other)]
    assert same(*(state.to_dict() for state in states))


@pytest.fixture
def ending():
    yield
    withdraw_stop()


@pytest.mark.usefixtures("ending")
def test_a_run_that_is_asked_to_stop_saves_and_goes_on_later(lab, tmp_path, monkeypatch):
    other, take_step = laboratory(tmp_path), training.take_step

    def step(*given):
        take_step(*given)
        ask_to_stop()

    monkeypatch.setattr(training, "take_step", step)
    for _ in range(5):
        with pytest.raises(Stopped):
            run_point(RANDOM, other)
        withdraw_stop()
    monkeypatch.setattr(training, "take_step", None)
    assert tables(run_point(RANDOM, other)) == tables(lab.folder(RANDOM))
