"""The experiment of Section 4.1 and Appendix B: LiPrune against random pruning on a linear model.

Figures 1 and 5 to 9 of the paper, for any number of runs at once. All figures use the same data
sets, and LiPrune and random pruning share everything but the choice of points.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import require
from liprune_utils.problems import NOISE_SD, LinearData, draw_linear
from liprune_utils.pruning import num_kept, rank
from liprune_utils.sgd import Moments, descend, distinct_batches, exact_moments
from liprune_utils.streams import StreamFamily

NUM_POINTS, NUM_TEST, NUM_STEPS = 1000, 400, 30  # paper, Section 4.1
NUM_DRAWN = 100  # points drawn a step, so that figures of any batch size share their draws
stream = StreamFamily({"data": 0, "test": 1, "choice": 2, "batches": 3})


@dataclass(frozen=True)
class LinearModelParameters(Parameters):
    """Parameters of page 04: one setting of the reader's own, and the size of the experiment."""

    learning_rate: float  # step size of SGD in "your setting", in (0, 1]
    batch_size: int  # distinct points a step in "your setting"
    keep_fraction: float  # fraction kept in "your setting", in (0, 1]
    slope: float  # true slope w*, which the paper does not state
    num_runs: int  # data sets, each with its own SGD run
    seed: int  # root of all random streams

    def check(self) -> None:
        """Check the ranges, and that a batch fits into the kept set."""
        super().check()
        rate, runs = self.learning_rate, self.num_runs
        require(0 < rate <= 1, "learning_rate", rate, "a step size in (0, 1]")
        count = num_kept(NUM_POINTS, self.keep_fraction)
        fits = f"from 1 to the {count} points that keep_fraction {self.keep_fraction} keeps"
        require(1 <= self.batch_size <= count, "batch_size", self.batch_size, fits)
        require(0 < abs(self.slope) <= 1e3, "slope", self.slope, "not 0, and at most 1000 in size")
        require(100 <= runs <= 10**6, "num_runs", runs, "from 100 (the paper's) to 1000000")
        require(self.seed >= 0, "seed", self.seed, "a whole number from 0")


class Setting(NamedTuple):
    """One figure of the paper: a batch size, a step size, the fractions kept."""

    figure: int  # 0 for a reader's own
    batch_size: int
    learning_rate: float
    keep_fractions: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7)


PAPER_FIGURES = (
    Setting(1, 10, 0.01),
    Setting(5, 10, 0.005),
    Setting(6, 10, 0.05),
    Setting(7, 1, 0.01),
    Setting(8, 20, 0.01),
    Setting(9, 100, 0.01),
)


class Cell(NamedTuple):
    """A curve: which figure, which method, which fraction kept (1.0 without pruning)."""

    figure: int
    method: str
    keep_fraction: float


@dataclass(frozen=True)
class Runs:
    """Runs of one cell: errors :math:`w_t - w^*` and the moments of the sets that measure them."""

    setting: Setting
    slope: float
    error: np.ndarray  # float64, [NUM_STEPS + 1, num_runs]
    sets: dict[str, Moments]  # "test", "kept", "full"

    def loss(self, name: str) -> np.ndarray:
        """Compute the mean loss over a set of points at every step.

        Args:
            name: "test", "kept" (the kept training points) or "full" (all training points).

        Returns:
            Array of shape ``[num_steps + 1, num_runs]``.
        """
        return self.sets[name].loss(self.error)

    def excess_test_loss(self) -> np.ndarray:
        """Compute the test loss less that of the true slope, on the same test points.

        Returns:
            Array of shape ``[num_steps + 1, num_runs]``.
        """
        return self.sets["test"].excess_loss(self.error)

    def expected_losses(self) -> dict[str, np.ndarray]:
        r"""Compute what the losses are on average over label noise and batches, given the inputs.

        With :math:`E e^2` from `liprune_utils.sgd.exact_moments`, a set with mean square input
        :math:`m` has the expected loss :math:`\tfrac12 m E e^2 + \tfrac12 \sigma^2 - c_t`. The
        last term, :math:`E\, e_t \overline{x \nu}`, is 0 on test points, whose noise SGD never
        saw, and :math:`\sigma^2 (1 - p^t) / n` on a set of n points that holds the kept ones.

        Returns:
            For each set an array of shape ``[num_steps + 1, num_runs]``.
        """
        exact = exact_moments(
            self.sets["kept"],
            batch_size=self.setting.batch_size,
            learning_rate=self.setting.learning_rate,
            num_steps=NUM_STEPS,
            slope=self.slope,
            noise_sd=NOISE_SD,
        )
        seen = {"test": 0, "kept": 1, "full": 1}
        return {
            name: (points.xx * exact.square + NOISE_SD**2) / 2
            - seen[name] * NOISE_SD**2 * exact.forgotten / points.num_points
            for name, points in self.sets.items()
        }


class Points(NamedTuple):
    """Training points in the order in which a method keeps them, ``[NUM_POINTS, num_runs]``."""

    x: np.ndarray
    noise: np.ndarray
    xx_xy: np.ndarray  # complex, x^2 + i x y: one look-up serves both

    @classmethod
    def ordered(cls, data: LinearData, order: np.ndarray) -> "Points":
        """Put the points of each run into a method's order, points first.

        Args:
            data: The data sets.
            order: Indices of shape ``[num_runs, NUM_POINTS]``.

        Returns:
            The points; their first k rows are what the method keeps.
        """
        x, noise = (
            np.take_along_axis(values, order, axis=1).T.copy() for values in (data.x, data.noise)
        )
        return cls(x, noise, x**2 + 1j * x * (data.slope * x + noise))


class Streams:
    """The random streams of one experiment, each going on where it stopped."""

    def __init__(self, seed: int) -> None:
        self.data, self.test, self.choice = (
            stream(seed, purpose) for purpose in ("data", "test", "choice")
        )
        self._seed = seed
        self._batches: dict[int, np.random.Generator] = {}

    def batches(self, count: int) -> np.random.Generator:
        """Return the stream of batches, the same for all methods and figures.

        Args:
            count: The number of points kept.

        Returns:
            The generator.
        """
        if count not in self._batches:
            self._batches[count] = stream(self._seed, "batches", count)
        return self._batches[count]


def simulate(
    settings: Iterable[Setting],
    *,
    num_runs: int,
    seed: int = 0,
    slope: float = 1.0,
    block: int = 500,
) -> dict[Cell, Runs]:
    """Run SGD for every figure, method and fraction kept, on fresh data in each run.

    Args:
        settings: The figures.
        num_runs: Number of runs, >= 1.
        seed: Root of all random streams, >= 0.
        slope: True slope.
        block: Runs simulated together; it changes the speed and the memory, not the numbers.

    Returns:
        For each curve its runs, figure by figure and fraction by fraction.
    """
    streams, settings = Streams(seed), list(settings)
    sizes = [min(block, num_runs - start) for start in range(0, num_runs, block)]
    parts = [
        _simulate_block(settings, size, streams, slope)
        for size in tqdm(sizes, desc="linear model", unit="block")
    ]
    return {cell: _join([part[cell] for part in parts]) for cell in parts[0]}


# Join the runs of one cell from consecutive blocks.
def _join(parts: list[Runs]) -> Runs:
    sets = {
        name: Moments(
            moments.num_points,
            *(
                np.concatenate([getattr(part.sets[name], term) for part in parts])
                for term in ("xx", "x4", "xn", "nn")
            ),
        )
        for name, moments in parts[0].sets.items()
    }
    error = np.concatenate([part.error for part in parts], axis=1)
    return Runs(parts[0].setting, parts[0].slope, error, sets)


# Simulate a block of runs; the streams go on from the block before.
def _simulate_block(
    settings: list[Setting], num_runs: int, streams: Streams, slope: float
) -> dict[Cell, Runs]:
    data = draw_linear(streams.data, num_runs, NUM_POINTS, slope=slope, noise_sd=NOISE_SD)
    test = draw_linear(streams.test, num_runs, NUM_TEST, slope=slope, noise_sd=NOISE_SD)
    random = Points.ordered(data, rank(streams.choice.random((num_runs, NUM_POINTS))))
    points = {"liprune": Points.ordered(data, rank(data.lipschitz)), "random": random}
    points["none"] = random
    test_set = Moments.of(test.x.T, test.noise.T)
    full_set = Moments.of(data.x.T, data.noise.T)
    sizes = sorted({setting.batch_size for setting in settings})
    kept_sets, means, runs = {}, {}, {}  # what figures share is computed once
    for setting, method, fraction in _curves(settings):
        count = num_kept(NUM_POINTS, fraction)
        if count not in means:
            means[count] = _batch_means(points, count, sizes, streams.batches(count))
        if (method, count) not in kept_sets:
            x, noise = points[method].x[:count], points[method].noise[:count]
            kept_sets[method, count] = Moments.of(x, noise)
        error = descend(*means[count][method, setting.batch_size], setting.learning_rate) - slope
        sets = {"test": test_set, "kept": kept_sets[method, count], "full": full_set}
        runs[Cell(setting.figure, method, fraction)] = Runs(setting, slope, error, sets)
    return runs


# The curves of the figures: setting, method, fraction kept.
def _curves(settings: list[Setting]) -> Iterator[tuple[Setting, str, float]]:
    for setting in settings:
        for fraction in setting.keep_fractions:
            yield setting, "liprune", fraction
            yield setting, "random", fraction
        yield setting, "none", 1.0


# For each method and batch size the batches' means of x^2 and of x y, at the same positions in the
# methods' orders. A batch is the front of a larger draw: as uniform as a draw of its own.
def _batch_means(
    methods: dict[str, Points], count: int, sizes: list[int], generator: np.random.Generator
) -> dict[tuple[str, int], np.ndarray]:
    num_runs = methods["random"].x.shape[1]
    sizes = [size for size in sizes if size <= count]
    if count < NUM_POINTS:
        methods = {name: methods[name] for name in ("liprune", "random")}
    means = {pair: np.empty((2, NUM_STEPS, num_runs)) for pair in product(methods, sizes)}
    drawn = min(count, max(NUM_DRAWN, *sizes))
    batches = distinct_batches(generator, num_runs, count, drawn, NUM_STEPS)
    for step, batch in enumerate(batches):
        for name, points in methods.items():
            values = points.xx_xy.take(batch[: sizes[-1]])  # [largest size, num_runs]
            for size in sizes:
                mean = values[:size].mean(axis=0)
                means[name, size][:, step] = mean.real, mean.imag
    return means
