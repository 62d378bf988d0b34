"""Grids: the file that lists the runs, how far they are, and tables that repeat their files."""

import json
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
import yaml
from synthetic import dataset

from liprune_utils.checks import InputError
from liprune_utils.files import PROJECT
from liprune_utils.grid import (
    IDENTITY,
    Grid,
    epochs_done,
    progress,
    read_grid,
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
CONTENT = {
    "folder": "reruns/toy", "name": "toy", "common": {"depth": 8, "num_epochs": 3},
    "blocks": [{"method": ["none"]}],
}  # fmt: skip
PLAIN = TrainingRun(depth=8, num_epochs=3)


def write(folder: Path, content: object) -> Path:
    path = folder / "toy.yml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def read(folder: Path, **changes: object) -> Grid:
    return read_grid(write(folder, CONTENT | changes))


def test_a_grid_has_what_its_file_says(tmp_path):
    assert read(tmp_path) == Grid("reruns/toy", "toy", (PLAIN,))
    assert read_grid(str(tmp_path / "toy.yml")) == read(tmp_path)
    assert read(tmp_path, common={}).runs == (TrainingRun(),)


def test_a_block_is_crossed_the_last_field_fastest(tmp_path):
    block = {"method": ["random", "grand"], "keep_fraction": [0.2, 0.5], "num_epochs": [4, 3]}
    runs = read_grid(
        write(tmp_path, yaml.safe_dump(CONTENT | {"blocks": [block]}, sort_keys=False))
    )
    assert list(runs.runs) == [
        PLAIN.replace(method=method, keep_fraction=fraction, num_epochs=number)
        for method in ("random", "grand")
        for fraction in (0.2, 0.5)
        for number in (4, 3)
    ]


def test_blocks_follow_one_another_and_what_they_share_is_run_once(tmp_path):
    blocks = [
        {"seed": [2, 0]},
        {"seed": [1, 0, 2]},
        {"method": ["random"], "keep_fraction": [1]},
        {"method": ["random"], "keep_fraction": [1.0]},
    ]
    found = read(tmp_path, blocks=blocks).runs
    pruned = PLAIN.replace(method="random")
    assert found == (PLAIN, pruned, *(PLAIN.replace(seed=seed) for seed in (1, 2)))  # seed by seed


def test_a_grid_may_name_a_run_whose_network_is_recorded(tmp_path):
    blocks = [{"seed": [0, 1]}, {"method": ["random"], "seed": [0, 1]}]
    assert read(tmp_path, blocks=blocks).network is None
    found = read(tmp_path, blocks=blocks, network={"method": "none", "seed": 1})
    assert found.network == PLAIN.replace(seed=1)
    for values, number in (({"seed": 0}, 2), ({"seed": 7}, 0)):
        with pytest.raises(InputError, match=f"single out one run, not {number}"):
            read(tmp_path, blocks=blocks, network=values)
    with pytest.raises(InputError, match="no parameter 'sead': did you mean 'seed'"):
        read(tmp_path, blocks=blocks, network={"sead": 0})


def test_common_values_are_taken_as_they_are(tmp_path):
    common = CONTENT["common"] | {"decay_epochs": [80, 120], "augment": False}
    found = read(tmp_path, common=common, blocks=[{"seed": [0, 1]}]).runs
    assert [run.decay_epochs for run in found] == [(80, 120)] * 2
    assert not any(run.augment for run in found)


def test_a_list_among_the_values_of_a_block_is_one_value(tmp_path):
    found = read(tmp_path, blocks=[{"decay_epochs": [[80, 120], []], "depth": [14]}])
    assert [(run.decay_epochs, run.depth) for run in found.runs] == [((80, 120), 14), ((), 14)]
    assert found.columns() == [*IDENTITY, "decay_epochs"]


def test_columns_are_the_identity_and_what_else_differs(tmp_path):
    assert read(tmp_path).columns() == list(IDENTITY)
    blocks = [{"seed": [0, 1], "momentum": [0.9, 0]}, {"batch_size": [64]}]
    assert read(tmp_path, blocks=blocks).columns() == [*IDENTITY, "batch_size", "momentum"]


@pytest.mark.parametrize(
    "path", sorted((PROJECT / "experiments" / "grids").glob("*.yml")), ids=lambda p: p.name
)
def test_the_grids_of_the_book_can_be_read(path):
    assert read_grid(path).runs


BLOCKS = "a list with at least one mapping of fields to lists of values"
REFUSED = {
    "content": ([1, 2], r"The content is \[1, 2\]; expected a mapping of folder, name, "),
    "empty": ("", "The content is None; expected a mapping of folder, name, common, blocks"),
    "network": (CONTENT | {"network": [1]}, r"network is \[1\]; expected a mapping of fields to"),
    "key": (CONTENT | {"block": []}, "GridFile has no parameter 'block': did you mean 'blocks'"),
    "number as key": (CONTENT | {1: []}, "GridFile has no parameter '1': known are folder, name"),
    "missing": ({"name": "toy", "common": {}}, "GridFile lacks folder, blocks"),
    "folder": (CONTENT | {"folder": ""}, "folder is ''; expected a folder's name"),
    "name": (CONTENT | {"name": "a/b"}, "name is 'a/b'; expected the beginning of a file's name"),
    "common": (CONTENT | {"common": [1]}, r"common is \[1\]; expected a mapping of the fields"),
    "no block": (CONTENT | {"blocks": []}, rf"blocks is \[\]; expected {BLOCKS}"),
    "block": (CONTENT | {"blocks": ["seed"]}, rf"blocks is \['seed'\]; expected {BLOCKS}"),
    "empty block": (CONTENT | {"blocks": [{}]}, "A block is {}; expected a mapping of fields"),
    "field": (
        CONTENT | {"blocks": [{"lerning_rate": [0.1]}]},
        r"TrainingRun has no parameter 'lerning_rate': did you mean 'learning_rate'\?",
    ),
    "common field": (
        CONTENT | {"common": {"num_epoch": 3}},
        r"TrainingRun has no parameter 'num_epoch': did you mean 'num_epochs'\?",
    ),
    "no list": (CONTENT | {"blocks": [{"seed": 3}]}, "seed is 3; expected a list of values"),
    "no value": (CONTENT | {"blocks": [{"seed": []}]}, r"seed is \[\]; expected a list of values"),
    "twice": (CONTENT | {"blocks": [{"seed": [0, 0]}]}, r"seed is \[0, 0\]; expected a list of"),
    "value": (CONTENT | {"blocks": [{"seed": ["3"]}]}, "seed is '3'; expected a whole number"),
    "no epoch": (
        CONTENT | {"blocks": [{"num_epochs": [0, 3]}]}, "num_epochs is 0; expected at least 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "words"), REFUSED.values(), ids=REFUSED)
def test_a_sentence_names_file_value_and_what_was_expected(tmp_path, content, words):
    path = write(tmp_path, content)
    with pytest.raises(InputError, match=f"^Grid file {path}: {words}") as caught:
        read_grid(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file or directory"),
        (b"a: [\n", "while parsing .*, line 2, column 1"),
        (b"a: \xff\xfe", "unacceptable character #x00ff: .*, position 3"),
        (b"a: !!python/none 1", "could not determine a constructor .*, line 1, column 4"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, content, words):
    path = tmp_path / "toy.yml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"^The grid file {path} cannot be read: {words}\\.$"):
        read_grid(path)


# Recorded tables


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
