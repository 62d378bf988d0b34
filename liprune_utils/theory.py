r"""Theorems 1 and 2 of the paper as functions, and what can be said more simply.

The functions take the constants of a problem under importance sampling: index i is drawn with
probability :math:`p_i`, and SGD follows :math:`g_i = f_i / (n p_i)`. Under stochastic pruning a
step is made with ``keep_probability`` r, in (0, 1]; of t steps :math:`\chi_t` are made.
"""

from typing import NamedTuple, Self

import numpy as np
from scipy.stats import binom

from liprune_utils.checks import require
from liprune_utils.problems import Problem


def uniform(lipschitz: np.ndarray) -> np.ndarray:
    """Give every function the same probability, 1 / n, as an array of shape ``[n]``."""
    return np.full(len(lipschitz), 1 / len(lipschitz))


def optimal(lipschitz: np.ndarray) -> np.ndarray:
    r"""Minimise :math:`L_{\sup}(p) = \max_i L_i / (n p_i)`: :math:`p_i = L_i / \sum_j L_j`.

    Any p has :math:`\sum_i p_i \frac{L_i}{n p_i} = \bar L`, a mean of the :math:`L_i / (n p_i)`,
    which is at most their maximum; this p attains it. (The paper's Section 2 prints
    :math:`L_i / \bar L`, which sums to n.)

    Args:
        lipschitz: Lipschitz constants :math:`L_i` > 0, array of shape ``[n]``.

    Returns:
        Probabilities, array of shape ``[n]``.
    """
    require(
        bool(np.min(lipschitz) > 0), "smallest Lipschitz constant", np.min(lipschitz), "above 0"
    )
    return lipschitz / lipschitz.sum()


def mixture(lipschitz: np.ndarray) -> np.ndarray:
    r"""Mix the uniform and the optimal probabilities half and half.

    :math:`L_{\sup}(p) \le 2 \bar L` and :math:`\sigma^2(p) \le 2 \sigma^2`: never worse than twice
    either (Needell, Srebro and Ward, arXiv 1310.5715, Section 3).

    Args:
        lipschitz: Lipschitz constants > 0, array of shape ``[n]``.

    Returns:
        Probabilities, array of shape ``[n]``.
    """
    return (uniform(lipschitz) + optimal(lipschitz)) / 2


SAMPLINGS = {"uniform": uniform, "optimal": optimal, "mixture": mixture}


def lipschitz_sup(lipschitz: np.ndarray, probabilities: np.ndarray) -> float:
    r"""Compute :math:`L_{\sup}(p) = \max_i \frac{L_i}{n p_i}`, the largest constant of the g_i.

    Args:
        lipschitz: Lipschitz constants :math:`L_i`, array of shape ``[n]``.
        probabilities: Probabilities :math:`p_i` > 0, array of shape ``[n]``.

    Returns:
        The constant.
    """
    return float(np.max(lipschitz / (len(lipschitz) * probabilities)))


def gradient_noise(gradients: np.ndarray, probabilities: np.ndarray) -> float:
    r"""Compute :math:`\sigma^2(p) = \frac1{n^2} \sum_i \frac1{p_i} \|\nabla f_i(w^*)\|^2`.

    Args:
        gradients: Gradients at the minimiser, array of shape ``[n, dim]``.
        probabilities: Probabilities :math:`p_i` > 0, array of shape ``[n]``.

    Returns:
        The noise; with uniform probabilities the mean square of the gradients.
    """
    squares = (gradients**2).sum(axis=1)
    return float((squares / probabilities).sum() / len(squares) ** 2)


class Constants(NamedTuple):
    """What the theorems know of a problem."""

    lipschitz: float  # L_sup(p)
    strong_convexity: float  # mu
    noise: float  # sigma^2(p)

    @classmethod
    def of(cls, problem: Problem, probabilities: np.ndarray) -> Self:
        """Compute a problem's constants under probabilities > 0, array of shape ``[n]``."""
        points = np.arange(len(probabilities))
        minimiser = np.broadcast_to(problem.minimiser, problem.x.shape)
        noise = gradient_noise(problem.gradients(minimiser, points), probabilities)
        largest = lipschitz_sup(problem.lipschitz, probabilities)
        return cls(largest, problem.strong_convexity, noise)


def contraction(constants: Constants, step_size: float) -> float:
    r"""Compute the factor of a step, :math:`\lambda = 1 - 2 \eta \mu (1 - \eta L_{\sup}(p))`.

    Args:
        constants: The problem's constants.
        step_size: Step size :math:`\eta`, in (0, 1 / L_sup(p)).

    Returns:
        The factor, in [1/2, 1), since :math:`\mu \le L_{\sup}(p)`.
    """
    lipschitz, mu, _ = constants
    largest = 1 / lipschitz
    require(0 < step_size < largest, "step_size", step_size, f"in (0, 1 / L_sup = {largest:.6g})")
    return 1 - 2 * step_size * mu * (1 - step_size * lipschitz)


def noise_floor(constants: Constants, step_size: float) -> float:
    r"""Return the bound's floor, :math:`\frac{\eta \sigma^2(p)}{\mu (1 - \eta L_{\sup}(p))}`.

    The step size :math:`\eta` is in (0, 1 / L_sup(p)), and the floor is that of `error_bound`.
    """
    lipschitz, mu, noise = constants
    return step_size * noise / (mu * (1 - step_size * lipschitz))


def error_bound(
    constants: Constants, step_size: float, num_steps: np.ndarray | float, initial: float
) -> np.ndarray | float:
    r"""Bound the error of SGD: :math:`E\|w_t - w^*\|^2 \le \lambda^t \epsilon_0 + \text{floor}`.

    Theorem 2.1 of Needell, Srebro and Ward (arXiv 1310.5715), on which the paper's Theorem 1 rests,
    with :math:`\lambda` of `contraction` and the floor of `noise_floor`. Conditions: each
    :math:`f_i` convex with an :math:`L_i`-Lipschitz gradient, F :math:`\mu`-strongly convex,
    :math:`\eta < 1 / L_{\sup}(p)`.

    Args:
        constants: The problem's constants.
        step_size: Step size :math:`\eta`, in (0, 1 / L_sup(p)).
        num_steps: Steps t, >= 0; a number or an array.
        initial: :math:`\epsilon_0 = E\|w_0 - w^*\|^2`.

    Returns:
        The bound at each t.
    """
    decay = contraction(constants, step_size) ** num_steps
    return decay * initial + noise_floor(constants, step_size)


def theorem_step_size(constants: Constants, target: float) -> float:
    r"""Compute the step size of Theorem 1.

    :math:`\eta = \frac{\mu \epsilon}{2 \mu \epsilon L_{\sup} + 2 \sigma^2}`.

    Args:
        constants: The problem's constants.
        target: The target error :math:`\epsilon` > 0.

    Returns:
        The step size, at most 1 / (2 L_sup).
    """
    lipschitz, mu, noise = constants
    return mu * target / (2 * mu * target * lipschitz + 2 * noise)


def theorem_num_steps(constants: Constants, target: float, initial: float) -> float:
    r"""Compute Theorem 1's number of steps to :math:`E\|w_t - w^*\|^2 \le \epsilon`.

    :math:`t = 2 \log\frac{2 \epsilon_0}{\epsilon} \Big(\frac{L_{\sup}}{\mu} +
    \frac{\sigma^2}{\epsilon \mu^2}\Big)` at the step size of `theorem_step_size`.

    Args:
        constants: The problem's constants.
        target: The target error :math:`\epsilon` > 0.
        initial: :math:`\epsilon_0`.

    Returns:
        The number of steps, not rounded; take the next whole number.
    """
    lipschitz, mu, noise = constants
    return 2 * np.log(2 * initial / target) * (lipschitz / mu + noise / (target * mu**2))


def pruning_bound(
    constants: Constants,
    step_size: float,
    keep_probability: float,
    num_steps: np.ndarray | float,
    initial: float,
) -> np.ndarray | float:
    r"""Compute the bound of Theorem 2, :math:`\lambda^{rt/2} \epsilon_0 + \text{floor}`.

    With :math:`\lambda` and the floor at the step :math:`\eta / r`. It holds for
    :math:`E[\|w_t - w^*\|^2 \mid \zeta]` with probability at least :math:`1 - e^{-r^2 t / 2}` over
    :math:`\zeta` (paper, Theorem 2).

    Args:
        constants: The problem's constants.
        step_size: Step size :math:`\eta`, in (0, r / L_sup(p)).
        keep_probability: Probability :math:`r` of a step being made, in (0, 1].
        num_steps: Steps t, made or not; a number or an array.
        initial: :math:`\epsilon_0`.

    Returns:
        The bound at each t.
    """
    made = keep_probability * num_steps / 2
    return error_bound(constants, step_size / keep_probability, made, initial)


def expected_bound(
    constants: Constants,
    step_size: float,
    keep_probability: float,
    num_steps: np.ndarray | float,
    initial: float,
) -> np.ndarray | float:
    r"""Bound :math:`E\|w_t - w^*\|^2` over :math:`\zeta` too, for certain (ours).

    :math:`(1 - r (1 - \lambda))^t \epsilon_0 + \text{floor}`: a step is made with probability r and
    then contracts by :math:`\lambda`. As :math:`\lambda \ge \tfrac12`, it is never above
    `pruning_bound`.

    Args:
        constants: The problem's constants.
        step_size: Step size :math:`\eta`, in (0, r / L_sup(p)).
        keep_probability: Probability :math:`r` of a step being made, in (0, 1].
        num_steps: Steps t, made or not; a number or an array.
        initial: :math:`\epsilon_0`.

    Returns:
        The bound at each t.
    """
    made_step = step_size / keep_probability
    factor = 1 - keep_probability * (1 - contraction(constants, made_step))
    return factor**num_steps * initial + noise_floor(constants, made_step)


def stated_tail(num_steps: np.ndarray | float, keep_probability: float) -> np.ndarray | float:
    r"""Return Theorem 2's bound on :math:`P(\chi_t < r t / 2)`: :math:`e^{-r^2 t / 2}`.

    It is the one-sided inequality of Hoeffding.
    """
    return np.exp(-(keep_probability**2) * num_steps / 2)


def exact_tail(num_steps: np.ndarray | int, keep_probability: float) -> np.ndarray | float:
    r"""Compute :math:`P(\chi_t < r t / 2)` for :math:`\chi_t \sim \mathrm{Bin}(t, r)`, t >= 1."""
    half = keep_probability * np.asarray(num_steps) / 2
    below = np.ceil(half - 1e-9) - 1  # whole halves, in spite of rounding
    return binom.cdf(below, num_steps, keep_probability)


def chernoff_tail(num_steps: np.ndarray | float, keep_probability: float) -> np.ndarray | float:
    """Bound the same chance by Chernoff's :math:`e^{-r t / 8}`, below Hoeffding's for r < 1/4."""
    return np.exp(-keep_probability * num_steps / 8)
