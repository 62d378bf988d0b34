"""What page 11 reads of recorded runs; those of pages 06, 09 and 10 are the same that they show."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from experiments.convex_is_not_enough.head_tables import recorded_head
from experiments.hessian_norm.record import RECORDED as NORMS
from experiments.why.record import RECORDED, TABLES
from liprune_utils.files import PROJECT, read_json, read_table
from liprune_utils.grid import read_scores, read_tables

BATCHES = PROJECT / "book" / "results" / "09_cifar10", "whole"
IMAGES = PROJECT / "book" / "results" / "10_other_scores", "examples"


class Pruned(NamedTuple):
    """Recorded networks, pruned in one way."""

    curves: pd.DataFrame
    runs: pd.DataFrame
    decay: int  # the epoch at which the rate is divided first
    seconds: float  # of computing


class Recorded(NamedTuple):
    """Tables of recorded runs."""

    long: tuple[pd.DataFrame, pd.DataFrame]  # curves and runs of long training
    by_batches: Pruned  # page 09, all images
    scores: pd.DataFrame  # of its batches
    by_images: Pruned  # page 10
    dynamics: list[pd.DataFrame]  # what was followed, what was kept, curves
    head: tuple[pd.DataFrame, pd.DataFrame]  # curves and constants of page 06's convex head
    head_seconds: float  # of computing
    norms: pd.DataFrame  # Hessian norms of batches (page 08)
    study: dict[str, object]  # settings of the networks that were followed


def read_recorded() -> Recorded:
    """Read the tables."""
    own = PROJECT / RECORDED
    curves, constants, head = recorded_head()
    return Recorded(
        long=read_tables(own, ["long"])[:2],
        by_batches=_pruned(*BATCHES),
        scores=read_scores(*BATCHES),
        by_images=_pruned(*IMAGES),
        dynamics=[read_table(own / f"{name}.csv") for name in TABLES],
        head=(curves, constants),
        head_seconds=head["seconds"],
        norms=read_table(PROJECT / NORMS / "batch_norms.csv"),
        study=read_json(own / "dynamics_provenance.json"),
    )


def _pruned(folder: Path, name: str) -> Pruned:
    curves, runs, (grid,) = read_tables(folder, [name])
    return Pruned(curves, runs, grid["decay_epochs"][0], grid["seconds"])
