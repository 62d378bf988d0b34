r"""What becomes of a point's constant when points are averaged into batches.

In the linear model the constant of a batch is exact: the top eigenvalue of
:math:`X^\top X / B`, in one dimension the mean of :math:`x^2` (`liprune_utils.lipschitz`).
"""

import math
from itertools import product

import numpy as np
import pandas as pd
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from experiments.liprune.runs import HALF_WIDTH
from liprune_utils.intervals import mean_interval, standard_error
from liprune_utils.lipschitz import batch_constant
from liprune_utils.problems import draw_sized_normals
from liprune_utils.pruning import keep_highest, rank

NUM_POINTS = 2**14  # 128 batches of 128
BATCH_SIZES = tuple(2**power for power in range(10))
KEEP_FRACTIONS = (0.1, 0.2, 0.5)
INPUTS = {  # name: dimension and standard deviation of the log size; None is uniform, as Eq. (3)
    "1-d, uniform": (1, None),
    "10-d, random sizes": (10, 0.5),
    "100-d, random sizes": (100, 0.5),
    "100-d, equal sizes": (100, 0.0),
}


def kept_gain(constants: np.ndarray, keep_fraction: float) -> float:
    """Compute the mean constant of what LiPrune keeps over the mean of all."""
    return float(constants[keep_highest(constants, keep_fraction)].mean() / constants.mean())


def _draw_inputs(generator: np.random.Generator, name: str) -> np.ndarray:
    dim, size_sd = INPUTS[name]
    if size_sd is None:
        return generator.uniform(-HALF_WIDTH, HALF_WIDTH, (NUM_POINTS, dim))
    return draw_sized_normals(generator, NUM_POINTS, dim, size_sd)


def spread_runs(generator: np.random.Generator, num_runs: int) -> pd.DataFrame:
    """Measure the spread of the constants of batches, and what choosing the largest gains."""
    rows = []
    with threadpool_limits(1):  # for many small matrices, threads wait more than they work
        for name, run in product(INPUTS, range(num_runs)):
            x = _draw_inputs(generator, name)
            for size in BATCH_SIZES:
                constants = batch_constant(x.reshape(-1, size, x.shape[1]))
                row = {"inputs": name, "run": run, "batch_size": size}
                row |= {"num_batches": len(constants), "mean_constant": constants.mean()}
                row |= {"variation": constants.std() / constants.mean()}
                rows.append(row | {f"gain_{r:g}": kept_gain(constants, r) for r in KEEP_FRACTIONS})
    return pd.DataFrame(rows)


def spread_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Summarise the spread by kind of input and batch size."""
    measures, rows = ["variation", *(f"gain_{r:g}" for r in KEEP_FRACTIONS)], []
    for (name, size), group in runs.groupby(["inputs", "batch_size"], sort=False):
        row = {"inputs": name, "batch_size": size, "num_batches": group.num_batches.iloc[0]}
        row |= {"num_runs": len(group)}
        for measure in measures:
            row |= mean_interval(group[measure].to_numpy()).named_columns(measure)
        rows.append(row)
    return pd.DataFrame(rows)


def normal_gain(variation: float, keep_fraction: float) -> float:
    r"""Compute the gain of keeping the largest of many normal constants.

    :math:`1 + \mathrm{CV} \, \varphi(z_r) / r`, with :math:`z_r` exceeded with probability r.
    """
    return 1 + variation * float(norm.pdf(norm.isf(keep_fraction))) / keep_fraction


def uniform_gain(keep_fraction: float) -> float:
    """Compute the gain of keeping single points of the linear model."""
    # For x uniform on (-a, a) the outermost r have the mean square (a^2 / 3) (1 - (1 - r)^3) / r.
    return (1 - (1 - keep_fraction) ** 3) / keep_fraction


def partition_table(generator: np.random.Generator, values: np.ndarray) -> pd.DataFrame:
    """Compare the variance of means over the batches of random partitions with the exact one."""
    num, rows = len(values), []
    shuffled = values[rank(generator.random((2000, num)))]
    for size in (size for size in range(2, num // 2 + 1) if num % size == 0):
        variances = shuffled.reshape(len(shuffled), -1, size).mean(axis=2).var(axis=1)
        exact = (_variation_of_means(values, size) * values.mean()) ** 2
        row = {"batch_size": size, "simulated": variances.mean(), "exact": exact}
        rows.append(row | {"se": standard_error(variances)})
    table = pd.DataFrame(rows)
    return table.assign(z=(table.simulated - table.exact) / table.se)


# CV_B = CV_1 / sqrt(B) sqrt((N - B) / (N - 1)): of a mean drawn without replacement.
def _variation_of_means(values: np.ndarray, batch_size: int) -> float:
    num = len(values)
    shrink = math.sqrt((num - batch_size) / (num - 1) / batch_size)
    return float(np.std(values) / np.mean(values)) * shrink
