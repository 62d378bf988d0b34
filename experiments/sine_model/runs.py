r"""SGD on the sine model: LiPrune against random pruning (paper, Appendix B.4, Figure 12).

Learning rates are those of the loss with the half; without it, half the rate takes the same steps.
"""

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from experiments.linear_model.runs import stream
from experiments.sine_model.landscapes import (
    NOISE_SD,
    NUM_POINTS,
    WEIGHT,
    SineData,
    draw_sine,
    population_loss,
)
from liprune_utils import intervals
from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import require
from liprune_utils.lipschitz import sine_gradient, sine_loss
from liprune_utils.pruning import num_kept
from liprune_utils.sgd import distinct_batches

NUM_STEPS, BATCH_SIZE, LEARNING_RATE, START = 100, 10, 0.2, 8.0  # paper, Figure 12
NEAR = 0.1  # register: how near to the true weight counts
KEEP_FRACTIONS = (0.1, 0.3, 0.5, 0.7)  # of the paper's other figures; Figure 12 does not say
FLOOR = NOISE_SD**2 / 2  # the expected loss at the true weight
LOSS_MARGIN = 0.05  # register: sine-no-advantage
COMES_NEAR = 0.01  # our reading of "comes near w*": at least this share of the runs


class Cell(NamedTuple):
    """A method and the fraction that it keeps (1.0 without pruning)."""

    method: str
    keep_fraction: float


@dataclass(frozen=True)
class Plan:
    """What to run on every data set, from each start at each rate."""

    starts: tuple[float, ...] = (START,)
    learning_rates: tuple[float, ...] = (LEARNING_RATE,)
    keep_fractions: tuple[float, ...] = KEEP_FRACTIONS
    steps: tuple[int, ...] = (NUM_STEPS,)  # at which to look, increasing
    losses: tuple[str, ...] = ()  # means to compute on the data: "kept" points, "full" set

    def place(self, where: tuple[int, int, int]) -> dict[str, float]:
        """Name a position in the arrays of `Races`.

        Args:
            where: Indices of step, start and rate.

        Returns:
            Their values, as columns of a table.
        """
        step, start, rate = where
        columns = {"start": self.starts[start], "learning_rate": self.learning_rates[rate]}
        return columns | {"step": self.steps[step]}

    @property
    def cells(self) -> list[Cell]:
        """The methods to run; LiPrune comes right before its partner."""
        pruned = product(self.keep_fractions, ("liprune", "random"))
        cells = [Cell(method, fraction) for fraction, method in pruned if fraction < 1]
        return [*cells, Cell("none", 1.0)]


@dataclass(frozen=True)
class Races:
    """Runs of one cell: arrays of shape ``[num_steps, num_starts, num_rates, num_runs]``."""

    plan: Plan
    weight: np.ndarray
    kept_loss: np.ndarray | None = None  # on the points kept, with the half
    full_loss: np.ndarray | None = None  # on all training points


def simulate(plan: Plan, *, num_runs: int, seed: int = 0, block: int = 500) -> dict[Cell, Races]:
    """Run SGD for every method, start and rate, on fresh data in each run.

    All methods, starts and rates share the data; LiPrune and random pruning also share the
    positions of each batch in their lists of kept points.

    Args:
        plan: What to run.
        num_runs: Data sets, >= 1.
        seed: Root of all random streams, >= 0.
        block: Runs simulated together; it changes the speed and the memory, not the numbers.

    Returns:
        For each cell its runs.
    """
    draws = stream(seed, "data")
    counts = {num_kept(NUM_POINTS, cell.keep_fraction) for cell in plan.cells}
    batches = {count: stream(seed, "batches", count) for count in counts}
    parts = []
    for first in tqdm(range(0, num_runs, block), desc="sine model", unit="block"):
        data = draw_sine(draws, min(block, num_runs - first), NUM_POINTS)
        parts.append(_simulate_block(plan, data, batches))
    return {cell: _join(plan, [part[cell] for part in parts]) for cell in plan.cells}


# Join the runs of one cell from consecutive blocks.
def _join(plan: Plan, parts: list[Races]) -> Races:
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=-1)
        for name in ("weight", *(f"{loss}_loss" for loss in plan.losses))
    }
    return Races(plan, **arrays)


# Simulate a block of runs; the streams of batches go on from the block before.
def _simulate_block(
    plan: Plan, data: SineData, batches: dict[int, np.random.Generator]
) -> dict[Cell, Races]:
    points = {"liprune": data.by_constant(), "random": data, "none": data}
    races = {}
    for fraction in dict.fromkeys(cell.keep_fraction for cell in plan.cells):
        cells = [cell for cell in plan.cells if cell.keep_fraction == fraction]
        kept = {cell: points[cell.method].first(fraction) for cell in cells}
        count = next(iter(kept.values())).x.shape[-1]
        paths = follow(plan, kept, batches[count])
        for cell, weight in zip(cells, paths, strict=True):
            sets = {"kept": kept[cell], "full": data}
            losses = {f"{name}_loss": mean_loss(weight, sets[name]) for name in plan.losses}
            races[cell] = Races(plan, weight, **losses)
    return races


def follow(
    plan: Plan, kept: dict[Cell, SineData], generator: np.random.Generator
) -> list[np.ndarray]:
    r"""Follow SGD, :math:`w_{t+1} = w_t - \eta\, \overline{f_i'(w_t)}` over a batch of ten.

    Args:
        plan: Starts, rates, and the steps to look at.
        kept: For each cell its kept points, all of the same shape.
        generator: Source of the batches' positions, shared by the cells.

    Returns:
        For each cell the weights, array ``[num_steps, num_starts, num_rates, num_runs]``.
    """
    num_runs, count = next(iter(kept.values())).x.shape
    shape = (len(plan.starts), len(plan.learning_rates), num_runs)
    starts, rates = np.array(plan.starts)[:, None, None], np.array(plan.learning_rates)[:, None]
    turned = [SineData(data.x.T.copy(), data.y.T.copy()) for data in kept.values()]
    paths = [[np.broadcast_to(starts, shape)] for _ in kept]
    for batch in distinct_batches(generator, num_runs, count, BATCH_SIZE, plan.steps[-1]):
        for points, path in zip(turned, paths, strict=True):
            path.append(path[-1] - rates * _batch_gradient(points, batch, path[-1]))
    return [np.stack([path[step] for step in plan.steps]) for path in paths]


# The mean gradient over a batch; one point at a time keeps the arrays in the cache.
def _batch_gradient(points: SineData, batch: np.ndarray, w: np.ndarray) -> np.ndarray:
    gradients = (sine_gradient(w, points.x.take(row), points.y.take(row)) for row in batch)
    return sum(gradients) / len(batch)


def mean_loss(weight: np.ndarray, data: SineData) -> np.ndarray:
    """Compute the mean loss of each run's weights over its own points.

    Args:
        weight: Array of shape ``[..., num_runs]``.
        data: Points of each run.

    Returns:
        Array of the shape of ``weight``, >= 0.
    """
    rows = weight.reshape(-1, weight.shape[-1])
    losses = [sine_loss(row[:, None], data.x, data.y).mean(axis=1) for row in rows]
    return np.reshape(losses, weight.shape)


def race_table(races: dict[Cell, Races]) -> pd.DataFrame:
    """Summarise where SGD stands, one row a method, fraction, start, rate and step.

    Args:
        races: From `simulate`.

    Returns:
        The share of runs ``near`` the true weight with its 99% interval, the median ``weight``, the
        mean ``loss`` on infinitely many fresh points with its standard error, and, where they were
        computed, those of ``kept_loss`` and ``full_loss``.
    """
    rows = []
    for cell, runs in races.items():
        losses = {"loss": population_loss(runs.weight)}
        losses |= {f"{name}_loss": getattr(runs, f"{name}_loss") for name in runs.plan.losses}
        for where in np.ndindex(runs.weight.shape[:3]):
            weights = runs.weight[where]
            hits = int((np.abs(weights - WEIGHT) <= NEAR).sum())
            row = cell._asdict() | runs.plan.place(where) | {"num_runs": len(weights)}
            row |= interval("near", intervals.share_interval(hits, len(weights)))
            row |= {"weight": np.median(weights)}
            for name, values in losses.items():
                mean, se = values[where].mean(), intervals.standard_error(values[where])
                row |= {f"{name}_mean": mean, f"{name}_se": se}
            rows.append(row)
    return pd.DataFrame(rows)


def interval(name: str, estimate: intervals.Estimate) -> dict[str, float]:
    """Put an estimate and its interval into columns.

    Args:
        name: The column of the estimate.
        estimate: The estimate.

    Returns:
        The column, and it with ``_low`` and ``_high``.
    """
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def pair_table(races: dict[Cell, Races]) -> pd.DataFrame:
    """Compare LiPrune with random pruning, run by run on the same data and batch positions.

    Args:
        races: From `simulate`.

    Returns:
        One row a fraction, start, rate and step: ``ratio`` of the mean losses, LiPrune over random
        pruning, on all training points where they were computed, else on infinitely many fresh
        points less the noise floor; and ``near``, the difference of the shares of runs near the
        true weight. Both with paired 99% intervals.
    """
    rows = []
    for cell in (cell for cell in races if cell.method == "liprune"):
        pair = races[cell], races[cell._replace(method="random")]
        losses = [
            population_loss(runs.weight) - FLOOR if runs.full_loss is None else runs.full_loss
            for runs in pair
        ]
        hits = [np.abs(runs.weight - WEIGHT) <= NEAR for runs in pair]
        for where in np.ndindex(losses[0].shape[:3]):
            row = {"keep_fraction": cell.keep_fraction, **pair[0].plan.place(where)}
            row |= interval("ratio", intervals.ratio_interval(*(loss[where] for loss in losses)))
            row |= interval("near", intervals.mean_interval(np.subtract(*hits, dtype=float)[where]))
            rows.append(row | {"num_runs": losses[0].shape[-1]})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class SineParameters(Parameters):
    """Parameters of page 07: one setting of the reader's own, and the size of the experiments."""

    keep_fraction: float  # fraction kept in "your setting", in (0, 1]
    learning_rate: float  # step size of SGD in "your setting", for the loss with the half
    start: float  # first weight of SGD in "your setting"
    num_draws: int  # data sets of 1000 points whose landscapes are computed
    num_runs: int  # SGD runs of the paper's setting, each on data of its own
    seed: int  # root of all random streams

    def check(self) -> None:
        """Check the ranges, and that a batch of ten fits into the kept set."""
        super().check()
        fits = "a fraction from 0.01, which keeps a batch of 10, to 1"
        require(0.01 <= self.keep_fraction <= 1, "keep_fraction", self.keep_fraction, fits)
        rate = self.learning_rate
        require(0 < rate <= 10, "learning_rate", rate, "a step size in (0, 10]")
        require(abs(self.start) <= 20, "start", self.start, "a weight from -20 to 20")
        draws, runs = self.num_draws, self.num_runs
        require(5000 <= draws <= 10**6, "num_draws", draws, "from 5000, for the checks, to 1000000")
        require(100 <= runs <= 10**6, "num_runs", runs, "from 100 to 1000000")
        require(self.seed >= 0, "seed", self.seed, "a whole number from 0")
