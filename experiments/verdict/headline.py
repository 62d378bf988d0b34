"""The table of the README: what LiPrune, random pruning and no pruning reach, setting by setting.

``python -m experiments.verdict.headline`` writes it there, from the tables of the last build.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.cifar10.tables import CELL
from liprune_utils.book.formats import number
from liprune_utils.checks import InputError, exit_status
from liprune_utils.files import PROJECT, read_table, write_atomically
from liprune_utils.grid import read_tables

METHODS = ("liprune", "random", "none")
COLUMNS = ("setting", "measured", "LiPrune", "random pruning", "no pruning", "n", "cost")
LARGE = "ResNet-14, all of CIFAR-10"
EXECUTED = "minutes, in every build"
MARKS = "<!-- headline table -->\n", "<!-- end of the headline table -->\n"


def headline_rows(results: Path, recorded: Path) -> list[tuple[str, ...]]:
    """Collect the rows from the pages' results and the recorded training runs."""
    rows = [*_linear(results), *_real(results), _sine(results)]
    reduced = ["reduced14", "reduced20"]
    rows += [_networks(recorded, reduced, "ResNet-14 and ResNet-20, a tenth of CIFAR-10")]
    rows += [_networks(recorded, ["whole"], f"{LARGE}, 32 epochs, learning rate 0.1")]
    rows += [_networks(recorded, ["paper_cell"], f"{LARGE}, 164 epochs, learning rate 0.01")]
    return rows


def markdown(rows: list[tuple[str, ...]]) -> str:
    """Write the rows as a Markdown table."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def replace_table(text: str, table: str) -> str:
    """Put a table between the marks of a text."""
    before, start, rest = text.partition(MARKS[0])
    if not start or MARKS[1] not in rest:
        lines = " and ".join(mark.strip() for mark in MARKS)
        raise InputError(f"The README lacks a line; expected both {lines} around the table.")
    return before + MARKS[0] + table + MARKS[1] + rest.partition(MARKS[1])[2]


def _linear(results: Path) -> Iterator[tuple[str, ...]]:
    curves = read_table(results / "04_linear_model" / "curves.csv")
    curves = curves[curves.keep_fraction.isin([0.1, 1.0])]
    for figure, step in ((1, 10), (6, 30)):
        rows = curves[(curves.figure == figure) & (curves.step == step)].set_index("method")
        rate = rows.learning_rate.iloc[0]
        values = (f"{rows.test_loss_mean[method]:.4f}" for method in METHODS)
        name = f"linear model, keep 0.1, learning rate {rate:g}"
        runs = f"{rows.num_runs.iloc[0]:,} runs"
        yield name, f"test loss, step {step}", *values, runs, EXECUTED


def _real(results: Path) -> Iterator[tuple[str, ...]]:
    runs = read_table(results / "06_convex_is_not_enough" / "real_runs.csv")
    runs = runs[(runs.rule == "final") & runs.keep_fraction.isin([0.3, 1.0])]
    for name, rows in runs.groupby("data_set", sort=False):
        means = rows.groupby("method").test_loss.mean()
        setting = f"{name} data, convex loss, keep 0.3, each at its best step"
        values = (f"{means[method]:.3f}" for method in METHODS)
        yield setting, "test loss", *values, f"{rows.run.nunique()} splits", EXECUTED


def _sine(results: Path) -> tuple[str, ...]:
    ends = read_table(results / "07_sine_model" / "ends.csv")
    rows = ends[
        (ends.learning_rate == ends.learning_rate.min()) & ends.keep_fraction.isin([0.1, 1])
    ]
    rows = rows.set_index("method")
    values = (f"{rows.full_loss_mean[method]:.3f}" for method in METHODS)
    runs = f"{rows.num_runs.iloc[0]:,} runs"
    setting = "sine model, keep 0.1, the paper's start"
    return setting, "loss on all points, step 100", *values, runs, EXECUTED


def _networks(recorded: Path, grids: list[str], setting: str) -> tuple[str, ...]:
    curves, runs, sources = read_tables(recorded, grids)
    hours = f"{number(runs.seconds.sum() / 3600, 1)} hours of runs, recorded{_on_gpu(sources)}"
    curves, runs = _comparable(curves), _comparable(runs)
    errors = _mean_errors(curves)
    values = (f"{errors[method]:.1f}" if method in errors else "–" for method in METHODS)
    pruned = runs[runs.method == "liprune"]
    settings = len(pruned) // pruned.seed.nunique()
    count = f"{pruned.seed.nunique()} seeds" + (
        f" in each of {settings} settings" if settings > 1 else ""
    )
    return setting, "test error (%), mean from the pruning on", *values, count, hours


def _mean_errors(curves: pd.DataFrame) -> pd.Series:
    """Average over the epochs after the pruning, the same without pruning, then over settings."""
    none = curves[curves.method == "none"]
    pruned = curves[curves.method != "none"]
    copies = [none.assign(prune_epoch=epoch) for epoch in pruned.prune_epoch.unique()]
    rows = pd.concat([pruned, *copies])
    after = rows[rows.epoch >= rows.prune_epoch]
    return after.groupby(["method", *CELL, "seed"]).test_error.mean().groupby("method").mean()


def _on_gpu(sources: Iterable[Mapping[str, Any]]) -> str:
    machines = [machine for source in sources for machine in source.get("machines", [source])]
    devices = {machine["device"] for machine in machines}
    on_cpus = "cpu" in devices
    return (" in part" * on_cpus + " on a GPU") if devices - {"cpu"} else ""


def _comparable(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the settings that all methods have: fractions of LiPrune, rates of no pruning."""
    none = table[table.method == "none"]
    rates = none.learning_rate if len(none) else table.learning_rate
    fractions = [1.0, *table.keep_fraction[table.method == "liprune"]]
    return table[table.keep_fraction.isin(fractions) & table.learning_rate.isin(rates)]


def write(build: Path) -> None:
    """Write the table into the README, from the results of a build."""
    rows = headline_rows(PROJECT / build / "results", PROJECT / "book/results/09_cifar10")
    readme = PROJECT / "README.md"
    text = replace_table(readme.read_text(), markdown(rows))
    write_atomically(readme, lambda partial: partial.write_text(text))


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.verdict.headline", description=__doc__
    )
    parser.add_argument("--build", type=Path, default="build", help="folder of the build")
    options = parser.parse_args()
    return exit_status(lambda: write(options.build))


if __name__ == "__main__":
    sys.exit(main())
