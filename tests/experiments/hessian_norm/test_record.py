"""The recorded study of page 08: what is scored with which network, and never twice."""

import copy
import json
import sys
from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
from synthetic import dataset, same

from experiments.hessian_norm import record
from experiments.hessian_norm.record import (
    RECIPE,
    Scoring,
    _scorings,
    batch_norms,
    network,
    recorded_network,
)
from liprune_utils import runs, training
from liprune_utils.batch_scores import batch_hessian_norms
from liprune_utils.images import fixed_batches
from liprune_utils.runs import Stopped
from liprune_utils.training import start, train_until
from liprune_utils.training_run import Workspace

SMALL = RECIPE.replace(depth=8, num_images=12, num_test_images=4, batch_size=4)
pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_study_lists_each_scoring_once():
    listed = [*_scorings()]
    others = {(s, e, "train", 128, 32) for s, e in [(0, 2), (0, 3), (0, 4)]}
    others |= {(s, e, "train", 128, 32) for s in (1, 2) for e in (1, 5)}
    expected = others | {(0, e, "eval", 128, 32) for e in (1, 5)}
    expected |= {(0, e, "train", 128, 391) for e in (1, 5)}
    expected |= {(0, e, "train", size, 20) for e in (1, 5) for size in (16, 32, 64, 256)}
    assert {astuple(scoring) for scoring in listed} == expected
    assert len(listed) == len(expected)


@pytest.fixture
def workspace(monkeypatch, tmp_path) -> Workspace:
    monkeypatch.setattr(record, "RECIPE", SMALL)
    monkeypatch.setattr(record, "RECORDED", str(tmp_path / "record"))
    return Workspace(dataset(), tmp_path / "work")


def never(*_, **__):
    raise AssertionError


def test_a_network_is_trained_once_and_read_the_next_time(workspace, monkeypatch):
    images, recipe = workspace.images(SMALL), SMALL.replace(seed=2)
    runs.ask_to_stop()
    with pytest.raises(Stopped):
        network(2, 3, workspace)
    runs.withdraw_stop()
    network(2, 3, workspace)
    state, batches, expected = start(recipe, images), fixed_batches(12, 4, seed=2), []
    for epoch in (1, 2, 3):
        expected.append(copy.deepcopy(state.to_dict()))
        train_until(state, images, batches, recipe, epoch)
    monkeypatch.setattr(training, "take_step", never)
    for epoch in (1, 2, 3):
        assert same(network(2, epoch, workspace).to_dict(), expected[epoch - 1])


@pytest.mark.parametrize("scoring", [Scoring(0, 1, "train", 6, 1), Scoring(1, 2, "eval", 4, 2)])
def test_batches_are_scored_once_and_are_the_same_for_all_seeds(workspace, monkeypatch, scoring):
    table, images = batch_norms(scoring, workspace), workspace.images(SMALL)
    batches = fixed_batches(12, scoring.batch_size, seed=0)[: scoring.num_batches]
    model = network(scoring.seed, scoring.epoch, workspace).model
    options = {"batch_norm": scoring.batch_norm, "tolerance": 1e-2}
    expected = batch_hessian_norms(model, images.inputs, images.labels, batches, **options)
    assert np.array_equal(table[expected.columns], expected)
    own = ["seed", "epoch", "batch_norm", "batch_size"]
    assert (table[own] == [getattr(scoring, name) for name in own]).all(axis=None)
    assert table.columns.tolist() == [*expected.columns, *own, "seconds"]
    assert (table.seconds > 0).all()
    monkeypatch.setattr(record, "batch_hessian_norms", never)
    pd.testing.assert_frame_equal(batch_norms(scoring, workspace), table)


def test_the_study_records_its_table_its_network_and_its_data(workspace, tmp_path, monkeypatch):
    few = [Scoring(0, 1, batch_size=6, num_batches=1), Scoring(0, 1, batch_size=4, num_batches=2)]
    monkeypatch.setattr(record, "_scorings", lambda: few)
    monkeypatch.setattr(record.data, "load", dataset)
    monkeypatch.setattr(sys, "argv", ["study", "--work", str(workspace.root)])
    record.main()
    table = pd.read_csv(tmp_path / "record" / "batch_norms.csv")
    assert table.batch_size.tolist() == [6, 4, 4]
    for epoch in (1, 5):
        weights = network(0, epoch, workspace).model.state_dict()
        assert same(recorded_network(epoch).state_dict(), weights)
    facts = json.loads((tmp_path / "record" / "provenance.json").read_text())
    assert (facts["data_source"], facts["pixel_sha256"]) == ("CIFAR-10", "0")
