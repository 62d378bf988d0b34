r"""Closed forms behind page 05: what a step of SGD does to the error in the linear model.

With :math:`e = w - w^*` and :math:`a_S` the mean of :math:`x^2` over a batch S of the kept points,
a step without label noise is :math:`e^+ = (1 - \eta a_S) e`. LiPrune, random pruning and importance
sampling differ in the law of :math:`a_S`, and in what the label noise adds.
"""

from functools import partial
from itertools import product

import numpy as np
from scipy.optimize import minimize_scalar

from experiments.linear_model.runs import KEEP_FRACTIONS, NUM_STEPS
from experiments.linear_model.tables import typical_moments
from liprune_utils.checks import require
from liprune_utils.problems import NOISE_SD
from liprune_utils.sgd import Moments, exact_moments

BATCH_SIZE, LEARNING_RATE = 10, 0.01  # paper, Figure 1
MEAN_SQUARE = 25 / 3  # of x from U(-5, 5)
TARGET_STEPS = (10, NUM_STEPS)  # steps after which each method is to be at its best
METHODS = ("liprune", "random", "matched", "unbiased", "none")


def step_multiplier(keep_fraction: float) -> float:
    r"""Compute how much larger LiPrune's mean step is, in a large data set.

    LiPrune keeps :math:`u = |x| / 5 \ge 1 - r`, where the mean of :math:`u^2` is
    :math:`\frac1r \int_{1-r}^1 u^2 du = \frac{1 - (1-r)^3}{3 r}`; over all points it is 1/3.
    """
    require(0 < keep_fraction <= 1, "keep_fraction", keep_fraction, "a fraction in (0, 1]")
    return (1 - (1 - keep_fraction) ** 3) / keep_fraction


def square_factor(kept: Moments, batch_size: int, learning_rate: float) -> np.ndarray:
    r"""Compute the mean-square contraction of a step, :math:`q = E(1 - \eta a_S)^2`."""
    square = _mean_square_curvature(kept, batch_size)
    return 1 - 2 * learning_rate * kept.xx + learning_rate**2 * square


def stability_limit(kept: Moments, batch_size: int) -> np.ndarray:
    r"""Compute the step size from which :math:`q \ge 1`: :math:`2 m / E a_S^2`."""
    return 2 * kept.xx / _mean_square_curvature(kept, batch_size)


def crossing_rate(liprune: Moments, random: Moments, batch_size: int) -> np.ndarray:
    r"""Compute the step size at which both methods contract alike.

    :math:`q_L < q_R` means :math:`\eta < 2 (m_L - m_R) / (E_L a_S^2 - E_R a_S^2)`.
    """
    squares = (_mean_square_curvature(kept, batch_size) for kept in (liprune, random))
    return 2 * (liprune.xx - random.xx) / np.subtract(*squares)


def settled_square(kept: Moments, batch_size: int, learning_rate: float) -> np.ndarray:
    r"""Compute :math:`\lim_t E(w_t - w^*)^2`, what the label noise leaves.

    Of `liprune_utils.sgd.exact_moments`, :math:`G_{t+1} = q G_t + c f_t + d` with
    :math:`f_t \to 1`, so that the limit is :math:`\sigma^2 (c + d) / (1 - q)`; c and d are read off
    the first two steps. About :math:`\frac{\eta \sigma^2}{2 B} + \frac{\sigma^2}{K m}` if
    :math:`\eta` is small: the noise of the steps, and the error of the kept set's own minimiser.
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
    """Compute :math:`E(w_t - w^*)^2` on a typical data set."""
    require(method in METHODS, "method", method, f"one of {METHODS}")
    options = {"batch_size": batch_size, "num_steps": num_steps, "slope": slope}
    if method == "unbiased":
        everything = typical_moments(1.0, "random")
        return importance_square(everything, learning_rate=learning_rate, **options)[:, 0]
    fraction = 1.0 if method == "none" else keep_fraction
    kept = typical_moments(fraction, "liprune" if method == "liprune" else "random")
    rate = learning_rate * (step_multiplier(keep_fraction) if method == "matched" else 1)
    return exact_moments(kept, learning_rate=rate, noise_sd=NOISE_SD, **options).square[:, 0]


def best_rates(slope: float) -> dict[tuple[int, str, float], float]:
    """Find each method's best step size on a typical data set, batch size 10."""
    methods = [*product(("liprune", "random"), KEEP_FRACTIONS), ("none", 1.0), ("unbiased", 1.0)]
    rates = {}
    for steps, (method, fraction) in product(TARGET_STEPS, methods):
        options = {"batch_size": BATCH_SIZE, "num_steps": steps, "slope": slope}
        error = partial(expected_square, method, fraction, **options)
        largest = typical_limit(method, fraction)
        lowest = minimize_scalar(
            lambda log_rate, error=error: error(learning_rate=np.exp(log_rate))[-1],
            bounds=(np.log(largest / 1000), np.log(largest)),
            method="bounded",
        )
        rates[steps, method, fraction] = float(np.exp(lowest.x))
    return rates


def typical_limit(method: str, keep_fraction: float) -> float:
    """Compute where a method stops converging, on a typical data set with batch size 10."""
    kept = typical_moments(keep_fraction, "liprune" if method == "liprune" else "random")
    if method == "unbiased":  # every batch has the same curvature
        return float(2 / kept.xx[0])
    return float(stability_limit(kept, BATCH_SIZE)[0])


def _mean_square_curvature(kept: Moments, batch_size: int) -> np.ndarray:
    r""":math:`E a_S^2` for a batch S of distinct points, by the finite-population variance."""
    count = kept.num_points
    require(1 <= batch_size <= count, "batch_size", batch_size, f"from 1 to {count} kept")
    correction = (count - batch_size) / max(count - 1, 1)
    return kept.xx**2 + (kept.x4 - kept.xx**2) / batch_size * correction
