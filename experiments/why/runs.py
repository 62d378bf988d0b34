"""Page 11's live runs: the study of the dynamics, small."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from experiments.why.record import Arm, follow
from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import require
from liprune_utils.data import Dataset
from liprune_utils.settings import Point
from liprune_utils.training_run import Laboratory

LIVE_METHODS = ("random", "liprune")


@dataclass(frozen=True)
class WhyParameters(Parameters):
    """Parameters of page 11: the linear model, and a small training."""

    slope: float  # true slope w* of the linear model
    num_runs: int  # data sets of the linear model
    depth: int  # ResNet depth of the live training, 6n + 2
    num_images: int  # its training images
    num_test_images: int  # its test images
    batch_size: int  # images in each fixed batch
    num_epochs: int  # of its training
    prune_epoch: int  # prune at the start of this epoch
    keep_fraction: float  # fraction of the batches kept, in (0, 1]
    learning_rate: float  # of its SGD
    seed: int  # root of all random streams

    def check(self) -> None:
        """Check the ranges."""
        super().check()
        runs, slope = self.num_runs, self.slope
        require(0 < abs(slope) <= 1e3, "slope", slope, "not 0, and at most 1000 in size")
        require(100 <= runs <= 10**5, "num_runs", runs, "from 100 to 100000")
        last = self.num_epochs
        require(2 <= last <= 10_000, "num_epochs", last, "from 2 to 10000")
        live = f"from 2 to num_epochs, {last}"
        require(2 <= self.prune_epoch <= last, "prune_epoch", self.prune_epoch, live)
        self.points()
        kept = self.num_images // self.batch_size * self.keep_fraction
        two = f"images for at least two kept batches of {self.batch_size}"
        require(kept >= 2, "num_images", self.num_images, two)

    def points(self) -> list[Point]:
        """List the live runs.

        Returns:
            Random pruning and LiPrune.
        """
        shared = {
            name: getattr(self, name)
            for name in ("depth", "num_images", "num_test_images", "batch_size", "num_epochs",
                         "prune_epoch", "keep_fraction", "learning_rate", "seed")
        }  # fmt: skip
        shared |= {"decay_epochs": (), "tolerance": 0.1}
        return [Point(method=method, **shared) for method in LIVE_METHODS]


def live_dynamics(
    dataset: Dataset, parameters: WhyParameters, folder: Path
) -> dict[str, pd.DataFrame]:
    """Follow random pruning and LiPrune from the pruning on, as the recorded study does.

    Args:
        dataset: The images.
        parameters: The training.
        folder: Folder of runs and scores.

    Returns:
        The tables of `experiments.why.record.follow` for both.
    """
    laboratory = Laboratory(dataset, folder)
    found = [follow(Arm(point), laboratory) for point in parameters.points()]
    return {name: pd.concat([part[name] for part in found], ignore_index=True) for name in found[0]}
