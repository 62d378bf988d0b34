r"""Closed forms behind page 05: what a step of SGD does to the error in the linear model.

With :math:`e = w - w^*` and :math:`a_S` the mean of :math:`x^2` over a batch S of the kept points,
a step without label noise is :math:`e^+ = (1 - \eta a_S) e`. LiPrune, random pruning and importance
sampling differ in the law of :math:`a_S`, and in what the label noise adds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from scipy.optimize import minimize_scalar

from experiments.linear_model.runs import NUM_POINTS, NUM_STEPS
from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import require
from liprune_utils.problems import NOISE_SD
from liprune_utils.pruning import num_kept
from liprune_utils.sgd import Moments, exact_moments

KEEP_FRACTIONS = (0.1, 0.3, 0.5, 0.7)  # paper, Figure 1
BATCH_SIZE, LEARNING_RATE = 10, 0.01  # paper, Figure 1
MEAN_SQUARE = 25 / 3  # of x from U(-5, 5)
TARGET_STEPS = (10, NUM_STEPS)  # steps after which each method is to be at its best
METHODS = ("liprune", "random", "matched", "unbiased", "none")


@dataclass(frozen=True)
class AccelerationParameters(Parameters):
    """Parameters of page 05."""

    slope: float  # true slope w* of the linear model, which the paper does not state
    num_runs: int  # data sets of the linear model, each with its own SGD runs
    num_problems: int  # data sets on which Theorem 1's bound is computed
    seed: int  # root of all random streams

    def check(self) -> None:
        """Check the ranges."""
        super().check()
        runs, problems = self.num_runs, self.num_problems
        # The steeper the slope, the longer a few runs outweigh the others in the means to check.
        require(0 < abs(self.slope) <= 100, "slope", self.slope, "not 0, and at most 100 in size")
        # Weighted label noise has heavy tails: standard errors of fewer runs cannot be trusted.
        require(1000 <= runs <= 10**6, "num_runs", runs, "from 1000 to 1000000")
        require(10 <= problems <= 10**5, "num_problems", problems, "from 10 to 100000")
        require(self.seed >= 0, "seed", self.seed, "a whole number from 0")


def step_multiplier(keep_fraction: float) -> float:
    r"""Compute how much larger LiPrune's mean step is, in a large data set.

    :math:`u = |x| / 5` is uniform on [0, 1], and LiPrune keeps :math:`u \ge 1 - r`. The mean of
    :math:`u^2` there is :math:`\frac1r \int_{1-r}^1 u^2 du = \frac{1 - (1-r)^3}{3 r}`; over all
    points it is 1/3.

    Args:
        keep_fraction: Fraction kept :math:`r`, in (0, 1].

    Returns:
        :math:`c(r) = (1 - (1-r)^3) / r`, in [1, 3).
    """
    require(0 < keep_fraction <= 1, "keep_fraction", keep_fraction, "a fraction in (0, 1]")
    return (1 - (1 - keep_fraction) ** 3) / keep_fraction


def typical_moments(keep_fraction: float, method: str) -> Moments:
    r"""Take the moments of a typical data set: the quantiles of :math:`U(-5, 5)` in place of x.

    Args:
        keep_fraction: Fraction kept, in (0, 1].
        method: "liprune" or "random"; with the fraction 1 the same, no pruning.

    Returns:
        Moments of one run.
    """
    require(method in ("liprune", "random"), "method", method, "liprune or random")
    count = num_kept(NUM_POINTS, keep_fraction)
    low = 1 - keep_fraction if method == "liprune" else 0.0
    x = 5 * (low + (1 - low) * (np.arange(count) + 0.5) / count)[:, None]
    return Moments.of(x, np.zeros_like(x))


def mean_square_curvature(kept: Moments, batch_size: int) -> np.ndarray:
    r"""Compute :math:`E a_S^2` for a batch S of B distinct points out of K.

    :math:`m^2 + \frac{\overline{x^4} - m^2}{B} \cdot \frac{K - B}{K - 1}` with
    :math:`m = \overline{x^2}`.

    Args:
        kept: Moments of the kept points.
        batch_size: B, from 1 to K.

    Returns:
        Array of shape ``[num_runs]``.
    """
    count = kept.num_points
    require(1 <= batch_size <= count, "batch_size", batch_size, f"from 1 to {count} kept")
    correction = (count - batch_size) / max(count - 1, 1)
    return kept.xx**2 + (kept.x4 - kept.xx**2) / batch_size * correction


def square_factor(kept: Moments, batch_size: int, learning_rate: float) -> np.ndarray:
    r"""Compute the mean-square contraction of a step, :math:`q = E(1 - \eta a_S)^2`.

    Args:
        kept: Moments of the kept points.
        batch_size: Distinct points a step.
        learning_rate: Step size :math:`\eta`.

    Returns:
        :math:`1 - 2 \eta m + \eta^2 E a_S^2`, array of shape ``[num_runs]``; SGD converges (to its
        noise floor) where it is below 1.
    """
    square = mean_square_curvature(kept, batch_size)
    return 1 - 2 * learning_rate * kept.xx + learning_rate**2 * square


def stability_limit(kept: Moments, batch_size: int) -> np.ndarray:
    r"""Compute the step size from which :math:`q \ge 1`: :math:`2 m / E a_S^2`.

    Args:
        kept: Moments of the kept points.
        batch_size: Distinct points a step.

    Returns:
        Array of shape ``[num_runs]``.
    """
    return 2 * kept.xx / mean_square_curvature(kept, batch_size)


def crossing_rate(liprune: Moments, random: Moments, batch_size: int) -> np.ndarray:
    r"""Compute the step size at which both methods contract alike.

    :math:`q_L < q_R` means :math:`\eta < 2 (m_L - m_R) / (E_L a_S^2 - E_R a_S^2)`.

    Args:
        liprune: Moments of LiPrune's points.
        random: Moments of the random ones.
        batch_size: Distinct points a step.

    Returns:
        Array of shape ``[num_runs]``; below it LiPrune contracts faster.
    """
    squares = (mean_square_curvature(kept, batch_size) for kept in (liprune, random))
    return 2 * (liprune.xx - random.xx) / np.subtract(*squares)


def noise_floor(kept: Moments, batch_size: int, learning_rate: float) -> np.ndarray:
    r"""Compute :math:`\lim_t E(w_t - w^*)^2`, what the label noise leaves.

    Of `liprune_utils.sgd.exact_moments`, :math:`G_{t+1} = q G_t + c f_t + d` with
    :math:`f_t \to 1`, so that the limit is :math:`\sigma^2 (c + d) / (1 - q)`; c and d are read off
    the first two steps. About :math:`\frac{\eta \sigma^2}{2 B} + \frac{\sigma^2}{K m}` if
    :math:`\eta` is small: the noise of the steps, and the error of the kept set's own minimiser.

    Args:
        kept: Moments of the kept points.
        batch_size: Distinct points a step.
        learning_rate: Step size, below the `stability_limit`.

    Returns:
        Array of shape ``[num_runs]``.
    """
    q = square_factor(kept, batch_size, learning_rate)
    require(bool((q < 1).all()), "learning_rate", learning_rate, "below the stability limit")
    options = {"batch_size": batch_size, "learning_rate": learning_rate, "num_steps": 2}
    exact = exact_moments(kept, **options, slope=0.0, noise_sd=1.0)
    first, second = exact.square[1:]
    cross = (second - (1 + q) * first) / exact.forgotten[1]
    return NOISE_SD**2 * (cross + first) / (1 - q)


def importance_square(
    full: Moments,
    *,
    batch_size: int,
    learning_rate: float,
    num_steps: int,
    slope: float,
    keep_probability: float = 1.0,
) -> np.ndarray:
    r"""Compute :math:`E(w_t - w^*)^2` for sampling with :math:`p_i \propto x_i^2`, exactly.

    The paper's Theorem 2 with B independent draws a step, each weighted by
    :math:`1 / (n p_i) = m / x_i^2`: every batch has the curvature :math:`m`, and with
    :math:`\bar e = w_{LS} - w^*`, the error of the least-squares solution,
    :math:`d = e - \bar e` follows :math:`d^+ = (1 - \zeta a) d + \zeta a f` with
    :math:`a = \eta m / \rho`, :math:`\zeta \sim \mathcal{B}(\rho)`, :math:`E f = 0` and
    :math:`E f^2 = v = \frac{\sigma^2}{m B}(1 - \frac1n)`. Hence
    :math:`E d^2 \mapsto q E d^2 + \rho a^2 v` with :math:`q = 1 - 2 \eta m + \rho a^2`.

    Args:
        full: Moments of all points.
        batch_size: Draws a step.
        learning_rate: Step size :math:`\eta`.
        num_steps: Steps, made or not.
        slope: True slope.
        keep_probability: :math:`\rho`, the paper's r: the chance that a step is made.

    Returns:
        Array of shape ``[num_steps + 1, num_runs]``.
    """
    n, mean = full.num_points, learning_rate * full.xx
    noise = NOISE_SD**2 / full.xx
    second = mean**2 / keep_probability
    q, t = 1 - 2 * mean + second, np.arange(num_steps + 1)[:, None]
    gathered = second * noise * (1 - 1 / n) / batch_size * (1 - q**t) / (1 - q)
    solution = noise / n  # E (w_LS - w^*)^2
    return q**t * (slope**2 + solution) + gathered + solution * (1 - 2 * (1 - mean) ** t)


def expected_square(
    method: str,
    keep_fraction: float,
    *,
    batch_size: int,
    learning_rate: float,
    num_steps: int,
    slope: float,
) -> np.ndarray:
    r"""Compute :math:`E(w_t - w^*)^2` on a typical data set.

    Args:
        method: A key of ``METHODS``; "none" and "unbiased" use all points.
        keep_fraction: Fraction kept.
        batch_size: Points a step.
        learning_rate: Step size; "matched" multiplies it by `step_multiplier`.
        num_steps: Steps.
        slope: True slope.

    Returns:
        Array of shape ``[num_steps + 1]``.
    """
    require(method in METHODS, "method", method, f"one of {METHODS}")
    options = {"batch_size": batch_size, "num_steps": num_steps, "slope": slope}
    if method == "unbiased":
        whole = typical_moments(1.0, "random")
        return importance_square(whole, learning_rate=learning_rate, **options)[:, 0]
    fraction = 1.0 if method == "none" else keep_fraction
    kept = typical_moments(fraction, "liprune" if method == "liprune" else "random")
    rate = learning_rate * (step_multiplier(keep_fraction) if method == "matched" else 1)
    return exact_moments(kept, learning_rate=rate, noise_sd=NOISE_SD, **options).square[:, 0]


def best_rate(excess: Callable[[float], float], largest: float) -> float:
    """Find the step size with the least expected excess.

    Args:
        excess: Excess as a function of the step size, with a single minimum.
        largest: Upper end of the search; its lower end is a thousandth of it.

    Returns:
        The step size, to a relative accuracy of about 1e-5.
    """
    ends = (np.log(largest / 1000), np.log(largest))
    found = minimize_scalar(lambda log: excess(np.exp(log)), bounds=ends, method="bounded")
    return float(np.exp(found.x))


def best_rates(slope: float) -> dict[tuple[int, str, float], float]:
    """Find each method's best step size on a typical data set, batch size 10.

    Args:
        slope: True slope.

    Returns:
        For each number of steps T, method and keep fraction the step size with the least expected
        error after T steps; "unbiased" sampling and "none" have the fraction 1.
    """
    cells = [*product(("liprune", "random"), KEEP_FRACTIONS), ("none", 1.0), ("unbiased", 1.0)]
    rates = {}
    for steps, (method, fraction) in product(TARGET_STEPS, cells):
        options = {"batch_size": BATCH_SIZE, "num_steps": steps, "slope": slope}
        error = partial(expected_square, method, fraction, **options)
        largest = limit(method, fraction)
        rates[steps, method, fraction] = best_rate(
            lambda rate, error=error: error(learning_rate=rate)[-1], largest
        )
    return rates


def limit(method: str, keep_fraction: float) -> float:
    """Compute where a method stops converging, on a typical data set with batch size 10.

    Args:
        method: "liprune", "random", "none" or "unbiased".
        keep_fraction: Fraction kept.

    Returns:
        The step size.
    """
    kept = typical_moments(keep_fraction, "liprune" if method == "liprune" else "random")
    if method == "unbiased":  # every batch has the same curvature
        return float(2 / kept.xx[0])
    return float(stability_limit(kept, BATCH_SIZE)[0])
