"""What the runs of a grid have come to: how far each is, and the recorded tables of finished ones.

Runs that share the network at their pruning are recorded together, as soon as all of them are done:
they are compared with each other, and so should come from one machine. A run that is recorded
counts as done everywhere. A seed counts once all of its runs are recorded.
"""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from liprune_utils.checks import InputError
from liprune_utils.files import (
    PROJECT,
    read_json,
    read_table,
    results_folder,
    write_json,
    write_table,
)
from liprune_utils.grid import Grid
from liprune_utils.runs import save_network
from liprune_utils.settings import ENGINE, Point
from liprune_utils.training import start
from liprune_utils.training_run import Laboratory, load_final

KINDS = ("curves", "scores", "runs")  # of tables; the last one tells what is recorded
LAST = ("test_error", "train_loss", "num_updates")  # of a run's curve
MEASURED = (
    "full_set_loss", "kept_set_loss", "images_sha256", "seconds", "peak_memory_mib", "commit",
)  # fmt: skip
MACHINE = ("python", "platform", "cpus", "versions", "device", "threads")


def is_done(point: Point, lab: Laboratory) -> bool:
    """Tell whether a run is finished in its folder.

    Args:
        point: The run.
        lab: Where it lies.

    Returns:
        Whether ``done.json`` is there.
    """
    return (lab.folder(point) / "done.json").exists()


def progress(point: Point, lab: Laboratory) -> str:
    """Say how far a run is, without disturbing it.

    Args:
        point: The run.
        lab: Where it lies.

    Returns:
        "done", "epoch 3 of 20" (the one under way at its latest checkpoint) or "not begun".
    """
    if is_done(point, lab):
        return "done"
    if not list(lab.folder(point).glob("checkpoint-*.pt")):
        return "not begun"
    return f"epoch {min(epochs_done(point, lab) + 1, point.num_epochs)} of {point.num_epochs}"


def epochs_done(point: Point, lab: Laboratory) -> int:
    """Count the epochs that a run had finished at its latest checkpoint.

    Args:
        point: The run.
        lab: Where it lies.

    Returns:
        From 0 to ``num_epochs``.
    """
    names = [path.name for path in lab.folder(point).glob("checkpoint-*.pt")]
    return max((int(name.split("-")[1]) - 1 for name in names), default=0)


def show_status(grid: Grid, lab: Laboratory) -> None:
    """Print how far each run of a grid is, and how many are recorded or done.

    Args:
        grid: The grid.
        lab: Where its runs lie.
    """
    recorded = recorded_points(grid, lab)
    words = {p: "recorded" if p in recorded else progress(p, lab) for p in grid.points}
    for point, word in words.items():
        print(f"{lab.folder(point).name}: {word}")
    counts = Counter(words.values())
    finished = counts["recorded"] + counts["done"]
    print(f"{finished} of {len(words)} runs are done, {counts['recorded']} of them recorded.")


def recorded_points(grid: Grid, lab: Laboratory) -> set[Point]:
    """List the runs that stand in the grid's recorded table.

    Args:
        grid: The grid.
        lab: The data that its runs have.

    Returns:
        Its points that need no run.

    Raises:
        InputError: If the table has runs that are not the grid's, which would be lost.
    """
    path = PROJECT / grid.folder / f"{grid.name}_runs.csv"
    if not path.exists():
        return set()
    by_name = {run_name(point, lab): point for point in grid.points}
    names = _as_read(path).get("run_id", pd.Series(["of an earlier edition"]))
    foreign = [name for name in names if name not in by_name]
    if foreign:
        found = f"{path} holds the run {foreign[0]}"
        raise InputError(f"{found}; expected runs of this grid, its engine and data alone.")
    return {by_name[name] for name in names}


def run_name(point: Point, lab: Laboratory) -> str:
    """Name a run in a table by what decides its result.

    Args:
        point: The run.
        lab: The data that it has.

    Returns:
        The hash at the end of its folder's name.
    """
    return lab.folder(point).name.split("-")[-1]


def ready(grid: Grid, lab: Laboratory, recorded: set[Point]) -> list[Point]:
    """List the finished runs that can be recorded: all that share their network are done too.

    Args:
        grid: The grid.
        lab: Where its runs lie.
        recorded: From `recorded_points`.

    Returns:
        Points that are not recorded yet.
    """
    missing = {p for p in grid.points if p not in recorded and not is_done(p, lab)}
    waiting = {point.before_pruning() for point in missing}
    return [p for p in grid.points if p not in recorded and p.before_pruning() not in waiting]


def record(grid: Grid, lab: Laboratory, points: Sequence[Point], command: str) -> Path:
    """Add finished runs to the recorded tables of their grid.

    Args:
        grid: The grid.
        lab: Where its runs lie.
        points: The runs to add.
        command: What the provenance should say was typed.

    Returns:
        The folder of the tables: ``NAME_curves.csv`` (one row per run and epoch),
        ``NAME_scores.csv`` (one row per run of LiPrune and batch), ``NAME_runs.csv`` (one row per
        run), ``NAME_provenance.json``, and ``NAME_network.pt`` where the grid names a network.
    """
    folder, known = results_folder(grid.folder, "folder"), recorded_points(grid, lab)
    if grid.network in points:
        state = start(grid.network, lab.task(grid.network))
        path = folder / f"{grid.name}_network.pt"
        save_network(load_final(grid.network, lab, state).model, path)
    added = [_run_tables(grid, lab, point) for point in points]
    known |= set(points)
    names = [run_name(point, lab) for point in grid.points if point in known]
    tables = {}
    for kind in KINDS:
        own = [tables[kind] for tables in added if kind in tables]
        path = folder / f"{grid.name}_{kind}.csv"
        tables[kind] = in_order([_as_read(path), *map(_as_text, own)], names)
    _write_provenance(grid, lab, points, tables["runs"], command)
    for kind, table in tables.items():
        if len(table):
            write_table(folder, f"{grid.name}_{kind}", table)
    return folder


def in_order(tables: Sequence[pd.DataFrame], names: Sequence[str]) -> pd.DataFrame:
    """Join tables, one block of rows per run.

    Args:
        tables: Tables with a column ``run_id``; empty ones have none.
        names: The runs to keep, in the order wanted.

    Returns:
        Their rows. What a writer that was killed has left of other runs is not among them.
    """
    joined = pd.concat([table for table in tables if len(table)] or [pd.DataFrame({"run_id": []})])
    place = {name: number for number, name in enumerate(names)}
    return (
        joined[joined.run_id.isin(names)]
        .drop_duplicates()
        .sort_values("run_id", key=lambda name: name.map(place), kind="stable", ignore_index=True)
    )


# What one run adds to each table.
def _run_tables(grid: Grid, lab: Laboratory, point: Point) -> dict[str, pd.DataFrame]:
    folder, columns = lab.folder(point), {"run_id": run_name(point, lab)} | _cells(point, grid)
    curve, done = read_table(folder / "curve.csv"), read_json(folder / "done.json")
    row = curve.iloc[-1][list(LAST)].to_dict() | {name: done[name] for name in MEASURED}
    row |= {"num_updates": int(row["num_updates"])}
    row |= {"num_images_kept": len(read_table(folder / "kept.csv"))}
    tables = {"curves": curve, "runs": pd.DataFrame([row])}
    if (folder / "scores.csv").exists():
        tables["scores"] = read_table(folder / "scores.csv")
    return {k: pd.DataFrame(columns, index=table.index).join(table) for k, table in tables.items()}


def _cells(point: Point, grid: Grid) -> dict[str, object]:
    values = {name: getattr(point, name) for name in grid.columns()}
    return {k: " ".join(map(str, v)) if isinstance(v, tuple) else v for k, v in values.items()}


# Rows that are there already are text, so that no digit of theirs changes.
def _as_read(file: Path | io.StringIO) -> pd.DataFrame:
    if isinstance(file, Path) and not file.exists():
        return pd.DataFrame()
    return pd.read_csv(file, dtype=str, keep_default_na=False)


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    return _as_read(io.StringIO(table.to_csv(index=False)))


def _write_provenance(
    grid: Grid, lab: Laboratory, points: Sequence[Point], runs: pd.DataFrame, command: str
) -> None:
    path = PROJECT / grid.folder / f"{grid.name}_provenance.json"
    machines = read_json(path)["machines"] if path.exists() else []
    for point in points:
        done = read_json(lab.folder(point) / "done.json")
        machine = {name: done[name] for name in MACHINE}
        machines += [machine] if machine not in machines else []
    counts = runs.seed.astype(int).value_counts().to_dict()
    whole = Counter(point.seed for point in grid.points)
    facts = {
        "command": command, "data_source": lab.dataset.source, "pixel_sha256": lab.dataset.sha256,
        "engine": ENGINE, "machines": machines, "num_runs": len(runs),
        "complete_seeds": [seed for seed, number in whole.items() if counts.get(seed) == number],
        "seconds": round(runs.seconds.astype(float).sum(), 1),
        "peak_memory_mib": int(runs.peak_memory_mib.astype(int).max()),
    }  # fmt: skip
    shared = {k: v for k, v in asdict(grid.points[0]).items() if k not in grid.columns()}
    write_json(path, facts | shared)


def read_tables(
    folder: Path, names: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame, list[dict[str, object]]]:
    """Read recorded tables that belong together; of a grid under way its complete seeds.

    Args:
        folder: Where they lie.
        names: Of their grids.

    Returns:
        The curves and the runs of all grids, one below the other, and the provenance of each.
    """
    sources = [read_json(folder / f"{name}_provenance.json") for name in names]
    curves, runs = (
        pd.concat(
            [
                _of_complete_seeds(read_table(folder / f"{name}_{kind}.csv"), source)
                for name, source in zip(names, sources, strict=True)
            ],
            ignore_index=True,
        )
        for kind in ("curves", "runs")
    )
    return curves, runs, sources


def _of_complete_seeds(table: pd.DataFrame, source: dict[str, object]) -> pd.DataFrame:
    seeds = source.get("complete_seeds")  # tables of the first edition have no others
    return table if seeds is None else table[table.seed.isin(seeds)]
