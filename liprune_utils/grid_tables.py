"""What the runs of a grid have come to: how far each is, and their table when all are done."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from liprune_utils.experiment import Laboratory
from liprune_utils.files import read_json
from liprune_utils.grids import Grid
from liprune_utils.parameters import require
from liprune_utils.points import Point
from liprune_utils.records import (
    PROJECT,
    provenance,
    read_table,
    results_folder,
    write_json,
    write_table,
)

MEASURED = ("full_set_loss", "kept_set_loss", "seconds", "peak_memory_mib")


def progress(point: Point, lab: Laboratory) -> str:
    """Say how far a run is, without disturbing it.

    Args:
        point: The run.
        lab: Where it lies.

    Returns:
        "done", "epoch 3 of 20" (the one under way at its latest checkpoint) or "not begun".
    """
    folder = lab.folder(point)
    if (folder / "done.json").exists():
        return "done"
    if not list(folder.glob("checkpoint-*.pt")):
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


def show_status(points: Sequence[Point], lab: Laboratory) -> None:
    """Print how far each run is, and how many are done.

    Args:
        points: The points of a grid.
        lab: Where their runs lie.
    """
    found = {point: progress(point, lab) for point in points}
    for point, words in found.items():
        print(f"{lab.folder(point).name}: {words}")
    print(f"{list(found.values()).count('done')} of {len(found)} runs are done.")


def refuse_other_table(grid: Grid, file: Path) -> None:
    """Refuse a grid that would overwrite another's table, as an edited copy of its file may.

    Args:
        grid: The grid.
        file: Its file; the table of an earlier sweep of the same file may be replaced.
    """
    path = PROJECT / grid.folder / f"{grid.name}_provenance.json"
    earlier = str(read_json(path)["command"]) if path.exists() else file.name
    own = f"one of its own, for {grid.folder} holds the table of `{earlier}`"
    require(earlier.endswith(file.name), "name", grid.name, own)


def collect(grid: Grid, lab: Laboratory, command: str) -> Path:
    """Join the runs of a grid, all done, into its recorded table.

    Args:
        grid: The grid.
        lab: Where its runs lie.
        command: What the provenance should say was typed.

    Returns:
        The folder of the tables.
    """
    curves, rows, records = [], [], []
    for point in grid.points:
        folder, columns = lab.folder(point), _cells(point, grid.columns())
        curve, done = read_table(folder / "curve.csv"), read_json(folder / "done.json")
        curves.append(pd.DataFrame(columns, index=curve.index).join(curve))
        last = curve.tail(1)[["test_error", "train_loss", "num_updates"]].to_dict("records")[0]
        measured = {name: done[name] for name in MEASURED}
        kept = {"num_images_kept": len(read_table(folder / "kept.csv"))}
        rows.append(columns | last | measured | kept)
        records.append(done)
    folder, table = results_folder(grid.folder, "folder"), pd.DataFrame(rows)
    write_table(folder, f"{grid.name}_curves", pd.concat(curves, ignore_index=True))
    write_table(folder, f"{grid.name}_runs", table)
    shared = {k: v for k, v in asdict(grid.points[0]).items() if k not in grid.columns()}
    facts = {name: _common(records, name) for name in ("device", "threads")} | {
        "command": command, "data_source": lab.dataset.source, "pixel_sha256": lab.dataset.sha256,
        "num_runs": len(table), "seconds": round(table.seconds.sum(), 1),
        "peak_memory_mib": int(table.peak_memory_mib.max()),
    }  # fmt: skip
    write_json(folder / f"{grid.name}_provenance.json", provenance(**facts, **shared))
    return folder


def read_tables(
    folder: Path, names: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame, list[dict[str, object]]]:
    """Read recorded tables that belong together.

    Args:
        folder: Where they lie.
        names: Of their grids.

    Returns:
        The curves and the runs of all grids, one below the other, and the provenance of each.
    """
    curves, runs = (
        pd.concat((read_table(folder / f"{name}_{kind}.csv") for name in names), ignore_index=True)
        for kind in ("curves", "runs")
    )
    sources = [read_json(folder / f"{name}_provenance.json") for name in names]
    return curves, runs, sources


def _cells(point: Point, names: Sequence[str]) -> dict[str, object]:
    values = {name: getattr(point, name) for name in names}
    return {k: " ".join(map(str, v)) if isinstance(v, tuple) else v for k, v in values.items()}


# What all records say, or the list of what they say.
def _common(records: Sequence[Mapping[str, object]], name: str) -> object:
    found = sorted({record[name] for record in records})
    return found[0] if len(found) == 1 else found
