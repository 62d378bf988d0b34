"""Means, ratios, medians, shares and effects of crossed factors, each with its interval."""

import math
from typing import NamedTuple, Self

import numpy as np
from scipy.stats import beta, binom
from scipy.stats import t as student

from liprune_utils.checks import require


class Estimate(NamedTuple):
    """An estimate with its interval and the number of independent runs behind it."""

    value: float
    low: float
    high: float
    num_runs: int

    @classmethod
    def of(cls, row: object, name: str) -> Self:
        """Read an estimate from a Series or named tuple, by `columns` or `named_columns`."""
        ends = f"{name}_low", f"{name}_high"
        columns = (name, *(ends if hasattr(row, ends[0]) else ("low", "high")))
        return cls(*(float(getattr(row, column)) for column in columns), int(row.num_runs))

    def columns(self, name: str) -> dict[str, float]:
        """Name the columns of an estimate: ``name``, ``low``, ``high`` and ``num_runs``."""
        return {name: self.value, "low": self.low, "high": self.high, "num_runs": self.num_runs}

    def named_columns(self, name: str) -> dict[str, float]:
        """Name the columns of one estimate of several: ``name``, ``name_low``, ``name_high``."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}

    def exp(self) -> Self:
        """Turn the estimate of a logarithm into that of the quantity."""
        return type(self)(*(math.exp(end) for end in self[:3]), self.num_runs)

    def below(self, bound: float) -> bool | None:
        """Tell whether the quantity is below a bound; None if the interval holds the bound."""
        if self.high < bound:
            return True
        return False if self.low > bound or self.low == self.high == bound else None

    def within(self, low: float, high: float) -> bool | None:
        """Tell whether the quantity is between two bounds; None if the interval holds one."""
        if low < self.low and self.high < high:
            return True
        return False if self.high <= low or self.low >= high else None


def runs_to_settle(estimate: Estimate, bound: float, num_runs: int) -> float:
    r"""Tell how many runs would leave a bound out of an interval, if value and spread stay.

    .. math:: \Big\lceil n \Big( \frac{h}{|b - m|} \Big)^2 \Big\rceil

    A rough count: an interval's half-width h falls as :math:`1 / \sqrt n`, and the value m of more
    runs will be another.

    Args:
        estimate: The value m and its interval; h is its half towards the bound.
        bound: The bound b.
        num_runs: How many independent runs n the interval rests on.

    Returns:
        The number of runs; infinite where the value is the bound.

    Example:
        >>> runs_to_settle(Estimate(1.0, -1.0, 3.0, 5), 0.0, 5)
        20
    """
    half = (
        estimate.high - estimate.value if bound > estimate.value else estimate.value - estimate.low
    )
    distance = abs(bound - estimate.value)
    return math.ceil(num_runs * (half / distance) ** 2) if distance else math.inf


def standard_error(samples: np.ndarray) -> np.ndarray:
    r"""Compute the standard error of the mean over axis 0, :math:`s / \sqrt n`, n >= 2."""
    return np.std(samples, axis=0, ddof=1) / np.sqrt(len(samples))


def mean_interval(samples: np.ndarray, level: float = 0.99) -> Estimate:
    """Estimate a mean with Student's interval; of paired differences, the paired interval.

    Args:
        samples: Independent values, array of shape ``[n]``, n >= 2.
        level: Confidence level, in (0, 1).

    Returns:
        The mean and its interval.

    Example:
        >>> np.round(mean_interval(np.array([1.0, 2.0, 4.0, 5.0]), level=0.9), 3)
        array([3.   , 0.852, 5.148, 4.   ])
    """
    samples = np.asarray(samples, dtype=float)
    count = len(samples)
    return _student(samples.mean(), standard_error(samples), count - 1, level, count)


def ratio_interval(numerator: np.ndarray, denominator: np.ndarray, level: float = 0.99) -> Estimate:
    r"""Estimate a ratio of means of paired samples by linearisation (the delta method).

    The error of :math:`\bar a / \bar b` is that of the mean of
    :math:`(a_i - \rho b_i) / \bar b` at the estimated ratio :math:`\rho`.

    Args:
        numerator: Array of shape ``[n]``, paired with ``denominator``.
        denominator: Array of shape ``[n]`` with a mean far from zero.
        level: Confidence level, in (0, 1).

    Returns:
        The ratio and its interval.

    Example:
        >>> ratio_interval(np.array([1.0, 2.1, 2.9]), np.array([2.0, 4.0, 6.0])).value
        0.5
    """
    ratio = numerator.mean() / denominator.mean()
    errors = mean_interval((numerator - ratio * denominator) / denominator.mean(), level)
    low, high = float(ratio + errors.low), float(ratio + errors.high)
    return Estimate(float(ratio), low, high, len(numerator))


def median_interval(samples: np.ndarray, level: float = 0.99) -> Estimate:
    """Estimate a median, with an interval between order statistics.

    Exact for any continuous distribution, conservative for others; samples may be infinite.

    Args:
        samples: Independent values, array of shape ``[n]``.
        level: Confidence level, in (0, 1); too few samples give an infinite interval.

    Returns:
        The median and its interval.
    """
    ordered = np.concatenate([[-np.inf], np.sort(np.asarray(samples, dtype=float)), [np.inf]])
    count = len(ordered) - 2
    below = int(binom.ppf((1 - level) / 2, count, 0.5))  # ordered[below] has rank below
    low, high = ordered[below], ordered[count + 1 - below]
    return Estimate(float(np.median(samples)), float(low), float(high), count)


def share_interval(successes: int, num_runs: int, level: float = 0.99) -> Estimate:
    """Estimate a share with Clopper and Pearson's exact interval.

    Args:
        successes: Runs that count, from 0 to ``num_runs``.
        num_runs: Independent runs, >= 1.
        level: Confidence level, in (0, 1).

    Returns:
        The share and its interval.

    Example:
        >>> np.round(share_interval(0, 100), 4)  # none of a hundred may still be one in twenty
        array([0.00e+00, 0.00e+00, 5.16e-02, 1.00e+02])
    """
    # Quantiles of the beta distribution; scipy's `binomtest` searches for them, to 1e-12.
    tail, failures = (1 - level) / 2, num_runs - successes
    low = beta.ppf(tail, successes, failures + 1) if successes else 0.0
    high = beta.ppf(1 - tail, successes + 1, failures) if failures else 1.0
    return Estimate(successes / num_runs, float(low), float(high), num_runs)


def components(values: np.ndarray) -> np.ndarray:
    r"""Estimate the variances between settings, between seeds, and of the rest, none below zero.

    The analysis of variance of :math:`d_{cs} = \mu + a_c + b_s + e_{cs}`.

    Args:
        values: One value per setting and seed, shape ``[C, S]``, C >= 2, S >= 2.

    Returns:
        :math:`\sigma_a^2, \sigma_b^2, \sigma_e^2`, shape ``[3]``.
    """
    settings, seeds, rest = _mean_squares(values)[0]
    num_settings, num_seeds = values.shape
    between = max(settings - rest, 0) / num_seeds, max(seeds - rest, 0) / num_settings
    return np.array([*between, rest])


def crossed_mean(values: np.ndarray, level: float = 0.90) -> Estimate:
    r"""Estimate the mean over settings and seeds, both drawn from populations of their kind.

    The seeds are shared: all settings of a seed have the same batches, initialisation and order. So
    neither the settings nor the pairs are independent, and

    .. math:: \mathrm{Var}\,\bar d
        = \frac{\sigma_a^2}{C} + \frac{\sigma_b^2}{S} + \frac{\sigma_e^2}{C S},

    from `components`, with Satterthwaite's degrees of freedom, at least those of the smaller
    factor, in Student's interval. A single setting gives the interval over its seeds.

    Args:
        values: One value per setting and seed, shape ``[C, S]``, C >= 1, S >= 2, all finite.
        level: Confidence level, in (0, 1).

    Returns:
        The mean and its interval; its number of runs is C S.

    Example:
        >>> differences = np.array([[-1.0, 0.5, 0.0], [0.5, -0.5, 1.0]])  # two settings
        >>> np.round(crossed_mean(differences), 2)  # value, low, high, n
        array([ 0.08, -1.03,  1.2 ,  6.  ])
    """
    values = np.asarray(values, dtype=float)
    require(values.shape[1] >= 2, "The number of seeds", values.shape[1], "at least 2")
    missing = int((~np.isfinite(values)).sum())
    require(missing == 0, "The number of missing values", missing, "one value per setting and seed")
    if len(values) == 1:
        return mean_interval(values[0], level)
    squares, freedom = _mean_squares(values)
    # A component at zero leaves its square out; squares that are equal but for rounding are equal.
    counted = squares[:2] > squares[2] * (1 + 1e-9)
    terms = np.append(counted, 1 - counted.sum()) * squares
    variance, spread = terms.sum() / values.size, (terms**2 / freedom).sum()
    effective = max(terms.sum() ** 2 / spread if spread else 0.0, freedom[:2].min())
    return _student(values.mean(), np.sqrt(variance), effective, level, values.size)


def _student(mean: float, error: float, freedom: float, level: float, num_runs: int) -> Estimate:
    half = student.interval(level, freedom)[1] * error  # of scale 1: scipy has NaN at scale 0
    return Estimate(float(mean), float(mean - half), float(mean + half), num_runs)


# Mean squares of settings, seeds and the rest, and their degrees of freedom, each [3].
def _mean_squares(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Their expectations are s_e^2 + S s_a^2, s_e^2 + C s_b^2 and s_e^2.
    num_settings, num_seeds = values.shape
    mean = values.mean()
    settings, seeds = values.mean(axis=1) - mean, values.mean(axis=0) - mean
    rest = values - mean - settings[:, None] - seeds
    sums = [num_seeds * (settings**2).sum(), num_settings * (seeds**2).sum(), (rest**2).sum()]
    freedom = np.array([num_settings - 1, num_seeds - 1, (num_settings - 1) * (num_seeds - 1)])
    return np.array(sums) / freedom, freedom
