"""Page 11's live runs: the study of the dynamics, small."""

from pathlib import Path
from typing import Self

import pandas as pd
from pydantic import Field, model_validator

from experiments.why.record import Branch, follow
from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import require
from liprune_utils.data import Dataset
from liprune_utils.settings import TrainingRun
from liprune_utils.training_run import Workspace


class WhyParameters(Parameters):
    """Parameters of page 11: the linear model, and a small training; `TrainingRun` checks more."""

    slope: float = Field(ge=-1000, le=1000)  # true slope w* of the linear model, not 0
    num_runs: int = Field(ge=100, le=10**5)  # data sets of the linear model, and runs of a race
    depth: int  # ResNet depth of the live training, 6n + 2
    num_images: int  # its training images
    num_test_images: int  # its test images
    batch_size: int  # images in each fixed batch
    num_epochs: int = Field(ge=2, le=10_000)  # of its training
    prune_epoch: int  # prune at the start of this epoch
    keep_fraction: float  # fraction of the batches kept
    learning_rate: float  # of its SGD
    seed: int  # root of all random streams

    @model_validator(mode="after")
    def _check_runs(self) -> Self:
        require(self.slope != 0, "slope", self.slope, "not 0, and at most 1000 in size")
        last = self.num_epochs
        epochs = f"from 2 to num_epochs, {last}"
        require(2 <= self.prune_epoch <= last, "prune_epoch", self.prune_epoch, epochs)
        self.runs()
        kept = self.num_images // self.batch_size * self.keep_fraction
        two = f"images for at least two kept batches of {self.batch_size}"
        require(kept >= 2, "num_images", self.num_images, two)
        return self

    def runs(self) -> list[TrainingRun]:
        """List the live runs: random pruning and LiPrune."""
        own = self.model_dump(exclude={"results_dir", "slope", "num_runs"})
        own |= {"decay_epochs": (), "tolerance": 0.1}
        return [TrainingRun(method=method, **own) for method in ("random", "liprune")]


def live_dynamics(
    dataset: Dataset, parameters: WhyParameters, folder: Path
) -> dict[str, pd.DataFrame]:
    """Follow random pruning and LiPrune from the pruning on, as the recorded study does."""
    workspace = Workspace(dataset, folder)
    branches = [follow(Branch(run), workspace) for run in parameters.runs()]
    return {
        name: pd.concat([one[name] for one in branches], ignore_index=True) for name in branches[0]
    }
