"""SGD on the paper's linear model: LiPrune against random pruning (Section 4.1, Appendix B).

All settings use the same data sets, and LiPrune and random pruning share everything but the choice
of points.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import NamedTuple, Self, TypeVar

import numpy as np
from pydantic import Field, model_validator

from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import require
from liprune_utils.problems import NOISE_SD, LinearData, draw_linear
from liprune_utils.pruning import num_kept, rank
from liprune_utils.sgd import Moments, descend, distinct_batches, exact_moments, run_in_blocks
from liprune_utils.streams import StreamFamily

NUM_POINTS, NUM_TEST, NUM_STEPS = 1000, 400, 30  # paper, Section 4.1
KEEP_FRACTIONS = (0.1, 0.3, 0.5, 0.7)  # paper, Figure 1
NUM_DRAWN = 100  # points drawn per step, so that settings of any batch size share their draws
stream = StreamFamily({"data": 0, "test": 1, "choice": 2, "batches": 3, "example": 16})
Key = TypeVar("Key")


class LinearModelParameters(Parameters):
    """Parameters of page 04: one setting of the reader's own, and the size of the experiment."""

    learning_rate: float = Field(gt=0, le=1)  # step size of SGD in "your setting"
    batch_size: int  # distinct points per step in "your setting"
    keep_fraction: float = Field(gt=0, le=1)  # fraction kept in "your setting"
    slope: float  # true slope w*, which the paper does not state
    num_runs: int = Field(ge=100, le=10**6)  # data sets, each with its own SGD run; the paper: 100
    seed: int = Field(ge=0)  # root of all random streams

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(0 < abs(self.slope) <= 1e3, "slope", self.slope, "not 0, and at most 1000 in size")
        count = num_kept(NUM_POINTS, self.keep_fraction)
        fits = f"from 1 to the {count} points that keep_fraction {self.keep_fraction} keeps"
        require(1 <= self.batch_size <= count, "batch_size", self.batch_size, fits)
        return self


class Setting(NamedTuple):
    """What one figure of the paper shows."""

    batch_size: int
    learning_rate: float
    keep_fractions: tuple[float, ...] = KEEP_FRACTIONS


PAPER_FIGURES = {
    1: Setting(10, 0.01),
    5: Setting(10, 0.005),
    6: Setting(10, 0.05),
    7: Setting(1, 0.01),
    8: Setting(20, 0.01),
    9: Setting(100, 0.01),
}


class Pruning(NamedTuple):
    """A method and the fraction that it keeps (1.0 without pruning)."""

    method: str
    keep_fraction: float


def prunings(keep_fractions: Iterable[float]) -> list[Pruning]:
    """List the methods at all fractions, each LiPrune right before its random partner."""
    pairs = product(keep_fractions, ("liprune", "random"))
    return [*(Pruning(method, fraction) for fraction, method in pairs), Pruning("none", 1.0)]


@dataclass(frozen=True)
class Paths:
    """Paths of SGD: errors :math:`w_t - w^*`, and the moments of the sets that measure them."""

    setting: Setting
    slope: float
    error: np.ndarray  # float64, [NUM_STEPS + 1, num_runs]
    sets: dict[str, Moments]  # "test", "kept", "full"

    def loss(self, name: str) -> np.ndarray:
        """Compute the mean loss over a set of points at every step."""
        return self.sets[name].loss(self.error)

    def excess_test_loss(self) -> np.ndarray:
        """Compute the test loss less that of the true slope, on the same test points."""
        return self.sets["test"].excess_loss(self.error)

    def expected_losses(self) -> dict[str, np.ndarray]:
        """Compute the means of the losses over label noise and batches, given the inputs."""
        exact = exact_moments(
            self.sets["kept"],
            batch_size=self.setting.batch_size,
            learning_rate=self.setting.learning_rate,
            num_steps=NUM_STEPS,
            slope=self.slope,
            noise_sd=NOISE_SD,
        )
        # Half of m E e^2 + sigma^2, less E(e mean(x nu)): 0 on test points, whose noise SGD never
        # saw, and sigma^2 (1 - p^t) / n on n points that hold the kept ones.
        seen = {"test": 0, "kept": 1, "full": 1}
        return {
            name: (points.xx * exact.square + NOISE_SD**2) / 2
            - seen[name] * NOISE_SD**2 * exact.forgotten / points.num_points
            for name, points in self.sets.items()
        }


class Streams:
    """The random streams of one experiment, each going on where it stopped."""

    def __init__(self, seed: int) -> None:
        self.data, self.test, self.choice = (
            stream(seed, purpose) for purpose in ("data", "test", "choice")
        )
        self._seed = seed
        self._batches: dict[int, np.random.Generator] = {}

    def batches(self, count: int) -> np.random.Generator:
        """Return the stream of batches, the same for all methods and settings."""
        if count not in self._batches:
            self._batches[count] = stream(self._seed, "batches", count)
        return self._batches[count]


def simulate(
    settings: Mapping[Key, Setting],
    *,
    num_runs: int,
    seed: int = 0,
    slope: float = 1.0,
    block: int = 500,
) -> dict[Key, dict[Pruning, Paths]]:
    """Run SGD in every setting with every pruning, on fresh data in each run."""
    run_block = partial(_simulate_block, settings, Streams(seed), slope)
    blocks = run_in_blocks(run_block, num_runs, name="linear model", block=block)
    paths = {key: {} for key in settings}
    for (key, pruning), (error, *moments) in blocks.items():
        counts = NUM_TEST, num_kept(NUM_POINTS, pruning.keep_fraction), NUM_POINTS
        sets = {
            name: Moments(count, *terms)
            for name, count, terms in zip(("test", "kept", "full"), counts, moments, strict=True)
        }
        paths[key][pruning] = Paths(settings[key], slope, error, sets)
    return paths


def _simulate_block(
    settings: Mapping[Key, Setting], streams: Streams, slope: float, num_runs: int
) -> dict[tuple[Key, Pruning], tuple[np.ndarray, ...]]:
    """Errors, and the moments of the test, kept and full sets, each [4, num_runs]."""
    data = draw_linear(streams.data, num_runs, NUM_POINTS, slope=slope)
    test = draw_linear(streams.test, num_runs, NUM_TEST, slope=slope)
    random = _Points.ordered(data, rank(streams.choice.random((num_runs, NUM_POINTS))))
    points = {"liprune": _Points.ordered(data, rank(data.lipschitz)), "random": random}
    points["none"] = random
    test_set, full_set = (_moments(drawn.x.T, drawn.noise.T) for drawn in (test, data))
    sizes = sorted({setting.batch_size for setting in settings.values()})
    kept_sets, means, arrays = {}, {}, {}  # what settings share is computed once
    for key, setting in settings.items():
        for pruning in prunings(setting.keep_fractions):
            count = num_kept(NUM_POINTS, pruning.keep_fraction)
            if count not in means:
                means[count] = _batch_means(points, count, sizes, streams.batches(count))
            if pruning not in kept_sets:
                kept = points[pruning.method]
                kept_sets[pruning] = _moments(kept.x[:count], kept.noise[:count])
            batches = means[count][pruning.method, setting.batch_size]
            error = descend(*batches, setting.learning_rate) - slope
            arrays[key, pruning] = error, test_set, kept_sets[pruning], full_set
    return arrays


def _moments(x: np.ndarray, noise: np.ndarray) -> np.ndarray:
    moments = Moments.of(x, noise)
    return np.array([moments.xx, moments.x4, moments.xn, moments.nn])


class _Points(NamedTuple):
    """Training points in the order in which a method keeps them, [NUM_POINTS, num_runs]."""

    x: np.ndarray
    noise: np.ndarray
    xx_xy: np.ndarray  # complex, x^2 + i x y: one look-up serves both

    @classmethod
    def ordered(cls, data: LinearData, order: np.ndarray) -> Self:
        x, noise = (
            np.take_along_axis(values, order, axis=1).T.copy() for values in (data.x, data.noise)
        )
        return cls(x, noise, x**2 + 1j * x * (data.slope * x + noise))


def _batch_means(
    methods: dict[str, _Points], count: int, sizes: list[int], generator: np.random.Generator
) -> dict[tuple[str, int], np.ndarray]:
    """The batches' means of x^2 and x y by method and batch size, at the same positions for all."""
    # A batch is the front of a larger draw: as uniform as a draw of its own.
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
