"""What page 11 reads of recorded runs; those of pages 06, 09 and 10 are the same that they show."""

from typing import NamedTuple

import pandas as pd

from experiments.convex_is_not_enough.head_tables import recorded_head
from experiments.hessian_norm.record import RECORDED as NORMS
from experiments.why.record import RECORDED, TABLES
from liprune_utils.files import PROJECT, read_json, read_table
from liprune_utils.grid import read_tables

BATCHES = PROJECT / "book" / "results" / "09_cifar10", "reduced14"
IMAGES = PROJECT / "book" / "results" / "10_other_scores", "examples"


class Recorded(NamedTuple):
    """Tables of recorded runs."""

    long: tuple[pd.DataFrame, pd.DataFrame]  # curves and runs of long training
    paper: pd.DataFrame  # runs at the paper's scale (page 09)
    pruned: tuple[pd.DataFrame, pd.DataFrame]  # curves, by batches (page 09) and images (page 10)
    dynamics: list[pd.DataFrame]  # what was followed, what was kept, curves
    head: tuple[pd.DataFrame, pd.DataFrame]  # curves and constants of page 06's convex head
    norms: pd.DataFrame  # Hessian norms of batches (page 08)
    study: dict[str, object]  # settings of the networks that were followed
    seconds: float  # of computing, for the head and the pruned networks


def read_recorded() -> Recorded:
    """Read the tables."""
    own = PROJECT / RECORDED
    curves, constants, head = recorded_head()
    batches, images = (read_tables(folder, [name]) for folder, name in (BATCHES, IMAGES))
    return Recorded(
        long=read_tables(own, ["long"])[:2],
        paper=read_tables(BATCHES[0], ["paper_cell"])[1],
        pruned=(batches[0], images[0]),
        dynamics=[read_table(own / f"{name}.csv") for name in TABLES],
        head=(curves, constants),
        norms=read_table(PROJECT / NORMS / "batch_norms.csv"),
        study=read_json(own / "dynamics_provenance.json"),
        seconds=head["seconds"] + sum(grid[2][0]["seconds"] for grid in (batches, images)),
    )
