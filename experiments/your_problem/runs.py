"""A reader's own problem: its parameters; data split, ways of keeping compared, constants found."""

from collections.abc import Callable
from typing import Literal, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from torch.utils.data import TensorDataset

from experiments.your_problem.own_data import Examples
from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import require
from liprune_utils.files import in_project
from liprune_utils.intervals import Estimate, mean_interval
from liprune_utils.problems import standardise
from liprune_utils.scores import SCORES

TRAIN_FRACTION = 0.75
UNFIT = ("hessian-batch", "forgetting")  # need batches or a history
KNOWN = tuple(name for name in SCORES if name not in UNFIT)
LEVEL = 0.95


class OwnProblemParameters(Parameters):
    """Parameters of page 13."""

    classes_file: str  # .npz with x and classes y, or .csv; "" for handwritten digits
    targets_file: str  # .npz with x and numbers y, or .csv; "" for diabetes
    keep_fraction: float = Field(gt=0, le=1)
    scores: list[Literal[KNOWN]]
    num_epochs: int = Field(ge=1, le=10_000)
    num_seeds: int = Field(ge=2, le=1000)
    num_steps: int = Field(ge=1, le=10**6)
    step_size: float = Field(gt=0, le=1)
    num_runs: int = Field(ge=2, le=10_000)

    @model_validator(mode="after")
    def _check_scores_and_files(self) -> Self:
        once = len(set(self.scores)) == len(self.scores) > 1
        require("random" in self.scores and once, "scores", self.scores, "'random' and others")
        for name in ("classes_file", "targets_file"):
            file = getattr(self, name)
            exists = not file or in_project(file).is_file()
            require(exists, name, file, f"an .npz or .csv file, but {in_project(file)} is none")
        return self


def split(examples: Examples, seed: int) -> tuple[Examples, Examples]:
    """Split examples at random, three quarters for training; standardise all but classes."""
    order = np.random.default_rng([seed, 0]).permutation(len(examples.y))
    count = round(TRAIN_FRACTION * len(order))
    x, y = standardise(examples.x[order], count), examples.y[order]
    if y.dtype != np.int64:
        y = standardise(y, count)
    parts = slice(None, count), slice(count, None)
    train, test = (Examples(examples.name, x[part], y[part]) for part in parts)
    return train, test


def as_dataset(examples: Examples) -> TensorDataset:
    """Turn classified examples into what a torch ``DataLoader`` reads."""
    return TensorDataset(torch.from_numpy(examples.x).float(), torch.from_numpy(examples.y))


def comparison(rows: pd.DataFrame, value: str, group: str = "score") -> pd.DataFrame:
    """Compare each group with "random", paired by seed."""
    table = rows.pivot(index="seed", columns=group, values=value)[rows[group].unique()]
    compared = []
    for name in table:
        row = {group: name, "mean": table[name].mean(), "sd": table[name].std()}
        if name != "random":
            row |= mean_interval(table[name] - table.random, LEVEL).columns("difference")
        compared.append(row)
    columns = [group, "mean", "sd", "difference", "low", "high"]
    return pd.DataFrame(compared, columns=columns).assign(num_seeds=len(table))


def difference(compared: pd.DataFrame, name: str) -> Estimate:
    """Read the difference of one row of a `comparison` from "random"."""
    row = compared.set_index(compared.columns[0]).loc[name]
    value, low, high = map(float, row[["difference", "low", "high"]])
    return Estimate(value, low, high, int(row["num_seeds"]))


def check_step(step_size: float, largest: float) -> None:
    """Refuse steps that diverge: longer than two over the largest constant, both in its units."""
    most = 2 / largest
    digit = 10.0 ** np.floor(np.log10(most))
    good = f"{np.floor(most / digit) * digit:.1g}"  # rounded down
    expected = f"at most {most:.2g} for these data, so that SGD converges: -p step_size {good}"
    require(step_size <= most, "step_size", step_size, expected)


def largest_curvature(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], targets: np.ndarray
) -> float:
    r"""Find the largest second derivative of a loss in its prediction, within 50 of its target.

    For :math:`f_i(w) = \phi(w \cdot x_i, y_i)` the gradient has the Lipschitz constant
    :math:`c \|x_i\|^2` with :math:`c = \sup_z |\phi''(z, y_i)|`.
    """
    around = torch.linspace(-50, 50, 100_001, dtype=torch.float64)
    second = torch.func.vmap(torch.func.grad(torch.func.grad(loss)), in_dims=(0, None))
    largest = 0.0
    for target in (targets.min(), targets.max()):
        z = float(target) + around
        values = second(z, torch.tensor(float(target), dtype=torch.float64)).abs()
        inner = float(values[1:-1].max())
        settled = float(values.max()) <= inner * (1 + 1e-9)
        place = float(z[values.argmax()])
        expected = f"one within 50 of the target {target:.3g}, so that a Lipschitz constant exists"
        require(settled, "The prediction of the largest curvature", place, expected)
        largest = max(largest, inner)
    return largest
