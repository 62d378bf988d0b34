"""Eq. (2) as a process: what it touches, what it equals in law, how far its bounds are."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from experiments.importance_sampling.runs import (
    ImportanceParameters,
)
from liprune_utils.checks import require
from liprune_utils.intervals import mean_interval
from liprune_utils.moments import SecondMoments
from liprune_utils.problems import LeastSquares
from liprune_utils.sgd import importance_sgd
from liprune_utils.streams import StreamFamily
from liprune_utils.theory import (
    SAMPLINGS,
    Constants,
    expected_bound,
    pruning_bound,
    theorem_num_steps,
    theorem_step_size,
)


def touched_share(probabilities: np.ndarray, keep_probability: float, num_steps: int) -> float:
    r"""Compute the expected share of distinct indices that Eq. (2) draws in t steps.

    :math:`1 - \frac1n \sum_i (1 - r p_i)^t`; with uniform p and t = n about :math:`1 - e^{-r}`.

    Args:
        probabilities: :math:`p`, array of shape ``[n]``.
        keep_probability: :math:`r`.
        num_steps: :math:`t`.

    Returns:
        The share.
    """
    return float(1 - np.mean((1 - keep_probability * probabilities) ** num_steps))


def touched_table(lipschitz: np.ndarray, *, num_runs: int, seed: int) -> pd.DataFrame:
    """Count the distinct indices that n steps of Eq. (2) draw.

    Args:
        lipschitz: Lipschitz constants, array of shape ``[n]``.
        num_runs: Runs.
        seed: Root seed.

    Returns:
        One row a sampling and r: the simulated share with its 99% interval, and the exact one.
    """
    rows, count = [], len(lipschitz)
    for sampling, keep in product(("uniform", "optimal"), KEEP):
        probabilities = SAMPLINGS[sampling](lipschitz)
        generator = stream(seed, "touched", int(100 * keep))
        shares = [
            len(
                np.unique(generator.choice(count, generator.binomial(count, keep), p=probabilities))
            )
            for _ in range(num_runs)
        ]
        share = mean_interval(np.array(shares) / count)
        row = {"sampling": sampling, "keep_probability": keep, **share._asdict()}
        rows.append(row | {"exact": touched_share(probabilities, keep, count)})
    return pd.DataFrame(rows).rename(columns={"value": "share"})


def law_errors(
    problem: LeastSquares,
    *,
    keep: float,
    step_size: float,
    num_steps: int,
    num_runs: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Draw :math:`\|w_t - w^*\|^2` from Eq. (2), and from SGD with a binomial number of steps.

    Args:
        problem: The problem, sampled uniformly.
        keep: :math:`r`.
        step_size: :math:`\eta`; SGD's is :math:`\eta / r`.
        num_steps: :math:`t`.
        num_runs: Runs of each.
        seed: Root seed.

    Returns:
        Both sets of errors, of shape ``[num_runs]``.
    """
    p = SAMPLINGS["uniform"](problem.lipschitz)
    common = {"num_steps": num_steps, "num_runs": num_runs}
    pruned = importance_sgd(
        problem, p, step_size=step_size, keep_probability=keep, **common,
        generator=stream(seed, "law", 0),
    )  # fmt: skip
    *_, last = pruned
    plain = importance_sgd(
        problem, p, step_size=step_size / keep, **common, generator=stream(seed, "law", 1)
    )
    made = stream(seed, "law", 2).binomial(num_steps, keep, size=num_runs)
    stopped = np.empty_like(last)
    for time, weights in enumerate(plain):
        stopped[made == time] = weights[made == time]
    return tuple(((w - problem.minimiser) ** 2).sum(axis=1) for w in (last, stopped))


def looseness_table(
    problem: LeastSquares, keep: Iterable[float], *, target: float, num_runs: int, seed: int
) -> pd.DataFrame:
    """Follow Eq. (2) at Theorem 2's step size, beside its bound and the one without probability.

    Args:
        problem: The problem.
        keep: Values of r.
        target: The target error, relative to the first.
        num_runs: Runs behind the simulated error.
        seed: Root seed.

    Returns:
        One row a sampling, r and time: ``bound``, ``ours``, ``exact`` and ``simulated`` (with its
        standard error), all over the first error.
    """
    initial = float(problem.minimiser @ problem.minimiser)
    tables = []
    for sampling, r in product(("uniform", "optimal"), keep):
        probabilities = SAMPLINGS[sampling](problem.lipschitz)
        constants = Constants.of(problem, probabilities)
        step_size = r * theorem_step_size(constants, target * initial)
        last = 2 * theorem_num_steps(constants, target * initial, initial) / r
        times = np.unique(np.round(np.linspace(0, last, 61)).astype(int))
        exact = SecondMoments(problem, probabilities, r).path(step_size, times[-1])[times]
        runs = simulated_path(problem, probabilities, step_size, r, times, num_runs, seed)
        columns = {"sampling": sampling, "keep_probability": r, "time": times, "exact": exact}
        columns |= {"bound": pruning_bound(constants, step_size, r, times, initial)}
        columns |= {"ours": expected_bound(constants, step_size, r, times, initial)}
        columns |= {"simulated": runs.mean(axis=1)}
        columns |= {"simulated_se": runs.std(axis=1, ddof=1) / np.sqrt(num_runs)}
        table = pd.DataFrame(columns)
        table.iloc[:, 3:] /= initial
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def simulated_path(
    problem: LeastSquares,
    probabilities: np.ndarray,
    step_size: float,
    keep: float,
    times: np.ndarray,
    num_runs: int,
    seed: int,
) -> np.ndarray:
    """Simulate Eq. (2) and look at it at some times.

    Args:
        problem: The problem.
        probabilities: Sampling probabilities.
        step_size: Step size.
        keep: r.
        times: Times, increasing, array of shape ``[k]``.
        num_runs: Runs.
        seed: Root seed.

    Returns:
        Squared errors, array of shape ``[k, num_runs]``.
    """
    wanted = set(times.tolist())
    path = importance_sgd(
        problem,
        probabilities,
        step_size=step_size,
        num_steps=int(times[-1]),
        num_runs=num_runs,
        generator=stream(seed, "paths", int(100 * keep)),
        keep_probability=keep,
    )
    seen = [weights for time, weights in enumerate(path) if time in wanted]
    return np.array([((weights - problem.minimiser) ** 2).sum(axis=1) for weights in seen])


KEEP = (0.1, 0.3, 0.5, 0.7, 0.9)


TIMES = (10, 100, 1000)


stream = StreamFamily({"zeta": 10, "touched": 11, "law": 12, "paths": 13, "logistic": 14})


@dataclass(frozen=True)
class StochasticParameters(ImportanceParameters):
    """Parameters of page 02."""

    num_draws: int  # draws of zeta, or runs, behind each simulated share

    def check(self) -> None:
        """Check the ranges."""
        super().check()
        draws = self.num_draws
        require(1000 <= draws <= 10**6, "num_draws", draws, "from 1000 to 1000000")
