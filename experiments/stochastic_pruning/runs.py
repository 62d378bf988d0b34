r"""Theorem 2 and Eq. (2), stochastic pruning, measured.

Given :math:`\zeta`, Eq. (2) is SGD with the step :math:`\eta / r` on the :math:`\chi_t` steps that
are made; so :math:`E[\|w_t - w^*\|^2 \mid \zeta]` depends on :math:`\zeta` through
:math:`\chi_t \sim \mathrm{Bin}(t, r)` alone, and on least squares it is known exactly.
"""

from collections.abc import Iterable
from itertools import product

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.optimize import minimize
from scipy.stats import binom
from tqdm import tqdm

from experiments.importance_sampling.runs import (
    ImportanceParameters,
    error_over_target,
    first_error,
    target_shares,
    theorem_problems,
)
from liprune_utils.intervals import mean_interval, share_interval, standard_error
from liprune_utils.moments import SecondMoments
from liprune_utils.problems import LeastSquares
from liprune_utils.sgd import importance_sgd
from liprune_utils.streams import StreamFamily
from liprune_utils.theory import (
    SAMPLINGS,
    Constants,
    chernoff_tail,
    exact_tail,
    expected_bound,
    lipschitz_sup,
    pruning_bound,
    stated_tail,
    theorem_num_steps,
    theorem_step_size,
)

KEEP = (0.1, 0.3, 0.5, 0.7, 0.9)
TIMES = (10, 100, 1000)
COMPARED = ("uniform", "optimal")
stream = StreamFamily(
    {"zeta": 10, "touched": 11, "law": 12, "paths": 13, "logistic": 14, "example": 15}
)


class StochasticParameters(ImportanceParameters):
    """Parameters of page 02."""

    num_draws: int = Field(ge=1000, le=10**6)  # draws, or runs, behind each simulated share


def exceedance_table(parameters: StochasticParameters) -> pd.DataFrame:
    r"""Count the draws of :math:`\zeta` whose conditional error is above Theorem 2's bound."""
    rows, problems = [], theorem_problems(parameters)
    exact = [item for item in problems if isinstance(item[1], LeastSquares)]
    for number, (facts, problem) in enumerate(tqdm(exact, desc="Theorem 2")):
        generator = stream(parameters.seed, "zeta", number)
        for sampling, fraction in product(COMPARED, (0.5, 0.9)):
            probabilities = SAMPLINGS[sampling](problem.lipschitz)
            constants = Constants.of(problem, probabilities)
            made_step = fraction / constants.lipschitz  # eta / r
            path = SecondMoments(problem, probabilities).path(made_step, TIMES[-1])
            case = facts | {"sampling": sampling, "step_over_largest": fraction}
            for keep, time in product(KEEP, TIMES):
                bound = pruning_bound(constants, keep * made_step, keep, time, first_error(problem))
                made = generator.binomial(time, keep, size=parameters.num_draws)
                rows.append(case | exceedance(path, bound, made, keep, time))
    return pd.DataFrame(rows)


def exceedance(
    path: np.ndarray, bound: float, made: np.ndarray, keep: float, time: int
) -> dict[str, float]:
    """Compare a bound with the errors after each number of steps made: one row of a table."""
    above = path > bound
    share, low, high, num_draws = share_interval(int(above[made].sum()), len(made))
    exact = binom.pmf(np.arange(time + 1), time, keep)[above[: time + 1]].sum()
    return {
        "keep_probability": keep,
        "time": time,
        "share": share,
        "low": low,
        "high": high,
        "num_draws": num_draws,
        "exact_share": float(exact),
        "stated": float(stated_tail(time, keep)),
    }


def iterations_table(parameters: StochasticParameters) -> pd.DataFrame:
    r"""Try Theorem 2's t in the worst case of its event: the fewest :math:`\chi_t \ge r t / 2`."""
    rows = []
    for facts, problem in tqdm(list(theorem_problems(parameters)), desc="steps of Theorem 2"):
        initial, settings = first_error(problem), (COMPARED, (0.1, 0.5, 0.9))
        for sampling, keep, share in product(*settings, target_shares(problem)):
            probabilities, target = SAMPLINGS[sampling](problem.lipschitz), share * initial
            constants = Constants.of(problem, probabilities)
            time = int(np.ceil(2 * theorem_num_steps(constants, target, initial) / keep))
            fewest = int(np.ceil(keep * time / 2))
            error = error_over_target(
                problem,
                probabilities,
                step_size=theorem_step_size(constants, target),  # of a step that is made
                num_steps=fewest,
                target=target,
                generator=stream(parameters.seed, "logistic", facts["dim"], facts["problem"]),
            )
            case = {"sampling": sampling, "keep_probability": keep, "target": share}
            case |= {"time": time, "fewest_made": fewest}
            rows.append(facts | case | error.columns("error_over_target"))
    return pd.DataFrame(rows)


def probability_table() -> pd.DataFrame:
    """Find from which t on a chance of failure is at most 5%, stated, by Chernoff, and exactly."""
    rows = []
    for r in (0.05, 0.1, 0.2, 0.5, 0.9):
        times = np.arange(1, int(10 / r**2))
        above = np.flatnonzero(exact_tail(times, r) > 0.05)
        exact = int(times[above[-1]]) + 1 if len(above) else 1
        stated, proof = (int(np.ceil(2 * np.log(x / 0.05) / r**2)) for x in (1, 2))
        row = {"keep_probability": r, "stated": stated, "proof": proof}
        rows.append(row | {"chernoff": int(np.ceil(8 * np.log(20) / r)), "exact": exact})
    return pd.DataFrame(rows)


def tail_table() -> pd.DataFrame:
    """Tabulate the chance that fewer than r t / 2 steps are made, and its bounds."""
    tables = []
    for r in (0.1, 0.3, 0.5, 0.9):
        times = np.unique(np.round(np.geomspace(1, 200, 60) / r).astype(int))
        columns = {"keep_probability": r, "time": times, "expected_steps": r * times}
        columns |= {"exact": exact_tail(times, r), "stated": stated_tail(times, r)}
        tables.append(pd.DataFrame(columns | {"chernoff": chernoff_tail(times, r)}))
    return pd.concat(tables, ignore_index=True)


def _best_probabilities(lipschitz: np.ndarray, mu: float, made_step: float) -> np.ndarray:
    r"""Minimise :math:`\lambda(p) = 1 - 2 \mu \gamma (1 - \gamma L_{\sup}(p))` numerically."""
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
    """Minimise the bound's factor over p for several r at one step size."""
    lipschitz, keep = problem.lipschitz, list(keep)
    step_size = 0.5 * min(keep) / lipschitz.mean()
    optimal, rows = SAMPLINGS["optimal"](lipschitz), []
    for r in keep:
        found = _best_probabilities(lipschitz, problem.strong_convexity, step_size / r)
        difference = len(found) * np.abs(found - optimal).max()
        rows.append({"keep_probability": r, "difference": difference})
    return pd.DataFrame(rows)


def _touched_share(probabilities: np.ndarray, keep_probability: float, num_steps: int) -> float:
    r"""Compute the mean share of indices drawn, :math:`1 - \frac1n \sum_i (1 - r p_i)^t`."""
    return float(1 - np.mean((1 - keep_probability * probabilities) ** num_steps))


def touched_table(lipschitz: np.ndarray, *, num_runs: int, seed: int) -> pd.DataFrame:
    """Count the distinct indices that n steps of Eq. (2) draw."""
    rows, count = [], len(lipschitz)
    for sampling, keep in product(COMPARED, KEEP):
        probabilities = SAMPLINGS[sampling](lipschitz)
        generator = stream(seed, "touched", int(100 * keep))
        counts = []
        for _ in range(num_runs):
            made = generator.binomial(count, keep)
            counts.append(len(np.unique(generator.choice(count, made, p=probabilities))))
        share = mean_interval(np.array(counts) / count)
        row = {"sampling": sampling, "keep_probability": keep} | share.columns("share")
        rows.append(row | {"exact": _touched_share(probabilities, keep, count)})
    return pd.DataFrame(rows)


def law_errors(
    problem: LeastSquares,
    *,
    keep: float,
    step_size: float,
    num_steps: int,
    num_runs: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Draw :math:`\|w_t - w^*\|^2` from Eq. (2), and from SGD with a binomial number of steps."""
    probabilities = SAMPLINGS["uniform"](problem.lipschitz)
    common = {"num_steps": num_steps, "num_runs": num_runs}
    *_, pruned = importance_sgd(
        problem,
        probabilities,
        step_size=step_size,
        keep_probability=keep,
        generator=stream(seed, "law", 0),
        **common,
    )
    plain = importance_sgd(
        problem,
        probabilities,
        step_size=step_size / keep,
        generator=stream(seed, "law", 1),
        **common,
    )
    made = stream(seed, "law", 2).binomial(num_steps, keep, size=num_runs)
    stopped = np.empty_like(pruned)
    for time, weights in enumerate(plain):
        stopped[made == time] = weights[made == time]
    return tuple(((w - problem.minimiser) ** 2).sum(axis=1) for w in (pruned, stopped))


def looseness_table(
    problem: LeastSquares, keep: Iterable[float], *, target: float, num_runs: int, seed: int
) -> pd.DataFrame:
    """Follow Eq. (2) at Theorem 2's step size, beside its bound and the one without probability."""
    initial = first_error(problem)
    tables = []
    for sampling, r in product(COMPARED, keep):
        probabilities = SAMPLINGS[sampling](problem.lipschitz)
        constants = Constants.of(problem, probabilities)
        step_size = r * theorem_step_size(constants, target * initial)
        last = 2 * theorem_num_steps(constants, target * initial, initial) / r
        times = np.unique(np.round(np.linspace(0, last, 61)).astype(int))
        path = importance_sgd(
            problem,
            probabilities,
            step_size=step_size,
            num_steps=int(times[-1]),
            num_runs=num_runs,
            generator=stream(seed, "paths", int(100 * r)),
            keep_probability=r,
        )
        runs = _errors_at(times, path, problem.minimiser)
        columns = {
            "exact": SecondMoments(problem, probabilities, r).path(step_size, times[-1])[times],
            "bound": pruning_bound(constants, step_size, r, times, initial),
            "ours": expected_bound(constants, step_size, r, times, initial),
            "simulated": runs.mean(axis=0),
            "simulated_se": standard_error(runs),
        }
        case = {"sampling": sampling, "keep_probability": r, "time": times}
        tables.append(pd.DataFrame(case).join(pd.DataFrame(columns) / initial))
    return pd.concat(tables, ignore_index=True)


def _errors_at(times: np.ndarray, path: Iterable[np.ndarray], minimiser: np.ndarray) -> np.ndarray:
    """Compute the squared errors of all runs at some steps of their path, [num_runs, num_times]."""
    wanted = set(times.tolist())
    seen = [weights for time, weights in enumerate(path) if time in wanted]
    return np.array([((weights - minimiser) ** 2).sum(axis=1) for weights in seen]).T
