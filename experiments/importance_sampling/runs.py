"""Page 01: does importance sampling save steps? Theorem 1 and the optimal p, measured.

Errors on least squares are exact (`liprune_utils.moments`); those on logistic loss are simulated.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product

import numpy as np
import pandas as pd
from scipy.optimize import linprog
from tqdm import tqdm

from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import require
from liprune_utils.intervals import Estimate, mean_interval
from liprune_utils.moments import SecondMoments
from liprune_utils.problems import (
    LeastSquares,
    Logistic,
    Problem,
    draw_least_squares,
    draw_linear,
    draw_logistic,
)
from liprune_utils.sgd import importance_sgd
from liprune_utils.streams import StreamFamily
from liprune_utils.theory import SAMPLINGS, Constants, theorem_num_steps, theorem_step_size

NUM_POINTS = 200  # of a drawn problem; the paper's linear model has 1000
LOGISTIC_RIDGE, LOGISTIC_TARGET, LOGISTIC_RUNS = 0.5, 0.3, 200
stream = StreamFamily({"theorem": 0, "logistic": 1, "speed": 2, "exponents": 3})


@dataclass(frozen=True)
class ImportanceParameters(Parameters):
    """Parameters of page 01."""

    num_problems: int  # problems drawn for each dimension and noise level
    noise_sd: float  # label noise of the noisy problems
    spread: float  # standard deviation of the log sizes of the points
    seed: int  # root of all random streams

    def check(self) -> None:
        """Check the ranges."""
        super().check()
        count, sd, spread = self.num_problems, self.noise_sd, self.spread
        require(10 <= count <= 10_000, "num_problems", count, "from 10 to 10000")
        require(0 < sd <= 10, "noise_sd", sd, "above 0, at most 10")
        require(0 <= spread <= 1.5, "spread", spread, "from 0 to 1.5")
        require(self.seed >= 0, "seed", self.seed, "a whole number from 0")


def paper_line(generator: np.random.Generator, noise_sd: float) -> LeastSquares:
    """Draw the paper's linear model, Eq. (3), as a least-squares problem in one dimension.

    Args:
        generator: Source of randomness.
        noise_sd: Standard deviation of the label noise.

    Returns:
        A problem of 1000 points with the true slope 1.
    """
    data = draw_linear(generator, 1, 1000, noise_sd=noise_sd)
    return LeastSquares(data.x[0][:, None], data.y[0])


def least_lipschitz_sup(lipschitz: np.ndarray) -> float:
    r"""Minimise :math:`\max_i L_i / (n p_i)` over all p, as a linear programme.

    With :math:`u = 1 / L_{\sup}`: maximise u subject to :math:`p_i \ge u L_i / n` and
    :math:`\sum_i p_i = 1`.

    Args:
        lipschitz: Lipschitz constants > 0, array of shape ``[n]``.

    Returns:
        The smallest possible :math:`L_{\sup}(p)`.
    """
    count = len(lipschitz)
    cost = np.append(np.zeros(count), -1.0)
    inequalities = np.column_stack([-np.eye(count), lipschitz / count])
    total = np.append(np.ones(count), 0.0)[None]
    found = linprog(cost, inequalities, np.zeros(count), total, [1.0], bounds=(0, None))
    return float(-1 / found.fun)


def theorem_problems(parameters: ImportanceParameters) -> Iterator[tuple[dict, Problem]]:
    """Draw the problems on which Theorem 1 is tried.

    Args:
        parameters: The page's parameters.

    Yields:
        What a problem is (family, dim, noise_sd, problem), and the problem.
    """
    p = parameters
    for dim, noise_sd, number in product((1, 2, 10), (0.0, p.noise_sd), range(p.num_problems)):
        generator = stream(p.seed, "theorem", dim, int(noise_sd > 0), number)
        facts = {"family": "least squares", "dim": dim, "noise_sd": noise_sd, "problem": number}
        yield (
            facts,
            draw_least_squares(generator, NUM_POINTS, dim, noise_sd=noise_sd, spread=p.spread),
        )
    for dim, number in product((1, 2, 10), range(p.num_problems // 5)):
        generator = stream(p.seed, "theorem", dim, 2, number)
        facts = {"family": "logistic", "dim": dim, "noise_sd": np.nan, "problem": number}
        yield (
            facts,
            draw_logistic(generator, NUM_POINTS, dim, ridge=LOGISTIC_RIDGE, spread=p.spread),
        )


def measured_error(
    problem: Problem,
    probabilities: np.ndarray,
    step_size: float,
    num_steps: int,
    generator: np.random.Generator,
) -> Estimate:
    r"""Measure :math:`E\|w_t - w^*\|^2`, exactly where that is possible.

    Args:
        problem: The problem.
        probabilities: Sampling probabilities.
        step_size: Step size.
        num_steps: t.
        generator: Source of randomness of the runs, where runs are needed.

    Returns:
        The error with its 99% interval, which is a point with ``num_runs = 0`` if it is exact.
    """
    if isinstance(problem, LeastSquares):
        error = SecondMoments(problem, probabilities).error_after(step_size, num_steps)
        return Estimate(error, error, error, 0)
    path = importance_sgd(
        problem,
        probabilities,
        step_size=step_size,
        num_steps=num_steps,
        num_runs=LOGISTIC_RUNS,
        generator=generator,
    )
    last = next(islice(path, num_steps, None))
    return mean_interval(((last - problem.minimiser) ** 2).sum(axis=1))


def theorem_table(parameters: ImportanceParameters) -> pd.DataFrame:
    r"""Try Theorem 1: the error at its step size and step count, over its target.

    Args:
        parameters: The page's parameters.

    Returns:
        One row a problem, sampling and target: ``error_over_target`` with its interval.
    """
    rows = []
    for facts, problem in tqdm(list(theorem_problems(parameters)), desc="Theorem 1"):
        initial = float(problem.minimiser @ problem.minimiser)
        targets = (LOGISTIC_TARGET,) if isinstance(problem, Logistic) else (0.1, 0.01)
        for (sampling, rule), target in product(SAMPLINGS.items(), targets):
            probabilities = rule(problem.lipschitz)
            constants = Constants.of(problem, probabilities)
            step_size = theorem_step_size(constants, target * initial)
            num_steps = int(np.ceil(theorem_num_steps(constants, target * initial, initial)))
            runs = stream(parameters.seed, "logistic", facts["dim"], facts["problem"])
            error = measured_error(problem, probabilities, step_size, num_steps, runs)
            low, high = error.low / (target * initial), error.high / (target * initial)
            rows.append(
                facts
                | {"sampling": sampling, "target": target, "num_steps": num_steps}
                | {"error_over_target": error.value / (target * initial), "low": low, "high": high}
                | {"num_runs": error.num_runs}
            )
    return pd.DataFrame(rows)
