"""The study of the dynamics: branches are the grid's runs, resumed, rescaled, and recorded."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from synthetic import RUN, dataset
from torch.nn import functional

from experiments.why import record as dynamics
from experiments.why.pruning_effects import batch_gradients, importance_gain
from experiments.why.record import TABLES, Branch, branches, follow, kept_and_scores
from liprune_utils.checks import InputError
from liprune_utils.example_scores import example_gradient_norms
from liprune_utils.images import fixed_batches
from liprune_utils.training import with_population_statistics
from liprune_utils.training_run import Workspace, before_pruning, run_training

pytestmark = pytest.mark.usefixtures("one_thread")
CUT = {"keep_fraction": 0.67, "prune_epoch": 2, "tolerance": 0.2, "num_epochs": 4, "seed": 1}
RANDOM, LIPRUNE, HESSIAN = (
    RUN.replace(method=method, **CUT) for method in ("random", "liprune", "hessian")
)


@pytest.fixture(scope="module")
def workspace(one_thread, tmp_path_factory) -> Workspace:
    return Workspace(dataset(), tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def followed(workspace) -> dict[str, dict[str, pd.DataFrame]]:
    chosen = [Branch(RANDOM), Branch(LIPRUNE), Branch(HESSIAN), Branch(LIPRUNE, rescaled=True)]
    return {branch.name: follow(branch, workspace) for branch in chosen}


def test_branches_are_the_grids_runs():
    found = branches()
    assert [one.label for one in found[:5]] == [
        "random-seed0", "random-seed1", "random-seed2", "random-seed3", "liprune-seed0",
    ]  # fmt: skip
    assert [one.name for one in found[12::4]] == ["liprune rescaled", "hessian rescaled"]
    assert len({one.label for one in found}) == len(found) == 20
    assert {one.run.keep_fraction for one in found} == {0.2}
    assert {one.run.seed for one in found} == {0, 1, 2, 3}


@pytest.mark.parametrize("run", [RANDOM, LIPRUNE, HESSIAN], ids=lambda run: run.method)
def test_a_branch_trains_as_the_grids_run(workspace, followed, run):
    expected = pd.read_csv(run_training(run, workspace) / "curve.csv")
    found = followed[run.method]["dynamics_curves"]
    pd.testing.assert_frame_equal(found[expected.columns.tolist()], expected, check_exact=True)
    done = json.loads((workspace.folder(run) / "done.json").read_text())
    last = followed[run.method]["dynamics"].iloc[-1]
    assert followed[run.method]["dynamics"].epoch.tolist() == [1, 3, 4]
    assert last.test_error == expected.test_error[3]
    assert done["full_set_loss"] == last.full_set_loss
    assert done["kept_set_loss"] == last.kept_set_loss


def test_all_begin_from_the_same_weights(followed):
    rows = [tables["dynamics"].iloc[0] for tables in followed.values()]
    for name in ("epoch", "all_noise", "sharpness", "full_set_loss", "test_error"):
        assert len({row[name] for row in rows}) == 1, name
    assert rows[0].epoch == 1
    assert len({row.kept_noise for row in rows}) == 3


def test_rescaling_divides_the_rate_by_the_growth_of_the_second_moment(followed):
    plain, rescaled = followed["liprune"], followed["liprune rescaled"]
    starts = [followed[name]["dynamics"].kept_second_moment[0] for name in ("random", "liprune")]
    factor = rescaled["dynamics_kept"].rate_factor[0]
    assert factor == pytest.approx(starts[0] / starts[1])
    assert factor != 1
    assert plain["dynamics_kept"].rate_factor[0] == factor
    assert plain["dynamics_curves"].learning_rate.eq(0.05).all()
    assert rescaled["dynamics_curves"].learning_rate.eq(0.05 * factor).all()
    assert followed["random"]["dynamics_kept"].rate_factor[0] == 1
    losses = (tables["dynamics_curves"].train_loss for tables in (plain, rescaled))
    first, second = losses
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_scores_are_described_with_the_gradients_of_what_is_scored(workspace, followed):
    state = before_pruning(LIPRUNE, workspace)
    images = workspace.images(LIPRUNE)
    pair = images.inputs, images.labels
    _, scores = kept_and_scores(LIPRUNE, state, workspace)
    squares = (batch_gradients(state.model, *pair, fixed_batches(12, 4, LIPRUNE.seed)) ** 2).sum(
        axis=1
    )
    found = followed["liprune"]["dynamics_kept"].iloc[0]
    assert found.importance_gain == pytest.approx(importance_gain(squares, scores))
    assert found.score_sd == pytest.approx(np.std(scores, ddof=1) / np.mean(scores))
    assert found.score_gain == pytest.approx(np.sort(scores)[1:].mean() / scores.mean())
    _, scores = kept_and_scores(HESSIAN, state, workspace)
    model = with_population_statistics(state.model, workspace.images(LIPRUNE).inputs)
    squares = example_gradient_norms(model, functional.cross_entropy, *pair) ** 2
    found = followed["hessian"]["dynamics_kept"].iloc[0]
    assert found.importance_gain == pytest.approx(importance_gain(squares, scores))
    assert found.score_gain == pytest.approx(np.sort(scores)[4:].mean() / scores.mean())
    random = followed["random"]["dynamics_kept"].iloc[0]
    assert (random.importance_gain, random.score_gain) == (1, 1)


GRID = {
    "folder": "book/results/10_other_scores", "name": "toy",
    "common": {
        "depth": 8, "learning_rate": 0.05, "decay_epochs": [3], "num_epochs": 3, "batch_size": 4,
        "num_images": 12, "num_test_images": 40, "prune_epoch": 2,
    },
    "blocks": [
        {"method": ["random", "liprune", "hessian"], "keep_fraction": [0.2, 0.67], "seed": [0]},
    ],
}  # fmt: skip


@pytest.fixture
def toy_study(monkeypatch, tmp_path) -> Path:
    """The study on toy images, its folders in a temporary one; its processes are threads."""
    (tmp_path / "grid.yml").write_text(yaml.safe_dump(GRID))
    toy = {"GRID": tmp_path / "grid.yml", "RUNS": tmp_path / "runs", "KEEP_FRACTION": 0.67}
    for name, value in (toy | {"RECORDED": tmp_path / "record"}).items():
        monkeypatch.setattr(dynamics, name, value)
    monkeypatch.setattr(dynamics.data, "load", dataset)
    threads = lambda count, _: ThreadPoolExecutor(1)  # noqa: E731
    monkeypatch.setattr(dynamics, "ProcessPoolExecutor", threads)
    monkeypatch.setattr(sys, "argv", ["dynamics", "--work", str(tmp_path / "work")])
    monkeypatch.setattr(dynamics.os, "environ", {})
    dynamics.workspace.cache_clear()
    yield tmp_path
    dynamics.workspace.cache_clear()


def test_the_study_is_recorded_and_resumed(toy_study, monkeypatch, capsys):
    dynamics.main()
    first = {path.name: path.read_bytes() for path in (toy_study / "record").glob("[!.]*")}
    assert set(first) == {f"{name}.csv" for name in TABLES} | {"dynamics_provenance.json"}
    found = pd.read_csv(toy_study / "record" / "dynamics.csv")
    names = ["random", "liprune", "hessian", "liprune rescaled", "hessian rescaled"]
    assert list(dict.fromkeys(found.arm)) == names
    record = json.loads(first["dynamics_provenance.json"])
    assert (record["prune_epoch"], record["keep_fraction"]) == (2, 0.67)
    assert record["command"] == "python -m experiments.why.record"
    assert "method" not in record

    def never(*_):
        raise AssertionError

    monkeypatch.setattr(dynamics, "follow", never)
    dynamics.main()
    assert {path.name: path.read_bytes() for path in (toy_study / "record").glob("[!.]*")} == first


def test_a_branch_that_fails_stops_the_study(toy_study, monkeypatch):
    def fail(*_):
        raise InputError("no data")

    monkeypatch.setattr(dynamics, "follow", fail)
    with pytest.raises(InputError, match="no data"):
        dynamics.main()
    assert not (toy_study / "record").exists()
