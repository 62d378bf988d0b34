"""Page 09's live runs: the paper's grid on CIFAR-10, small (Section 4.2)."""

from itertools import product
from typing import Self

import pandas as pd
from pydantic import Field, model_validator
from tqdm import tqdm

from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import require
from liprune_utils.grid import IDENTITY
from liprune_utils.settings import TrainingRun
from liprune_utils.training_run import Workspace, run_training


class CifarParameters(Parameters):
    """Parameters of page 09: a grid, and what its runs share; `TrainingRun` checks more."""

    depths: list[int] = Field(min_length=1)  # ResNet depths, 6n + 2
    keep_fractions: list[float] = Field(min_length=1)  # fractions of the batches kept
    prune_epochs: list[int] = Field(min_length=1)  # prune at the start of this epoch
    learning_rates: list[float] = Field(min_length=1)  # SGD step sizes
    decay_epochs: list[int]  # the rate is divided by 10 at the start of each
    num_epochs: int = Field(ge=1, le=10_000)  # passes over the kept batches
    num_images: int  # training images
    num_test_images: int  # test images
    batch_size: int  # images in each fixed batch
    momentum: float  # of SGD
    weight_decay: float  # of SGD
    augment: bool  # whether to crop and flip in training
    precision: str  # "float32" or "bfloat16"
    num_seeds: int = Field(ge=2, le=1000)  # paired repetitions; an interval needs two
    tolerance: float  # relative accuracy of a batch's Hessian norm

    @model_validator(mode="after")
    def _check_runs(self) -> Self:
        for name in ("depths", "keep_fractions", "prune_epochs", "learning_rates"):
            values = getattr(self, name)
            require(len(set(values)) == len(values), name, values, "a list of values, each once")
        self.runs()
        return self

    def runs(self) -> list[TrainingRun]:
        """List the runs: for each cell and seed LiPrune, random pruning and none."""
        names = set(TrainingRun.model_fields) & set(type(self).model_fields)
        shared = self.model_dump(include=names - {"tolerance"})
        runs = []
        for depth, rate, seed in product(self.depths, self.learning_rates, range(self.num_seeds)):
            none = TrainingRun(**shared, depth=depth, learning_rate=rate, seed=seed)
            runs.append(none)
            for epoch, fraction in product(self.prune_epochs, self.keep_fractions):
                random = none.replace(method="random", prune_epoch=epoch, keep_fraction=fraction)
                runs += [random, random.replace(method="liprune", tolerance=self.tolerance)]
        return runs


def train_all(runs: list[TrainingRun], workspace: Workspace) -> pd.DataFrame:
    """Do runs one after another, and join their curves."""
    tables = []
    for run in tqdm(runs, "CIFAR-10", unit=" runs", disable=None):
        curve = pd.read_csv(run_training(run, workspace) / "curve.csv")
        columns = {name: value for name, value in run if name in IDENTITY}
        tables.append(curve.assign(**columns))
    return pd.concat(tables, ignore_index=True)
