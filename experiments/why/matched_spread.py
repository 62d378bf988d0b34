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
from experiments.what_accelerates.closed_forms import LEARNING_RATE, square_factor
from liprune_utils.checks import require
from liprune_utils.intervals import ratio_interval, standard_error
from liprune_utils.problems import NOISE_SD
from liprune_utils.pruning import num_kept, rank
from liprune_utils.sgd import Moments, descend, distinct_batches, exact_moments
from liprune_utils.streams import StreamFamily

NUM_BATCHES, KEEP_FRACTION = 40, 0.2  # of the reduced experiment on CIFAR-10
NUM_STEPS = 10
POINT_SPREAD = np.sqrt(4 / 5)  # of x^2 for x from U(-a, a): sd / mean
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
BLOCK = 100  # data sets drawn together
spread_stream = StreamFamily({"data": 0, "choice": 1, "draws": 2})


def matching_size(spread: float) -> int:
    r"""Find the batch size at which the constants of batches have a given spread.

    :math:`B = \frac{4/5}{s^2}`, rounded.

    Args:
        spread: Standard deviation over mean, > 0; a point's is 0.894, the largest there is.

    Returns:
        The batch size, >= 1.
    """
    require(spread > 0, "spread", spread, "above 0")
    return max(1, round((POINT_SPREAD / spread) ** 2))


def draw_batches(
    generator: np.random.Generator, num_runs: int, batch_size: int, slope: float
) -> tuple[np.ndarray, np.ndarray]:
    r"""Draw the sufficient statistics of fixed batches of the linear model.

    Given the inputs, :math:`\overline{x \nu}` is normal with variance
    :math:`\sigma^2 \overline{x^2} / B`.

    Args:
        generator: Source of randomness.
        num_runs: Data sets.
        batch_size: Points B a batch.
        slope: True slope.

    Returns:
        The batches' means of :math:`x^2` and of :math:`x y`, arrays of shape
        ``[num_runs, NUM_BATCHES]``.
    """
    shape = (num_runs, NUM_BATCHES, batch_size)
    squares = (generator.uniform(-HALF_WIDTH, HALF_WIDTH, shape) ** 2).mean(axis=2)
    noise = generator.standard_normal(squares.shape) * NOISE_SD * np.sqrt(squares / batch_size)
    return squares, slope * squares + noise


def race(batch_size: int, num_runs: int, seed: int, slope: float) -> pd.DataFrame:
    """Race LiPrune against random pruning with fixed batches, in the same data and draws.

    Args:
        batch_size: Points a batch.
        num_runs: Data sets.
        seed: Root of all random streams.
        slope: True slope.

    Returns:
        One row a data set: ``spread`` and ``gain`` of the constants, and for each method the
        squared error after ten steps, ``liprune`` and ``random``, its expectation
        (``_expected``) and the log contraction of a step (``_log``).
    """
    data, choice, draws = (
        spread_stream(seed, purpose, batch_size) for purpose in spread_stream.purposes
    )
    sizes = [min(BLOCK, num_runs - start) for start in range(0, num_runs, BLOCK)]
    blocks = [
        _race_block(*draw_batches(data, size, batch_size, slope), choice, draws, batch_size, slope)
        for size in sizes
    ]
    return pd.concat(blocks, ignore_index=True)


def _race_block(
    xx: np.ndarray,
    xy: np.ndarray,
    choice: np.random.Generator,
    draws: np.random.Generator,
    batch_size: int,
    slope: float,
) -> pd.DataFrame:
    count, num_runs = num_kept(NUM_BATCHES, KEEP_FRACTION), len(xx)
    draw = distinct_batches(draws, num_runs, count, 1, NUM_STEPS)
    drawn = np.array([batch[0].copy() for batch in draw])  # flat indices into [count, num_runs]
    gains = [kept_gain(row, KEEP_FRACTION) for row in xx]
    columns = {"spread": xx.std(axis=1) / xx.mean(axis=1), "gain": gains}
    for method, scores in (("liprune", xx), ("random", choice.random(xx.shape))):
        kept = rank(scores)[:, :count]
        a, b = (np.take_along_axis(values, kept, axis=1).T.copy() for values in (xx, xy))
        columns[method] = (descend(a.take(drawn), b.take(drawn), LEARNING_RATE)[-1] - slope) ** 2
        columns |= _expected(method, a, batch_size, slope)
    return pd.DataFrame(columns)


# A batch is like a point whose square is the batch's mean.
def _expected(method: str, a: np.ndarray, batch_size: int, slope: float) -> dict[str, np.ndarray]:
    none = np.zeros(a.shape[1])  # the moments of the noise are not used
    kept = Moments(len(a), a.mean(axis=0), (a**2).mean(axis=0), none, none)
    options = {"batch_size": 1, "learning_rate": LEARNING_RATE}
    sd = NOISE_SD / np.sqrt(batch_size)
    exact = exact_moments(kept, **options, num_steps=NUM_STEPS, slope=slope, noise_sd=sd)
    log = -np.log(square_factor(kept, **options))
    return {f"{method}_expected": exact.square[-1], f"{method}_log": log}


def spread_table(sizes: list[int], num_runs: int, seed: int, slope: float) -> pd.DataFrame:
    """Summarise the races: what a spread of the constants is worth.

    Args:
        sizes: Batch sizes.
        num_runs: Data sets for each.
        seed: Root of all random streams.
        slope: True slope.

    Returns:
        One row a batch size: mean ``spread`` and ``gain``; ``ratio`` of excess losses, LiPrune's
        over random pruning's after ten steps, with its 99% interval; the same ``expected``; the
        number of random pruning's ``steps`` that one of LiPrune's is worth without label noise,
        with its interval; and ``z``, the larger distance of the two simulated means from their
        expectations, in standard errors.
    """
    rows = []
    for size in sizes:
        runs = race(size, num_runs, seed, slope)
        ratio = ratio_interval(runs.liprune.to_numpy(), runs.random.to_numpy())
        steps = ratio_interval(runs.liprune_log.to_numpy(), runs.random_log.to_numpy())
        misses = [
            abs(gap.mean() / standard_error(gap))
            for gap in (runs[m] - runs[f"{m}_expected"] for m in ("liprune", "random"))
        ]
        row = {"batch_size": size, "spread": runs.spread.mean(), "gain": runs.gain.mean()}
        row |= {"ratio": ratio.value, "ratio_low": ratio.low, "ratio_high": ratio.high}
        row |= {"expected": runs.liprune_expected.mean() / runs.random_expected.mean()}
        row |= {"steps": steps.value, "steps_low": steps.low, "steps_high": steps.high}
        rows.append(row | {"z": max(misses), "num_runs": num_runs})
    return pd.DataFrame(rows)
