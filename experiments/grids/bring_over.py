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
    """Copy the tables of each grid that both have, from its folder there to its folder here.

    Args:
        clone: The other clone.
        project: This one.

    Returns:
        The files written.

    Raises:
        InputError: If a run recorded here is not recorded there.
    """
    require((clone / GRIDS).is_dir(), "clone", str(clone), f"a copy of the project, with {GRIDS}")
    pairs = []
    for path in sorted((project / GRIDS).glob("*.yml")):
        if (clone / GRIDS / path.name).exists():
            here, there = read_grid(path), read_grid(clone / GRIDS / path.name)
            target = project / here.folder
            pairs += [(f, target / f.name) for f in _tables(clone / there.folder, here.name)]
    for source, target in pairs:
        if source.name.endswith("_runs.csv"):
            _refuse_a_loss(source, target)
    for source, target in pairs:
        write_atomically(target, lambda partial, source=source: shutil.copyfile(source, partial))
    return [target for _, target in pairs]


def _tables(folder: Path, name: str) -> list[Path]:
    return [path for kind in KINDS if (path := folder / f"{name}_{kind}").exists()]


def _refuse_a_loss(source: Path, target: Path) -> None:
    if target.exists():
        lost = set(pd.read_csv(target).run_id) - set(pd.read_csv(source).run_id)
        if lost:
            found = f"{source} lacks the run {min(lost)}"
            raise InputError(f"{found}; expected all runs of {target}, which would be lost.")


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The arguments, or None for the process's own.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(
        prog="python -m experiments.grids.bring_over", description=__doc__
    )
    parser.add_argument("clone", type=Path, help="folder of the other clone")
    options = parser.parse_args(arguments)
    return exit_status(lambda: print(*bring_over(options.clone), sep="\n"))


if __name__ == "__main__":
    sys.exit(main())
