r"""How much could pruning batches accelerate, if batches differ as little as CIFAR-10's do?

The paper's linear model (Eq. (3)) with fixed batches in place of points: a batch's constant is
its mean of :math:`x^2`, whose relative standard deviation is :math:`\sqrt{4/5} / \sqrt{B}`. So each
spread of constants has its batch size, and the race of LiPrune against random pruning there says
what a spread is worth where the theory holds.
"""

import numpy as np
import pandas as pd

from experiments.liprune.batch_spread import kept_gain
from experiments.liprune.runs import HALF_WIDTH
from experiments.what_accelerates import fixed_batches
from liprune_utils.checks import require
from liprune_utils.intervals import mean_interval, ratio_interval, standard_error
from liprune_utils.problems import NOISE_SD
from liprune_utils.pruning import num_kept, rank
from liprune_utils.sgd import run_in_blocks
from liprune_utils.speed_up import speed_up
from liprune_utils.streams import StreamFamily

NUM_BATCHES, KEEP_FRACTION = 40, 0.2  # of the reduced experiment on CIFAR-10
NUM_STEPS, METHODS = 10, ("liprune", "random")
POINT_SPREAD = np.sqrt(4 / 5)  # of x^2 for x from U(-a, a): sd / mean
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
BLOCK = 100  # data sets drawn together
SPEED_LEVEL = 0.90  # of the intervals of gains and speed-ups; the others are 99%
spread_stream = StreamFamily({"data": 0, "choice": 1, "draws": 2})


def matching_size(spread: float) -> int:
    r"""Find the batch size at which the constants of batches have a given spread.

    :math:`B = \frac{4/5}{s^2}`, rounded.
    """
    require(spread > 0, "spread", spread, "above 0")
    return max(1, round((POINT_SPREAD / spread) ** 2))


def _draw_batches(
    generator: np.random.Generator, num_runs: int, batch_size: int, slope: float
) -> tuple[np.ndarray, np.ndarray]:
    r"""Draw the sufficient statistics of fixed batches of the linear model.

    Given the inputs, :math:`\overline{x \nu}` is normal with variance
    :math:`\sigma^2 \overline{x^2} / B`.
    """
    shape = (num_runs, NUM_BATCHES, batch_size)
    squares = (generator.uniform(-HALF_WIDTH, HALF_WIDTH, shape) ** 2).mean(axis=2)
    noise = generator.standard_normal(squares.shape) * NOISE_SD * np.sqrt(squares / batch_size)
    return squares, slope * squares + noise


def race(batch_size: int, num_runs: int, seed: int, slope: float) -> dict[str, np.ndarray]:
    """Race LiPrune against random pruning with fixed batches, on the same data and draws.

    A path has the squared errors at every step, ``[NUM_STEPS + 1, num_runs]``, and what is expected
    of the last of them; the spread and the gain are those of the batches' constants.
    """
    data, choice, draws = (
        spread_stream(seed, purpose, batch_size) for purpose in spread_stream.purposes
    )
    count = num_kept(NUM_BATCHES, KEEP_FRACTION)

    def run_block(size: int) -> dict[str, tuple[np.ndarray]]:
        xx, xy = _draw_batches(data, size, batch_size, slope)
        gains = [kept_gain(row, KEEP_FRACTION) for row in xx]
        columns = {"spread": xx.std(axis=1) / xx.mean(axis=1), "gain": np.array(gains)}
        kept = [rank(scores)[:, :count] for scores in (xx, choice.random(xx.shape))]
        paths = fixed_batches.race(xx, xy, kept, draws, NUM_STEPS)
        for method, indices, weights in zip(METHODS, kept, paths, strict=True):
            squares = np.take_along_axis(xx, indices, axis=1)
            moments = squares.mean(axis=1), (squares**2).mean(axis=1)
            chosen = fixed_batches.batch_moments(count, *moments)
            exact = fixed_batches.expected_square(chosen, batch_size, NUM_STEPS, slope)
            columns |= {f"{method}_path": (weights - slope) ** 2, f"{method}_expected": exact[-1]}
        return {name: (values,) for name, values in columns.items()}

    columns = run_in_blocks(run_block, num_runs, name="fixed batches", block=BLOCK)
    return {name: values for name, (values,) in columns.items()}


def spread_table(sizes: list[int], num_runs: int, seed: int, slope: float) -> pd.DataFrame:
    """Summarise the races: what a spread of the constants is worth."""
    rows = []
    for size in sizes:
        runs = race(size, num_runs, seed, slope)
        own, rival = runs["liprune_path"], runs["random_path"]
        expected = [runs[f"{method}_expected"] for method in METHODS]
        ratio = ratio_interval(own[-1], rival[-1])
        gaps = (last - mean for last, mean in zip((own[-1], rival[-1]), expected, strict=True))
        z = max(abs(gap.mean() / standard_error(gap)) for gap in gaps)
        row = {"batch_size": size, "spread": runs["spread"].mean()}
        row |= mean_interval(runs["gain"], SPEED_LEVEL).named_columns("gain")
        row |= ratio.named_columns("ratio")
        row |= {"expected": expected[0].mean() / expected[1].mean()}
        faster = speed_up(rival[1:].T, own[1:].T, level=SPEED_LEVEL)
        row |= faster.estimate.named_columns("speed_up")
        rows.append(row | {"z": z, "num_runs": num_runs})
    return pd.DataFrame(rows)
