"""Grids of training runs: the file that lists them, how far they are, and their recorded tables.

A grid file has ``folder`` and ``name`` (where the tables go, and their prefix), ``common`` (fields
of `liprune_utils.settings.TrainingRun` that all runs share) and ``blocks``: in each, every
combination of the listed values is a run; a list has each value once. A run that two blocks share
is done once. The file may have ``network``: the values that single out a run whose final network is
recorded too.

Runs that share the network at their pruning are recorded together, as soon as all of them are done:
they are compared with each other, and so should come from one machine. A run that is recorded
counts as done everywhere. A seed counts once all of its runs are recorded.
"""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from liprune_utils.checks import Checked, InputError, refuse_unknown, require
from liprune_utils.files import (
    in_project,
    read_json,
    read_table,
    read_yaml,
    writable_folder,
    write_json,
    write_table,
)
from liprune_utils.runs import save_network
from liprune_utils.settings import ENGINE, TrainingRun
from liprune_utils.training_run import Workspace, final_state

IDENTITY = ("method", "depth", "keep_fraction", "prune_epoch", "learning_rate", "seed")
KINDS = ("curves", "scores", "runs")  # of tables; the last one tells what is recorded
LAST = ("test_error", "train_loss", "num_updates")  # of a run's curve
MEASURED = (
    "full_set_loss", "kept_set_loss", "images_sha256", "seconds", "peak_memory_mib", "commit",
)  # fmt: skip
MACHINE = ("python", "platform", "cpus", "versions", "device", "threads")


class GridFile(Checked):
    """The content of a grid file, as the module describes it."""

    folder: str = Field(min_length=1, description="a folder's name")
    name: str = Field(pattern="^[^/]+$", description="the beginning of a file's name")
    common: dict[str, Any] = Field(description="a mapping of the fields that all runs share")
    blocks: list[dict[str, Any]] = Field(
        min_length=1, description="a list with at least one mapping of fields to lists of values"
    )
    network: dict[str, Any] | None = Field(
        None, description="a mapping of fields to the values that single out one run"
    )


@dataclass(frozen=True)
class Grid:
    """The runs of a recorded table."""

    folder: str  #: where the tables go, relative to the project
    name: str  #: what their names begin with
    runs: tuple[TrainingRun, ...]  #: each once, seed by seed: what is stopped has whole seeds first
    network: TrainingRun | None = None  #: the run whose final network is recorded too

    def columns(self) -> list[str]:
        """List the fields that tell the runs apart: the usual ones, and whatever else differs."""
        rows = [dict(run) for run in self.runs]
        differ = [name for name in rows[0] if len({row[name] for row in rows}) > 1]
        return [*IDENTITY, *(name for name in differ if name not in IDENTITY)]


def read_grid(path: str | Path) -> Grid:
    """Read and check a grid file, as the module describes it.

    Args:
        path: The YAML file.

    Returns:
        The grid, its runs sorted by seed.

    Raises:
        InputError: If the file or one of its runs is not as described; the sentence names it.

    Example:
        >>> grid = read_grid(in_project("experiments/grids/paper_cell.yml"))
        >>> grid.runs[-1].label
        'resnet14-liprune-keep0.2-prune1-rate0.01-seed1'
    """
    content = read_yaml(Path(path), "The grid file")
    try:
        names = ", ".join(GridFile.model_fields)
        require(isinstance(content, dict), "The content", content, f"a mapping of {names}")
        file = GridFile(**{str(name): value for name, value in content.items()})
        runs = [run for block in file.blocks for run in _expand(file.common, block)]
        require(min(run.num_epochs for run in runs) > 0, "num_epochs", 0, "at least 1")
        runs = sorted(dict.fromkeys(runs), key=lambda run: run.seed)
        network = _single_out(runs, file.network) if file.network else None
        return Grid(file.folder, file.name, tuple(runs), network)
    except InputError as error:
        raise InputError(f"Grid file {path}: {error}") from None


# The last field varies fastest.
def _expand(common: Mapping[str, object], block: Mapping[str, list]) -> list[TrainingRun]:
    require(bool(block), "A block", block, "a mapping of fields to lists of values")
    for name, values in block.items():
        once = isinstance(values, list) and all(values.count(value) == 1 for value in values)
        require(bool(values) and once, name, values, "a list of values, each once")
    return [
        TrainingRun(**{**common, **dict(zip(block, values, strict=True))})
        for values in product(*block.values())
    ]


def _single_out(runs: Sequence[TrainingRun], values: Mapping[str, object]) -> TrainingRun:
    refuse_unknown(values, list(TrainingRun.model_fields), "TrainingRun")
    chosen = [run for run in runs if dict(run) | values == dict(run)]
    expected = GridFile.model_fields["network"].description
    require(len(chosen) == 1, "network", dict(values), f"{expected}, not {len(chosen)}")
    return chosen[0]


def epochs_done(run: TrainingRun, workspace: Workspace) -> int:
    """Count a run's finished epochs at its latest checkpoint, from 0 to ``num_epochs``."""
    names = [path.name for path in workspace.folder(run).glob("checkpoint-*.pt")]
    return max((int(name.split("-")[1]) - 1 for name in names), default=0)


def progress(run: TrainingRun, workspace: Workspace) -> str:
    """Describe how far a run is: "done", "not begun", or the epoch under way, "epoch 3 of 20"."""
    if workspace.is_done(run):
        return "done"
    if not list(workspace.folder(run).glob("checkpoint-*.pt")):
        return "not begun"
    return f"epoch {min(epochs_done(run, workspace) + 1, run.num_epochs)} of {run.num_epochs}"


def show_status(grid: Grid, workspace: Workspace) -> None:
    """Print how far each run of a grid is, and how many are recorded or done."""
    recorded = recorded_runs(grid, workspace)
    states = {r: "recorded" if r in recorded else progress(r, workspace) for r in grid.runs}
    for run, state in states.items():
        print(f"{workspace.folder(run).name}: {state}")
    counts = Counter(states.values())
    finished = counts["recorded"] + counts["done"]
    print(f"{finished} of {len(states)} runs are done, {counts['recorded']} of them recorded.")


def run_name(run: TrainingRun, workspace: Workspace) -> str:
    """Name a run by what decides its result: the hash at the end of its folder's name."""
    return workspace.folder(run).name.split("-")[-1]


def recorded_runs(grid: Grid, workspace: Workspace) -> set[TrainingRun]:
    """List the runs that the recorded table has; a row that is not the grid's is refused."""
    path = in_project(grid.folder) / f"{grid.name}_runs.csv"
    if not path.exists():
        return set()
    by_name = {run_name(run, workspace): run for run in grid.runs}
    names = _read_as_text(path).get("run_id", [None])
    for name in names:
        expected = "that of a run of this grid, with its data and engine"
        require(name in by_name, f"A run_id in {path}", name, expected)
    return {by_name[name] for name in names}


def unfinished_runs(grid: Grid, workspace: Workspace) -> list[TrainingRun]:
    """List the runs that are to be done: those that are neither recorded nor done."""
    recorded = recorded_runs(grid, workspace)
    return [run for run in grid.runs if run not in recorded and not workspace.is_done(run)]


def recordable_runs(grid: Grid, workspace: Workspace) -> list[TrainingRun]:
    """List the runs to record: not recorded yet, and all that share their network are done."""
    recorded = recorded_runs(grid, workspace)
    waiting = {run.before_pruning() for run in unfinished_runs(grid, workspace)}
    return [r for r in grid.runs if r not in recorded and r.before_pruning() not in waiting]


def record(grid: Grid, workspace: Workspace, runs: Sequence[TrainingRun], command: str) -> Path:
    """Add finished runs to the recorded tables of their grid; ``command`` is for the provenance.

    Returns:
        The folder of the tables: ``NAME_curves.csv`` (one row per run and epoch),
        ``NAME_scores.csv`` (one row per run of LiPrune and batch), ``NAME_runs.csv`` (one row per
        run), ``NAME_provenance.json``, and ``NAME_network.pt`` where the grid names a network.
    """
    folder, known = writable_folder(grid.folder, "folder"), recorded_runs(grid, workspace)
    if grid.network in runs:
        model = final_state(grid.network, workspace).model
        save_network(model, folder / f"{grid.name}_network.pt")
    added = [_run_tables(grid, workspace, run) for run in runs]
    known |= set(runs)
    names = [run_name(run, workspace) for run in grid.runs if run in known]
    tables = {}
    for kind in KINDS:
        own = [_as_text(tables[kind]) for tables in added if kind in tables]
        tables[kind] = _join([_read_as_text(folder / f"{grid.name}_{kind}.csv"), *own], names)
    _write_provenance(grid, workspace, runs, tables["runs"], command)
    for kind, table in tables.items():
        if len(table):
            write_table(folder, f"{grid.name}_{kind}", table)
    return folder


# One block of rows per run, in the order of the names; what a writer that was killed has left of
# other runs is dropped.
def _join(tables: Sequence[pd.DataFrame], names: Sequence[str]) -> pd.DataFrame:
    joined = pd.concat([table for table in tables if len(table)] or [pd.DataFrame({"run_id": []})])
    place = {name: number for number, name in enumerate(names)}
    return (
        joined[joined.run_id.isin(names)]
        .drop_duplicates()
        .sort_values("run_id", key=lambda name: name.map(place), kind="stable", ignore_index=True)
    )


# What one run adds to each table.
def _run_tables(grid: Grid, workspace: Workspace, run: TrainingRun) -> dict[str, pd.DataFrame]:
    folder, columns = workspace.folder(run), {"run_id": run_name(run, workspace)}
    for name in grid.columns():
        value = getattr(run, name)
        columns[name] = " ".join(map(str, value)) if isinstance(value, tuple) else value
    curve, done = read_table(folder / "curve.csv"), read_json(folder / "done.json")
    row = curve.iloc[-1][list(LAST)].to_dict() | {name: done[name] for name in MEASURED}
    row |= {"num_updates": int(row["num_updates"])}
    row |= {"num_images_kept": len(read_table(folder / "kept.csv"))}
    tables = {"curves": curve, "runs": pd.DataFrame([row])}
    if (folder / "scores.csv").exists():
        tables["scores"] = read_table(folder / "scores.csv")
    return {k: pd.DataFrame(columns, index=table.index).join(table) for k, table in tables.items()}


# Rows that are there already are text, so that no digit of theirs changes.
def _read_as_text(file: Path | io.StringIO) -> pd.DataFrame:
    if isinstance(file, Path) and not file.exists():
        return pd.DataFrame()
    return pd.read_csv(file, dtype=str, keep_default_na=False)


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    return _read_as_text(io.StringIO(table.to_csv(index=False)))


def _write_provenance(
    grid: Grid,
    workspace: Workspace,
    runs: Sequence[TrainingRun],
    table: pd.DataFrame,
    command: str,
) -> None:
    path = in_project(grid.folder) / f"{grid.name}_provenance.json"
    machines = read_json(path)["machines"] if path.exists() else []
    for run in runs:
        done = read_json(workspace.folder(run) / "done.json")
        machine = {name: done[name] for name in MACHINE}
        machines += [machine] if machine not in machines else []
    counts = table.seed.astype(int).value_counts().to_dict()
    planned = Counter(run.seed for run in grid.runs)
    facts = {
        "command": command, "data_source": workspace.dataset.source,
        "pixel_sha256": workspace.dataset.sha256,
        "engine": ENGINE, "machines": machines, "num_runs": len(table),
        "complete_seeds": [seed for seed, number in planned.items() if counts.get(seed) == number],
        "seconds": round(table.seconds.astype(float).sum(), 1),
        "peak_memory_mib": int(table.peak_memory_mib.astype(int).max()),
    }  # fmt: skip
    shared = {k: v for k, v in dict(grid.runs[0]).items() if k not in grid.columns()}
    write_json(path, facts | shared)


def read_tables(
    folder: Path, names: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame, list[dict[str, object]]]:
    """Read recorded tables that belong together; of a grid under way its complete seeds.

    Returns:
        The curves and the runs of all grids, one below the other, and the provenance of each.
    """
    sources = [read_json(folder / f"{name}_provenance.json") for name in names]
    curves, runs = (
        pd.concat(
            [
                _complete_seeds(read_table(folder / f"{name}_{kind}.csv"), source)
                for name, source in zip(names, sources, strict=True)
            ],
            ignore_index=True,
        )
        for kind in ("curves", "runs")
    )
    return curves, runs, sources


def read_scores(folder: Path, name: str) -> pd.DataFrame:
    """Read by which scores a recorded grid's runs pruned; of a grid under way its complete seeds.

    Returns:
        One row per run of LiPrune and batch.
    """
    source = read_json(folder / f"{name}_provenance.json")
    return _complete_seeds(read_table(folder / f"{name}_scores.csv"), source)


# The provenance of a table that was recorded at once names no seeds.
def _complete_seeds(table: pd.DataFrame, source: Mapping[str, Any]) -> pd.DataFrame:
    seeds = source.get("complete_seeds")
    return table if seeds is None else table[table.seed.isin(seeds)]
