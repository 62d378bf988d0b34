r"""The problem that SGD solves after pruning, to which Theorem 1 does apply.

Pruning leaves :math:`F_K`, the mean of the kept functions. It is a problem like any other, with
constants and a minimiser :math:`w_K` of its own: LiPrune is SGD on it, not on F.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from experiments.linear_model.runs import KEEP_FRACTIONS, NUM_POINTS, NUM_STEPS
from experiments.what_accelerates.closed_forms import BATCH_SIZE, LEARNING_RATE
from liprune_utils.problems import draw_linear
from liprune_utils.pruning import keep_highest
from liprune_utils.theory import Constants, contraction, error_bound, theorem_num_steps

STREAM = 10  # beside those of other runs on the linear model
TARGET = 0.01  # of the first error, for Theorem 1's number of steps


@dataclass(frozen=True)
class KeptProblem:
    r"""The problem that SGD solves after pruning: :math:`F_K`, the mean over the kept points.

    A step's function is the mean over a batch of B distinct points, and the theorems apply to these
    functions, all of them equally likely. ``x`` and ``noise`` have the shape ``[num_kept]``.
    """

    x: np.ndarray
    noise: np.ndarray
    batch_size: int

    @cached_property
    def bias(self) -> float:
        r"""The error of its minimiser, :math:`w_K - w^* = \sum x \nu / \sum x^2`."""
        return float(self.x @ self.noise / (self.x @ self.x))

    @property
    def _correction(self) -> float:
        """Variance of a batch mean per unit of variance of a point: 1/B, less as B nears K."""
        count = len(self.x)
        return (count - self.batch_size) / max(count - 1, 1) / self.batch_size

    @cached_property
    def constants(self) -> Constants:
        r"""What Theorem 1 knows of it.

        :math:`L_{\sup}`: the mean of the B largest :math:`x^2`. :math:`\mu = \overline{x^2}`.
        :math:`\sigma^2`: the variance of a batch's mean of :math:`x \rho` at :math:`w_K`, with
        residuals :math:`\rho`.
        """
        squares = np.sort(self.x**2)
        gradients = self.x * (self.noise - self.bias * self.x)
        noise = float((gradients**2).mean() * self._correction)
        largest = float(squares[-self.batch_size :].mean())
        return Constants(largest, float(squares.mean()), noise)

    def square_path(self, learning_rate: float, num_steps: int, slope: float) -> np.ndarray:
        r"""Compute :math:`E\|w_t - w_K\|^2` over batches, exactly, from :math:`w_0 = 0`.

        :math:`d^+ = (1 - \eta a_S) d + \eta \beta_S`, where :math:`\beta_S` is the batch's mean
        of :math:`x \rho`, with mean 0.
        """
        rate, xx = learning_rate, self.x**2
        gradients = self.x * (self.noise - self.bias * self.x)
        q = (1 - rate * xx.mean()) ** 2 + rate**2 * xx.var() * self._correction
        cross = -2 * rate**2 * (xx * gradients).mean() * self._correction
        added = rate**2 * self.constants.noise
        mean, path = -(slope + self.bias), [(slope + self.bias) ** 2]
        for _ in range(num_steps):
            path.append(q * path[-1] + cross * mean + added)
            mean *= 1 - rate * xx.mean()
        return np.array(path)


def _kept_problems(num_problems: int, seed: int, slope: float) -> Iterator[tuple]:
    """Draw data sets of the linear model and prune them."""
    generator = np.random.default_rng([seed, STREAM])
    for number in range(num_problems):
        data = draw_linear(generator, 1, NUM_POINTS, slope=slope)
        scores = {"liprune": data.lipschitz[0], "random": generator.random(NUM_POINTS)}
        for fraction in KEEP_FRACTIONS:
            for method, score in scores.items():
                kept = keep_highest(score, fraction)
                problem = KeptProblem(data.x[0, kept], data.noise[0, kept], BATCH_SIZE)
                yield number, fraction, method, problem
        yield number, 1.0, "none", KeptProblem(data.x[0], data.noise[0], BATCH_SIZE)


def bound_table(num_problems: int, seed: int, slope: float) -> pd.DataFrame:
    """Compare Theorem 1, applied to what was kept, with the exact error, in the paper's setting."""
    keys, paths = [], []
    for number, fraction, method, problem in _kept_problems(num_problems, seed, slope):
        error = problem.square_path(LEARNING_RATE, NUM_STEPS, slope)
        bound = error_bound(problem.constants, LEARNING_RATE, np.arange(NUM_STEPS + 1), error[0])
        keys.append((number, fraction, method))
        paths.append([error, bound, (np.sqrt(bound) + abs(problem.bias)) ** 2])
    table = pd.DataFrame(keys, columns=["problem", "keep_fraction", "method"])
    table = table.loc[table.index.repeat(NUM_STEPS + 1)].reset_index(drop=True)
    values = np.concatenate(paths, axis=1)
    columns = {"step": np.tile(np.arange(NUM_STEPS + 1), len(keys))}
    columns |= dict(zip(("error", "bound", "total_bound"), values, strict=True))
    return table.assign(**columns)


def constants_table(num_problems: int, seed: int, slope: float) -> pd.DataFrame:
    """Tabulate what Theorem 1 says of the kept problems."""
    rows = []
    for _, fraction, method, problem in _kept_problems(num_problems, seed, slope):
        constants, initial = problem.constants, (slope + problem.bias) ** 2
        columns = {"keep_fraction": fraction, "method": method, **constants._asdict()}
        columns |= {"condition": constants.lipschitz / constants.strong_convexity}
        columns |= {"rate": contraction(constants, LEARNING_RATE)}
        columns |= {"steps": theorem_num_steps(constants, TARGET * initial, initial)}
        rows.append(columns | {"bias": problem.bias**2})
    table = pd.DataFrame(rows).groupby(["method", "keep_fraction"]).mean().reset_index()
    return table.assign(bias=np.sqrt(table.bias))
