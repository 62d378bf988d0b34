"""The recorded races on the convex head: its features, its files, and refusals in one line."""

import json
import subprocess
import sys

import numpy as np
import pytest
from synthetic import RUN, dataset, images

from experiments.convex_is_not_enough import convex_head
from experiments.what_to_keep import real, record
from experiments.what_to_keep.real import ENTRANTS, RACING, race, recorded_head, tune
from liprune_utils.checks import exit_status
from liprune_utils.features import last_layer_features
from liprune_utils.files import PROJECT
from liprune_utils.training import initial_network

pytestmark = pytest.mark.usefixtures("one_thread")
MANY = RUN.replace(num_images=600, num_test_images=40)


@pytest.fixture
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(real, "STEPS", (2, 4))
    monkeypatch.setattr(real, "MULTIPLES", np.array([0.5, 2.0]))
    monkeypatch.setattr(real, "NUM_TUNING", 1)
    monkeypatch.setattr(real, "KEEP_FRACTIONS", (0.3,))
    monkeypatch.setattr(real, "ENTRANTS", tuple(e for e in ENTRANTS if e.keep_fraction != 0.1))
    monkeypatch.setattr(convex_head, "BATCH_SIZE", 4)
    monkeypatch.setattr(record, "NUM_SPLITS", 2)
    for module in (real, record):
        monkeypatch.setattr(module, "RECORDED", str(tmp_path / "record"))
    monkeypatch.setattr(record.data, "load", lambda: dataset(num_train=600))
    monkeypatch.setattr(record.page_06, "unpruned_run", lambda: MANY)
    monkeypatch.setattr(record.page_06, "recorded_network", lambda: initial_network(MANY))
    monkeypatch.setattr(sys, "argv", ["record"])


def test_the_command_writes_the_table_and_its_provenance(small, tmp_path):
    record.main()
    files = {path.name for path in (tmp_path / "record").glob("[!.]*")}
    assert files == {"head.csv", "head.json"}
    table, facts = recorded_head()
    assert len(table) == 2 * 2 * 5
    assert set(table.data_set) == {"convex head"}
    assert facts["command"] == "python -m experiments.what_to_keep.record"
    assert (facts["num_splits"], facts["head_batch_size"], facts["num_images"]) == (2, 4, 600)
    assert facts == json.loads((tmp_path / "record/head.json").read_text())
    problem = record.recorded_problem(record.data.load())
    losses = race(problem, RACING, 1, record.SEED, tune(problem, record.SEED))
    rows = table[(table.split == 1) & (table.step == 4)]
    assert rows.test_loss.tolist() == pytest.approx(losses[1, :, 1].tolist())


def test_the_points_are_the_features_of_the_network(small, monkeypatch):
    monkeypatch.setattr(record.page_06, "unpruned_run", lambda: MANY.replace(num_images=12))
    problem = record.recorded_problem(dataset())
    split = problem.draw(np.random.default_rng(0))
    order = np.random.default_rng(0).permutation(12)[:6]
    expected = last_layer_features(initial_network(MANY), images().inputs)[order]
    np.testing.assert_allclose(split.train.x, expected, rtol=1e-6)
    assert len(split.test.x) == 20


@pytest.mark.usefixtures("small")
def test_faults_are_one_line(monkeypatch, capsys, tmp_path):
    (tmp_path / "record").write_text("no folder")
    assert exit_status(record.main) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert line.startswith("error: results_dir is ")


def test_an_unknown_option_is_refused():
    command = [sys.executable, "-m", "experiments.what_to_keep.record", "--works"]
    found = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert found.stderr.endswith("error: unrecognized arguments: --works\n")
