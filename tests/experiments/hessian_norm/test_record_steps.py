"""The recorded study at the length of a step: seed by seed, never twice, with its provenance."""

import json
import sys

import pandas as pd
import pytest
from synthetic import dataset

from experiments.hessian_norm import record_steps, step_secants
from experiments.hessian_norm.record_steps import EPOCHS, RATES, RUN, SEEDS
from experiments.hessian_norm.step_secants import follow
from liprune_utils.files import PROJECT
from liprune_utils.grid import read_grid
from liprune_utils.training_run import Workspace

SMALL = RUN.replace(depth=8, num_images=12, num_test_images=4, batch_size=4, num_epochs=2)
pytestmark = pytest.mark.usefixtures("one_thread")


def never(*_, **__):
    raise AssertionError


def test_the_networks_are_the_unpruned_ones_of_the_reduced_grid():
    grid = read_grid(PROJECT / "experiments/grids/reduced14.yml").runs
    unpruned = {r.learning_rate: dict(r) for r in grid if (r.method, r.seed) == ("none", 0)}
    assert sorted(unpruned) == sorted(RATES)
    for rate, theirs in unpruned.items():
        own = dict(RUN.replace(learning_rate=rate))
        assert {name for name in own if own[name] != theirs[name]} == {
            "num_test_images", "precision",
        }  # fmt: skip
    assert (RUN.num_images, RUN.batch_size, [*SEEDS], EPOCHS) == (
        5120,
        128,
        [*range(6)],
        (1, 5, 10),
    )


@pytest.fixture
def study(monkeypatch, tmp_path):
    for name, value in {
        "RUN": SMALL, "EPOCHS": (1, 2), "SEEDS": (0, 1), "RECORDED": str(tmp_path / "record"),
    }.items():  # fmt: skip
        monkeypatch.setattr(record_steps, name, value)
    monkeypatch.setattr(record_steps.data, "load", dataset)
    monkeypatch.setattr(step_secants, "MAX_PRODUCTS", 2)  # of a search on tiny batches
    monkeypatch.setattr(sys, "argv", ["study", "--work", str(tmp_path / "work")])
    return tmp_path


def test_each_seed_is_recorded_when_it_is_complete_and_nothing_is_computed_twice(
    study, monkeypatch
):
    own = record_steps.follow

    def stop_at_seed_1(run, *rest):
        return own(run, *rest) if run.seed == 0 else never()

    monkeypatch.setattr(record_steps, "follow", stop_at_seed_1)
    with pytest.raises(AssertionError):
        record_steps.main()
    first = pd.read_csv(study / "record" / "step_secants.csv")
    assert set(first.seed) == {0}
    monkeypatch.setattr(
        record_steps, "follow", lambda run, *rest: own(run, *rest) if run.seed else never()
    )
    record_steps.main()
    table = pd.read_csv(study / "record" / "step_secants.csv")
    pd.testing.assert_frame_equal(table[table.seed == 0], first)
    cells = table[["seed", "learning_rate", "epoch"]].value_counts()
    assert len(cells) == 2 * 2 * 2
    assert set(cells) == {3}  # batches
    run = SMALL.replace(seed=1, learning_rate=RATES[1])
    expected = follow(run, Workspace(dataset(), study / "work").images(run), (1, 2))
    found = table[(table.seed == 1) & (table.learning_rate == RATES[1])]
    found = found[expected.columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-12)
    facts = json.loads((study / "record" / "step_secants.json").read_text())
    assert (facts["data_source"], facts["num_seeds"], facts["threads"]) == ("CIFAR-10", 2, 1)
    assert facts["seconds"] == pytest.approx(table.seconds.sum(), abs=0.06)
