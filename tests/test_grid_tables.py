"""What a grid's runs have come to: how far each is, and tables that repeat the runs' own files."""

import dataclasses
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from liprune_utils import runs
from liprune_utils.data import Dataset
from liprune_utils.experiment import Laboratory, run_point
from liprune_utils.grid_tables import collect, epochs_done, progress, read_tables, show_status
from liprune_utils.grids import IDENTITY, Grid
from liprune_utils.points import Point
from liprune_utils.runs import open_run

pytestmark = pytest.mark.usefixtures("one_thread")
TOY = Point(
    depth=8, num_images=24, num_test_images=9, batch_size=8, num_epochs=2, decay_epochs=(2,)
)
POINTS = (
    TOY,
    dataclasses.replace(TOY, method="random", keep_fraction=1 / 3, prune_epoch=2, seed=1),
    dataclasses.replace(TOY, decay_epochs=(), num_epochs=3),
)
COMMAND = "python -m liprune_utils.sweep grids/toy.yml"


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


def test_status_lists_every_run_and_counts_the_done(lab, capsys):
    other = dataclasses.replace(TOY, seed=7)
    show_status((other, *POINTS), lab)
    assert capsys.readouterr().out.splitlines() == [
        f"{lab.folder(other).name}: not begun",
        *(f"{lab.folder(point).name}: done" for point in POINTS),
        "3 of 4 runs are done.",
    ]
    assert not lab.folder(other).exists()
    assert [epochs_done(point, lab) for point in (other, *POINTS)] == [0, 2, 2, 3]


def test_tables_repeat_the_runs_own_files(lab, grid):
    folder = collect(grid, lab, COMMAND)
    assert folder == Path(grid.folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "toy_curves.csv", "toy_provenance.json", "toy_runs.csv",
    ]  # fmt: skip
    columns = [*IDENTITY, "decay_epochs", "num_epochs"]
    header, *lines = (folder / "toy_curves.csv").read_text().splitlines()
    assert header.split(",") == [*columns, "epoch", "num_updates", "test_error", "train_loss"]
    expected, last = [], []
    for point in POINTS:
        own = (lab.folder(point) / "curve.csv").read_text().splitlines()[1:]
        cells = [getattr(point, name) for name in columns]
        start = ",".join("2" if cell == (2,) else "" if cell == () else str(cell) for cell in cells)
        expected += [f"{start},{line}" for line in own]
        _, updates, error, loss = own[-1].split(",")
        done = json.loads((lab.folder(point) / "done.json").read_text())
        losses = f"{done['full_set_loss']},{done['kept_set_loss']}"
        cost = f"{done['seconds']},{done['peak_memory_mib']}"
        kept = 8 if point.method == "random" else 24
        last.append(f"{start},{error},{loss},{updates},{losses},{cost},{kept}")
    assert lines == expected
    header, *lines = (folder / "toy_runs.csv").read_text().splitlines()
    measured = ["test_error", "train_loss", "num_updates", "full_set_loss", "kept_set_loss"]
    measured += ["seconds", "peak_memory_mib", "num_images_kept"]
    assert header.split(",") == [*columns, *measured]
    assert lines == last


def test_tables_that_belong_together_are_read_as_one(lab, grid):
    folder = collect(grid, lab, COMMAND)
    other = dataclasses.replace(grid, name="other", points=grid.points[:1])
    collect(other, lab, COMMAND)
    curves, runs, sources = read_tables(folder, ["toy", "other"])
    alone = pd.read_csv(folder / "toy_curves.csv")
    assert list(curves.index) == list(range(len(alone) + grid.points[0].num_epochs))
    names = ["method", "seed", "epoch", "num_updates", "test_error", "train_loss"]
    pd.testing.assert_frame_equal(curves[names][: len(alone)], alone[names])
    assert len(runs) == len(grid.points) + 1
    assert [source["num_runs"] for source in sources] == [len(grid.points), 1]


def test_updates_are_whole_and_numbers_exact(lab, grid):
    folder = collect(grid, lab, COMMAND)
    for name in ("toy_curves", "toy_runs"):
        table = pd.read_csv(folder / f"{name}.csv")
        assert table.num_updates.dtype == "int64"
    # Three batches an epoch, of which one is kept from epoch 2 on.
    assert list(table.num_updates) == [6, 4, 9]


def test_several_decay_epochs_are_one_cell(lab, tmp_path):
    points = TOY, dataclasses.replace(TOY, decay_epochs=(1, 2))
    run_point(points[1], lab)
    folder = collect(Grid(str(tmp_path), "toy", points), lab, COMMAND)
    table = pd.read_csv(folder / "toy_curves.csv", dtype=str)
    assert list(table.decay_epochs) == ["2", "2", "1 2", "1 2"]


def test_provenance_says_what_the_tables_do_not(lab, grid):
    folder = collect(grid, lab, COMMAND)
    found = json.loads((folder / "toy_provenance.json").read_text())
    table = pd.read_csv(folder / "toy_runs.csv")
    facts = {
        "command": COMMAND, "data_source": "noise", "pixel_sha256": "0f" * 32, "device": "cpu",
        "threads": 1, "num_runs": 3, "seconds": round(table.seconds.sum(), 1),
        "peak_memory_mib": table.peak_memory_mib.max(),
    }  # fmt: skip
    assert facts.items() <= found.items()
    assert found["versions"]["torch"] == version("torch")
    fields = dataclasses.asdict(TOY)
    shared = {name: fields[name] for name in fields if name not in grid.columns()}
    assert {"batch_size", "momentum", "precision", "tolerance"} <= set(shared)
    assert shared.items() <= found.items()
    assert not set(grid.columns()) & set(found)


def test_provenance_lists_devices_and_threads_that_differ(lab, grid, tmp_path):
    for point, device in zip(POINTS, ["cuda:1", "cpu", "cuda:1"], strict=True):
        path = lab.folder(point) / "done.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"device": device}))
    try:
        folder = collect(grid, lab, COMMAND)
    finally:
        for point in POINTS:
            path = lab.folder(point) / "done.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"device": "cpu"}))
    found = json.loads((folder / "toy_provenance.json").read_text())
    assert (found["device"], found["threads"]) == (["cpu", "cuda:1"], 1)
