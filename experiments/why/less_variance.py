r"""Is it enough to reduce the variance of SGD's gradient, with the gradient's mean kept?

Uniform sampling of one point races against schemes whose gradient has the same mean G and another
covariance, at one step size. With :math:`e = w - w^*` a step leaves

.. math:: E \|e^+\|^2 = \|e - \eta G\|^2 + \eta^2 \, \mathrm{tr} \, \mathrm{Cov}(g) ,

so that at the same weights less variance is better; but a run goes on from other weights then.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm
from tqdm import tqdm

from experiments.importance_sampling.runs import NUM_POINTS, first_error
from liprune_utils.book.register import load_register
from liprune_utils.checks import require
from liprune_utils.intervals import Estimate, ratio_interval, standard_error
from liprune_utils.problems import (
    NOISE_SD,
    LeastSquares,
    Problem,
    draw_least_squares,
    draw_logistic,
)
from liprune_utils.streams import StreamFamily
from liprune_utils.theory import optimal

CLAIM = "noise-reduction-b"
LEVEL = load_register()[CLAIM]["level"]
TARGET, FLOOR = 1 / 100, 1 / 310  # shares of the first error; the rule's floor is below 1/300
LESS = 0.95  # a ratio of variances that counts as less
BATCH_SIZES = {"batch 2": 2, "batch 4": 4, "batch 8": 8}
SCHEMES = ("constants", "norms", *BATCH_SIZES)  # against "uniform"
SPREAD, RIDGE = 0.5, 0.5  # of page 01
KINDS = {  # runs for each one of the page's: fewer where runs are long or spread little
    ("least squares", 1): 10, ("least squares", 10): 2, ("logistic", 1): 4, ("logistic", 10): 1,
}  # fmt: skip
BLOCK, GROUP, REPLICATES = 200, 10, 500  # runs together; runs averaged before the bootstrap
stream = StreamFamily({"problem": 3, "runs": 4, "bootstrap": 5})  # beside those of matched_spread


def draw_problem(family: str, dim: int, seed: int) -> Problem:
    """Draw a problem of page 01, with label noise."""
    generator = stream(seed, "problem", int(family == "logistic"), dim)
    if family == "logistic":
        return draw_logistic(generator, NUM_POINTS, dim, ridge=RIDGE, spread=SPREAD)
    return draw_least_squares(generator, NUM_POINTS, dim, noise_sd=NOISE_SD, spread=SPREAD)


class Local(NamedTuple):
    """A problem near its minimiser: each function's Hessian and gradient there."""

    hessians: np.ndarray  # [num_points, dim, dim]
    gradients: np.ndarray  # [num_points, dim]

    @classmethod
    def of(cls, problem: Problem) -> "Local":
        """Expand a problem at its minimiser; on least squares this is exact anywhere."""
        x, w = problem.x, problem.minimiser
        mean = problem.loss.mean(x @ w)
        curvature = np.ones(len(x)) if isinstance(problem, LeastSquares) else mean * (1 - mean)
        outer = curvature[:, None, None] * x[:, :, None] * x[:, None, :]
        hessians = outer + problem.ridge * np.eye(x.shape[1])
        return cls(hessians, problem.gradients(np.tile(w, (len(x), 1)), np.arange(len(x))))

    def floor(self, step_size: float) -> float:
        r"""Compute where :math:`E\|w - w^*\|^2` settles with uniform sampling.

        The fixed point of :math:`M = E[(I - \eta H_i) M (I - \eta H_i)] + \eta^2 E[g_i g_i^T]`.
        """
        shrinks = np.eye(self.hessians.shape[1]) - step_size * self.hessians
        size = shrinks[0].size
        step = np.einsum("nij,nkl->ikjl", shrinks, shrinks).reshape(size, size) / len(shrinks)
        added = step_size**2 * self.gradients.T @ self.gradients / len(shrinks)
        settled = np.linalg.solve(np.eye(size) - step, added.ravel())
        return float(settled.reshape(added.shape).trace())


def choose_step(problem: Problem) -> float:
    r"""Find the longest step with the floor of `FLOOR`, at most :math:`1/L_{\sup}`."""
    local, allowed = Local.of(problem), FLOOR * first_error(problem)
    longest = 1 / problem.lipschitz.max()
    if local.floor(longest) <= allowed:
        return float(longest)
    return float(brentq(lambda step: local.floor(step) - allowed, 1e-9 * longest, longest))


def _residuals(problem: Problem, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the scores and the loss's derivatives, each ``[num_runs, num_points]``."""
    scores = weights @ problem.x.T
    return scores, problem.loss.mean(scores) - problem.y


def squared_norms(problem: Problem, weights: np.ndarray) -> np.ndarray:
    r"""Compute all :math:`\|\nabla f_i(w)\|^2`, shape ``[num_runs, num_points]``."""
    scores, errors = _residuals(problem, weights)
    ridge, sizes = problem.ridge, (problem.x**2).sum(axis=1)
    pull = ridge**2 * (weights**2).sum(axis=1, keepdims=True)
    squares = errors * (errors * sizes + 2 * ridge * scores) + pull
    return np.maximum(squares, 0)  # in spite of rounding


def full_gradient(problem: Problem, weights: np.ndarray) -> np.ndarray:
    """Compute the gradient of F at weights ``[num_runs, dim]``."""
    errors = _residuals(problem, weights)[1]
    return errors @ problem.x / len(problem.x) + problem.ridge * weights


def covariance_traces(problem: Problem, weights: np.ndarray) -> dict[str, np.ndarray]:
    r"""Compute each scheme's :math:`\mathrm{tr}\,\mathrm{Cov}(g)` exactly, ``[num_runs]`` each.

    :math:`\frac1{n^2} \sum_i \|\nabla f_i\|^2 / p_i - \|G\|^2`, over B for a batch of B draws.
    """
    squares = squared_norms(problem, weights)
    mean = (full_gradient(problem, weights) ** 2).sum(axis=1)
    uniform = squares.mean(axis=1) - mean
    by_constants = squares @ (1 / optimal(problem.lipschitz)) / len(problem.x) ** 2 - mean
    by_norms = np.sqrt(squares).mean(axis=1) ** 2 - mean
    traces = {"uniform": uniform, "constants": by_constants, "norms": by_norms}
    return traces | {name: uniform / size for name, size in BATCH_SIZES.items()}


def batch_gradients(
    problem: Problem, weights: np.ndarray, x: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Average gradients over each run's batch, ``x`` of shape ``[num_runs, batch_size, dim]``."""
    errors = problem.loss.mean(np.einsum("rbd,rd->rb", x, weights)) - labels
    return np.einsum("rb,rbd->rd", errors, x) / x.shape[1] + problem.ridge * weights


def redraw(points: np.ndarray, shares: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    r"""Turn uniform draws into draws of p, and leave as many as possible as they are.

    A draw i stays with probability :math:`\min(1, n p_i)`. Otherwise it is drawn from what p has
    above 1/n. The ``shares`` :math:`n p_i` have shape ``[num_runs, num_points]``, the ``uniforms``
    shape ``[2, num_runs]``.
    """
    moved = np.flatnonzero(uniforms[0] >= shares[np.arange(len(points)), points])
    above = np.maximum(shares[moved] - 1, 0).cumsum(axis=1)
    chosen = (above <= uniforms[1, moved, None] * above[:, -1:]).sum(axis=1)
    drawn = points.copy()
    drawn[moved] = np.minimum(chosen, shares.shape[1] - 1)
    return drawn


def draw_gradients(
    problem: Problem,
    weights: dict[str, np.ndarray],
    constants: np.ndarray,
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    r"""Draw every scheme's gradient at its own weights, from the same uniform draws.

    The ``constants`` are the :math:`L_i / \bar L`, of shape ``[num_runs, num_points]``.
    """
    runs = np.arange(len(constants))
    points = generator.integers(constants.shape[1], size=(len(runs), max(BATCH_SIZES.values())))
    uniforms = generator.random((2, len(runs)))
    x, labels = problem.x.take(points, axis=0), problem.y.take(points)
    found = {
        name: batch_gradients(problem, weights[name], x[:, :size], labels[:, :size])
        for name, size in {"uniform": 1, **BATCH_SIZES}.items()
    }
    norms = np.sqrt(squared_norms(problem, weights["norms"]))
    shares = {"constants": constants, "norms": norms / norms.mean(axis=1, keepdims=True)}
    for name, share in shares.items():
        drawn = redraw(points[:, 0], share, uniforms)
        facts = problem.x[drawn, None], problem.y[drawn, None]
        plain = batch_gradients(problem, weights[name], *facts)
        found[name] = plain / share[runs, drawn, None]
    return found


def follow(
    problem: Problem, step_size: float, num_runs: int, generator: np.random.Generator
) -> Iterator[dict[str, np.ndarray]]:
    """Run every scheme from :math:`w_0 = 0`, and yield the weights, ``[num_runs, dim]`` each."""
    start = np.zeros((num_runs, problem.x.shape[1]))
    weights = dict.fromkeys(("uniform", *SCHEMES), start)
    constants = np.tile(len(problem.x) * optimal(problem.lipschitz), (num_runs, 1))
    while True:
        yield weights
        drawn = draw_gradients(problem, weights, constants, generator)
        weights = {name: w - step_size * drawn[name] for name, w in weights.items()}


def _blocks(
    problem: Problem, step_size: float, num_runs: int, generator: np.random.Generator
) -> list[Iterator[dict[str, np.ndarray]]]:
    """Split runs into blocks that fit the processor's cache, each with its own random numbers."""
    sizes = [min(BLOCK, num_runs - start) for start in range(0, num_runs, BLOCK)]
    streams = zip(sizes, generator.spawn(len(sizes)), strict=True)
    return [follow(problem, step_size, size, own) for size, own in streams]


def squared_errors(problem: Problem, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    r"""Compute :math:`\|w - w^*\|^2` for every scheme, ``[num_runs]`` each."""
    return {name: ((w - problem.minimiser) ** 2).sum(axis=1) for name, w in weights.items()}


def measure(problem: Problem, weights: np.ndarray, step_size: float) -> dict[str, np.ndarray]:
    r"""Measure tr Cov of each scheme, and the mean step's :math:`\|e\|^2 - \|e - \eta G\|^2`."""
    error, mean = weights - problem.minimiser, full_gradient(problem, weights)
    gain = (error**2).sum(axis=1) - ((error - step_size * mean) ** 2).sum(axis=1)
    return covariance_traces(problem, weights) | {"gain": gain}


def _by_group(blocks: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Join blocks of runs, and average the runs of each group."""
    return {
        name: np.concatenate([block[name] for block in blocks]).reshape(-1, GROUP).mean(axis=1)
        for name in blocks[0]
    }


class Paths(NamedTuple):
    """What the runs of a problem left, averaged by groups of runs."""

    errors: dict[str, np.ndarray]  # squared errors by scheme, [num_steps + 1, num_groups]
    measured: dict[str, np.ndarray]  # along the uniform runs, [num_measured, num_groups]
    every: int  # steps from one measurement to the next
    num_runs: int


def run_problem(
    problem: Problem, step_size: float, num_runs: int, generator: np.random.Generator
) -> Paths:
    """Run all schemes side by side until the mean squared error of each is at the target.

    At the latest they end after three times the steps of the slowest direction without noise.
    """
    curvatures = np.linalg.eigvalsh(Local.of(problem).hessians.mean(axis=0))
    every = max(1, round(0.01 / (step_size * curvatures[-1])))
    last = int(3 * np.log(1 / TARGET) / (2 * step_size * curvatures[0]))
    blocks = _blocks(problem, step_size, num_runs, generator)
    errors, measured, target = [], [], TARGET * first_error(problem)
    waiting = dict.fromkeys(("uniform", *SCHEMES), True)
    for step in range(last + 1):
        states = [next(block) for block in blocks]
        errors.append(_by_group([squared_errors(problem, state) for state in states]))
        if step % every == 0 and waiting["uniform"]:
            parts = [measure(problem, state["uniform"], step_size) for state in states]
            measured.append(_by_group(parts))
        for name, found in errors[-1].items():
            likely = found.mean() + 5 * standard_error(found)  # of the bootstrap's replicates
            waiting[name] = waiting[name] and likely > target
        if not any(waiting.values()):
            break
    return Paths(_stack(errors), _stack(measured), every, num_runs)


def _stack(rows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def steps_to(curves: np.ndarray, target: float) -> np.ndarray:
    """Count the steps until curves ``[num_steps + 1, ...]`` are first at a target.

    Between two steps the logarithm is interpolated; infinite where the target is not reached.
    """
    below = curves <= target
    first = np.maximum(below.argmax(axis=0), 1)
    after, before = (
        np.take_along_axis(curves, place[None], axis=0)[0] for place in (first, first - 1)
    )
    fraction = np.log(before / target) / np.log(before / after)
    return np.where(below.any(axis=0), first - 1 + fraction, np.inf)


def steps_ratio(
    own: np.ndarray, uniform: np.ndarray, target: float, generator: np.random.Generator
) -> Estimate:
    """Compare the steps of a scheme with those of uniform sampling, by a bootstrap over groups.

    A scheme that does not reach the target needs more steps than were made.
    """
    count = own.shape[1]
    weights = generator.multinomial(count, np.full(count, 1 / count), size=REPLICATES) / count
    weights = np.vstack([np.full(count, 1 / count), weights]).T  # first the sample itself
    whole, *again = steps_to(own @ weights, target) / steps_to(uniform @ weights, target)
    if not np.isfinite(again).all():
        least = (len(own) - 1) / steps_to(uniform.mean(axis=1), target)
        return Estimate(float(whole), float(least) if np.isinf(whole) else 0.0, np.inf, count)
    half = norm.ppf((1 + LEVEL) / 2) * np.std(again, ddof=1)
    return Estimate(float(whole), float(whole - half), float(whole + half), count)


def variance_ratio(paths: Paths, scheme: str, num_steps: float) -> Estimate:
    """Compare the traces of the covariances, averaged along the uniform runs to the target."""
    own, uniform = (
        paths.measured[name][: int(num_steps) // paths.every + 1].mean(axis=0)
        for name in (scheme, "uniform")
    )
    return ratio_interval(own, uniform, LEVEL)


def variance_share(paths: Paths, step_size: float, num_steps: float) -> float:
    """Compute the share of the contraction by the mean steps that the variance takes away again.

    Each step's gain and its variance count relative to the mean squared error before it.
    """
    count = int(num_steps) // paths.every + 1
    errors = paths.errors["uniform"][:: paths.every][:count].mean(axis=1)
    gain, trace = (paths.measured[name][:count].mean(axis=1) for name in ("gain", "uniform"))
    return float(step_size**2 * (trace / errors).sum() / (gain / errors).sum())


def compare(
    problem: Problem, step_size: float, paths: Paths, generator: np.random.Generator
) -> pd.DataFrame:
    """List every scheme's ratios of variances and of steps on one problem."""
    target, uniform = TARGET * first_error(problem), paths.errors["uniform"]
    counted = float(steps_to(uniform.mean(axis=1), target))
    require(np.isfinite(counted), "Steps of uniform sampling", counted, "a finite number")
    facts = {"step_size": step_size, "steps_uniform": counted}
    facts["floor"] = Local.of(problem).floor(step_size) / first_error(problem)
    facts["share"] = variance_share(paths, step_size, counted)
    rows = []
    for scheme in SCHEMES:
        steps = steps_ratio(paths.errors[scheme], uniform, target, generator)
        ratios = variance_ratio(paths, scheme, counted).named_columns("variance")
        ratios |= steps.named_columns("steps") | {"num_runs": paths.num_runs}
        rows.append({"scheme": scheme} | ratios | facts)
    return pd.DataFrame(rows)


def less_variance_table(num_runs: int, seed: int) -> pd.DataFrame:
    """Race the schemes on every kind of problem, with `KINDS` times the runs, in whole groups."""
    tables = []
    for (family, dim), times in tqdm(KINDS.items(), desc="less variance"):
        problem = draw_problem(family, dim, seed)
        step_size, count = choose_step(problem), num_runs * times // GROUP * GROUP
        key = int(family == "logistic"), dim
        paths = run_problem(problem, step_size, count, stream(seed, "runs", *key))
        table = compare(problem, step_size, paths, stream(seed, "bootstrap", *key))
        tables.append(table.assign(family=family, dim=dim))
    return pd.concat(tables, ignore_index=True)
