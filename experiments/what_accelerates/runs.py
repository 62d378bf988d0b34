r"""The runs behind page 05: every method on the data sets and test points of page 04.

Settings for `experiments.linear_model.runs.simulate`, and two methods that it lacks: unbiased
sampling with :math:`p \propto L` from all points, and pruning fixed batches instead of points.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np

from experiments.linear_model.runs import (
    NUM_POINTS,
    NUM_STEPS,
    Cell,
    Runs,
    Setting,
    simulate,
    stream,
)
from experiments.what_accelerates.closed_forms import (
    BATCH_SIZE,
    KEEP_FRACTIONS,
    LEARNING_RATE,
    TARGET_STEPS,
    best_rates,
    limit,
    step_multiplier,
    typical_moments,
)
from liprune_utils.problems import NOISE_SD, LinearData, draw_linear
from liprune_utils.pruning import num_kept, rank
from liprune_utils.sgd import Moments, descend, distinct_batches
from liprune_utils.streams import StreamFamily

BATCH_SIZES = (1, 10, 20, 100)  # paper, Figures 7, 1, 8, 9
CONTRACTION = 0.3  # mean share of the error that a step removes, for the noise floors
LIMIT_SHARES = (0.9, 1.05)  # rates to try, as shares of each method's stability limit
own_stream = StreamFamily({"importance": 4, "made": 5, "batch choice": 6, "batch draws": 7})
BLOCK = 500  # data sets drawn together

Key = tuple  # what a setting is for: ("batch", B), ("matched", r), ("best", T, method, r), ...


def plan(slope: float) -> dict[Key, Setting]:
    """List the settings to simulate, by what they are for.

    Args:
        slope: True slope.

    Returns:
        The settings; each has a number of its own as its ``figure``.
    """
    wanted = {("batch", size): (size, LEARNING_RATE, KEEP_FRACTIONS) for size in BATCH_SIZES}
    for fraction in KEEP_FRACTIONS:
        matched = LEARNING_RATE * step_multiplier(fraction)
        wanted["matched", fraction] = (BATCH_SIZE, matched, (fraction,))
        for method in ("liprune", "random"):
            whole = fraction if method == "liprune" else 1.0
            rate = CONTRACTION / float(typical_moments(whole, method).xx[0])
            wanted["floor", method, fraction] = (BATCH_SIZE, rate, (fraction,))
            for share in LIMIT_SHARES:
                rate = share * limit(method, fraction)
                wanted["limit", share, method, fraction] = (BATCH_SIZE, rate, (fraction,))
    for (steps, method, fraction), rate in best_rates(slope).items():
        if method != "unbiased":
            own = (fraction,) if fraction < 1 else ()
            wanted["best", steps, method, fraction] = (BATCH_SIZE, rate, own)
    return {key: Setting(number, *terms) for number, (key, terms) in enumerate(wanted.items())}


class Pruned(NamedTuple):
    """Runs with fixed batches pruned: LiPrune's, random pruning's, and what both kept."""

    liprune: Runs
    random: Runs
    overlap: np.ndarray  # share of LiPrune's kept batches that random pruning kept, [num_runs]


@dataclass(frozen=True)
class Experiment:
    """All runs of the page; every method has the same data sets and test points."""

    plan: dict[Key, Setting]
    runs: dict[Cell, Runs]
    unbiased: dict[tuple[float, float], Runs]  # by step size and chance that a step is made
    pruned: dict[tuple[int, float], Pruned]  # by batch size and keep fraction

    def of(self, key: Key, method: str, keep_fraction: float) -> Runs:
        """Look up simulated runs.

        Args:
            key: What the setting is for.
            method: "liprune", "random" or "none".
            keep_fraction: Fraction kept.

        Returns:
            The runs.
        """
        return self.runs[Cell(self.plan[key].figure, method, keep_fraction)]


def run_experiment(*, num_runs: int, seed: int, slope: float) -> Experiment:
    """Run everything that page 05 measures on the linear model.

    Args:
        num_runs: Data sets.
        seed: Root of all random streams.
        slope: True slope.

    Returns:
        The runs.
    """
    settings = plan(slope)
    runs = simulate(settings.values(), num_runs=num_runs, seed=seed, slope=slope)
    whole = runs[Cell(0, "none", 1.0)]
    sets = {name: whole.sets[name] for name in ("test", "full")}
    rates = [(LEARNING_RATE, 1.0)]
    rates += [(LEARNING_RATE, fraction) for fraction in KEEP_FRACTIONS]
    best = best_rates(slope)
    rates += [(best[steps, "unbiased", 1.0], 1.0) for steps in TARGET_STEPS]
    rates += [(settings["floor", "random", 0.1].learning_rate, 1.0)]
    errors = unbiased_errors(rates, num_runs=num_runs, seed=seed, slope=slope)
    unbiased = {
        pair: Runs(Setting(0, BATCH_SIZE, pair[0], ()), slope, error, sets)
        for pair, error in errors.items()
    }
    return Experiment(settings, runs, unbiased, pruned_runs(whole, seed=seed))


# The data sets of `simulate`, a block at a time.
def _data_blocks(num_runs: int, seed: int, slope: float) -> Iterator[LinearData]:
    generator = stream(seed, "data")
    for start in range(0, num_runs, BLOCK):
        size = min(BLOCK, num_runs - start)
        yield draw_linear(generator, size, NUM_POINTS, slope=slope, noise_sd=NOISE_SD)


def unbiased_errors(
    rates: list[tuple[float, float]], *, num_runs: int, seed: int, slope: float
) -> dict[tuple[float, float], np.ndarray]:
    r"""Run unbiased sampling with :math:`p \propto L` (Theorem 2 with batches of ten draws).

    Args:
        rates: Pairs of a step size and the chance that a step is made.
        num_runs: Data sets.
        seed: Root of all random streams.
        slope: True slope.

    Returns:
        For each pair the errors :math:`w_t - w^*`, array of shape ``[NUM_STEPS + 1, num_runs]``;
        all pairs share their draws.
    """
    points, made = own_stream(seed, "importance"), own_stream(seed, "made")
    parts = {pair: [] for pair in rates}
    for data in _data_blocks(num_runs, seed, slope):
        pull = importance_pulls(data, points.random((len(data.x), NUM_STEPS, BATCH_SIZE)))
        chance = made.random((len(data.x), NUM_STEPS)).T
        mean_square = data.lipschitz.mean(axis=1)
        for rate, probability in rates:
            scale = (chance < probability) / probability * mean_square  # [step, run]
            parts[rate, probability].append(descend(scale, scale * pull, rate) - slope)
    return {pair: np.concatenate(errors, axis=1) for pair, errors in parts.items()}


def importance_pulls(data: LinearData, uniforms: np.ndarray) -> np.ndarray:
    r"""Draw points with :math:`p_i \propto x_i^2` and take each batch's mean of :math:`y_i / x_i`.

    The weighted gradient is :math:`\frac{m}{x_i^2} (w x_i - y_i) x_i = m (w - y_i / x_i)`.

    Args:
        data: Data sets.
        uniforms: Uniform numbers in [0, 1), array of shape ``[num_runs, num_steps, batch_size]``.

    Returns:
        Array of shape ``[num_steps, num_runs]``.
    """
    runs, count = data.x.shape
    edges = np.cumsum(data.lipschitz, axis=1)
    own = np.arange(runs)[:, None]  # one sorted line for all runs: run k lies in [k, k + 1]
    line = (edges / edges[:, -1:] + own).ravel()
    found = np.searchsorted(line, (uniforms.reshape(runs, -1) + own).ravel(), side="right")
    found = np.minimum(found.reshape(runs, -1), own * count + count - 1)
    ratio = (data.y / data.x).ravel()[found]
    return ratio.reshape(uniforms.shape).mean(axis=2).T


def pruned_runs(whole: Runs, *, seed: int) -> dict[tuple[int, float], Pruned]:
    """Prune fixed batches, as the paper does for networks, by their Lipschitz constants.

    The points of a data set, which are in random order, are cut into batches; a step draws one of
    the kept batches. For the linear model a batch acts like a point whose :math:`x^2` is the
    batch's mean, and whose noise is smaller by the square root of the batch size.

    Args:
        whole: The runs without pruning on the same data sets.
        seed: Root of all random streams.

    Returns:
        The runs by batch size and keep fraction; both methods draw the same positions.
    """
    num_runs, parts = whole.error.shape[1], {}
    choice = {size: own_stream(seed, "batch choice", size) for size in BATCH_SIZES}
    draws = {pair: own_stream(seed, "batch draws", *pair) for pair in _kept_batches()}
    for data in _data_blocks(num_runs, seed, whole.slope):
        for size in BATCH_SIZES:
            batches = _Batches.of(data, size, choice[size])
            for count in (count for s, count in _kept_batches() if s == size):
                block = batches.race(count, draws[size, count])
                parts.setdefault((size, count), []).append(block)
    found = {}
    for (size, count), blocks in parts.items():
        joined = [np.concatenate(term, axis=-1) for term in zip(*blocks, strict=True)]
        fraction = count * size / NUM_POINTS
        found[size, fraction] = _pruned(whole, size, count, joined)
    return found


# Pairs of a batch size and a number of batches kept.
def _kept_batches() -> list[tuple[int, int]]:
    grid = product(BATCH_SIZES, KEEP_FRACTIONS)
    return [(size, num_kept(NUM_POINTS // size, fraction)) for size, fraction in grid]


# Put the arrays of `_Batches.race` into runs whose "kept" set has a point for each batch.
def _pruned(whole: Runs, size: int, count: int, terms: list[np.ndarray]) -> Pruned:
    setting, runs = Setting(0, size, LEARNING_RATE, ()), []
    for error, mean, square in (terms[:3], terms[3:6]):
        none = np.zeros_like(mean)  # the moments of the noise are not used
        kept = Moments(count, mean, square, none, none)
        sets = {"test": whole.sets["test"], "kept": kept}
        runs.append(replace(whole, setting=setting, error=error, sets=sets))
    return Pruned(*runs, terms[6])


class _Batches(NamedTuple):
    xx: np.ndarray  # means of x^2, [num_batches, num_runs]
    xy: np.ndarray
    slope: float
    orders: tuple[np.ndarray, np.ndarray]  # LiPrune's and the random one, best first

    # Cut data sets into batches and order them by each method.
    @classmethod
    def of(cls, data: LinearData, size: int, choice: np.random.Generator) -> "_Batches":
        shape = (len(data.x), NUM_POINTS // size, size)
        xx, xy = (terms.reshape(shape).mean(axis=2) for terms in (data.x**2, data.x * data.y))
        orders = rank(xx).T, rank(choice.random(xx.shape)).T
        return cls(xx.T, xy.T, data.slope, orders)

    # Errors, mean and mean square of the kept batches' x^2 for each method, and the overlap.
    def race(self, count: int, draws: np.random.Generator) -> tuple[np.ndarray, ...]:
        num_runs = self.xx.shape[1]
        steps = [
            batch[0].copy() for batch in distinct_batches(draws, num_runs, count, 1, NUM_STEPS)
        ]
        drawn = np.array(steps)  # flat indices into [count, num_runs]
        terms, marks = [], []
        for order in self.orders:
            kept = order[:count]
            xx, xy = (np.take_along_axis(values, kept, axis=0) for values in (self.xx, self.xy))
            error = descend(xx.take(drawn), xy.take(drawn), LEARNING_RATE) - self.slope
            terms += [error, xx.mean(axis=0), (xx**2).mean(axis=0)]
            mark = np.zeros(self.xx.shape, dtype=bool)
            np.put_along_axis(mark, kept, True, axis=0)
            marks.append(mark)
        return (*terms, (marks[0] & marks[1]).sum(axis=0) / count)
