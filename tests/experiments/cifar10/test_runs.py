"""Page 09's grid: each run once, tables that say what was run, the batch that is kept."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from synthetic import dataset

from experiments.cifar10.runs import CifarParameters, train_all
from liprune_utils.batch_scores import batch_hessian_norms
from liprune_utils.checks import InputError
from liprune_utils.images import fixed_batches
from liprune_utils.settings import Recipe, TrainingRun
from liprune_utils.training_run import Workspace, before_pruning

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


@pytest.mark.parametrize("run", LIPRUNE, ids=lambda run: run.label)
def test_the_kept_batch_is_that_of_the_largest_norm_at_the_pruning(
    curves, workspace, run: TrainingRun
):
    images, batches = workspace.images(run), fixed_batches(12, 4, run.seed)
    found = batch_hessian_norms(
        before_pruning(run, workspace).model, images.inputs, images.labels, batches,
        tolerance=run.tolerance,
    )  # fmt: skip
    seen = pd.read_csv(workspace.folder(run) / "scores.csv")
    assert seen.norm.to_numpy() == pytest.approx(found.norm.to_numpy(), rel=run.tolerance)
    (number,) = seen.batch[seen.kept]
    kept = pd.read_csv(workspace.folder(run) / "kept.csv").image
    assert np.array_equal(kept, batches[number])
