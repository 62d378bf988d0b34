"""How many steps importance sampling saves on least squares, counted exactly."""

from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from experiments.importance_sampling.runs import (
    NUM_POINTS,
    ImportanceParameters,
    paper_line,
    stream,
)
from liprune_utils.moments import SecondMoments
from liprune_utils.problems import LeastSquares, draw_least_squares
from liprune_utils.theory import (
    SAMPLINGS,
    Constants,
    error_bound,
    theorem_num_steps,
    theorem_step_size,
)


class Race(NamedTuple):
    """A problem, a target error, and the moments of each sampling."""

    problem: LeastSquares
    target: float  # absolute
    moments: dict[str, SecondMoments]

    @classmethod
    def of(cls, problem: LeastSquares, target: float) -> "Race":
        """Prepare the race on a problem.

        Args:
            problem: The problem.
            target: The target error, relative to that of :math:`w_0 = 0`.

        Returns:
            The race.
        """
        initial = float(problem.minimiser @ problem.minimiser)
        moments = {
            name: SecondMoments(problem, rule(problem.lipschitz))
            for name, rule in SAMPLINGS.items()
        }
        return cls(problem, target * initial, moments)

    def theorem(self, sampling: str) -> float:
        """Compute the step size of Theorem 1.

        Args:
            sampling: A key of ``liprune_utils.theory.SAMPLINGS``.

        Returns:
            The step size.
        """
        constants = Constants.of(self.problem, self.moments[sampling].probabilities)
        return theorem_step_size(constants, self.target)

    def best(self, sampling: str) -> float:
        """Find the step size that needs the fewest steps, to about 1%.

        Args:
            sampling: A key of ``liprune_utils.theory.SAMPLINGS``.

        Returns:
            The step size.
        """
        return best_step(self.moments[sampling], self.target, self.theorem(sampling))[0]

    def steps(self, sampling: str, step_size: float) -> float:
        """Count the steps to the target, infinite if it is not reached.

        Args:
            sampling: A key of ``liprune_utils.theory.SAMPLINGS``.
            step_size: The step size.

        Returns:
            The number of steps.
        """
        moments = self.moments[sampling]
        if step_size >= moments.largest_step_size:
            return np.inf
        return float(moments.steps_to(self.target, np.array([step_size]))[0])


def approach(race: Race, shares: np.ndarray) -> pd.DataFrame:
    """Follow each sampling at its theorem's step size, beside the theorem's bound.

    Args:
        race: The race.
        shares: Times, as shares of the theorem's number of steps, array of shape ``[k]``.

    Returns:
        One row a sampling and time: ``step``, and ``error`` and ``bound`` over the first error.
    """
    initial = float(race.problem.minimiser @ race.problem.minimiser)
    tables = []
    for sampling, moments in race.moments.items():
        constants = Constants.of(race.problem, moments.probabilities)
        last = theorem_num_steps(constants, race.target, initial)
        steps, step_size = np.ceil(shares * last).astype(int), race.theorem(sampling)
        errors = moments.path(step_size, steps[-1])[steps]
        bound = error_bound(constants, step_size, steps, initial)
        columns = {"sampling": sampling, "share": shares, "step": steps}
        columns |= {"error": errors / initial, "bound": bound / initial}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def best_step(moments: SecondMoments, target: float, smallest: float) -> tuple[float, float]:
    """Find the step size with the fewest steps to a target, on finer and finer grids.

    Args:
        moments: The recursion.
        target: The target error, absolute.
        smallest: A step size that reaches the target, such as the theorem's.

    Returns:
        The step size and its number of steps.
    """
    low, high = smallest, 0.9999 * moments.largest_step_size
    for _ in range(3):
        grid = np.geomspace(low, high, 16)
        steps = moments.steps_to(target, grid)
        best = int(steps.argmin())
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 15)]
    return float(grid[best]), float(steps[best])


RULES = {
    "theorem": "each at its theorem's step",
    "best": "each at its best step",
    "equal": "both at uniform sampling's best step",
    "equal_small": "both at uniform sampling's theorem step",
}


def step_sizes(race: Race) -> dict[tuple[str, str], tuple[float, float]]:
    """List the pairs of step sizes at which a sampling meets the uniform one.

    Args:
        race: The race.

    Returns:
        For each sampling and each key of ``RULES`` the step sizes of uniform sampling and of the
        sampling.
    """
    theorem = {name: race.theorem(name) for name in race.moments}
    best = {name: race.best(name) for name in race.moments}
    pairs = {}
    for name in ("optimal", "mixture"):
        pairs[name, "theorem"] = theorem["uniform"], theorem[name]
        pairs[name, "best"] = best["uniform"], best[name]
        pairs[name, "equal"] = best["uniform"], best["uniform"]
        pairs[name, "equal_small"] = theorem["uniform"], theorem["uniform"]
    return pairs


def speed_table(parameters: ImportanceParameters) -> pd.DataFrame:
    """Measure how many times fewer steps importance sampling needs.

    Args:
        parameters: The page's parameters.

    Returns:
        One row a problem, target, sampling and rule for the step size: the steps of both and
        ``ratio``, uniform over the sampling; 0 if only the uniform one reaches the target.
    """
    p, rows = parameters, []
    cases = [(0.0, 1e-3)] + [(p.noise_sd, target) for target in (1e-1, 1e-2, 1e-3)]
    grid = list(product((1, 10), cases, range(p.num_problems)))
    for dim, (noise_sd, target), number in tqdm(grid, desc="steps saved"):
        generator = stream(p.seed, "speed", dim, number)
        problem = (
            paper_line(generator, noise_sd)
            if dim == 1
            else draw_least_squares(generator, NUM_POINTS, dim, noise_sd=noise_sd, spread=p.spread)
        )
        race = Race.of(problem, target)
        facts = {"dim": dim, "noise_sd": noise_sd, "target": target, "problem": number}
        for (sampling, rule), (ours, theirs) in step_sizes(race).items():
            pair = race.steps("uniform", ours), race.steps(sampling, theirs)
            rows.append(facts | {"sampling": sampling, "rule": rule} | ratio_of(*pair))
    return pd.DataFrame(rows)


def ratio_of(steps_uniform: float, steps_sampling: float) -> dict[str, float]:
    """Put two numbers of steps and their ratio into columns.

    Args:
        steps_uniform: Steps of uniform sampling, finite.
        steps_sampling: Steps of the other sampling, infinite if it does not arrive.

    Returns:
        The columns.
    """
    ratio = steps_uniform / steps_sampling
    return {"steps_uniform": steps_uniform, "steps_sampling": steps_sampling, "ratio": ratio}


def exponent_table(parameters: ImportanceParameters, num_problems: int = 8) -> pd.DataFrame:
    r"""Scan :math:`p_i \propto L_i^\alpha`: what is least at :math:`\alpha = 1`, what elsewhere?

    Args:
        parameters: The page's parameters.
        num_problems: Problems of each kind.

    Returns:
        One row a problem and exponent, relative to uniform sampling (:math:`\alpha = 0`): the
        bound's ``lipschitz_sup`` and the ``steps`` to a thousandth of the first error, at the best
        step size, with and without noise.
    """
    p, rows = parameters, []
    grid = list(product((1, 10), (0.0, p.noise_sd), range(num_problems)))
    for dim, noise_sd, number in tqdm(grid, desc="exponents"):
        generator = stream(p.seed, "exponents", dim, number)
        problem = draw_least_squares(generator, NUM_POINTS, dim, noise_sd=noise_sd, spread=p.spread)
        facts = {"dim": dim, "noise_sd": noise_sd, "problem": number}
        scan = [exponent_row(problem, alpha) for alpha in np.linspace(0, 2, 17)]
        for row in scan:
            relative = {key: row[key] / scan[0][key] for key in ("lipschitz_sup", "steps")}
            rows.append(facts | {"exponent": row["exponent"]} | relative)
    return pd.DataFrame(rows)


def exponent_row(problem: LeastSquares, exponent: float) -> dict[str, float]:
    r"""Judge :math:`p_i \propto L_i^\alpha` on one problem.

    Args:
        problem: The problem.
        exponent: :math:`\alpha`.

    Returns:
        The exponent, the bound's constant and the steps to a thousandth of the first error.
    """
    weights = problem.lipschitz**exponent
    probabilities = weights / weights.sum()
    constants = Constants.of(problem, probabilities)
    target = 1e-3 * float(problem.minimiser @ problem.minimiser)
    moments = SecondMoments(problem, probabilities)
    _, steps = best_step(moments, target, theorem_step_size(constants, target))
    return {"exponent": exponent, "lipschitz_sup": constants.lipschitz, "steps": steps}
