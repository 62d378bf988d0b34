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
from liprune_utils.checks import require
from liprune_utils.intervals import mean_interval, standard_error
from liprune_utils.lipschitz import batch_constant
from liprune_utils.pruning import keep_highest, rank

NUM_POINTS = 2**14  # 128 batches of 128
BATCH_SIZES = tuple(2**power for power in range(10))
FRACTIONS = (0.1, 0.2, 0.5)
INPUTS = {  # name: dimension and standard deviation of the log size; None is uniform, as Eq. (3)
    "1-d, uniform": (1, None),
    "10-d, random sizes": (10, 0.5),
    "100-d, random sizes": (100, 0.5),
    "100-d, equal sizes": (100, 0.0),
}


def draw_sized_normals(
    generator: np.random.Generator, num_points: int, dim: int, size_sd: float
) -> np.ndarray:
    r"""Draw Gaussian inputs of random size: :math:`x_i = e^{s z_i} g_i`.

    Args:
        generator: Source of randomness.
        num_points: Number of points, >= 1.
        dim: Number of inputs, >= 1.
        size_sd: Standard deviation s of the log sizes, >= 0; at 0 all have the same size.

    Returns:
        Array of shape ``[num_points, dim]``.
    """
    sizes = np.exp(size_sd * generator.standard_normal((num_points, 1)))
    return sizes * generator.standard_normal((num_points, dim))


def batch_constants(x: np.ndarray, batch_size: int) -> np.ndarray:
    """Score batches of successive points of the linear model by their exact constants.

    Args:
        x: Points in random order, array of shape ``[num_points, dim]``.
        batch_size: Points a batch, from 1 to ``num_points``; an incomplete last batch is left out.

    Returns:
        Array of shape ``[num_batches]``.
    """
    expected = f"from 1 to the {len(x)} points"
    require(1 <= batch_size <= len(x), "batch_size", batch_size, expected)
    whole = len(x) // batch_size * batch_size
    return batch_constant(x[:whole].reshape(-1, batch_size, x.shape[1]))


def variation_of_means(values: np.ndarray, batch_size: int) -> float:
    r"""Compute the coefficient of variation of means over batches of distinct points.

    :math:`\mathrm{CV}_B = \frac{\mathrm{CV}_1}{\sqrt B} \sqrt{\frac{N - B}{N - 1}}`, from the
    variance of a mean drawn without replacement. It is also the expected spread
    (root mean square) over the batches of one random partition.

    Args:
        values: Positive values, array of shape ``[N]``.
        batch_size: Points a batch, from 1 to N > 1.

    Returns:
        Standard deviation over mean.
    """
    num = len(values)
    require(1 <= batch_size <= num, "batch_size", batch_size, f"from 1 to the {num} points")
    shrink = math.sqrt((num - batch_size) / (num - 1) / batch_size)
    return float(np.std(values) / np.mean(values)) * shrink


def kept_gain(constants: np.ndarray, keep_fraction: float) -> float:
    """Compute the mean constant of what LiPrune keeps over the mean of all.

    Args:
        constants: Lipschitz constants, array of shape ``[n]``.
        keep_fraction: Fraction kept, in (0, 1].

    Returns:
        The ratio, at least 1; random pruning has 1 on average.
    """
    return float(constants[keep_highest(constants, keep_fraction)].mean() / constants.mean())


def draw_inputs(generator: np.random.Generator, name: str, num_points: int) -> np.ndarray:
    """Draw inputs of one of the kinds compared.

    Args:
        generator: Source of randomness.
        name: A key of ``INPUTS``.
        num_points: Number of points.

    Returns:
        Array of shape ``[num_points, dim]``.
    """
    require(name in INPUTS, "name", name, f"one of {', '.join(INPUTS)}")
    dim, size_sd = INPUTS[name]
    if size_sd is None:
        return generator.uniform(-HALF_WIDTH, HALF_WIDTH, (num_points, dim))
    return draw_sized_normals(generator, num_points, dim, size_sd)


def spread_runs(generator: np.random.Generator, num_runs: int) -> pd.DataFrame:
    """Measure the spread of batch constants and what choosing the largest gains.

    Args:
        generator: Source of randomness.
        num_runs: Data sets of each kind.

    Returns:
        One row a kind of input, data set and batch size: coefficient of variation over the
        batches, and the gain for each fraction kept.
    """
    rows = []
    with threadpool_limits(1):  # for many small matrices, threads wait more than they work
        for name, run in product(INPUTS, range(num_runs)):
            x = draw_inputs(generator, name, NUM_POINTS)
            for size in BATCH_SIZES:
                constants = batch_constants(x, size)
                row = {"inputs": name, "run": run, "batch_size": size}
                row |= {"num_batches": len(constants), "mean_constant": constants.mean()}
                row |= {"variation": constants.std() / constants.mean()}
                rows.append(row | {f"gain_{r:g}": kept_gain(constants, r) for r in FRACTIONS})
    return pd.DataFrame(rows)


def spread_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Summarise the spread by kind of input and batch size.

    Args:
        runs: From `spread_runs`.

    Returns:
        One row a kind and batch size: means over data sets of the variation and of the gains, each
        with its 99% interval (``_low``, ``_high``).
    """
    measures, rows = ["variation", *(f"gain_{r:g}" for r in FRACTIONS)], []
    for (name, size), group in runs.groupby(["inputs", "batch_size"], sort=False):
        row = {"inputs": name, "batch_size": size, "num_batches": group.num_batches.iloc[0]}
        row |= {"num_runs": len(group)}
        for measure in measures:
            found = mean_interval(group[measure].to_numpy())
            names = (measure, f"{measure}_low", f"{measure}_high")
            row |= dict(zip(names, found, strict=False))
        rows.append(row)
    return pd.DataFrame(rows)


def normal_gain(variation: float, keep_fraction: float) -> float:
    r"""Compute the gain of choosing the largest of many normal constants.

    :math:`1 + \mathrm{CV} \, \varphi(z_r) / r`, with :math:`z_r` exceeded with probability r.

    Args:
        variation: Coefficient of variation CV, >= 0.
        keep_fraction: Fraction kept r, in (0, 1).

    Returns:
        Mean constant of what is kept over the mean of all.
    """
    return 1 + variation * float(norm.pdf(norm.isf(keep_fraction))) / keep_fraction


def uniform_gain(keep_fraction: float) -> float:
    r"""Compute the gain of choosing single points of the linear model.

    For :math:`x \sim U(-a, a)` the outermost r have the mean square
    :math:`\frac{a^2}{3} \frac{1 - (1 - r)^3}{r}`.

    Args:
        keep_fraction: Fraction kept r, in (0, 1].

    Returns:
        Mean constant of what is kept over the mean of all, for infinitely many points.
    """
    return (1 - (1 - keep_fraction) ** 3) / keep_fraction


def partition_table(
    generator: np.random.Generator, values: np.ndarray, *, num_partitions: int = 2000
) -> pd.DataFrame:
    """Hold the spread of means over random batches against the exact formula.

    Args:
        generator: Source of the partitions.
        values: Constants of the points, array of shape ``[N]``.
        num_partitions: Random partitions, which serve all batch sizes.

    Returns:
        One row a batch size from 2 to N / 2 that divides N: the mean variance over the batches of a
        partition, its standard error, the formula of `variation_of_means`, and their difference in
        standard errors.
    """
    num, rows = len(values), []
    shuffled = values[rank(generator.random((num_partitions, num)))]
    for size in (size for size in range(2, num // 2 + 1) if num % size == 0):
        means = shuffled.reshape(num_partitions, -1, size).mean(axis=2)
        variances = means.var(axis=1)
        exact = (variation_of_means(values, size) * values.mean()) ** 2
        row = {"batch_size": size, "simulated": variances.mean(), "exact": exact}
        rows.append(row | {"se": standard_error(variances)})
    table = pd.DataFrame(rows)
    return table.assign(z=(table.simulated - table.exact) / table.se)
