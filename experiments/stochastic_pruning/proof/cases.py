"""Small random problems on which every expectation of the proof is exact: the searches' cases."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from scipy.stats import binom

from experiments.stochastic_pruning.proof.checks import TOLERANCE, describe
from liprune_utils.moments import SecondMoments
from liprune_utils.problems import LeastSquares, Logistic, Problem, draw_logistic
from liprune_utils.theory import Constants

MAX_STEPS = 12  # steps of a run
KINDS = {LeastSquares: "least squares", Logistic: "logistic loss"}
LOGISTIC_SHARE = 0.1  # of the cases; the others are least squares with small whole numbers


@dataclass(frozen=True)
class Case:
    r"""SGD with stochastic pruning, Eq. (2), at a point w, with :math:`g_i = f_i / (r n p_i)`.

    Arrays: ``probabilities`` of shape ``[n]``, ``weights`` of shape ``[dim]``.
    """

    problem: Problem
    probabilities: np.ndarray
    keep_probability: float
    step_size: float
    weights: np.ndarray

    def __str__(self) -> str:
        """Write the case in words, so that a reader can repeat it.

        Returns:
            The text.
        """
        chosen = ("probabilities", "keep_probability", "step_size")
        named = {name: getattr(self, name) for name in chosen}
        data = {"x": self.problem.x, "y": self.problem.y}
        kind = KINDS[type(self.problem)]
        return f"{kind} with {describe(data | named | {'w − w∗': self.offset})}"

    @cached_property
    def constants(self) -> Constants:
        r"""The problem's :math:`L_{\sup}(p)`, :math:`\mu` and :math:`\sigma^2(p)`."""
        return Constants.of(self.problem, self.probabilities)

    @property
    def scales(self) -> np.ndarray:
        r"""Factors :math:`1 / (r n p_i)` of the :math:`g_i`, of shape ``[n]``."""
        return 1 / (self.keep_probability * len(self.probabilities) * self.probabilities)

    @property
    def lipschitz(self) -> np.ndarray:
        r"""Lipschitz constants :math:`L_i / (r n p_i)` of the gradients of the :math:`g_i`."""
        return self.scales * self.problem.lipschitz

    @property
    def offset(self) -> np.ndarray:
        r"""The difference :math:`w - w^*`, of shape ``[dim]``."""
        return self.weights - self.problem.minimiser

    @property
    def distance(self) -> float:
        r"""The error :math:`\|w - w^*\|^2`."""
        return float(self.offset @ self.offset)

    @property
    def step(self) -> float:
        r"""The step size :math:`\eta / r` of plain SGD that a step which is made amounts to."""
        return self.step_size / self.keep_probability

    @property
    def pull(self) -> float:
        r"""The inner product :math:`\langle w - w^*, \nabla F(w) \rangle`."""
        return float(
            (self.gradients(self.weights) / self.scales[:, None]).mean(axis=0) @ self.offset
        )

    @property
    def differences(self) -> np.ndarray:
        r"""The vectors :math:`\nabla g_i(w) - \nabla g_i(w^*)`, of shape ``[n, dim]``."""
        return self.gradients(self.weights) - self.gradients(self.problem.minimiser)

    def gradients(self, weights: np.ndarray) -> np.ndarray:
        r"""Compute all :math:`\nabla g_i` at a point.

        Args:
            weights: The point, array of shape ``[dim]``.

        Returns:
            Array of shape ``[n, dim]``.
        """
        points = np.arange(len(self.probabilities))
        every = np.broadcast_to(weights, self.problem.x.shape)
        return self.scales[:, None] * self.problem.gradients(every, points)

    def contraction(self, rate: float = 2.0) -> float:
        r"""Compute :math:`\lambda = 1 - 2\mu\frac\eta r(1 - \frac\eta r L_{\sup}(p))`.

        Args:
            rate: The factor 2, to be replaced in a test of the checks.

        Returns:
            The factor; any step size is allowed.
        """
        lipschitz, mu, _ = self.constants
        return 1 - rate * mu * self.step * (1 - self.step * lipschitz)

    def after(self, kept: int) -> list[Self]:
        """Make a step, in each of the n ways.

        Args:
            kept: 1 if the step is made, 0 if it is idle.

        Returns:
            The cases at the n points; each has its index's probability.
        """
        points = self.weights - self.step_size * kept * self.gradients(self.weights)
        return [replace(self, weights=point) for point in points]

    def expected_error(self, kept: int) -> float:
        r"""Compute :math:`E_i \|w_{t+1} - w^*\|^2`, over the index alone.

        Args:
            kept: 1 if the step is made, 0 if it is idle.

        Returns:
            The error.
        """
        return float(self.probabilities @ [case.distance for case in self.after(kept)])

    def errors(self, num_made: int) -> np.ndarray:
        r"""Compute :math:`E\|w - w^*\|^2` after 0, 1, ... made steps, over the indices.

        Given :math:`\zeta` the error depends on the number of made steps alone. Least squares only.

        Args:
            num_made: Number of made steps, >= 0.

        Returns:
            Array of shape ``[num_made + 1]``.
        """
        moments = SecondMoments(self.problem, self.probabilities)
        step = moments.operators([self.step])[0]
        states = [moments.start(self.weights)]
        for _ in range(num_made):
            states.append(step @ states[-1])
        return moments.errors(np.array(states))

    # Probabilities of 0, 1, ... made steps.
    def _chances(self, num_steps: int) -> np.ndarray:
        return binom.pmf(np.arange(num_steps + 1), num_steps, self.keep_probability)

    def total_error(self, num_steps: int) -> float:
        r"""Compute :math:`E\|w_t - w^*\|^2` over the indices and over :math:`\zeta`.

        Args:
            num_steps: Steps t, made or idle.

        Returns:
            The error, exact for least squares.
        """
        return float(self._chances(num_steps) @ self.errors(num_steps))

    def failure(self, num_steps: int, bound: float) -> float:
        r"""Compute :math:`P(E[\|w_t - w^*\|^2 \mid \zeta] > \text{bound})`.

        Args:
            num_steps: Steps t, made or idle.
            bound: The bound; an error above it by rounding does not count.

        Returns:
            The probability, exact for least squares.
        """
        above = self.errors(num_steps) > bound * (1 + TOLERANCE)
        return float(self._chances(num_steps)[above].sum())


def draw_case(generator: np.random.Generator, low: float = 0.0, high: float = 1.0) -> Case:
    r"""Draw a least-squares case of few points and small whole numbers.

    Args:
        generator: Source of randomness.
        low: Lower bound of :math:`\eta L_{\sup}(p) / r`.
        high: Upper bound of it; the theorem's condition is below 1.

    Returns:
        The case.
    """
    problem = _draw_whole_numbers(generator)
    return _around(generator, problem, low + (high - low) * generator.integers(1, 20) / 20)


def draw_step(generator: np.random.Generator, low: float = 0.0, high: float = 1.0) -> dict:
    """Draw a case, now and then a logistic one, and whether the step is made.

    Args:
        generator: Source of randomness.
        low: As in `draw_case`.
        high: As in `draw_case`.

    Returns:
        The case and ``kept``, 0 or 1.
    """
    case = draw_case(generator, low, high)
    if generator.random() < LOGISTIC_SHARE:
        num_points, dim = generator.integers(1, 5), generator.integers(1, 3)
        problem = draw_logistic(generator, num_points, dim, ridge=generator.integers(1, 4) / 10)
        case = _around(generator, problem, low + (high - low) * generator.random())
    return {"case": case, "kept": int(generator.integers(2))}


def draw_start(generator: np.random.Generator) -> dict:
    """Draw a case and a number of steps, made or not.

    Args:
        generator: Source of randomness.

    Returns:
        The case and ``num_steps``, >= 1.
    """
    return {"case": draw_case(generator), "num_steps": int(generator.integers(1, 61))}


def draw_run(generator: np.random.Generator) -> dict:
    r"""Draw a case and the draws :math:`\zeta` of a run from there.

    Args:
        generator: Source of randomness.

    Returns:
        The case and ``kept``, an array of 0 and 1 of shape ``[num_steps]`` with ``num_steps`` >= 2.
    """
    num_steps = generator.integers(2, MAX_STEPS + 1)
    chance = generator.random()
    kept = (generator.random(num_steps) < chance).astype(int)
    return {"case": draw_case(generator), "kept": kept}


# Whole numbers from -3 to 3, no zero row, full column rank; a third without noise.
def _draw_whole_numbers(generator: np.random.Generator) -> LeastSquares:
    dim = int(generator.integers(1, 3))
    num_points = int(generator.integers(dim, dim + 3))
    x = np.zeros((num_points, dim))
    while not (x.any(axis=1).all() and np.linalg.matrix_rank(x) == dim):
        x = generator.integers(-3, 4, (num_points, dim)).astype(float)
    exact = generator.random() < 1 / 3
    labels = x[:, 0] if exact else generator.integers(-3, 4, num_points).astype(float)
    return LeastSquares(x, labels)


# A point near the minimiser, probabilities and a step size with the given eta L_sup / r.
def _around(generator: np.random.Generator, problem: Problem, relative: float) -> Case:
    num_points, dim = problem.x.shape
    options = np.ones(num_points), problem.lipschitz, generator.integers(1, 5, num_points)
    probabilities = options[generator.integers(3)]
    probabilities = probabilities / probabilities.sum()
    keep = generator.integers(1, 10) / 10
    largest = keep / Constants.of(problem, probabilities).lipschitz
    offset = generator.integers(-2, 3, dim) * generator.choice([0.1, 1.0])
    weights = problem.minimiser + offset
    return Case(problem, probabilities, float(keep), float(relative * largest), weights)
