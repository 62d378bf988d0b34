"""What a grid's runs have come to: how far each is, and tables that repeat the runs' own files."""

import dataclasses
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from liprune_utils import runs
from liprune_utils.checks import InputError
from liprune_utils.data import Dataset
from liprune_utils.grid import IDENTITY, Grid
from liprune_utils.grid_tables import (
    epochs_done,
    progress,
    read_tables,
    ready,
    record,
    recorded_points,
    run_name,
    show_status,
)
from liprune_utils.images import fixed_batches
from liprune_utils.runs import open_run, read_network
from liprune_utils.score_files import weights_sha256
from liprune_utils.settings import Point
from liprune_utils.training import start
from liprune_utils.training_run import Laboratory, load_final, run_point

pytestmark = pytest.mark.usefixtures("one_thread")
TOY = Point(
    depth=8, num_images=24, num_test_images=9, batch_size=8, num_epochs=2, decay_epochs=(2,)
)
POINTS = (
    TOY,
    dataclasses.replace(TOY, decay_epochs=(), num_epochs=3),
    dataclasses.replace(TOY, method="random", keep_fraction=1 / 3, prune_epoch=2, seed=1),
)
COMMAND = "python -m liprune_utils.sweep experiments/grids/toy.yml"


def laboratory(root: Path) -> Laboratory:
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    labels = draw.integers(0, 10, 40)
    dataset = Dataset(pixels, labels, pixels[:9], labels[:9], "noise", "0f" * 32, ("class",) * 10)
    return Laboratory(dataset, root)


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Laboratory:
    """Where the points are done."""
    lab = laboratory(tmp_path_factory.mktemp("lab"))
    for point in POINTS:
        run_point(point, lab)
    return lab


@pytest.fixture
def grid(tmp_path) -> Grid:
    return Grid(str(tmp_path / "tables"), "toy", POINTS)


class Leave(Exception):  # noqa: N818 - nothing is wrong
    """Breaks a run off."""


def test_progress_at_every_stage(tmp_path, monkeypatch):
    lab, found = laboratory(tmp_path), []
    assert progress(TOY, lab) == "not begun"
    assert not lab.root.exists() or not list(lab.root.iterdir())
    save, write = runs.Run.save, runs.write_json

    def saving(run, *words):
        found.append(progress(TOY, lab))
        save(run, *words)
        found.append(progress(TOY, lab))

    def writing(path, content):
        found.append(progress(TOY, lab))  # with the tables where it writes done.json
        write(path, content)

    monkeypatch.setattr(runs.Run, "save", saving)
    monkeypatch.setattr(runs, "write_json", writing)
    run_point(TOY, lab)
    second = "epoch 2 of 2"  # after the first epoch's end, the one under way
    assert found == ["not begun", "not begun", second, second, second, second]
    assert progress(TOY, lab) == "done"


def test_progress_is_that_of_the_latest_checkpoint(tmp_path):
    lab, point = laboratory(tmp_path), dataclasses.replace(TOY, num_epochs=1200)
    with open_run(lab.root / "runs", point.label, lab.settings(point)) as run:
        for position in [(9, 3), (1000, 2), (1000, 10)]:
            run.save(position, {})
            assert progress(point, lab) == f"epoch {position[0]} of 1200"
            assert epochs_done(point, lab) == position[0] - 1


def test_status_lists_every_run_and_counts_the_recorded_and_the_done(lab, tmp_path, capsys):
    other = dataclasses.replace(TOY, seed=7)
    grid = Grid(str(tmp_path), "toy", (*POINTS, other))
    record(grid, lab, POINTS[:1], COMMAND)
    show_status(grid, lab)
    assert capsys.readouterr().out.splitlines() == [
        f"{lab.folder(POINTS[0]).name}: recorded",
        *(f"{lab.folder(point).name}: done" for point in POINTS[1:]),
        f"{lab.folder(other).name}: not begun",
        "3 of 4 runs are done, 1 of them recorded.",
    ]
    assert not lab.folder(other).exists()
    assert [epochs_done(point, lab) for point in (other, *POINTS)] == [0, 2, 3, 2]


def test_tables_repeat_the_runs_own_files(lab, grid):
    folder = record(grid, lab, POINTS, COMMAND)
    assert folder == Path(grid.folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "toy_curves.csv", "toy_provenance.json", "toy_runs.csv",
    ]  # fmt: skip
    columns = [*IDENTITY, "decay_epochs", "num_epochs"]
    header, *lines = (folder / "toy_curves.csv").read_text().splitlines()
    assert header.split(",") == [
        "run_id",
        *columns,
        "epoch",
        "num_updates",
        "test_error",
        "train_loss",
    ]
    expected, last = [], []
    for point in POINTS:
        own = (lab.folder(point) / "curve.csv").read_text().splitlines()[1:]
        cells = [run_name(point, lab), *(getattr(point, name) for name in columns)]
        start = ",".join("2" if cell == (2,) else "" if cell == () else str(cell) for cell in cells)
        expected += [f"{start},{line}" for line in own]
        _, updates, error, loss = own[-1].split(",")
        done = json.loads((lab.folder(point) / "done.json").read_text())
        losses = f"{done['full_set_loss']},{done['kept_set_loss']},{done['images_sha256']}"
        cost = f"{done['seconds']},{done['peak_memory_mib']},{done['commit']}"
        kept = 8 if point.method == "random" else 24
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
def test_rows_that_are_added_bit_by_bit_are_those_of_all_at_once(lab, grid, tmp_path, order):
    whole = contents(record(grid, lab, POINTS, COMMAND))
    other = dataclasses.replace(grid, folder=str(tmp_path / "other"))
    for number in order:
        record(other, lab, POINTS[number : number + 1], COMMAND)
    assert contents(tmp_path / "other") == whole


def test_what_a_killed_writer_left_is_written_over(lab, grid):
    whole = contents(record(grid, lab, POINTS, COMMAND))
    record(grid, lab, POINTS, COMMAND)
    assert contents(Path(grid.folder)) == whole
    runs = Path(grid.folder) / "toy_runs.csv"  # the last to be written
    runs.write_text("".join(runs.read_text().splitlines(keepends=True)[:2]))
    assert recorded_points(grid, lab) == set(POINTS[:1])
    record(grid, lab, POINTS[1:], COMMAND)
    assert contents(Path(grid.folder)) == whole


def test_a_run_is_recorded_together_with_those_that_share_its_network(tmp_path):
    lab, shared = laboratory(tmp_path), {"keep_fraction": 1 / 3, "prune_epoch": 2}
    pair = [dataclasses.replace(TOY, method=m, **shared) for m in ("random", "liprune")]
    grid = Grid(str(tmp_path / "tables"), "toy", (TOY, *pair))
    assert ready(grid, lab, set()) == []
    run_point(TOY, lab)
    run_point(pair[0], lab)
    assert ready(grid, lab, set()) == [TOY]
    run_point(pair[1], lab)
    assert ready(grid, lab, set()) == [TOY, *pair]
    assert ready(grid, lab, {TOY}) == pair
    record(grid, lab, [TOY, *pair], COMMAND)
    scores = pd.read_csv(tmp_path / "tables" / "toy_scores.csv")
    assert scores.run_id.unique().tolist() == [run_name(pair[1], lab)]
    assert scores.kept.sum() == 1
    chosen = pd.read_csv(lab.folder(pair[1]) / "kept.csv").image.to_numpy()
    order = fixed_batches(24, 8, seed=0)
    assert sorted(chosen) == sorted(order[scores.batch[scores.kept].item()])


def test_a_recorded_run_needs_no_folder(lab, grid, tmp_path):
    record(grid, lab, POINTS, COMMAND)
    elsewhere = Laboratory(lab.dataset, tmp_path / "nothing")
    assert recorded_points(grid, elsewhere) == set(POINTS)
    other = dataclasses.replace(lab.dataset, sha256="1")
    with pytest.raises(InputError, match="expected runs of this grid"):
        recorded_points(grid, Laboratory(other, tmp_path))


def test_tables_of_something_else_are_not_written_over(lab, grid):
    record(grid, lab, POINTS, COMMAND)
    path, text = Path(grid.folder) / "toy_runs.csv", "method,seed\nnone,0\n"
    fewer = dataclasses.replace(grid, points=POINTS[1:])
    with pytest.raises(InputError, match=f"^{path} holds the run {run_name(POINTS[0], lab)}; expe"):
        record(fewer, lab, POINTS[1:], COMMAND)
    path.write_text(text)
    with pytest.raises(InputError, match=f"^{path} holds the run of an earlier edition; expected"):
        record(grid, lab, POINTS, COMMAND)
    assert path.read_text() == text


def test_seeds_that_are_complete_are_read_and_no_others(lab, grid):
    record(grid, lab, POINTS[1:], COMMAND)  # of seed 0 one of two
    source = json.loads((Path(grid.folder) / "toy_provenance.json").read_text())
    assert (source["complete_seeds"], source["num_runs"]) == ([1], 2)
    curves, runs, _ = read_tables(Path(grid.folder), ["toy"])
    assert (set(curves.seed), set(runs.seed)) == ({1}, {1})
    record(grid, lab, POINTS[:1], COMMAND)
    _, runs, (source,) = read_tables(Path(grid.folder), ["toy"])
    assert source["complete_seeds"] == [0, 1]
    assert len(runs) == 3


def test_the_network_that_a_grid_names_is_recorded(lab, grid, tmp_path):
    named = dataclasses.replace(grid, network=POINTS[2])
    record(named, lab, POINTS[:2], COMMAND)
    path = Path(grid.folder) / "toy_network.pt"
    assert not path.exists()
    record(named, lab, POINTS[2:], COMMAND)
    state = load_final(POINTS[2], lab, start(POINTS[2], lab.task(POINTS[2])))
    found = start(POINTS[2], lab.task(POINTS[2])).model
    read_network(found, path)
    assert weights_sha256(found) == weights_sha256(state.model)


def test_tables_that_belong_together_are_read_as_one(lab, grid):
    folder = record(grid, lab, POINTS, COMMAND)
    other = dataclasses.replace(grid, name="other", points=grid.points[:1])
    record(other, lab, POINTS[:1], COMMAND)
    curves, runs, sources = read_tables(folder, ["toy", "other"])
    alone = pd.read_csv(folder / "toy_curves.csv")
    assert list(curves.index) == list(range(len(alone) + grid.points[0].num_epochs))
    names = ["method", "seed", "epoch", "num_updates", "test_error", "train_loss"]
    pd.testing.assert_frame_equal(curves[names][: len(alone)], alone[names], check_exact=True)
    assert len(runs) == len(grid.points) + 1
    assert [source["num_runs"] for source in sources] == [len(grid.points), 1]


def test_updates_are_whole_and_numbers_exact(lab, grid):
    folder = record(grid, lab, POINTS, COMMAND)
    for name in ("toy_curves", "toy_runs"):
        table = pd.read_csv(folder / f"{name}.csv")
        assert table.num_updates.dtype == "int64"
    # Three batches an epoch, of which one is kept from epoch 2 on.
    assert list(table.num_updates) == [6, 9, 4]


def test_several_decay_epochs_are_one_cell(lab, tmp_path):
    points = TOY, dataclasses.replace(TOY, decay_epochs=(1, 2))
    run_point(points[1], lab)
    folder = record(Grid(str(tmp_path), "toy", points), lab, points, COMMAND)
    table = pd.read_csv(folder / "toy_curves.csv", dtype=str)
    assert list(table.decay_epochs) == ["2", "2", "1 2", "1 2"]


def test_provenance_says_what_the_tables_do_not(lab, grid):
    folder = record(grid, lab, POINTS, COMMAND)
    found = json.loads((folder / "toy_provenance.json").read_text())
    table = pd.read_csv(folder / "toy_runs.csv")
    facts = {
        "command": COMMAND, "data_source": "noise", "pixel_sha256": "0f" * 32, "num_runs": 3,
        "seconds": round(table.seconds.sum(), 1), "peak_memory_mib": table.peak_memory_mib.max(),
    }  # fmt: skip
    assert facts.items() <= found.items()
    (machine,) = found["machines"]
    assert (machine["device"], machine["threads"]) == ("cpu", 1)
    assert machine["versions"]["torch"] == version("torch")
    fields = dataclasses.asdict(TOY)
    shared = {name: fields[name] for name in fields if name not in grid.columns()}
    assert {"batch_size", "momentum", "precision", "tolerance"} <= set(shared)
    assert shared.items() <= found.items()
    assert not set(grid.columns()) & set(found)


def test_provenance_lists_machines_that_differ(lab, grid, tmp_path):
    for point, device in zip(POINTS, ["cuda:1", "cpu", "cuda:1"], strict=True):
        path = lab.folder(point) / "done.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"device": device}))
    try:
        record(grid, lab, POINTS[:1], COMMAND)
        folder = record(grid, lab, POINTS[1:], COMMAND)
    finally:
        for point in POINTS:
            path = lab.folder(point) / "done.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"device": "cpu"}))
    found = json.loads((folder / "toy_provenance.json").read_text())
    assert [machine["device"] for machine in found["machines"]] == ["cuda:1", "cpu"]
