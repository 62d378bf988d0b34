"""Recorded tables of a grid: they repeat the files of its runs, and say how far it is."""

import json
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
from synthetic import dataset

from liprune_utils.checks import InputError
from liprune_utils.grid import (
    IDENTITY,
    Grid,
    epochs_done,
    progress,
    read_scores,
    read_tables,
    record,
    recordable_runs,
    recorded_runs,
    run_name,
    show_status,
    unfinished_runs,
)
from liprune_utils.images import fixed_batches
from liprune_utils.runs import read_network
from liprune_utils.score_files import weights_sha256
from liprune_utils.settings import TrainingRun
from liprune_utils.training import start
from liprune_utils.training_run import Workspace, final_state, run_training

pytestmark = pytest.mark.usefixtures("one_thread")
TOY = TrainingRun(
    depth=8, num_images=24, num_test_images=9, batch_size=8, num_epochs=2, decay_epochs=(2,)
)
RUNS = (
    TOY,
    TOY.replace(decay_epochs=(1, 2), num_epochs=3),
    TOY.replace(method="random", keep_fraction=1 / 3, prune_epoch=2, seed=1),
)
DATA = dataset(40, 9)
COMMAND = "python -m liprune_utils.sweep experiments/grids/toy.yml"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    """Where the runs are done."""
    workspace = Workspace(DATA, tmp_path_factory.mktemp("workspace"))
    for run in RUNS:
        run_training(run, workspace)
    return workspace


@pytest.fixture
def grid(tmp_path) -> Grid:
    return Grid(str(tmp_path / "tables"), "toy", RUNS)


def test_progress_is_that_of_the_latest_checkpoint(tmp_path):
    workspace, run = Workspace(DATA, tmp_path), TOY.replace(num_epochs=1200)
    with workspace.open(run) as folder:
        for position in [(9, 3), (1000, 2), (1000, 10)]:
            folder.save(position, {})
            assert progress(run, workspace) == f"epoch {position[0]} of 1200"
            assert epochs_done(run, workspace) == position[0] - 1
        folder.save((1201, 0), {})
    assert progress(run, workspace) == "epoch 1200 of 1200"  # its tables are to be written


def test_status_lists_every_run_and_counts_the_recorded_and_the_done(workspace, tmp_path, capsys):
    other = TOY.replace(seed=7)
    grid = Grid(str(tmp_path), "toy", (*RUNS, other))
    record(grid, workspace, RUNS[:1], COMMAND)
    show_status(grid, workspace)
    assert capsys.readouterr().out.splitlines() == [
        f"{workspace.folder(RUNS[0]).name}: recorded",
        *(f"{workspace.folder(run).name}: done" for run in RUNS[1:]),
        f"{workspace.folder(other).name}: not begun",
        "3 of 4 runs are done, 1 of them recorded.",
    ]
    assert not workspace.folder(other).exists()
    assert [epochs_done(run, workspace) for run in (other, *RUNS)] == [0, 2, 3, 2]


def test_tables_repeat_the_runs_own_files(workspace, grid):
    folder = record(grid, workspace, RUNS, COMMAND)
    assert folder == Path(grid.folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "toy_curves.csv", "toy_provenance.json", "toy_runs.csv",
    ]  # fmt: skip
    columns = [*IDENTITY, "decay_epochs", "num_epochs"]
    header, *lines = (folder / "toy_curves.csv").read_text().splitlines()
    measured = ["epoch", "num_updates", "test_error", "train_loss"]
    assert header.split(",") == ["run_id", *columns, *measured]
    expected, last = [], []
    for run in RUNS:
        own = (workspace.folder(run) / "curve.csv").read_text().splitlines()[1:]
        decay = " ".join(map(str, run.decay_epochs))
        cells = [*(getattr(run, name) for name in IDENTITY), decay, run.num_epochs]
        start = ",".join(map(str, [run_name(run, workspace), *cells]))
        expected += [f"{start},{line}" for line in own]
        _, updates, error, loss = own[-1].split(",")
        done = json.loads((workspace.folder(run) / "done.json").read_text())
        losses = f"{done['full_set_loss']},{done['kept_set_loss']},{done['images_sha256']}"
        cost = f"{done['seconds']},{done['peak_memory_mib']},{done['commit']}"
        kept = 8 if run.method == "random" else 24
        last.append(f"{start},{error},{loss},{updates},{losses},{cost},{kept}")
    assert lines == expected
    header, *lines = (folder / "toy_runs.csv").read_text().splitlines()
    measured = ["test_error", "train_loss", "num_updates", "full_set_loss", "kept_set_loss"]
    measured += ["images_sha256", "seconds", "peak_memory_mib", "commit", "num_images_kept"]
    assert header.split(",") == ["run_id", *columns, *measured]
    assert lines == last


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_rows_that_are_added_bit_by_bit_are_those_of_all_at_once(workspace, grid, tmp_path, order):
    whole = contents(record(grid, workspace, RUNS, COMMAND))
    other = replace(grid, folder=str(tmp_path / "other"))
    for number in order:
        record(other, workspace, RUNS[number : number + 1], COMMAND)
    assert contents(tmp_path / "other") == whole


def test_what_a_killed_writer_left_is_written_over(workspace, grid):
    whole = contents(record(grid, workspace, RUNS, COMMAND))
    record(grid, workspace, RUNS, COMMAND)
    assert contents(Path(grid.folder)) == whole
    runs = Path(grid.folder) / "toy_runs.csv"  # the last to be written
    runs.write_text("".join(runs.read_text().splitlines(keepends=True)[:2]))
    assert recorded_runs(grid, workspace) == set(RUNS[:1])
    record(grid, workspace, RUNS[1:], COMMAND)
    assert contents(Path(grid.folder)) == whole


def test_a_run_is_recorded_together_with_those_that_share_its_network(tmp_path):
    workspace, shared = Workspace(DATA, tmp_path), {"keep_fraction": 1 / 3, "prune_epoch": 2}
    pair = [TOY.replace(method=m, **shared) for m in ("random", "liprune")]
    grid = Grid(str(tmp_path / "tables"), "toy", (TOY, *pair))
    assert recordable_runs(grid, workspace) == []
    run_training(TOY, workspace)
    run_training(pair[0], workspace)
    assert recordable_runs(grid, workspace) == [TOY]
    assert unfinished_runs(grid, workspace) == pair[1:]
    record(grid, workspace, [TOY], COMMAND)
    run_training(pair[1], workspace)
    assert recordable_runs(grid, workspace) == pair
    assert unfinished_runs(grid, workspace) == []
    record(grid, workspace, pair, COMMAND)
    scores = pd.read_csv(tmp_path / "tables" / "toy_scores.csv")
    assert scores.run_id.unique().tolist() == [run_name(pair[1], workspace)]
    assert scores.kept.sum() == 1
    chosen = pd.read_csv(workspace.folder(pair[1]) / "kept.csv").image.to_numpy()
    order = fixed_batches(24, 8, seed=0)
    assert sorted(chosen) == sorted(order[scores.batch[scores.kept].item()])


def test_a_recorded_run_needs_no_folder(workspace, grid, tmp_path):
    record(grid, workspace, RUNS, COMMAND)
    elsewhere = Workspace(workspace.dataset, tmp_path / "nothing")
    assert recorded_runs(grid, elsewhere) == set(RUNS)
    other = replace(workspace.dataset, sha256="1")
    with pytest.raises(InputError, match="expected that of a run of this grid"):
        recorded_runs(grid, Workspace(other, tmp_path))


def test_tables_may_lie_at_home(workspace, grid, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    at_home = replace(grid, folder="~/tables")
    assert record(at_home, workspace, RUNS, COMMAND) == tmp_path / "tables"
    assert recorded_runs(at_home, workspace) == set(RUNS)


def test_tables_of_something_else_are_not_written_over(workspace, grid):
    record(grid, workspace, RUNS, COMMAND)
    path, text = Path(grid.folder) / "toy_runs.csv", "method,seed\nnone,0\n"
    fewer = replace(grid, runs=RUNS[1:])
    with pytest.raises(
        InputError, match=f"^A run_id in {path} is '{run_name(RUNS[0], workspace)}'; expe"
    ):
        record(fewer, workspace, RUNS[1:], COMMAND)
    path.write_text(text)
    with pytest.raises(InputError, match=f"^A run_id in {path} is None; expected"):
        record(grid, workspace, RUNS, COMMAND)
    assert path.read_text() == text


def test_seeds_that_are_complete_are_read_and_no_others(workspace, grid):
    folder = record(grid, workspace, RUNS[1:], COMMAND)  # of seed 0 one of two
    curves, runs, (source,) = read_tables(folder, ["toy"])
    found = source["complete_seeds"], source["num_runs"], {*curves.seed, *runs.seed}
    assert found == ([1], 2, {1})
    record(grid, workspace, RUNS[:1], COMMAND)
    _, runs, (source,) = read_tables(folder, ["toy"])
    assert (source["complete_seeds"], len(runs)) == ([0, 1], 3)
    pd.DataFrame({"seed": [0, 1, 2]}).to_csv(folder / "toy_scores.csv", index=False)
    assert set(read_scores(folder, "toy").seed) == {0, 1}


def test_the_network_that_a_grid_names_is_recorded(workspace, grid, tmp_path):
    named = replace(grid, network=RUNS[2])
    record(named, workspace, RUNS[:2], COMMAND)
    path = Path(grid.folder) / "toy_network.pt"
    assert not path.exists()
    record(named, workspace, RUNS[2:], COMMAND)
    state = final_state(RUNS[2], workspace)
    found = start(RUNS[2], workspace.images(RUNS[2])).model
    read_network(found, path)
    assert weights_sha256(found) == weights_sha256(state.model)


def test_tables_that_belong_together_are_read_as_one(workspace, grid):
    folder = record(grid, workspace, RUNS, COMMAND)
    other = replace(grid, name="other", runs=grid.runs[:1])
    record(other, workspace, RUNS[:1], COMMAND)
    curves, runs, sources = read_tables(folder, ["toy", "other"])
    alone = pd.read_csv(folder / "toy_curves.csv")
    assert list(curves.index) == list(range(len(alone) + grid.runs[0].num_epochs))
    names = ["method", "seed", "epoch", "num_updates", "test_error", "train_loss"]
    pd.testing.assert_frame_equal(curves[names][: len(alone)], alone[names], check_exact=True)
    assert len(runs) == len(grid.runs) + 1
    assert [source["num_runs"] for source in sources] == [len(grid.runs), 1]


def test_provenance_says_what_the_tables_do_not(workspace, grid):
    folder = record(grid, workspace, RUNS, COMMAND)
    found = json.loads((folder / "toy_provenance.json").read_text())
    table = pd.read_csv(folder / "toy_runs.csv")
    facts = {
        "command": COMMAND, "data_source": "CIFAR-10", "pixel_sha256": "0", "num_runs": 3,
        "seconds": round(table.seconds.sum(), 1), "peak_memory_mib": table.peak_memory_mib.max(),
    }  # fmt: skip
    assert facts.items() <= found.items()
    (machine,) = found["machines"]
    assert (machine["device"], machine["threads"]) == ("cpu", 1)
    assert machine["versions"]["torch"] == version("torch")
    fields = dict(TOY)
    shared = {name: fields[name] for name in fields if name not in grid.columns()}
    assert {"batch_size", "momentum", "precision", "tolerance"} <= set(shared)
    assert shared.items() <= found.items()
    assert not set(grid.columns()) & set(found)


def test_provenance_lists_machines_that_differ(workspace, grid, tmp_path):
    other = Workspace(DATA, shutil.copytree(workspace.root, tmp_path / "copy"))
    for run, device in zip(RUNS, ["cuda:1", "cpu", "cuda:1"], strict=True):
        path = other.folder(run) / "done.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"device": device}))
    record(grid, other, RUNS[:1], COMMAND)
    folder = record(grid, other, RUNS[1:], COMMAND)
    found = json.loads((folder / "toy_provenance.json").read_text())
    assert [machine["device"] for machine in found["machines"]] == ["cuda:1", "cpu"]
