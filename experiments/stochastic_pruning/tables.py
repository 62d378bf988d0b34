r"""Page 02: Theorem 2, stochastic pruning, measured.

Given :math:`\zeta`, Eq. (2) is SGD with the step :math:`\eta / r` on the :math:`\chi_t` steps that
are made; so :math:`E[\|w_t - w^*\|^2 \mid \zeta]` depends on :math:`\zeta` through
:math:`\chi_t \sim \mathrm{Bin}(t, r)` alone, and on least squares it is known exactly.
"""

from collections.abc import Iterable
from itertools import product

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.stats import binom
from tqdm import tqdm

from experiments.importance_sampling.runs import (
    LOGISTIC_TARGET,
    measured_error,
    theorem_problems,
)
from experiments.stochastic_pruning.runs import KEEP, TIMES, StochasticParameters, stream
from liprune_utils.intervals import share_interval
from liprune_utils.moments import SecondMoments
from liprune_utils.problems import LeastSquares, Logistic
from liprune_utils.theory import (
    SAMPLINGS,
    Constants,
    chernoff_tail,
    exact_tail,
    lipschitz_sup,
    pruning_bound,
    stated_tail,
    theorem_num_steps,
    theorem_step_size,
)


def exceedance_table(parameters: StochasticParameters) -> pd.DataFrame:
    r"""Count the draws of :math:`\zeta` whose conditional error is above Theorem 2's bound.

    Args:
        parameters: The page's parameters.

    Returns:
        One row a problem, sampling, step size, r and t: ``share`` with its 99% interval,
        ``exact_share`` (by the binomial law), and ``stated``, :math:`e^{-r^2 t / 2}`.
    """
    rows, problems = [], theorem_problems(parameters)
    exact = [item for item in problems if isinstance(item[1], LeastSquares)]
    for number, (facts, problem) in enumerate(tqdm(exact, desc="Theorem 2")):
        generator = stream(parameters.seed, "zeta", number)
        initial = float(problem.minimiser @ problem.minimiser)
        for sampling, fraction in product(("uniform", "optimal"), (0.5, 0.9)):
            probabilities = SAMPLINGS[sampling](problem.lipschitz)
            constants = Constants.of(problem, probabilities)
            made_step = fraction / constants.lipschitz  # eta / r
            path = SecondMoments(problem, probabilities).path(made_step, TIMES[-1])
            case = facts | {"sampling": sampling, "step_over_largest": fraction}
            for keep, time in product(KEEP, TIMES):
                bound = pruning_bound(constants, keep * made_step, keep, time, initial)
                made = generator.binomial(time, keep, size=parameters.num_draws)
                rows.append(case | exceedance(path, bound, made, keep, time))
    return pd.DataFrame(rows)


def exceedance(
    path: np.ndarray, bound: float, made: np.ndarray, keep: float, time: int
) -> dict[str, float]:
    r"""Hold one bound against the errors conditional on the number of steps made.

    Args:
        path: The error after 0, 1, ... made steps.
        bound: The bound.
        made: Draws of :math:`\chi_t`.
        keep: :math:`r`.
        time: :math:`t`.

    Returns:
        The columns of a row of `exceedance_table`.
    """
    above = path > bound
    share = share_interval(int(above[made].sum()), len(made))
    exact = binom.pmf(np.arange(time + 1), time, keep)[above[: time + 1]].sum()
    columns = {"keep_probability": keep, "time": time, "share": share.value, "low": share.low}
    columns |= {"high": share.high, "num_draws": share.num_runs, "exact_share": float(exact)}
    return columns | {"stated": float(stated_tail(time, keep))}


def iterations_table(parameters: StochasticParameters) -> pd.DataFrame:
    r"""Try Theorem 2's number of steps on the event :math:`\chi_t \ge r t / 2`.

    The fewest steps made on that event are the worst case.

    Args:
        parameters: The page's parameters.

    Returns:
        One row a problem, sampling, r and target: ``error_over_target`` with its interval.
    """
    rows = []
    for facts, problem in tqdm(list(theorem_problems(parameters)), desc="steps of Theorem 2"):
        initial = float(problem.minimiser @ problem.minimiser)
        targets = (LOGISTIC_TARGET,) if isinstance(problem, Logistic) else (0.1, 0.01)
        for sampling, keep, target in product(("uniform", "optimal"), (0.1, 0.5, 0.9), targets):
            probabilities = SAMPLINGS[sampling](problem.lipschitz)
            constants = Constants.of(problem, probabilities)
            made_step = theorem_step_size(constants, target * initial)
            time = 2 * theorem_num_steps(constants, target * initial, initial) / keep
            fewest = int(np.ceil(keep * np.ceil(time) / 2))
            runs = stream(parameters.seed, "logistic", facts["dim"], facts["problem"])
            error = measured_error(problem, probabilities, made_step, fewest, runs)
            scaled = {
                name: getattr(error, field) / (target * initial)
                for name, field in (
                    ("error_over_target", "value"),
                    ("low", "low"),
                    ("high", "high"),
                )
            }
            case = {"sampling": sampling, "keep_probability": keep, "target": target}
            case |= {"time": int(np.ceil(time)), "fewest_made": fewest}
            rows.append(facts | case | scaled | {"num_runs": error.num_runs})
    return pd.DataFrame(rows)


def probability_table(keep: Iterable[float] = (0.05, 0.1, 0.2, 0.5, 0.9)) -> pd.DataFrame:
    r"""Find from which t on a chance of failure is at most 5%, stated, by Chernoff, and exactly.

    Args:
        keep: Values of :math:`r`.

    Returns:
        One row an r: the smallest such t for the theorem's :math:`e^{-r^2 t/2}`, for the proof's
        :math:`2 e^{-r^2 t/2}`, for Chernoff's :math:`e^{-rt/8}`, and for the binomial law (the
        first t from which it stays so).
    """
    rows = []
    for r in keep:
        times = np.arange(1, int(10 / r**2))
        above = np.flatnonzero(exact_tail(times, r) > 0.05)
        exact = int(times[above[-1]]) + 1 if len(above) else 1
        stated, proof = (int(np.ceil(2 * np.log(x / 0.05) / r**2)) for x in (1, 2))
        row = {"keep_probability": r, "stated": stated, "proof": proof}
        rows.append(row | {"chernoff": int(np.ceil(8 * np.log(20) / r)), "exact": exact})
    return pd.DataFrame(rows)


def tail_table(keep: Iterable[float] = (0.1, 0.3, 0.5, 0.9)) -> pd.DataFrame:
    r"""Tabulate the chance that fewer than r t / 2 steps are made, and its bounds.

    Args:
        keep: Values of :math:`r`.

    Returns:
        One row an r and a t, with ``expected_steps``, :math:`r t`.
    """
    tables = []
    for r in keep:
        times = np.unique(np.round(np.geomspace(1, 200, 60) / r).astype(int))
        columns = {"keep_probability": r, "time": times, "expected_steps": r * times}
        columns |= {"exact": exact_tail(times, r), "stated": stated_tail(times, r)}
        tables.append(pd.DataFrame(columns | {"chernoff": chernoff_tail(times, r)}))
    return pd.concat(tables, ignore_index=True)


def best_probabilities(lipschitz: np.ndarray, mu: float, made_step: float) -> np.ndarray:
    r"""Minimise :math:`\lambda(p) = 1 - 2 \mu \gamma (1 - \gamma L_{\sup}(p))` numerically.

    Args:
        lipschitz: Lipschitz constants, array of shape ``[n]``.
        mu: :math:`\mu`.
        made_step: :math:`\gamma = \eta / r`.

    Returns:
        The minimiser, array of shape ``[n]``, by sequential quadratic programming.
    """
    count = len(lipschitz)
    scale = lipschitz.mean()

    def factor(x: np.ndarray) -> float:  # x holds n p and L_sup / mean(L); increasing in the latter
        return -2 * mu * made_step * (1 - made_step * scale * x[-1]) / (mu * made_step) ** 2 / scale

    room = {"type": "ineq", "fun": lambda x: x[-1] * x[:-1] - lipschitz / scale}
    whole = {"type": "eq", "fun": lambda x: x[:-1].mean() - 1}
    start = np.append(np.ones(count), lipschitz_sup(lipschitz, np.full(count, 1 / count)) / scale)
    limits = [(1e-9, None)] * (count + 1)
    options = {"maxiter": 1000, "ftol": 1e-15}
    found = minimize(
        factor, start, method="SLSQP", bounds=limits, constraints=[room, whole], options=options
    )
    return found.x[:-1] / count


def compression_table(problem: LeastSquares, keep: Iterable[float]) -> pd.DataFrame:
    r"""Minimise the bound's factor over p for several r at one step size.

    Args:
        problem: A small problem.
        keep: Values of :math:`r`.

    Returns:
        One row an r: the largest difference :math:`n |p_i - L_i / \sum_j L_j|`.
    """
    lipschitz, keep = problem.lipschitz, list(keep)
    step_size = 0.5 * min(keep) / lipschitz.mean()
    target = SAMPLINGS["optimal"](lipschitz)
    rows = []
    for r in keep:
        found = best_probabilities(lipschitz, problem.strong_convexity, step_size / r)
        rows.append(
            {"keep_probability": r, "difference": len(found) * np.abs(found - target).max()}
        )
    return pd.DataFrame(rows)
