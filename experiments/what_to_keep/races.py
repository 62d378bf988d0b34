"""Races of page 12: what each rule keeps of generated problems, and SGD on it at tuned steps."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from experiments.other_scores.convex import descend, join, point_scores
from experiments.what_to_keep.problems import INPUTS as KINDS
from experiments.what_to_keep.problems import (
    NUM_POINTS,
    RACING,
    TUNING,
    DataSet,
    Population,
    label,
    stream,
)
from liprune_utils.designs import CRITERIA, keep_extremes, leverages, optimal_design
from liprune_utils.problems import SQUARED, Objective
from liprune_utils.pruning import keep_highest
from liprune_utils.sgd import distinct_batches

BATCH_SIZE, STEPS = 10, (30, 100, 300)  # excess test losses are compared after these steps
KEEP_FRACTIONS = (0.1, 0.3)
PILOT_STEPS = 100  # of SGD on all points, after which a design is weighted by the Hessian
SIZES = 2.0 ** np.arange(-10, 6.5, 0.5)  # step sizes that are tried, over `Course.unit`
BLOCK = 10  # data sets that are run together
OVERFLOW = 1e100  # in place of an excess that is no number
WEIGHTED = "weighted"  # the A-optimal design of points weighted by the Hessian of a pilot


class Entrant(NamedTuple):
    """A rule, and the fraction that it keeps."""

    method: str
    keep_fraction: float


NONE = Entrant("none", 1.0)


class Field(NamedTuple):
    """Data sets of one law of inputs for one purpose, numbered from 0."""

    population: Population
    purpose: int
    seed: int

    def open(self, purpose: str, key: int) -> np.random.Generator:
        """Open a random stream: of a data set, or of the batches of so many points."""
        keys = self.purpose, self.population.dim, KINDS.index(self.population.inputs), key
        return stream(self.seed, purpose, *keys)

    def x(self, number: int) -> np.ndarray:
        """Draw the inputs of a data set."""
        return self.population.draw(self.open("inputs", number))

    def draw(self, number: int, labels: str) -> DataSet:
        """Draw a data set; its inputs and its true weights are the same for all labels."""
        return label(self.x(number), self.population, labels, self.open("labels", number))

    def positions(self, count: int, num_sets: int) -> np.ndarray:
        """Draw positions in lists of ``count`` kept points, ``[num_sets, num_steps, batch]``.

        They are distinct in each step, and the same for all lists of one length in a data set.
        """
        shape = num_sets, count, BATCH_SIZE, STEPS[-1]
        batches = distinct_batches(self.open("batches", count), *shape)
        return np.stack([flat.T // num_sets for flat in batches], axis=1)


@cache  # designs take long, and serve all labels of the same inputs
def kept_by_inputs(field: Field, number: int, entrant: Entrant) -> np.ndarray:
    """List what a rule keeps that looks at the inputs alone; random pruning looks at nothing."""
    (method, fraction), x = entrant, field.x(number)
    if method in CRITERIA:
        return optimal_design(x, fraction, method).kept
    if method == "IBOSS":
        return keep_extremes(x, fraction)
    scores = {"random": lambda: field.open("choice", number).random(NUM_POINTS)}
    scores |= {"liprune": lambda: SQUARED.constants(x), "leverage": lambda: leverages(x)}
    return keep_highest(scores[method](), fraction)


def weighted_design(x: np.ndarray, weights: np.ndarray, fraction: float) -> np.ndarray:
    r"""Keep the A-optimal design of :math:`\sqrt{p (1 - p)}\, x`, p the chances at some weights."""
    chance = expit(x @ weights)
    return optimal_design(np.sqrt(chance * (1 - chance))[:, None] * x, fraction, "A").kept


class Course(NamedTuple):
    """The points that SGD meets on its way, and the unit of its step size."""

    points: np.ndarray  # [num_steps, batch]
    unit: float  # 1 / (2 mean L) over the points kept, or over all points for a pilot


Layout = Callable[[Sequence[int], Sequence[DataSet]], list[list[Course]]]


class Race(NamedTuple):
    """Data sets of one field with one kind of labels, the first so many."""

    field: Field
    labels: str
    num_sets: int

    def run(self, entrants: Sequence[Entrant], multiples: np.ndarray) -> np.ndarray:
        """Race; excess test losses ``[num_sets, entrants, STEPS, sizes]``.

        ``multiples`` are step sizes over the unit, ``[entrants, sizes]``.
        """

        def lay(block: Sequence[int], sets: Sequence[DataSet]) -> list[list[Course]]:
            return [
                [self._course(n, each.train, self.kept(n, each.train, e)) for e in entrants]
                for n, each in zip(block, sets, strict=True)
            ]

        return self._in_blocks(lay, multiples)

    def run_weighted(self, fraction: float, pilot: float, multiples: np.ndarray) -> np.ndarray:
        """Race the weighted design; excess test losses ``[num_sets, STEPS, sizes]``.

        ``pilot`` is the multiple of the run that chooses the design after `PILOT_STEPS`.
        """

        def lay(block: Sequence[int], sets: Sequence[DataSet]) -> list[list[Course]]:
            wholes = [
                self._course(n, each.train, np.arange(NUM_POINTS))
                for n, each in zip(block, sets, strict=True)
            ]
            (pilots,) = _train(sets, [[w] for w in wholes], np.array([[pilot]]), [PILOT_STEPS])
            return [
                [self._onwards(n, each.train, whole, weighted_design(each.train.x, w, fraction))]
                for n, each, whole, w in zip(block, sets, wholes, pilots[:, 0, 0], strict=True)
            ]

        return self._in_blocks(lay, multiples[None])[:, 0]

    def kept(self, number: int, train: Objective, entrant: Entrant) -> np.ndarray:
        """List the points that an entrant keeps from the start."""
        if entrant == NONE:
            return np.arange(NUM_POINTS)
        if entrant.method == "grand":
            scores = point_scores(train, np.zeros((1, train.x.shape[1])))
            return keep_highest(scores["grand"], entrant.keep_fraction)
        return kept_by_inputs(self.field, number, entrant)

    def _in_blocks(self, lay: Layout, multiples: np.ndarray) -> np.ndarray:
        numbers, found = list(range(self.num_sets)), []
        for first in range(0, self.num_sets, BLOCK):
            block = numbers[first : first + BLOCK]
            sets = [self.field.draw(number, self.labels) for number in block]
            found.append(_excess(sets, lay(block, sets), multiples))
        return np.concatenate(found)

    def _course(self, number: int, train: Objective, kept: np.ndarray) -> Course:
        positions = _positions(self.field, len(kept), self.num_sets)[number]
        return Course(kept[positions], 1 / (2 * train.lipschitz[kept].mean()))

    def _onwards(self, number: int, train: Objective, whole: Course, kept: np.ndarray) -> Course:
        later = self._course(number, train, kept).points[PILOT_STEPS:]
        return whole._replace(points=np.concatenate([whole.points[:PILOT_STEPS], later]))


@cache
def _positions(field: Field, count: int, num_sets: int) -> np.ndarray:
    return field.positions(count, num_sets)


def _train(
    sets: Sequence[DataSet],
    courses: Sequence[Sequence[Course]],
    multiples: np.ndarray,
    steps: Sequence[int],
) -> list[np.ndarray]:
    """Run SGD on courses by data set and entrant; weights ``[sets, entrants, sizes, dim]``."""
    joined = join([each.train for each in sets])
    firsts = NUM_POINTS * np.arange(len(sets))
    rows = [
        [first + course.points[: steps[-1]] for course in line]
        for first, line in zip(firsts, courses, strict=True)
    ]
    points = np.moveaxis(np.array(rows), 2, 0)  # [steps, sets, entrants, batch]
    units = np.array([[course.unit for course in line] for line in courses])
    iterates = enumerate(descend(joined, points, multiples * units[..., None]), start=1)
    return [weights[..., 0, :] for step, weights in iterates if step in steps]


def _excess(
    sets: Sequence[DataSet], courses: Sequence[Sequence[Course]], multiples: np.ndarray
) -> np.ndarray:
    """Run SGD; excess test losses ``[sets, entrants, STEPS, sizes]``."""
    with np.errstate(over="ignore", invalid="ignore"):  # too large a step
        weights = np.stack(_train(sets, courses, multiples, STEPS), axis=2)
        values = np.stack([s.excess(w) for s, w in zip(sets, weights, strict=True)])
    return np.where(values < OVERFLOW, values, OVERFLOW)


class Problem(NamedTuple):
    """A law of inputs with a kind of labels."""

    population: Population
    labels: str

    def race(self, purpose: int, num_sets: int, seed: int) -> Race:
        """Prepare the data sets for a purpose."""
        return Race(Field(self.population, purpose, seed), self.labels, num_sets)


class Tuned(NamedTuple):
    """The step sizes that tuning chose for one entrant."""

    multiples: np.ndarray  # for each number of steps, [STEPS]
    excess: np.ndarray  # at these on the data sets that tune, [num_tuning, STEPS]


class Contest(NamedTuple):
    """What entrants reach on one problem."""

    problem: Problem
    tuned: dict[Entrant, Tuned]
    excess: dict[Entrant, np.ndarray]  # excess test losses, [num_sets, STEPS]


def choose(excess: np.ndarray) -> Tuned:
    """Choose step sizes by the mean of excess test losses ``[num_tuning, STEPS, sizes]``."""
    best = excess.mean(axis=0).argmin(axis=-1)
    return Tuned(SIZES[best], excess[:, np.arange(len(STEPS)), best])


def contest(
    problem: Problem, methods: Sequence[str], num_tuning: int, num_sets: int, seed: int
) -> Contest:
    """Tune each entrant on data sets of their own, then race all."""
    entrants = [Entrant(*pair) for pair in product(methods, KEEP_FRACTIONS)] + [NONE]
    tried = problem.race(TUNING, num_tuning, seed).run(entrants, np.tile(SIZES, (len(entrants), 1)))
    tuned = {entrant: choose(tried[:, at]) for at, entrant in enumerate(entrants)}
    multiples = np.array([tuned[entrant].multiples for entrant in entrants])
    own = np.arange(len(STEPS))
    excess = problem.race(RACING, num_sets, seed).run(entrants, multiples)[..., own, own]
    return Contest(problem, tuned, {e: excess[:, at] for at, e in enumerate(entrants)})


def with_weighted(held: Contest, seed: int) -> Contest:
    """Let the weighted design race too; after the pilot only where it tuned better than A.

    Up to the pilot's end it is SGD on all points. To tune, all step sizes share one pilot, that of
    the step size tuned for its end; in a race the run is its own pilot.
    """
    pilot = held.tuned[NONE].multiples[STEPS.index(PILOT_STEPS)]
    num_tuning, num_sets = len(held.tuned[NONE].excess), len(held.excess[NONE])
    tuned, excess = dict(held.tuned), dict(held.excess)
    for fraction in KEEP_FRACTIONS:
        ours, plain = (Entrant(method, fraction) for method in (WEIGHTED, "A"))
        race = held.problem.race(TUNING, num_tuning, seed)
        tuned[ours] = choose(race.run_weighted(fraction, pilot, SIZES))
        excess[ours] = held.excess[NONE].copy()
        excess[ours][:, -1] = np.nan
        if better(tuned, ours, plain)[-1]:
            last = tuned[ours].multiples[-1]
            race = held.problem.race(RACING, num_sets, seed)
            excess[ours][:, -1] = race.run_weighted(fraction, last, last[None])[:, -1, 0]
    return held._replace(tuned=tuned, excess=excess)


def better(tuned: dict[Entrant, Tuned], one: Entrant, other: Entrant) -> np.ndarray:
    """Tell for each number of steps whether an entrant tuned to a lower mean excess."""
    return tuned[one].excess.mean(axis=0) < tuned[other].excess.mean(axis=0)
