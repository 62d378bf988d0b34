"""A reader's own data for page 13: read from a file, checked, split, compared."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from sklearn import datasets
from torch.utils.data import TensorDataset

from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import InputError, require
from liprune_utils.files import PROJECT
from liprune_utils.intervals import Estimate, mean_interval
from liprune_utils.problems import standardise
from liprune_utils.scores import SCORES

TRAIN_FRACTION = 0.75
FEWEST = 20  # examples
UNFIT = ("hessian-batch", "forgetting")  # need batches or a history
KNOWN = tuple(name for name in SCORES if name not in UNFIT)
LEVEL = 0.95


class OwnProblemParameters(Parameters):
    """Parameters of page 13."""

    classes_file: str  # .npz with x and whole y; "" for handwritten digits
    targets_file: str  # .npz with x and y; "" for diabetes
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
            exists = not file or (PROJECT / file).is_file()
            require(exists, name, file, f"an .npz file, but {PROJECT / file} is none")
        return self


class Examples(NamedTuple):
    """Inputs with their targets."""

    name: str  # what the page calls them
    x: np.ndarray  # float64, [n, dim]
    y: np.ndarray  # [n]; classes int64 from 0, or targets float64


def read_classes(file: str) -> Examples:
    """Read a classification problem, by default scikit-learn's handwritten digits."""
    if not file:
        bunch = datasets.load_digits()
        return Examples("handwritten digits", bunch.data, bunch.target.astype(np.int64))
    x, y = _read(file)
    classes = np.unique(y).tolist()
    numbered = classes == list(range(len(classes))) and len(classes) > 1
    require(numbered, f"y in {file}", classes[:5], "classes 0, 1, ...")
    return Examples(Path(file).stem, x, y.astype(np.int64))


def read_targets(file: str) -> Examples:
    """Read a regression problem, by default scikit-learn's diabetes."""
    if not file:
        bunch = datasets.load_diabetes()
        return Examples("diabetes", bunch.data, bunch.target)
    return Examples(Path(file).stem, *_read(file))


def _read(file: str) -> tuple[np.ndarray, np.ndarray]:
    """Read x and y as float64 arrays of shapes [n, dim] and [n]."""
    try:
        with np.load(PROJECT / file, allow_pickle=False) as arrays:
            x, y = (np.asarray(arrays[name], dtype=np.float64) for name in ("x", "y"))
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        expected = "expected an .npz file with two arrays of numbers, x and y"
        raise InputError(f"{file!r} cannot be read ({error}); {expected}.") from None
    fits = y.ndim == 1 and x.ndim >= 2 and len(x) == len(y) >= FEWEST
    shapes = f"x {list(x.shape)}, y {list(y.shape)}"
    require(fits, f"shape in {file}", shapes, f"x [n, ...] and y [n] with n >= {FEWEST}")
    bad = np.flatnonzero(~(np.isfinite(x.reshape(len(x), -1)).all(axis=1) & np.isfinite(y)))
    require(not len(bad), f"example {bad[:1]} in {file}", "not finite", "numbers")
    return x.reshape(len(x), -1), y


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


def largest_curvature(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], targets: np.ndarray
) -> float:
    r"""Find the largest second derivative of a loss in its prediction, on a grid from -50 to 50.

    For :math:`f_i(w) = \phi(w \cdot x_i, y_i)` the gradient has the Lipschitz constant
    :math:`c \|x_i\|^2` with :math:`c = \sup_z |\phi''(z, y_i)|`.
    """
    z = torch.linspace(-50, 50, 100_001, dtype=torch.float64)
    second = torch.func.vmap(torch.func.grad(torch.func.grad(loss)), in_dims=(0, None))
    largest = 0.0
    for target in (targets.min(), targets.max()):
        values = second(z, torch.tensor(float(target), dtype=torch.float64)).abs()
        inner = float(values[1:-1].max())
        settled = float(values.max()) <= inner * (1 + 1e-9)
        place = float(z[values.argmax()])
        expected = "a place within 50 of 0, so that a Lipschitz constant exists"
        require(settled, "The place of the largest curvature", place, expected)
        largest = max(largest, inner)
    return largest
