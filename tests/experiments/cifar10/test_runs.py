"""Page 09's grid: each run once, tables that say what was run, the scores that selection used."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from synthetic import dataset

from experiments.cifar10 import runs
from experiments.cifar10.runs import CifarParameters, score_networks, train_all
from liprune_utils.checks import InputError
from liprune_utils.images import fixed_batches
from liprune_utils.settings import Recipe, TrainingRun
from liprune_utils.training_run import Workspace

pytestmark = pytest.mark.usefixtures("one_thread")
PARAMETERS = CifarParameters(
    results_dir="x", depths=[8], keep_fractions=[0.34], prune_epochs=[1, 2], learning_rates=[0.05],
    decay_epochs=[2], num_epochs=2, num_images=12, num_test_images=40, batch_size=4, momentum=0.5,
    weight_decay=1e-3, augment=False, precision="float32", num_seeds=2, tolerance=0.2,
)  # fmt: skip
RUNS = PARAMETERS.runs()
LIPRUNE = [run for run in RUNS if run.method == "liprune"]


@pytest.fixture(scope="module")
def workspace(one_thread, tmp_path_factory) -> Workspace:
    return Workspace(dataset(), tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def curves(workspace) -> pd.DataFrame:
    return train_all(RUNS, workspace)


@pytest.fixture(scope="module")
def scores(workspace, curves) -> pd.DataFrame:
    return score_networks(RUNS, workspace)


def test_the_grid_has_every_combination_once():
    lists = {
        "depths": [8, 14], "learning_rates": [0.1, 0.01], "prune_epochs": [1, 2],
        "keep_fractions": [0.2, 0.5, 1.0], "num_seeds": 3,
    }  # fmt: skip
    listed = PARAMETERS.replace(**lists).runs()
    cells = list(product([8, 14], [0.1, 0.01], range(3)))
    pruned = product(cells, [1, 2], [0.2, 0.5, 1.0], ["liprune", "random"])
    expected = {(*cell, epoch, keep, method) for cell, epoch, keep, method in pruned}
    expected |= {(*cell, 1, 1.0, "none") for cell in cells}
    found = [
        (p.depth, p.learning_rate, p.seed, p.prune_epoch, p.keep_fraction, p.method) for p in listed
    ]
    assert len(listed) == len(expected) == 2 * 2 * 3 * (1 + 2 * 2 * 3)
    assert set(found) == expected


@pytest.mark.parametrize(
    ("name", "values"),
    [("depths", [8, 8]), ("keep_fractions", [0.5, 0.5]), ("prune_epochs", [1, 2, 1])],
)
def test_a_value_that_is_listed_twice_is_refused(name, values):
    with pytest.raises(InputError) as refused:
        PARAMETERS.replace(**{name: values})
    assert str(refused.value) == f"{name} is {values}; expected a list of values, each once."


def test_what_all_runs_share_is_the_pages():
    own = {"depth", "learning_rate", "seed"}
    shared = set(Recipe.model_fields) - own
    page = PARAMETERS.replace(precision="bfloat16")
    expected = {name: getattr(page, name) for name in shared} | {"decay_epochs": (2,)}
    for run in page.runs():
        assert {name: getattr(run, name) for name in shared} == expected


def test_the_tolerance_is_that_of_liprune_alone():
    found = {(run.method, run.tolerance) for run in RUNS}
    assert found == {("none", 0.01), ("random", 0.01), ("liprune", 0.2)}
    assert {run.batch_norm for run in RUNS} == {"train"}


def test_the_table_of_runs_says_what_was_run(curves):
    names = ["method", "depth", "keep_fraction", "prune_epoch", "learning_rate", "seed"]
    assert set(curves) == {*names, "epoch", "num_updates", "test_error", "train_loss"}
    keys = curves[[*names, "epoch"]].itertuples(index=False, name=None)
    listed = [tuple(dict(run)[name] for name in names) for run in RUNS]
    assert list(keys) == [(*key, epoch) for key in listed for epoch in (1, 2)]
    assert curves.index.tolist() == list(range(len(curves)))


def test_the_table_of_runs_has_their_curves_exactly(curves, workspace):
    found = curves[["epoch", "num_updates", "test_error", "train_loss"]]
    files = [pd.read_csv(workspace.folder(run) / "curve.csv") for run in RUNS]
    pd.testing.assert_frame_equal(found, pd.concat(files, ignore_index=True), check_exact=True)


def test_methods_of_a_seed_are_paired_and_seeds_differ(curves):
    late = curves[(curves.prune_epoch == 2) | (curves.method == "none")]
    first = late[late.epoch == 1].groupby("seed").train_loss
    assert first.nunique().tolist() == [1, 1]
    assert first.first().nunique() == 2
    assert first.count().tolist() == [3, 3]


def test_each_network_that_liprune_meets_is_scored_once(scores):
    names = ["depth", "learning_rate", "prune_epoch", "seed"]
    found = scores[[*names, "batch"]].itertuples(index=False, name=None)
    cells = [(epoch, seed) for seed in (0, 1) for epoch in (1, 2)]
    assert list(found) == [(8, 0.05, *cell, batch) for cell in cells for batch in (0, 1, 2)]


@pytest.mark.parametrize("run", LIPRUNE, ids=lambda run: run.label)
def test_the_scores_are_those_of_the_batches_that_were_chosen_from(
    scores, workspace, run: TrainingRun
):
    rows = scores[(scores.prune_epoch == run.prune_epoch) & (scores.seed == run.seed)]
    seen = pd.read_csv(workspace.folder(run) / "scores.csv")
    assert seen.norm.to_numpy() == pytest.approx(rows.norm.to_numpy(), rel=run.tolerance)
    (number,) = seen.batch[seen.kept]
    kept = pd.read_csv(workspace.folder(run) / "kept.csv").image
    assert np.array_equal(kept, fixed_batches(12, 4, run.seed)[number])


def test_networks_are_scored_once_for_all_fractions(workspace, scores, monkeypatch):
    seen = []

    def pretend(*_, **options):
        seen.append((options["seed"], options["tolerance"]))
        return pd.DataFrame({"norm": [1.0]})

    monkeypatch.setattr(runs, "batch_hessian_norms", pretend)
    more = [run.replace(keep_fraction=fraction) for run in LIPRUNE for fraction in (0.5, 1)]
    assert len(score_networks([*RUNS, *more], workspace)) == len(seen) == 4
    assert set(seen) == {(0, 0.2), (1, 0.2)}
