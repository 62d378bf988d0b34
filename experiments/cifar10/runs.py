"""Page 09's live runs: the paper's grid on CIFAR-10, small (Section 4.2)."""

from dataclasses import asdict, dataclass
from itertools import product

import pandas as pd
from tqdm import tqdm

from liprune_utils.batch_scores import batch_hessian_norms
from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import require
from liprune_utils.grid import IDENTITY
from liprune_utils.images import fixed_batches
from liprune_utils.settings import Point
from liprune_utils.training_run import Laboratory, before_pruning, run_point


@dataclass(frozen=True)
class CifarParameters(Parameters):
    """Parameters of page 09: the grid of cells, and what every run shares."""

    depths: list[int]  # ResNet depths, 6n + 2
    keep_fractions: list[float]  # fractions of the batches kept, in (0, 1]
    prune_epochs: list[int]  # prune at the start of this epoch; 1 is initialisation
    learning_rates: list[float]  # SGD step sizes
    decay_epochs: list[int]  # the rate is divided by 10 at the start of each
    num_epochs: int  # passes over the kept batches
    num_images: int  # training images
    num_test_images: int  # test images
    batch_size: int  # images in each fixed batch
    momentum: float  # of SGD, in [0, 1)
    weight_decay: float  # of SGD, >= 0
    augment: bool  # whether to crop and flip in training
    precision: str  # "float32" or "bfloat16"
    num_seeds: int  # paired repetitions
    tolerance: float  # relative accuracy of a batch's Hessian norm, in (0, 1)

    def check(self) -> None:
        """Check that each list has entries, each once, and every point."""
        super().check()
        for name in ("depths", "keep_fractions", "prune_epochs", "learning_rates"):
            values = getattr(self, name)
            once = len(set(values)) == len(values) > 0
            require(once, name, values, "at least one entry, each once")
        seeds = self.num_seeds
        require(2 <= seeds <= 1000, "num_seeds", seeds, "from 2, for an interval, to 1000")
        epochs = self.num_epochs
        require(1 <= epochs <= 10_000, "num_epochs", epochs, "from 1 to 10000")
        self.points()

    def points(self) -> list[Point]:
        """List the runs: for each cell and seed LiPrune, random pruning and none.

        Returns:
            The points, each once.
        """
        shared = {
            name: getattr(self, name)
            for name in ("decay_epochs", "num_epochs", "num_images", "num_test_images",
                         "batch_size", "momentum", "weight_decay", "augment", "precision")
        }  # fmt: skip
        cells = product(self.depths, self.learning_rates, range(self.num_seeds))
        found = []
        for depth, rate, seed in cells:
            cell = shared | {"depth": depth, "learning_rate": rate, "seed": seed}
            found.append(Point(**cell))
            for epoch, fraction in product(self.prune_epochs, self.keep_fractions):
                pruned = cell | {"prune_epoch": epoch, "keep_fraction": fraction}
                found.append(Point(**pruned, method="random"))
                found.append(Point(**pruned, method="liprune", tolerance=self.tolerance))
        return list(dict.fromkeys(found))


def run_points(points: list[Point], laboratory: Laboratory) -> pd.DataFrame:
    """Do runs one after another.

    Args:
        points: The runs.
        laboratory: Data, device and folders.

    Returns:
        One row a run and epoch: what tells the points apart, and
        `liprune_utils.training_run.curve`.
    """
    tables = []
    for point in tqdm(points, "CIFAR-10", unit=" runs", disable=None):
        table = pd.read_csv(run_point(point, laboratory) / "curve.csv")
        columns = {name: value for name, value in asdict(point).items() if name in IDENTITY}
        tables.append(table.assign(**columns))
    return pd.concat(tables, ignore_index=True)


def score_tables(points: list[Point], laboratory: Laboratory) -> pd.DataFrame:
    """Score the batches of each distinct network that LiPrune meets, signs and all.

    Args:
        points: The runs; those of LiPrune count.
        laboratory: Data, device and folders.

    Returns:
        The tables of `batch_hessian_norms`, with ``depth``, ``learning_rate``, ``prune_epoch`` and
        ``seed``.
    """
    mine = [point for point in points if point.method == "liprune"]
    names = ("depth", "learning_rate", "prune_epoch", "seed")
    networks = {tuple(getattr(point, name) for name in names): point for point in mine}
    tables = []
    for key, point in networks.items():
        task = laboratory.task(point)
        scores = batch_hessian_norms(
            before_pruning(point, laboratory).model, task.images, task.labels,
            fixed_batches(len(task.labels), point.batch_size, point.seed),
            seed=point.seed, tolerance=point.tolerance,
        )  # fmt: skip
        tables.append(scores.assign(**dict(zip(names, key, strict=True))))
    return pd.concat(tables, ignore_index=True)
