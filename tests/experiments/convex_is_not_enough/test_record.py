"""The recorded study of the convex head: its network, step sizes, curves, constants, files."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from draws import seeded
from synthetic import RUN, dataset, same

from experiments.convex_is_not_enough import convex_head, record
from experiments.convex_is_not_enough.convex_head import ARMS, PRUNED, UNPRUNED, features, head
from experiments.convex_is_not_enough.record import (
    RULES,
    chosen_sizes,
    heads,
    least_loss,
    recorded_network,
    study,
    unpruned_run,
)
from liprune_utils.training_run import Workspace, final_state

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_network_is_the_unpruned_one_of_the_grid():
    run = unpruned_run()
    assert (run.method, run.depth, run.seed, run.learning_rate) == ("none", 14, 0, 0.1)
    assert (run.num_images, run.num_test_images, run.num_epochs) == (49_920, 10_000, 32)
    assert (run.decay_epochs, run.precision) == ((16, 24), "bfloat16")


def toy(num: int = 100, seed: int = 0):
    draw = seeded(seed)
    labels = draw.integers(0, 10, num)
    z = np.abs(draw.normal(0, 1, (num, 3)) + labels[:, None] % 3)
    return head(np.column_stack([z, np.ones(num)]), labels)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(convex_head, "BATCH_SIZE", 4)
    monkeypatch.setattr(record, "STEP_SIZES", np.array([0.1, 0.5, 40.0]))
    monkeypatch.setattr(record, "NUM_SEEDS", 2)
    monkeypatch.setattr(record, "NUM_TUNING", 2)
    monkeypatch.setattr(record, "NUM_STEPS", 60)


def test_step_sizes_are_those_of_no_pruning_and_each_arms_own():
    rows = [
        {**arm._asdict(), "step_size": size, "train_loss": abs(size - best)}
        for arm, best in zip(ARMS, [1, 2, 4] * 3, strict=True)
        for size in (1.0, 2.0, 4.0)
    ]
    found = chosen_sizes(pd.DataFrame(rows))
    assert found[:, 1].tolist() == [1, 2, 4] * 3
    assert (found[:, 0] == found[ARMS.index(UNPRUNED), 1]).all()


def test_tuning_has_seeds_of_its_own_and_the_lowest_loss_wins(small):
    train, test = toy(), toy(40, seed=1)
    tables = study(train, test)
    tuning, curves = tables["tuning"], tables["curves"]
    assert len(tuning) == 3 * len(ARMS)
    assert tuning.num_seeds.eq(2).all()
    assert curves.step_size.isin([0.1, 0.5]).all()  # 40 diverges
    last = curves[curves.step == curves.step.max()]
    none = tuning[(tuning.method == "none") & (tuning.step_size == last.step_size.iloc[-1])]
    mean = last[(last.method == "none") & (last.rule == "own")].test_loss.mean()
    assert none.test_loss.iloc[0] != pytest.approx(mean, rel=1e-6)  # of other seeds
    assert none.test_loss.iloc[0] == pytest.approx(mean, rel=0.2)


def test_curves_have_a_row_for_each_arm_rule_seed_and_step(small):
    tables = study(toy(), toy(40, seed=1))
    curves, constants = tables["curves"], tables["constants"]
    keys = ["unit", "method", "keep_fraction", "rule", "seed", "step"]
    assert not curves.duplicated(keys).any()
    assert len(curves) == len(ARMS) * len(RULES) * 2 * curves.step.nunique()
    first = curves[curves.step == 1]
    assert first.test_loss.between(1.5, 3).all()
    none = curves[curves.method == "none"].set_index(["rule", "seed", "step"])
    pd.testing.assert_frame_equal(none.loc["own"], none.loc["shared"])
    assert len(constants) == 2 * len(PRUNED)
    assert (constants[constants.method == "liprune"].gain > 1).all()


def test_the_least_loss_is_that_of_the_objective():
    train = toy(300)
    assert least_loss(train) == pytest.approx(float(train.ends[1]), abs=1e-4)


def test_the_command_writes_network_tables_and_provenance(small, monkeypatch, tmp_path):
    run = RUN.replace(num_epochs=2)
    monkeypatch.setattr(record, "RECORDED", str(tmp_path / "record"))
    monkeypatch.setattr(record, "unpruned_run", lambda: run)
    monkeypatch.setattr(record.data, "load", dataset)
    monkeypatch.setattr(convex_head, "BATCH_SIZE", 1)
    monkeypatch.setattr(sys, "argv", ["record", "--work", str(tmp_path / "work")])
    record.main()
    workspace = Workspace(dataset(), tmp_path / "work")
    model = final_state(run, workspace).model
    assert same(dict(recorded_network().state_dict()), dict(model.state_dict()))
    assert all(t.dtype in (torch.float32, torch.int64) for t in model.state_dict().values())
    files = {path.name for path in (tmp_path / "record").glob("[!.]*")}
    assert files == {
        "head_constants.csv", "head_curves.csv", "head_tuning.csv", "head_provenance.json",
        "resnet14_none_seed0.pt",
    }  # fmt: skip
    facts = json.loads((tmp_path / "record" / "head_provenance.json").read_text())
    assert facts["command"] == "python -m experiments.convex_is_not_enough.record"
    assert facts["least_train_loss"] <= facts["last_train_loss"]
    train, test = heads(model, workspace, run)
    images = workspace.images(run)
    np.testing.assert_array_equal(train.x, features(model, images.inputs))
    assert test.y.argmax(axis=1).tolist() == images.test_labels.tolist()
