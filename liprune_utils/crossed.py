"""Mean over cells crossed with seeds, both random effects, with its interval."""

import numpy as np
from scipy.stats import t as student

from liprune_utils.parameters import require
from liprune_utils.stats import Estimate, mean_interval


def mean_squares(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Compute the mean squares of a two-way table without repetition (analysis of variance).

    For :math:`d_{cs} = \mu + a_c + b_s + e_{cs}` with C cells and S seeds their expectations are
    :math:`\sigma_e^2 + S \sigma_a^2`, :math:`\sigma_e^2 + C \sigma_b^2` and :math:`\sigma_e^2`.

    Args:
        values: One value a cell and seed, shape ``[C, S]``, C >= 2, S >= 2.

    Returns:
        The mean squares of cells, seeds and the rest, and their degrees of freedom, each of shape
        ``[3]``.
    """
    num_cells, num_seeds = values.shape
    mean = values.mean()
    cells, seeds = values.mean(axis=1) - mean, values.mean(axis=0) - mean
    rest = values - mean - cells[:, None] - seeds
    sums = [num_seeds * (cells**2).sum(), num_cells * (seeds**2).sum(), (rest**2).sum()]
    freedom = np.array([num_cells - 1, num_seeds - 1, (num_cells - 1) * (num_seeds - 1)])
    return np.array(sums) / freedom, freedom


def components(values: np.ndarray) -> np.ndarray:
    r"""Estimate the variances between cells, between seeds, and of the rest, none below zero.

    Args:
        values: As in `mean_squares`.

    Returns:
        :math:`\sigma_a^2, \sigma_b^2, \sigma_e^2`, shape ``[3]``.
    """
    cells, seeds, rest = mean_squares(values)[0]
    num_cells, num_seeds = values.shape
    return np.array([max(cells - rest, 0) / num_seeds, max(seeds - rest, 0) / num_cells, rest])


def crossed_mean(values: np.ndarray, level: float = 0.90) -> Estimate:
    r"""Estimate the mean over cells and seeds, both drawn from populations of their kind.

    The seeds are shared: all cells of a seed have the same batches, initialisation and order. So
    neither the cells nor the pairs are independent, and

    .. math:: \mathrm{Var}\,\bar d
        = \frac{\sigma_a^2}{C} + \frac{\sigma_b^2}{S} + \frac{\sigma_e^2}{C S},

    from `components`, with Satterthwaite's degrees of freedom, at least those of the smaller
    factor, in Student's interval. A single cell gives the interval over its seeds.

    Args:
        values: One value a cell and seed, shape ``[C, S]``, C >= 1, S >= 2, all finite.
        level: Confidence level, in (0, 1).

    Returns:
        The mean and its interval; its number of runs is C S.

    Example:
        >>> differences = np.array([[-1.0, 0.5, 0.0], [0.5, -0.5, 1.0]])  # two cells, three seeds
        >>> np.round(crossed_mean(differences), 2)  # value, low, high, n
        array([ 0.08, -1.03,  1.2 ,  6.  ])
    """
    values = np.asarray(values, dtype=float)
    require(values.shape[1] >= 2, "The number of seeds", values.shape[1], "at least 2")
    missing = int((~np.isfinite(values)).sum())
    require(missing == 0, "The number of missing values", missing, "one value a cell and seed")
    if len(values) == 1:
        return mean_interval(values[0], level)
    squares, freedom = mean_squares(values)
    # A component at zero leaves its square out; squares that are equal but for rounding are equal.
    counted = squares[:2] > squares[2] * (1 + 1e-9)
    parts = np.append(counted, 1 - counted.sum()) * squares
    variance, spread = parts.sum() / values.size, (parts**2 / freedom).sum()
    effective = max(parts.sum() ** 2 / spread if spread else 0.0, freedom[:2].min())
    mean, half = values.mean(), student.ppf(0.5 + level / 2, effective) * np.sqrt(variance)
    return Estimate(float(mean), float(mean - half), float(mean + half), values.size)
