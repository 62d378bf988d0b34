"""Contests on convex problems: step sizes are tuned on data sets of their own, then all race."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from experiments.convex_is_not_enough.runs import SOURCES
from experiments.other_scores.convex import (
    ENTRANTS,
    PROBLEMS,
    RACING,
    STEPS,
    TUNING,
    DataSet,
    Field,
    descend,
    join,
    kept_points,
)

# Step sizes that are tried, in units of 1 / (2 max L) over the points kept.
SIZES = {"generated": 2.0 ** np.arange(-8, 8.5, 0.5), "real": 2.0 ** np.arange(-6, 12)}
LATER_STEPS = 100  # of SGD on all points, after which the later scores are taken
BLOCK = 25  # generated data sets that are run together
OVERFLOW = 1e100  # in place of an excess that is no number


class Tuned(NamedTuple):
    """What the tuning of a problem chose; step sizes are in units of 1 / (2 max L) of the kept."""

    later: float  # step size of SGD on all points, to the weights of the later scores
    multiples: np.ndarray  # step size of each entrant for each number of steps, [entrants, steps]
    excess: np.ndarray  # mean excess at these on the data sets that tune, [entrants, steps]


class Contest(NamedTuple):
    """A problem's races."""

    tuned: Tuned
    excess: np.ndarray  # excess test losses, [num_sets, steps, entrants]


def step_sizes(problem: str) -> np.ndarray:
    """List the step sizes that are tried, in units of 1 / (2 max L)."""
    return SIZES["real" if problem in SOURCES else "generated"]


def _blocks(field: Field) -> list[list[int]]:
    size = 1 if field.problem in SOURCES else BLOCK
    numbers = list(range(field.num_sets))
    return [numbers[first : first + size] for first in range(0, field.num_sets, size)]


def _train(
    sets: Sequence[DataSet],
    kept: Sequence[Sequence[np.ndarray]],
    drawn: Sequence[Sequence[np.ndarray]],
    multiples: np.ndarray,
    steps: Sequence[int],
) -> list[np.ndarray]:
    """Run SGD on what entrants keep of data sets; weights at some steps.

    ``kept`` and ``drawn`` have points and positions by data set and entrant; ``multiples`` has
    shape ``[entrants, sizes]``, the weights ``[sets, entrants, sizes, num_scores, dim]``.
    """
    joined = join([each.train for each in sets])
    firsts = len(sets[0].train.x) * np.arange(len(sets))
    rows = [
        [first + points[at[: steps[-1]]] for points, at in zip(*lists, strict=True)]
        for first, lists in zip(firsts, zip(kept, drawn, strict=True), strict=True)
    ]
    points = np.moveaxis(np.array(rows), 2, 0)  # [steps, sets, entrants, batch]
    constants = [each.train.lipschitz for each in sets]
    pairs = zip(constants, kept, strict=True)
    largest = np.array([[of_all[points].max() for points in chosen] for of_all, chosen in pairs])
    sizes = multiples / (2 * largest[..., None])
    iterates = enumerate(descend(joined, points, sizes), start=1)
    return [weights for step, weights in iterates if step in steps]


def unpruned_weights(
    field: Field, multiples: np.ndarray
) -> Iterator[tuple[list[DataSet], np.ndarray]]:
    """Run SGD on all points to the moment of the later scores, block by block of data sets."""
    everything = np.arange(len(field.draw(0).train.x))
    positions = field.positions(len(everything))
    for block in _blocks(field):
        sets, drawn = [field.draw(n) for n in block], [[positions[:, n]] for n in block]
        kept = [[everything]] * len(block)
        (weights,) = _train(sets, kept, drawn, multiples[None], [LATER_STEPS])
        yield sets, weights[:, 0]


def race(field: Field, later: float, multiples: np.ndarray) -> np.ndarray:
    """Race all entrants; excess test losses, ``[num_sets, steps, entrants, sizes]``."""
    found, positions = [], {}
    blocks = zip(_blocks(field), unpruned_weights(field, np.array([later])), strict=True)
    for block, (sets, unpruned) in blocks:
        kept = [
            kept_points(each.train, weights[0], field.choice(number))
            for number, each, weights in zip(block, sets, unpruned, strict=True)
        ]
        counts = [len(points) for points in kept[0]]
        positions = positions or {count: field.positions(count) for count in set(counts)}
        drawn = [[positions[count][:, number] for count in counts] for number in block]
        iterates = _train(sets, kept, drawn, multiples, STEPS)
        found += [[s.excess(w[at]) for w in iterates] for at, s in enumerate(sets)]
    return _finite(found)


def _finite(excess: object) -> np.ndarray:
    values = np.array(excess)
    return np.where(values < OVERFLOW, values, OVERFLOW)


def tune(field: Field) -> Tuned:
    """Find the step sizes with the lowest mean excess for each entrant and number of steps."""
    sizes = step_sizes(field.problem)
    unpruned = [s.excess(w) for sets, all_w in unpruned_weights(field, sizes)
                for s, w in zip(sets, all_w, strict=True)]  # fmt: skip
    later = sizes[_finite(unpruned).mean(axis=0).argmin()]
    means = race(field, later, np.tile(sizes, (len(ENTRANTS), 1))).mean(axis=0)
    return Tuned(later, sizes[means.argmin(axis=-1)].T, means.min(axis=-1).T)


def contest(problem: str, num_sets: int, seed: int) -> Contest:
    """Tune on half as many data sets as race, then race each entrant at its own step sizes."""
    with np.errstate(over="ignore", invalid="ignore"):  # too large a step
        tuned = tune(Field(problem, TUNING, num_sets // 2, seed))
        field = Field(problem, RACING, num_sets, seed)
        excess = race(field, tuned.later, tuned.multiples)
    own = [excess[:, step, :, step] for step in range(len(STEPS))]
    return Contest(tuned, np.stack(own, axis=1))


def run_contests(num_runs: int, seed: int) -> dict[str, Contest]:
    """Hold the contest of every problem; a tenth as many splits of real data."""
    counts = dict.fromkeys(PROBLEMS, num_runs)
    counts |= {name: max(2, num_runs // 10) for name in SOURCES}
    every = tqdm(counts.items(), desc="contests of scores")
    return {name: contest(name, count, seed) for name, count in every}
