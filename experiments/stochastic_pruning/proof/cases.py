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

KINDS = {LeastSquares: "least squares", Logistic: "logistic loss"}


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
        """Write the case in words, so that a reader can repeat it."""
        values = {
            "x": self.problem.x,
            "y": self.problem.y,
            "probabilities": self.probabilities,
            "keep_probability": self.keep_probability,
            "step_size": self.step_size,
            "w − w∗": self.offset,
        }
        return f"{KINDS[type(self.problem)]} with {describe(values)}"

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
        plain = self.gradients(self.weights) / self.scales[:, None]
        return float(plain.mean(axis=0) @ self.offset)

    @property
    def differences(self) -> np.ndarray:
        r"""The vectors :math:`\nabla g_i(w) - \nabla g_i(w^*)`, of shape ``[n, dim]``."""
        return self.gradients(self.weights) - self.gradients(self.problem.minimiser)

    def gradients(self, weights: np.ndarray) -> np.ndarray:
        r"""Compute all :math:`\nabla g_i` at a point."""
        points = np.arange(len(self.probabilities))
        every = np.broadcast_to(weights, self.problem.x.shape)
        return self.scales[:, None] * self.problem.gradients(every, points)

    def contraction(self, rate: float = 2.0) -> float:
        r"""Compute :math:`\lambda = 1 - 2\mu\frac\eta r(1 - \frac\eta r L_{\sup}(p))`."""
        lipschitz, mu, _ = self.constants
        return 1 - rate * mu * self.step * (1 - self.step * lipschitz)

    def after(self, kept: int) -> list[Self]:
        """Make a step, in each of the n ways."""
        points = self.weights - self.step_size * kept * self.gradients(self.weights)
        return [replace(self, weights=point) for point in points]

    def expected_error(self, kept: int) -> float:
        r"""Compute :math:`E_i \|w_{t+1} - w^*\|^2`, over the index alone."""
        return float(self.probabilities @ [case.distance for case in self.after(kept)])

    def errors(self, num_made: int) -> np.ndarray:
        r"""Compute :math:`E[\|w - w^*\|^2 \mid \zeta]` of least squares after 0, 1, ... steps."""
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
        r"""Compute :math:`E\|w_t - w^*\|^2` over the indices and over :math:`\zeta`."""
        return float(self._chances(num_steps) @ self.errors(num_steps))

    def failure(self, num_steps: int, bound: float) -> float:
        r"""Compute :math:`P(E[\|w_t - w^*\|^2 \mid \zeta] > \text{bound})`."""
        above = self.errors(num_steps) > bound * (1 + TOLERANCE)
        return float(self._chances(num_steps)[above].sum())


def draw_case(generator: np.random.Generator, low: float = 0.0, high: float = 1.0) -> Case:
    """Draw a least-squares case of few points and small whole numbers."""
    problem = _draw_whole_numbers(generator)
    return _around(generator, problem, low + (high - low) * generator.integers(1, 20) / 20)


def draw_step(generator: np.random.Generator) -> dict:
    """Draw a case, one in ten with logistic loss, and whether the step is made."""
    case = draw_case(generator)
    if generator.random() < 0.1:
        num_points, dim = generator.integers(1, 5), generator.integers(1, 3)
        problem = draw_logistic(generator, num_points, dim, ridge=generator.integers(1, 4) / 10)
        case = _around(generator, problem, generator.random())
    return {"case": case, "kept": int(generator.integers(2))}


def draw_start(generator: np.random.Generator) -> dict:
    """Draw a case and a number of steps, made or not."""
    return {"case": draw_case(generator), "num_steps": int(generator.integers(1, 61))}


def draw_run(generator: np.random.Generator) -> dict:
    r"""Draw a case and the draws :math:`\zeta` of a run from there."""
    num_steps = generator.integers(2, 13)
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
