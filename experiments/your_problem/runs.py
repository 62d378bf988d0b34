"""A reader's own data for page 13: read from a file, checked, split, compared."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn import datasets
from torch.utils.data import TensorDataset

from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import InputError, require
from liprune_utils.files import PROJECT
from liprune_utils.intervals import mean_interval
from liprune_utils.pruning import num_kept
from liprune_utils.scores import SCORES

TRAIN_FRACTION = 0.75
FEWEST = 20  # examples
UNFIT = ("hessian-batch", "forgetting")  # need batches or a history
LEVEL = 0.95


@dataclass(frozen=True)
class OwnProblemParameters(Parameters):
    """Parameters of page 13."""

    classes_file: str  # .npz with x and whole y; "" for handwritten digits
    targets_file: str  # .npz with x and y; "" for diabetes
    keep_fraction: float
    scores: list[str]
    num_epochs: int
    num_seeds: int
    num_steps: int
    step_size: float
    num_runs: int

    def check(self) -> None:
        """Check the ranges."""
        super().check()
        num_kept(FEWEST, self.keep_fraction)
        known = [name for name in SCORES if name not in UNFIT]
        for name in self.scores:
            require(name in known, "scores", name, f"names among {', '.join(known)}")
        once = len(set(self.scores)) == len(self.scores) > 1
        require("random" in self.scores and once, "scores", self.scores, "'random' and others")
        counts = {"num_epochs": (1, 10_000), "num_seeds": (2, 1000)}
        counts |= {"num_steps": (1, 1_000_000), "num_runs": (2, 10_000)}
        for name, (least, most) in counts.items():
            value = getattr(self, name)
            require(least <= value <= most, name, value, f"from {least} to {most}")
        require(0 < self.step_size <= 1, "step_size", self.step_size, "a step size in (0, 1]")
        for name in ("classes_file", "targets_file"):
            file = getattr(self, name)
            found = not file or (PROJECT / file).is_file()
            require(found, name, file, f"an .npz file, but {PROJECT / file} is none")


class Examples(NamedTuple):
    """Inputs with their targets."""

    name: str  # what the page calls them
    x: np.ndarray  # float64, [n, dim]
    y: np.ndarray  # [n]; classes int64 from 0, or targets float64


def read_classes(file: str) -> Examples:
    """Read a classification problem, by default scikit-learn's handwritten digits.

    Args:
        file: An ``.npz`` file with the arrays ``x``, numbers of shape ``[n, ...]``, and ``y``,
            classes 0, 1, ... of shape ``[n]``; relative to the project. Empty for the default.

    Returns:
        The examples; the axes of an input are joined into one.

    Raises:
        InputError: If the file is not as described.
    """
    if not file:
        bunch = datasets.load_digits()
        return Examples("handwritten digits", bunch.data, bunch.target.astype(np.int64))
    x, y = _read(file)
    found = np.unique(y).tolist()
    whole = found == list(range(len(found))) and len(found) > 1
    require(whole, f"y in {file}", found[:5], "classes 0, 1, ...")
    return Examples(Path(file).stem, x, y.astype(np.int64))


def read_targets(file: str) -> Examples:
    """Read a regression problem, by default scikit-learn's diabetes.

    Args:
        file: As in `read_classes`, with any numbers as ``y``.

    Returns:
        The examples.
    """
    if not file:
        bunch = datasets.load_diabetes()
        return Examples("diabetes", bunch.data, bunch.target)
    return Examples(Path(file).stem, *_read(file))


# Both arrays as float64, the inputs with two axes.
def _read(file: str) -> tuple[np.ndarray, np.ndarray]:
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
    """Split examples at random, three quarters for training, and standardise the inputs.

    Each input is centred and scaled by its mean and standard deviation over the training part; one
    that is constant there is only centred. Targets that are not classes are standardised too.

    Args:
        examples: The examples.
        seed: Seed of the split, >= 0.

    Returns:
        The training part and the test part.
    """
    order = np.random.default_rng([seed, 0]).permutation(len(examples.y))
    count = round(TRAIN_FRACTION * len(order))
    x, y = examples.x[order], examples.y[order]
    x = _standardised(x, count)
    if y.dtype != np.int64:
        y = _standardised(y, count)
    parts = slice(None, count), slice(count, None)
    train, test = (Examples(examples.name, x[part], y[part]) for part in parts)
    return train, test


def _standardised(values: np.ndarray, count: int) -> np.ndarray:
    mean, sd = values[:count].mean(axis=0), values[:count].std(axis=0)
    return (values - mean) / np.where(sd > 0, sd, 1)


def as_dataset(examples: Examples) -> TensorDataset:
    """Turn classified examples into what a torch ``DataLoader`` reads.

    Args:
        examples: Inputs and classes.

    Returns:
        Float32 inputs and int64 classes.
    """
    return TensorDataset(torch.from_numpy(examples.x).float(), torch.from_numpy(examples.y))


def comparison(rows: pd.DataFrame, value: str, group: str = "score") -> pd.DataFrame:
    """Compare each group with "random", paired by seed.

    Args:
        rows: One row a group and seed.
        value: The column to compare, such as a test error.
        group: The column that names the groups, "random" among them.

    Returns:
        One row a group: its ``mean`` and standard deviation (``sd``), the mean ``difference`` from
        random with its 95% interval (``low``, ``high``; NaN for random itself), ``num_seeds``.
    """
    table = rows.pivot(index="seed", columns=group, values=value)[rows[group].unique()]
    found = []
    for name in table:
        gap = (np.nan,) * 3
        if name != "random":
            gap = mean_interval(table[name] - table.random, LEVEL)[:3]
        entry = {group: name, "mean": table[name].mean(), "sd": table[name].std()}
        entry |= dict(zip(("difference", "low", "high"), gap, strict=True))
        found.append(entry | {"num_seeds": len(table)})
    return pd.DataFrame(found)


def largest_curvature(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    targets: np.ndarray,
    *,
    reach: float = 50.0,
    num_points: int = 100_001,
) -> float:
    r"""Find the largest second derivative of a loss in its prediction, on a grid.

    For :math:`f_i(w) = \phi(w \cdot x_i, y_i)` the gradient has the Lipschitz constant
    :math:`c \|x_i\|^2` with :math:`c = \sup_z |\phi''(z, y_i)|`.

    Args:
        loss: The function :math:`\phi` of a prediction and a target, both scalar tensors.
        targets: Targets :math:`y`, array; their extremes are tried.
        reach: The grid of :math:`z` extends so far on both sides of 0.
        num_points: Points of the grid.

    Returns:
        The largest absolute value found; exact to the grid's resolution.

    Raises:
        InputError: If the largest lies at the end of the grid, as where no constant exists.

    Example:
        >>> logistic = lambda z, y: torch.nn.functional.softplus(-y * z)
        >>> round(largest_curvature(logistic, np.array([-1.0, 1.0])), 4)
        0.25
    """
    z = torch.linspace(-reach, reach, num_points, dtype=torch.float64)
    second = torch.func.vmap(torch.func.grad(torch.func.grad(loss)), in_dims=(0, None))
    largest = 0.0
    for target in (targets.min(), targets.max()):
        values = second(z, torch.tensor(float(target), dtype=torch.float64)).abs()
        inner = float(values[1:-1].max())
        settled = float(values.max()) <= inner * (1 + 1e-9)
        found = float(z[values.argmax()])
        expected = f"a place within {reach:g} of 0, so that a Lipschitz constant exists"
        require(settled, "The place of the largest curvature", found, expected)
        largest = max(largest, inner)
    return largest
