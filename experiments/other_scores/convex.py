r"""Convex problems on which LiPrune meets other scores: what each keeps, and SGD on it.

GraNd keeps the largest gradients, EL2N the largest errors (Paul et al., arXiv 2107.07075). Both,
and the loss, depend on the weights at which they are taken; :math:`L_i` does not. Points that tie
are taken in the order of random pruning, so that a constant score is random pruning.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np

from experiments.convex_is_not_enough.counterexamples import PROBLEMS as GENERATED
from experiments.convex_is_not_enough.counterexamples import ConvexProblem
from experiments.convex_is_not_enough.runs import (
    BATCH_SIZE,
    SOURCES,
    Split,
    load,
)
from liprune_utils.problems import SQUARED, LeastSquares, Objective
from liprune_utils.pruning import num_kept, rank
from liprune_utils.sgd import distinct_batches
from liprune_utils.streams import StreamFamily

PROBLEMS = (*GENERATED, *SOURCES)
KEEP_FRACTIONS = (0.1, 0.3)
STEPS = (30, 100, 300)  # after which excess test losses are compared
TUNING, RACING = 0, 1  # what data sets are for: those that tune report nothing
START, LATER = "at the start", "later"  # when scores are taken
NEVER = "uses no weights"
stream = StreamFamily({"data": 40, "choice": 41, "batches": 42})


class Entrant(NamedTuple):
    """A way to prune: a score, when it is taken, and the fraction kept."""

    method: str  # "liprune", "random", "grand", "el2n", or "loss"
    taken: str
    keep_fraction: float


WAYS = (
    ("liprune", NEVER), ("random", NEVER),
    *product(("grand", "el2n", "loss"), (START, LATER)),
)  # fmt: skip
ENTRANTS = tuple(Entrant(*way, fraction) for fraction in KEEP_FRACTIONS for way in WAYS)


class DataSet(NamedTuple):
    """Points to train on, and the excess test loss of weights ``[..., num_scores, dim]``."""

    train: Objective
    excess: Callable[[np.ndarray], np.ndarray]


def _generated(problem: ConvexProblem) -> DataSet:
    r"""Excess :math:`\tfrac12 (w - w^*)^\top H (w - w^*)`, exact for new points."""

    def excess(weights: np.ndarray) -> np.ndarray:
        error = weights[..., 0, :] - problem.target
        return np.vecdot(error @ problem.hessian, error) / 2

    train = problem.train
    return DataSet(Objective(SQUARED, train.x, train.y[:, None], 0.0), excess)


def _real(split: Split) -> DataSet:
    """Excess over the least test loss that any weights have on the same test points."""
    least = least_loss(split.test)
    return DataSet(split.train, lambda weights: split.test.value(weights) - least)


def least_loss(test: Objective) -> float:
    """Find the infimum of a test loss; 0 for classes, which so few test points leave separable."""
    if test.loss is not SQUARED:
        return 0.0
    return float(test.value(LeastSquares(test.x, test.y[:, 0]).minimiser[None]))


def point_scores(train: Objective, weights: np.ndarray) -> dict[str, np.ndarray]:
    r"""Score the points of a problem at some weights.

    With the error :math:`e_i = \nabla_z \phi(W x_i, y_i)`, which is :math:`p - e_y` for
    classification and the residual for least squares: EL2N's :math:`\|e_i\|`, the loss
    :math:`\phi(W x_i, y_i)`, and GraNd's :math:`\|\nabla f_i\| = \|e_i x_i^\top + \rho W\|`.
    """
    outputs, labels = weights @ train.x.T, train.y.T
    error = train.loss.mean(outputs) - labels  # [num_scores, n]
    squares, pull = (error**2).sum(axis=0), train.ridge
    gradients = squares * (train.x**2).sum(axis=1) + 2 * pull * (error * outputs).sum(axis=0)
    gradients = np.maximum(gradients + pull**2 * (weights**2).sum(), 0)
    scores = {"grand": np.sqrt(gradients), "el2n": np.sqrt(squares)}
    scores |= {"loss": train.loss.value(outputs, labels)}
    return {name: np.round(score, 12) for name, score in scores.items()}


def kept_points(
    train: Objective, later: np.ndarray, generator: np.random.Generator
) -> list[np.ndarray]:
    """List the points that each entrant keeps, with the later scores taken at weights ``later``."""
    shuffled = generator.permutation(len(train.x))
    scores = {("liprune", NEVER): train.lipschitz, ("random", NEVER): np.zeros(len(train.x))}
    for taken, weights in ((START, 0 * later), (LATER, later)):
        scores |= {(n, taken): s for n, s in point_scores(train, weights).items()}
    orders = {way: shuffled[rank(score[shuffled])] for way, score in scores.items()}
    return [orders[e[:2]][: num_kept(len(train.x), e.keep_fraction)] for e in ENTRANTS]


class Field(NamedTuple):
    """Data sets of one problem for one purpose, numbered from 0."""

    problem: str
    purpose: int
    num_sets: int
    seed: int

    @property
    def _keys(self) -> tuple[int, int]:
        return self.purpose, PROBLEMS.index(self.problem)

    def draw(self, number: int) -> DataSet:
        """Draw a data set of a generated problem, or a split of a real one."""
        generator = stream(self.seed, "data", *self._keys, number)
        if self.problem in SOURCES:
            return _real(load(self.problem, generator))
        return _generated(GENERATED[self.problem](generator))

    def choice(self, number: int) -> np.random.Generator:
        """Open the stream that shuffles the points of a data set for random pruning."""
        return stream(self.seed, "choice", *self._keys, number)

    def positions(self, count: int) -> np.ndarray:
        """Draw positions in lists of ``count`` kept points, ``[num_steps, num_sets, batch]``.

        They are distinct in each step, and the same for all lists of one length in a data set.
        """
        generator = stream(self.seed, "batches", *self._keys, count)
        shape = self.num_sets, count, BATCH_SIZE, STEPS[-1]
        return np.stack([flat.T // self.num_sets for flat in distinct_batches(generator, *shape)])


def join(trains: Sequence[Objective]) -> Objective:
    """Put the points of several data sets, equally many of each, behind one another."""
    x, y = (np.concatenate(parts) for parts in zip(*((t.x, t.y) for t in trains), strict=True))
    return Objective(trains[0].loss, x, y, trains[0].ridge)


def descend(joined: Objective, points: np.ndarray, sizes: np.ndarray) -> Iterator[np.ndarray]:
    r"""Run SGD from zero on batches ``[num_steps, ..., batch]``, with step sizes ``[..., R]``.

    Yields the weights after each step, of shape ``[..., R, num_scores, dim]``.
    """
    scores, dim = joined.y.shape[-1], joined.x.shape[-1]
    if scores > 1:
        rates, points = sizes[..., None, None], points[..., None, :]
        weights = np.zeros((*sizes.shape, scores, dim))
    else:  # the step sizes take the place of the scores, in fewer and larger matrix products
        rates, weights = sizes[..., None], np.zeros((*sizes.shape, dim))
    for at in points:
        batch = replace(joined, x=joined.x.take(at, axis=0), y=joined.y.take(at, axis=0))
        weights = weights - rates * batch.gradient(weights)
        yield weights.reshape(*sizes.shape, scores, dim)
