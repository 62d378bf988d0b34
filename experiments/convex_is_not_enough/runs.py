r"""LiPrune against random pruning, no pruning and importance sampling on real convex data.

A seed decides the train/test split, random pruning's choice and the batches. All methods see the
same splits; LiPrune and random pruning also draw the same positions in their lists of kept points.
Losses on all training points are told as *excess*: the share of the way from the start to the
minimum that is left, :math:`(F(W_t) - F(W^*)) / (F(0) - F(W^*))`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from experiments.convex_is_not_enough.real_data import Objective, Split
from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import require
from liprune_utils.pruning import num_kept, rank
from liprune_utils.theory import optimal

BATCH_SIZE, NUM_STEPS, KEEP_FRACTIONS = 10, 300, (0.1, 0.3, 0.5)
TARGET = 0.1  # excess at which a run has arrived
MULTIPLES = 2.0 ** np.arange(-2, 12)  # step sizes tried, in units of 1 / (2 max L)
STREAMS = {"split": 0, "choice": 1, "batches": 2, "importance": 3}


@dataclass(frozen=True)
class ConvexParameters(Parameters):
    """Parameters of page 06."""

    num_problems: int  # data sets of each convex problem
    num_runs: int  # simulated runs that check the exact losses
    seed: int  # root of all random streams

    def check(self) -> None:
        """Check the ranges."""
        super().check()
        runs, problems = self.num_runs, self.num_problems
        require(10 <= problems <= 10**5, "num_problems", problems, "from 10 to 100000")
        require(1000 <= runs <= 10**6, "num_runs", runs, "from 1000 to 1000000")
        require(self.seed >= 0, "seed", self.seed, "a whole number from 0")


class Cell(NamedTuple):
    """A method and the fraction of the points that it keeps."""

    method: str  # "liprune", "random", "none" or "importance"
    keep_fraction: float


NONE, IMPORTANCE = Cell("none", 1.0), Cell("importance", 1.0)
PRUNED = [Cell(method, r) for r in KEEP_FRACTIONS for method in ("liprune", "random")]
CELLS = [*PRUNED, NONE, IMPORTANCE]


def recorded_steps(num_steps: int = NUM_STEPS) -> np.ndarray:
    """List the steps at which losses are recorded: 0, then about 15% apart, to the last.

    Args:
        num_steps: The last step, >= 1.

    Returns:
        Increasing integers.
    """
    count = 1 + round(7 * np.log(num_steps))
    return np.unique([0, *np.geomspace(1, num_steps, count).round().astype(int)])


def stream(root: tuple[int, ...], purpose: str, *keys: int) -> np.random.Generator:
    """Open a random stream of its own for one purpose.

    Args:
        root: Root seed, role and number of the run.
        purpose: "split", "choice" (random pruning), "batches" or "importance".
        *keys: Further whole numbers that tell streams apart.

    Returns:
        The generator.
    """
    return np.random.default_rng([*root, STREAMS[purpose], *keys])


def kept(lipschitz: np.ndarray, cell: Cell, root: tuple[int, ...]) -> np.ndarray:
    """Choose the points that a method keeps.

    Args:
        lipschitz: Lipschitz constants, array of shape ``[n]``.
        cell: The method and the fraction.
        root: Root of the run's streams.

    Returns:
        Indices, array of shape ``[k]``: for LiPrune from the largest constant down, for the others
        in the order of one shuffle.
    """
    count = num_kept(len(lipschitz), cell.keep_fraction)
    if cell.method == "liprune":
        return rank(lipschitz)[:count]
    return stream(root, "choice").permutation(len(lipschitz))[:count]


class Draws(NamedTuple):
    """What each method draws in each step: arrays ``[num_steps, num_cells, BATCH_SIZE]``."""

    points: np.ndarray
    factors: np.ndarray  # weights of the points' gradients


def draw(lipschitz: np.ndarray, root: tuple[int, ...], num_steps: int = NUM_STEPS) -> Draws:
    r"""Draw the batches of all methods.

    Distinct points of those kept, afresh in each step, with weight 1; importance sampling draws
    with replacement, :math:`p_i \propto L_i`, and weighs by :math:`1 / (n p_i)`.

    Args:
        lipschitz: Lipschitz constants, array of shape ``[n]``.
        root: Root of the run's streams.
        num_steps: Steps.

    Returns:
        The draws, methods in the order of ``CELLS``.
    """
    points = [
        chosen[positions(len(chosen), root, num_steps)]
        for chosen in (kept(lipschitz, cell, root) for cell in CELLS[:-1])
    ]
    chances = optimal(lipschitz)
    generator = stream(root, "importance")
    chosen = generator.choice(len(lipschitz), (num_steps, BATCH_SIZE), p=chances)
    weights = 1 / (len(lipschitz) * chances[chosen])
    factors = [np.ones_like(weights)] * len(points)
    return Draws(np.stack([*points, chosen], axis=1), np.stack([*factors, weights], axis=1))


def positions(count: int, root: tuple[int, ...], num_steps: int) -> np.ndarray:
    """Draw distinct positions in a list of kept points, the same for all lists of one length.

    Args:
        count: Points kept, more than ``BATCH_SIZE``.
        root: Root of the run's streams.
        num_steps: Steps.

    Returns:
        Integers below ``count``, shape ``[num_steps, BATCH_SIZE]``: those of the least of uniforms.
    """
    fits = f"more than the batch size {BATCH_SIZE}"
    require(count > BATCH_SIZE, "number of points kept", count, fits)
    uniforms = stream(root, "batches", count).random((num_steps, count))
    return uniforms.argpartition(BATCH_SIZE, axis=1)[:, :BATCH_SIZE]


def descend(train: Objective, draws: Draws, step_sizes: np.ndarray) -> Iterator[np.ndarray]:
    r"""Run SGD from :math:`W_0 = 0` for all methods and many step sizes at once.

    :math:`W_{t+1} = W_t - \frac\eta B \sum_{i \in S_t} c_i \nabla f_i(W_t)`.

    Args:
        train: The objective.
        draws: Points and weights :math:`c_i`; all step sizes of a method see the same.
        step_sizes: Array of shape ``[num_cells, num_sizes]``.

    Yields:
        The iterates, array of shape ``[num_cells, num_sizes, num_scores, dim]``, first zero.
    """
    weights = np.zeros((*step_sizes.shape, train.y.shape[-1], train.x.shape[-1]))
    yield weights
    for points, factors in zip(*draws, strict=True):
        gradient = train.take(points[:, None]).gradient(weights, factors[:, None])
        weights = weights - step_sizes[..., None, None] * gradient
        yield weights


def excess(train: Objective, weights: np.ndarray) -> np.ndarray:
    """Compute the share of the way from W = 0 to the minimum that is left.

    Args:
        train: The objective.
        weights: Array of shape ``[..., num_scores, dim]``.

    Returns:
        Array of shape ``[...]``; infinite where SGD has diverged.
    """
    first, least = train.ends
    return _finite((train.value(weights) - least) / (first - least))


# Infinity in place of what overflow has left.
def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.inf)


class Run(NamedTuple):
    """One run of all methods and step sizes."""

    excess: np.ndarray  # at the recorded steps, [num_records, num_cells, num_sizes]
    test_loss: np.ndarray  # after the last step, [num_cells, num_sizes]

    @property
    def steps(self) -> np.ndarray:
        """First recorded step with an excess of at most ``TARGET``; infinite if there is none."""
        there = self.excess <= TARGET
        first = recorded_steps()[there.argmax(axis=0)]
        return np.where(there.any(axis=0), first, np.inf)


def run(split: Split, root: tuple[int, ...], multiples: np.ndarray) -> Run:
    r"""Run all methods on one split.

    The unit of the step sizes is :math:`1 / (2 \max_i L_i)`, which the step size of Theorem 1,
    :math:`\mu\epsilon / (2\mu\epsilon L_{\sup} + 2\sigma^2)`, approaches without noise.

    Args:
        split: The data set.
        root: Root of the run's streams.
        multiples: Step sizes in that unit, array of shape ``[num_cells, num_sizes]``.

    Returns:
        The losses.
    """
    train, watched, records = split.train, set(recorded_steps()), []
    step_sizes = multiples / (2 * train.lipschitz.max())
    iterates = descend(train, draw(train.lipschitz, root), step_sizes)
    with np.errstate(over="ignore", invalid="ignore"):  # too large a step: the loss says infinite
        for step, weights in enumerate(iterates):
            if step in watched:
                # A method at a time, for which the scores of all points fit into the cache.
                records.append([excess(train, of_cell) for of_cell in weights])
        return Run(np.array(records), _finite(split.test.value(weights)))
