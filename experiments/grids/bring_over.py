"""Bring recorded tables over from another clone, in which their pages may have other numbers.

``python -m experiments.grids.bring_over CLONE``, from the project's folder.
"""

import argparse
import shutil
import sys
from pathlib import Path

import pandas as pd

from liprune_utils.checks import InputError, exit_status, require
from liprune_utils.files import PROJECT, write_atomically
from liprune_utils.grid import read_grid

GRIDS = Path("experiments") / "grids"
KINDS = "curves.csv", "scores.csv", "runs.csv", "provenance.json", "network.pt"


def bring_over(clone: Path, project: Path = PROJECT) -> list[Path]:
    """Copy the tables of each grid that both have, from its folder there to its folder here."""
    require((clone / GRIDS).is_dir(), "clone", str(clone), f"a copy of the project, with {GRIDS}")
    copies = {}
    for path in sorted((project / GRIDS).glob("*.yml")):
        if (clone / GRIDS / path.name).exists():
            here, there = read_grid(path), read_grid(clone / GRIDS / path.name)
            for name in (f"{here.name}_{kind}" for kind in KINDS):
                if (source := clone / there.folder / name).exists():
                    copies[source] = project / here.folder / name
    for source, target in copies.items():
        if source.name.endswith("_runs.csv") and target.exists():
            _refuse_a_loss(source, target)
    for source, target in copies.items():
        write_atomically(target, lambda partial, source=source: shutil.copyfile(source, partial))
    return list(copies.values())


def _refuse_a_loss(source: Path, target: Path) -> None:
    lost = set(pd.read_csv(target).run_id) - set(pd.read_csv(source).run_id)
    if lost:
        found = f"{source} lacks the run {min(lost)}"
        raise InputError(f"{found}; expected all runs of {target}, which would be lost.")


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.grids.bring_over", description=__doc__
    )
    parser.add_argument("clone", type=Path, help="folder of the other clone")
    options = parser.parse_args(arguments)
    return exit_status(lambda: print(*bring_over(options.clone), sep="\n"))


if __name__ == "__main__":
    sys.exit(main())
