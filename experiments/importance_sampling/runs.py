"""Does importance sampling save steps? Theorem 1 and the optimal p, measured.

Errors on least squares are exact (`liprune_utils.moments`); those on logistic loss are simulated.
"""

from collections.abc import Iterator
from itertools import islice, product

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.optimize import linprog
from tqdm import tqdm

from liprune_utils.book.parameters import Parameters
from liprune_utils.intervals import Estimate, mean_interval
from liprune_utils.moments import SecondMoments
from liprune_utils.problems import (
    LeastSquares,
    Problem,
    draw_least_squares,
    draw_linear,
    draw_logistic,
)
from liprune_utils.sgd import importance_sgd
from liprune_utils.streams import StreamFamily
from liprune_utils.theory import SAMPLINGS, Constants, theorem_num_steps, theorem_step_size

NUM_POINTS = 200  # of a drawn problem; the paper's linear model has 1000
stream = StreamFamily({"theorem": 0, "logistic": 1, "speed": 2, "exponents": 3, "example": 4})


class ImportanceParameters(Parameters):
    """Parameters of page 01."""

    num_problems: int = Field(ge=10, le=10_000)  # problems per dimension and noise level
    noise_sd: float = Field(gt=0, le=10)  # label noise of the noisy problems
    spread: float = Field(ge=0, le=1.5)  # standard deviation of the log sizes of the points
    seed: int = Field(ge=0)  # root of all random streams


def paper_line(generator: np.random.Generator, noise_sd: float) -> LeastSquares:
    """Draw the paper's linear model, Eq. (3), as a least-squares problem in one dimension."""
    data = draw_linear(generator, 1, 1000, noise_sd=noise_sd)
    return LeastSquares(data.x[0][:, None], data.y[0])


def least_lipschitz_sup(lipschitz: np.ndarray) -> float:
    r"""Minimise :math:`\max_i L_i / (n p_i)` over all p, as a linear programme."""
    # With u = 1 / L_sup: maximise u subject to p_i >= u L_i / n and sum p_i = 1.
    count = len(lipschitz)
    cost = np.append(np.zeros(count), -1.0)
    inequalities = np.column_stack([-np.eye(count), lipschitz / count])
    total = np.append(np.ones(count), 0.0)[None]
    found = linprog(cost, inequalities, np.zeros(count), total, [1.0], bounds=(0, None))
    return float(-1 / found.fun)


def theorem_problems(parameters: ImportanceParameters) -> Iterator[tuple[dict, Problem]]:
    """Draw the problems on which the theorems are tried, each with its columns of a table."""
    p, dims = parameters, (1, 2, 10)
    for dim, noise_sd, number in product(dims, (0.0, p.noise_sd), range(p.num_problems)):
        generator = stream(p.seed, "theorem", dim, int(noise_sd > 0), number)
        problem = draw_least_squares(generator, NUM_POINTS, dim, noise_sd=noise_sd, spread=p.spread)
        facts = {"family": "least squares", "dim": dim, "noise_sd": noise_sd, "problem": number}
        yield facts, problem
    for dim, number in product(dims, range(p.num_problems // 5)):
        generator = stream(p.seed, "theorem", dim, 2, number)
        problem = draw_logistic(generator, NUM_POINTS, dim, ridge=0.5, spread=p.spread)
        yield {"family": "logistic", "dim": dim, "noise_sd": np.nan, "problem": number}, problem


def first_error(problem: Problem) -> float:
    r"""Compute :math:`\|w_0 - w^*\|^2` at :math:`w_0 = 0`."""
    return float(problem.minimiser @ problem.minimiser)


def target_shares(problem: Problem) -> tuple[float, ...]:
    """List the targets, as shares of the first error; one where the error is simulated."""
    return (0.1, 0.01) if isinstance(problem, LeastSquares) else (0.3,)


def error_over_target(
    problem: Problem,
    probabilities: np.ndarray,
    *,
    step_size: float,
    num_steps: int,
    target: float,
    generator: np.random.Generator,
) -> Estimate:
    r"""Measure :math:`E\|w_t - w^*\|^2 / \epsilon`, exactly where that is possible."""
    if isinstance(problem, LeastSquares):
        error = SecondMoments(problem, probabilities).error_after(step_size, num_steps)
        return Estimate(*[error / target] * 3, num_runs=0)
    path = importance_sgd(
        problem,
        probabilities,
        step_size=step_size,
        num_steps=num_steps,
        num_runs=200,
        generator=generator,
    )
    last = next(islice(path, num_steps, None))
    value, low, high, num_runs = mean_interval(((last - problem.minimiser) ** 2).sum(axis=1))
    return Estimate(value / target, low / target, high / target, num_runs)


def theorem_table(parameters: ImportanceParameters) -> pd.DataFrame:
    """Try Theorem 1: the error at its step size and step count, over its target."""
    rows = []
    for facts, problem in tqdm(list(theorem_problems(parameters)), desc="Theorem 1"):
        initial = first_error(problem)
        for (sampling, rule), share in product(SAMPLINGS.items(), target_shares(problem)):
            probabilities, target = rule(problem.lipschitz), share * initial
            constants = Constants.of(problem, probabilities)
            num_steps = int(np.ceil(theorem_num_steps(constants, target, initial)))
            error = error_over_target(
                problem,
                probabilities,
                step_size=theorem_step_size(constants, target),
                num_steps=num_steps,
                target=target,
                generator=stream(parameters.seed, "logistic", facts["dim"], facts["problem"]),
            )
            case = {"sampling": sampling, "target": share, "num_steps": num_steps}
            rows.append(facts | case | error.columns("error_over_target"))
    return pd.DataFrame(rows)
