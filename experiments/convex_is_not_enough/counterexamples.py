r"""Convex problems on which LiPrune helps, does nothing or harms, compared without simulation.

SGD draws single kept points, as in the paper's theory. Its error follows the exact recursion of
`liprune_utils.moments.SecondMoments` around the kept set's minimiser :math:`w_K`, and what counts
is the excess loss on new data, :math:`\tfrac12 (w - w^*)^\top H (w - w^*)`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from liprune_utils.moments import SecondMoments
from liprune_utils.problems import NOISE_SD, LeastSquares
from liprune_utils.theory import uniform

NUM_POINTS, KEEP_FRACTION = 1000, 0.1  # as in the paper's linear model
COMMON_SHARE = 1 / 12  # the paper's rate 0.01 is this share of 1 / trace H in its linear model
NUM_STEPS = (100, 1000)  # steps after which the methods are compared
RATES = np.geomspace(1e-4, 1, 33)  # rates to begin with, times 2 / trace of kept H
ROUNDS = 4  # grids, the last with steps of about 0.2%


class ConvexProblem(NamedTuple):
    """A training set, with the Hessian and the best weights of new data."""

    train: LeastSquares
    hessian: np.ndarray  # E x x^T of new points, [dim, dim]
    target: np.ndarray  # w*, minimises the loss on new points, [dim]


def _with_noise(
    x: np.ndarray, w: np.ndarray, hessian: np.ndarray, noise: np.ndarray
) -> ConvexProblem:
    return ConvexProblem(LeastSquares(x, x @ w + NOISE_SD * noise), hessian, w)


def paper_line(generator: np.random.Generator) -> ConvexProblem:
    """Draw the paper's linear model."""
    x = generator.uniform(-5, 5, (NUM_POINTS, 1))
    noise = generator.standard_normal(NUM_POINTS)
    return _with_noise(x, np.ones(1), np.array([[25 / 3]]), noise)


def _gaussian(
    generator: np.random.Generator, scales: np.ndarray, sizes: np.ndarray, weights: np.ndarray
) -> ConvexProblem:
    """Gaussian features times a scale for each feature and a size for each point."""
    x = sizes[:, None] * scales * generator.standard_normal((NUM_POINTS, len(scales)))
    noise = generator.standard_normal(NUM_POINTS)
    return _with_noise(x, weights, np.diag(scales**2), noise)


def _even_features(generator: np.random.Generator) -> ConvexProblem:
    """Draw points that differ in size, alike in all directions: log-normal sizes, five features."""
    spread = 0.5
    sizes = np.exp(spread * generator.standard_normal(NUM_POINTS) - spread**2)
    return _gaussian(generator, np.ones(5), sizes, np.full(5, 5**-0.5))


def _uneven_features(generator: np.random.Generator) -> ConvexProblem:
    """Draw Gaussian points with five features of equal signal, from 3 to 1/3 in scale."""
    scales = 3 ** np.linspace(1, -1, 5)
    return _gaussian(generator, scales, np.ones(NUM_POINTS), 5**-0.5 / scales)


def _irrelevant_feature(generator: np.random.Generator) -> ConvexProblem:
    """Draw Gaussian points with four small features that matter and a large one that does not."""
    scales, weights = np.array([4.0, 1, 1, 1, 1]), np.array([0, 0.5, 0.5, 0.5, 0.5])
    return _gaussian(generator, scales, np.ones(NUM_POINTS), weights)


def _two_groups(generator: np.random.Generator) -> ConvexProblem:
    """Draw points that have one feature each: half of them the first, large, half the second."""
    first = np.arange(NUM_POINTS) % 2 == 0
    size = np.where(first, 3 + generator.uniform(-1, 1, NUM_POINTS), 0)
    other = np.where(first, 0, 1 + generator.uniform(-0.5, 0.5, NUM_POINTS))
    signs = generator.choice([-1.0, 1.0], (NUM_POINTS, 2))
    hessian = np.diag([9 + 1 / 3, 1 + 1 / 12]) / 2
    noise = generator.standard_normal(NUM_POINTS)
    return _with_noise(np.stack([size, other], axis=1) * signs, np.ones(2), hessian, noise)


def _bent_line(generator: np.random.Generator) -> ConvexProblem:
    r"""Draw the linear model with a truth that is not linear, :math:`y = 3 \tanh(x / 2)`."""
    x = generator.uniform(-5, 5, (NUM_POINTS, 1))
    y = 3 * np.tanh(x[:, 0] / 2) + NOISE_SD * generator.standard_normal(NUM_POINTS)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    slope = (weights @ (5 * nodes * 3 * np.tanh(2.5 * nodes)) / 2) / (25 / 3)
    return ConvexProblem(LeastSquares(x, y), np.array([[25 / 3]]), np.array([slope]))


def outliers(generator: np.random.Generator) -> ConvexProblem:
    """Draw the linear model with one point in a hundred at 5 to 6 in size, its sign wrong."""
    problem = paper_line(generator)
    x, wrong = problem.train.x.copy(), np.arange(NUM_POINTS // 100)
    x[wrong, 0] = np.sign(x[wrong, 0]) * generator.uniform(5, 6, len(wrong))
    y = problem.train.y.copy()
    y[wrong] = -x[wrong, 0]
    return problem._replace(train=LeastSquares(x, y))


def _heavy_tails(generator: np.random.Generator) -> ConvexProblem:
    """Draw the linear model with x from Student's t with three degrees of freedom."""
    x = (5 / 3) * generator.standard_t(3, (NUM_POINTS, 1))
    noise = generator.standard_normal(NUM_POINTS)
    return _with_noise(x, np.ones(1), np.array([[25 / 3]]), noise)


PROBLEMS: dict[str, Callable[[np.random.Generator], ConvexProblem]] = {
    "the paper's line": paper_line,
    "sizes differ, d = 5": _even_features,
    "heavy-tailed x": _heavy_tails,
    "uneven features, d = 5": _uneven_features,
    "large irrelevant feature, d = 5": _irrelevant_feature,
    "bent line": _bent_line,
    "outliers": outliers,
    "two groups, d = 2": _two_groups,
}


@dataclass(frozen=True)
class PrunedProblem:
    """SGD on the kept points of a problem, with its expected excess loss on new data."""

    original: ConvexProblem
    kept: np.ndarray  # indices

    @cached_property
    def moments(self) -> SecondMoments:
        """The recursion around the kept set's minimiser."""
        train = self.original.train
        problem = LeastSquares(train.x[self.kept], train.y[self.kept])
        return SecondMoments(problem, uniform(self.kept))

    @cached_property
    def functional(self) -> np.ndarray:
        r"""The excess loss as a linear function of a state (M, m, 1).

        With :math:`\delta = w_K - w^*`:
        :math:`\tfrac12 \mathrm{tr}(H M) + \delta^\top H m + \tfrac12 \delta^\top H \delta`.
        """
        hessian = self.original.hessian
        offset = self.moments.problem.minimiser - self.original.target
        second = self.moments.basis.T @ hessian.ravel() / 2
        return np.concatenate([second, hessian @ offset, [offset @ hessian @ offset / 2]])

    @property
    def condition(self) -> float:
        r"""Theorem 1's :math:`L_{\sup} / \mu` of the kept problem; infinite if it is flat."""
        problem = self.moments.problem
        largest, least = float(problem.lipschitz.max()), problem.strong_convexity
        return largest / least if least > 1e-9 * largest else np.inf

    @property
    def final(self) -> float:
        """The excess loss at the kept set's minimiser, where a small step size ends."""
        return float(self.functional[-1])

    @property
    def common_rate(self) -> float:
        """The rate for all methods: the paper's share of 1 / trace H of all points."""
        return COMMON_SHARE / float(np.trace(self.original.train.hessian))

    def excess(self, rates: np.ndarray, num_steps: int) -> np.ndarray:
        """Compute the expected excess loss after some steps from zero."""
        with np.errstate(over="ignore", invalid="ignore"):
            powers = np.linalg.matrix_power(self.moments.operators(rates), num_steps)
            excess = powers @ self.moments.start() @ self.functional
        return np.where(np.isfinite(excess) & (excess >= 0), excess, np.inf)

    def path(self, rate: float, num_steps: int) -> np.ndarray:
        """Compute the expected excess loss at every step."""
        step, states = self.moments.operators([rate])[0], [self.moments.start()]
        for _ in range(num_steps):
            states.append(step @ states[-1])
        return np.array(states) @ self.functional

    def best_rate(self, num_steps: int) -> tuple[float, float]:
        """Find the best rate and its excess loss, on a grid and then on finer ones around it.

        The minimum can be narrow: where noise and start happen to cancel, a few per cent in the
        rate change the loss by a factor.
        """
        rates = RATES * 2 / np.trace(self.moments.problem.hessian)
        for _ in range(ROUNDS):
            excess = self.excess(rates, num_steps)
            at = int(excess.argmin())
            best = float(rates[at]), float(excess[at])
            rates = np.geomspace(rates[max(at - 1, 0)], rates[min(at + 1, len(rates) - 1)], 11)
        return best
