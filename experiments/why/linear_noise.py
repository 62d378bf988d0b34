r"""Is it the gradient's noise that lets LiPrune win on the linear model?

At an error :math:`e = w - w^*` let a batch's gradient have mean G and variance V. A step leaves

.. math:: E (e^+)^2 = (e - \eta G)^2 + \eta^2 V .

The first term is the mean step, the second the noise, so that a method's lead in one step from
the same weights splits into the two.
"""

from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.linear_model.runs import KEEP_FRACTIONS, NUM_POINTS, stream
from experiments.linear_model.tables import typical_moments
from experiments.what_accelerates.closed_forms import BATCH_SIZE, LEARNING_RATE
from liprune_utils.intervals import ratio_interval
from liprune_utils.problems import NOISE_SD, LinearData, draw_linear
from liprune_utils.pruning import num_kept, rank

ERRORS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005)  # in units of the slope, where SGD starts


class Step(NamedTuple):
    """A step of SGD from one error: mean gradient, its variance and what it leaves, by run."""

    mean: np.ndarray  # [num_runs]
    noise: np.ndarray  # [num_runs], >= 0

    def left(self, error: float) -> tuple[np.ndarray, np.ndarray]:
        """Compute the two parts of the mean squared error after the step."""
        return (error - LEARNING_RATE * self.mean) ** 2, LEARNING_RATE**2 * self.noise


def _kept_step(x: np.ndarray, noise: np.ndarray, error: float) -> Step:
    r"""Describe a step with ten distinct points out of the kept ones, exactly over all batches.

    A point's gradient is :math:`x_i (e x_i - \nu_i)`; the variance of a mean over B of K distinct
    points is their unbiased variance times :math:`\frac1B (1 - \frac BK)`.
    """
    gradients = x * (error * x - noise)
    shrink = (1 - BATCH_SIZE / x.shape[1]) / BATCH_SIZE
    return Step(gradients.mean(axis=1), gradients.var(axis=1, ddof=1) * shrink)


def _weighted_step(x: np.ndarray, noise: np.ndarray, error: float) -> Step:
    r"""Describe a step with ten draws of :math:`p_i \propto x_i^2`, each weighted by its inverse.

    The weighted gradient is :math:`m (e - \nu_i / x_i)` with :math:`m = \overline{x^2}` (paper,
    Section 2).
    """
    square = x**2
    mean_square = square.mean(axis=1, keepdims=True)
    gradients = mean_square * (error - noise / x)
    chance = square / square.sum(axis=1, keepdims=True)
    mean = (chance * gradients).sum(axis=1)
    variance = (chance * (gradients - mean[:, None]) ** 2).sum(axis=1)
    return Step(mean, variance / BATCH_SIZE)


def noise_table(num_runs: int, seed: int, slope: float) -> pd.DataFrame:
    """Compare LiPrune's and weighted steps with random pruning's, at the same weights."""
    data = draw_linear(stream(seed, "data"), num_runs, NUM_POINTS, slope=slope)
    orders = rank(stream(seed, "choice").random(data.x.shape)), rank(data.lipschitz)
    rows = []
    for fraction, relative in product(KEEP_FRACTIONS, ERRORS):
        error, count = relative * slope, num_kept(NUM_POINTS, fraction)
        random, liprune = (_kept_step(*_take(data, order[:, :count]), error) for order in orders)
        steps = {"liprune": liprune, "unbiased": _weighted_step(data.x, data.noise, error)}
        for method, step in steps.items():
            row = {"keep_fraction": fraction, "method": method, "error": relative}
            rows.append(row | _compare(step, random, error))
    return pd.DataFrame(rows)


def _take(data: LinearData, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.take_along_axis(values, kept, axis=1) for values in (data.x, data.noise))


def _compare(step: Step, random: Step, error: float) -> dict[str, float]:
    (drift, spread), (drift_random, spread_random) = step.left(error), random.left(error)
    left = ratio_interval(drift + spread, drift_random + spread_random)
    by_noise = (spread_random - spread).mean()
    lead = by_noise + (drift_random - drift).mean()
    share = by_noise / lead if left.below(1) else np.nan
    noise = ratio_interval(step.noise, random.noise)
    columns = noise.named_columns("noise") | {"num_runs": noise.num_runs}
    return columns | left.named_columns("left") | {"share": share}


def typical_noise(error: float, keep_fraction: float, method: str, slope: float) -> float:
    r"""Compute the variance of one kept point's gradient on a typical data set.

    :math:`e^2 (\overline{x^4} - \overline{x^2}^2) + \sigma^2 \overline{x^2}` over the kept
    quantiles of U(-5, 5).
    """
    kept = typical_moments(keep_fraction, method)
    curvature = kept.x4[0] - kept.xx[0] ** 2
    return float((error * slope) ** 2 * curvature + NOISE_SD**2 * kept.xx[0])


def typical_ratios(steps: pd.DataFrame, slope: float) -> np.ndarray:
    """Compute LiPrune's variance over random pruning's on a typical data set, for its steps."""
    cases = [(row.error, row.keep_fraction) for row in steps.itertuples()]
    liprune, random = (
        np.array([typical_noise(*case, method, slope) for case in cases])
        for method in ("liprune", "random")
    )
    return liprune / random
