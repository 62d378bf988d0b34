"""How many steps importance sampling saves on least squares, counted exactly."""

from itertools import product
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from tqdm import tqdm

from experiments.importance_sampling.runs import (
    NUM_POINTS,
    ImportanceParameters,
    first_error,
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

RULES = {
    "theorem": "each at its theorem's step",
    "best": "each at its best step",
    "equal": "both at uniform sampling's best step",
    "equal_small": "both at uniform sampling's theorem step",
}


class Race(NamedTuple):
    """A problem, a target error, and the moments of each sampling."""

    problem: LeastSquares
    target: float  # absolute
    moments: dict[str, SecondMoments]

    @classmethod
    def of(cls, problem: LeastSquares, target: float) -> Self:
        """Prepare the race to a target, given as a share of the first error."""
        moments = {
            name: SecondMoments(problem, rule(problem.lipschitz))
            for name, rule in SAMPLINGS.items()
        }
        return cls(problem, target * first_error(problem), moments)

    def theorem(self, sampling: str) -> float:
        """Compute the step size of Theorem 1."""
        constants = Constants.of(self.problem, self.moments[sampling].probabilities)
        return theorem_step_size(constants, self.target)

    def best(self, sampling: str) -> float:
        """Find the step size that needs the fewest steps, to about 1%."""
        return _best_step(self.moments[sampling], self.target, self.theorem(sampling))[0]

    def steps(self, sampling: str, step_size: float) -> float:
        """Count the steps to the target, infinite if it is not reached."""
        moments = self.moments[sampling]
        if step_size >= moments.largest_step_size:
            return np.inf
        return float(moments.steps_to(self.target, np.array([step_size]))[0])


def _best_step(moments: SecondMoments, target: float, smallest: float) -> tuple[float, float]:
    """Find the step size with the fewest steps to a target, on finer and finer grids."""
    low, high = smallest, 0.9999 * moments.largest_step_size
    for _ in range(3):
        grid = np.geomspace(low, high, 16)
        steps = moments.steps_to(target, grid)
        best = int(steps.argmin())
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 15)]
    return float(grid[best]), float(steps[best])


def approach(race: Race, shares: np.ndarray) -> pd.DataFrame:
    """Follow each sampling at its theorem's step size, beside the theorem's bound."""
    initial = first_error(race.problem)
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


def step_sizes(race: Race) -> dict[tuple[str, str], tuple[float, float]]:
    """List the step sizes at which uniform sampling meets another, by sampling and rule."""
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
    """Measure how many times fewer steps importance sampling needs."""
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
            counts = race.steps("uniform", ours), race.steps(sampling, theirs)
            row = facts | {"sampling": sampling, "rule": rule}
            row |= {"steps_uniform": counts[0], "steps_sampling": counts[1]}
            rows.append(row | {"ratio": counts[0] / counts[1]})
    return pd.DataFrame(rows)


def exponent_table(parameters: ImportanceParameters, num_problems: int = 8) -> pd.DataFrame:
    r"""Scan :math:`p_i \propto L_i^\alpha`: the bound's constant and the steps, over uniform's."""
    p, rows = parameters, []
    grid = list(product((1, 10), (0.0, p.noise_sd), range(num_problems)))
    for dim, noise_sd, number in tqdm(grid, desc="exponents"):
        generator = stream(p.seed, "exponents", dim, number)
        problem = draw_least_squares(generator, NUM_POINTS, dim, noise_sd=noise_sd, spread=p.spread)
        facts = {"dim": dim, "noise_sd": noise_sd, "problem": number}
        exponents = np.linspace(0, 2, 17)
        scan = pd.DataFrame([_measure_exponent(problem, alpha) for alpha in exponents])
        rows.append(pd.DataFrame(facts | {"exponent": exponents}).join(scan / scan.iloc[0]))
    return pd.concat(rows, ignore_index=True)


def _measure_exponent(problem: LeastSquares, exponent: float) -> dict[str, float]:
    weights = problem.lipschitz**exponent
    probabilities = weights / weights.sum()
    constants = Constants.of(problem, probabilities)
    target = 1e-3 * first_error(problem)
    moments = SecondMoments(problem, probabilities)
    _, steps = _best_step(moments, target, theorem_step_size(constants, target))
    return {"lipschitz_sup": constants.lipschitz, "steps": steps}
