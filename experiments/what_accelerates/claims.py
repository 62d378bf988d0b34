"""The three claims of page 05, decided by the register's rules."""

from itertools import product

import numpy as np
import pandas as pd

from experiments.linear_model.runs import Runs
from experiments.what_accelerates.closed_forms import BATCH_SIZE, KEEP_FRACTIONS
from experiments.what_accelerates.runs import BATCH_SIZES, Experiment
from experiments.what_accelerates.tables import STEP, batch_square, in_columns
from liprune_utils.book.register import Claim, claim, decide
from liprune_utils.intervals import Estimate, mean_interval, ratio_interval
from liprune_utils.problems import NOISE_SD

HALF, NONE = 0.5, 0.05  # register: figure-1-mechanism
MARGIN = 1.05  # register: margin for an excess loss
PRUNED = ("points", "batches")


def mechanism_claim(table: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether the theory's unbiased sampling explains Figure 1 (register: at least half).

    Args:
        table: From `experiments.what_accelerates.tables.mechanism_table`.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the largest share, the one most in the claim's favour.
    """
    unbiased, matched = (table[table.method == m] for m in ("unbiased", "matched"))
    answers = [
        True if row.low >= HALF else False if row.high < NONE else None
        for row in unbiased.itertuples()
    ]
    best = unbiased.loc[unbiased.share.idxmax()]
    estimate = Estimate(best.share, best.low, best.high, int(best.num_runs))
    note = (
        f"Of the gap at step {STEP}, unbiased sampling with p ∝ L closes "
        f"{unbiased.share.min():.3f} to {unbiased.share.max():.3f} over the four keep fractions "
        f"(largest: keep {best.keep_fraction:g}); random pruning with LiPrune's mean step closes "
        f"{matched.share.min():.3f} to {matched.share.max():.3f}."
    )
    verdict = decide(answers, in_part=False)
    return claim("figure-1-mechanism", estimate, verdict, cost=cost, note=note)


def rate_claim(table: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether large x contract faster at every rate (register: in part with the range).

    Args:
        table: From `experiments.what_accelerates.tables.limit_table`.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the smallest share of random pruning's rates, at the paper's batch
        size.
    """
    rows = table[table.batch_size == BATCH_SIZE]
    small = [True if low > 0 else None for low in rows.low]  # at small rates
    whole = [True if row.low >= 1 else False if row.high < 1 else None for row in rows.itertuples()]
    worst = rows.loc[rows.share.idxmin()]
    estimate = Estimate(worst.share, worst.low, worst.high, int(worst.num_runs))
    keep = rows.keep_fraction
    note = (
        f"LiPrune contracts faster at rates below {rows.crossing.min():.3f} (keep "
        f"{keep[rows.crossing.idxmin()]:g}) to {rows.crossing.max():.3f} (keep "
        f"{keep[rows.crossing.idxmax()]:g}): {worst.share:.0%} to {rows.share.max():.0%} of the "
        f"rates at which random pruning converges. It diverges from {rows.liprune.min():.3f} (keep "
        f"{keep[rows.liprune.idxmin()]:g}) or {rows.liprune.max():.3f} (keep "
        f"{keep[rows.liprune.idxmax()]:g}) on, random pruning from {rows.random.mean():.3f} on."
    )
    verdict = decide(small + whole, in_part=True)
    return claim("large-x-faster", estimate, verdict, cost=cost, note=note)


def excess_pairs(x: Experiment, batch_size: int, keep_fraction: float, pruned: str) -> np.ndarray:
    """Take LiPrune's and random pruning's excess test losses at step 10, simulated and expected.

    Args:
        x: The runs.
        batch_size: Batch size.
        keep_fraction: Fraction kept.
        pruned: "points" or "batches".

    Returns:
        Array of shape ``[2, 2, num_runs]``: simulated and expected given the inputs, by method.
    """
    if pruned == "batches":
        runs = x.pruned[batch_size, keep_fraction][:2]
    else:
        key = ("batch", batch_size)
        runs = [x.of(key, method, keep_fraction) for method in ("liprune", "random")]
    simulated = [r.excess_test_loss()[STEP] for r in runs]
    return np.array([simulated, [_expected(r, pruned) for r in runs]])


# Expected excess test loss at step 10 given the inputs.
def _expected(runs: Runs, pruned: str) -> np.ndarray:
    if pruned == "points":
        return runs.expected_losses()["test"][STEP] - NOISE_SD**2 / 2
    return batch_square(runs)[STEP] * runs.sets["test"].xx / 2


def batch_table(x: Experiment) -> pd.DataFrame:
    """Compare LiPrune with random pruning at several batch sizes, pruning points and batches.

    Args:
        x: The runs.

    Returns:
        One row a batch size, keep fraction and what is pruned: ``ratio`` of excess test losses at
        step 10, simulated, with its interval; the same ``expected`` given the inputs, and its
        ``growth`` since the next smaller batch size with an interval; ``overlap`` of the kept
        sets.
    """
    rows, before = [], {}
    for pruned, fraction, size in product(PRUNED, KEEP_FRACTIONS, BATCH_SIZES):
        simulated, expected = excess_pairs(x, size, fraction, pruned)
        columns = {"pruned": pruned, "keep_fraction": fraction, "batch_size": size}
        columns |= in_columns("ratio", ratio_interval(*simulated))
        columns |= {"expected": ratio_interval(*expected).value}
        kept = x.pruned[size if pruned == "batches" else 1, fraction]
        columns |= {"overlap": kept.overlap.mean(), "multiplier": _multiplier(kept)}
        if size > BATCH_SIZES[0]:
            found = growth(before[pruned, fraction], expected)
            columns |= {"growth": found.value, "growth_low": found.low, "growth_high": found.high}
        before[pruned, fraction] = expected
        rows.append(columns)
    return pd.DataFrame(rows)


# How much larger LiPrune's mean step is.
def _multiplier(kept: tuple) -> float:
    return ratio_interval(*(runs.sets["kept"].xx for runs in kept[:2])).value


def growth(first: np.ndarray, second: np.ndarray) -> Estimate:
    r"""Estimate how much a ratio of means grows, all four means being paired.

    The delta method for :math:`g = \frac{\bar a_2 / \bar b_2}{\bar a_1 / \bar b_1}`: its error is
    the mean of :math:`g (a_2 / \bar a_2 - b_2 / \bar b_2 - a_1 / \bar a_1 + b_1 / \bar b_1)`.

    Args:
        first: Numerator and denominator, array of shape ``[2, n]``.
        second: The same later.

    Returns:
        The growth, 1 if the ratio stays.
    """
    (a1, b1), (a2, b2) = ([term / term.mean() for term in pair] for pair in (first, second))
    value = np.divide(*second.mean(axis=1)) / np.divide(*first.mean(axis=1))
    error = mean_interval(value * (a2 - b2 - a1 + b1))
    return Estimate(float(value), float(value + error.low), float(value + error.high), len(a1))


def batch_claim(table: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether LiPrune's advantage shrinks as batches grow (register: the ratio grows).

    To grow is to grow by more than the register's margin for an excess loss, from each batch size
    to the next. The growth is that of the expected ratio given the inputs, which is far more
    precise than the simulated one and has been checked against it.

    Args:
        table: From `batch_table`.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the ratio's growth from batch size 1 to 10 when points are pruned,
        the largest over keep fractions.
    """
    steps = table.dropna(subset="growth")
    answers = {
        pruned: [
            True if row.growth_low > MARGIN else False if row.growth_high < MARGIN else None
            for row in steps[steps.pruned == pruned].itertuples()
        ]
        for pruned in PRUNED
    }
    grows = {pruned: decide(found, in_part=False) for pruned, found in answers.items()}
    points = steps[steps.pruned == "points"]
    most = points.loc[points.growth.idxmax()]
    estimate = Estimate(most.growth, most.growth_low, most.growth_high, int(most.num_runs))
    only_batches = (grows["points"], grows["batches"]) == ("does-not-hold", "holds")
    verdict = "holds-in-part" if only_batches else grows["points"]
    ends = table[(table.keep_fraction == 0.1) & table.batch_size.isin([1, 100])]
    first, last, _, last_batches = ends.ratio
    note = (
        f"Pruning points, from one batch size to the next the ratio grows by factors of "
        f"{points.growth.min():.4f} to {most.growth:.3f}, within the register's margin of 5% (keep "
        f"0.1: {first:.4f} at batch size 1, {last:.4f} at 100). Pruning fixed batches it grows to "
        f"{last_batches:.2f}. The kept sets share {table.overlap.min():.2f} to "
        f"{table.overlap.max():.2f} of their members: the fraction kept, at every batch size."
    )
    return claim("batch-size", estimate, verdict, cost=cost, note=note)


def answer(
    mechanism: pd.DataFrame, best: pd.DataFrame, limits: pd.DataFrame, batches: pd.DataFrame
) -> str:
    """Say in one paragraph what accelerates, for a tenth kept.

    Args:
        mechanism: From `experiments.what_accelerates.tables.mechanism_table`.
        best: From `experiments.what_accelerates.tables.best_table`.
        limits: From `experiments.what_accelerates.tables.limit_table`.
        batches: From `batch_table`.

    Returns:
        The answer, with 99% intervals.
    """
    share = mechanism[mechanism.keep_fraction == 0.1].set_index("method")
    rivals = best[(best.keep_fraction == 0.1) & (best.step == STEP)].set_index("rival")
    row = limits[(limits.keep_fraction == 0.1) & (limits.batch_size == BATCH_SIZE)].iloc[0]
    ratios = batches[batches.keep_fraction == 0.1].set_index(["pruned", "batch_size"]).ratio
    return (
        f"The longer step. With a tenth kept, random pruning at LiPrune's mean step, "
        f"{share.multiplier.iloc[0]:.2f} times as long, closes {interval(share.loc['matched'])} of "
        f"the gap in excess test loss at step {STEP}; unbiased sampling with p ∝ L, which the "
        f"theory speaks of, closes {interval(share.loc['unbiased'])}. The choice of points does "
        f"help in another way: label noise disturbs a slope less where |x| is large. With each "
        f"method at its best rate, LiPrune's excess is {interval(rivals.loc['random'], 'ratio')} "
        f"times that of random pruning and {interval(rivals.loc['none'], 'ratio')} times that of "
        f"no pruning. Above the rate {row.crossing:.3f} random pruning contracts faster, from "
        f"{row.liprune:.3f} on LiPrune diverges, and random pruning does so only from "
        f"{row.random:.3f} on. Batch size hardly matters when points are pruned (ratio "
        f"{ratios['points', 1]:.3f} at 1, {ratios['points', 100]:.3f} at 100); when fixed batches "
        f"are, most of the gain is lost ({ratios['batches', 10]:.2f} at 10, "
        f"{ratios['batches', 100]:.2f} at 100). n = {rivals.num_runs.iloc[0]:,} paired runs."
    )


def interval(row: pd.Series, name: str = "share") -> str:
    """Write a row's estimate with its interval.

    Args:
        row: With ``low`` and ``high``.
        name: The column of the estimate.

    Returns:
        The text.
    """
    return f"{row[name]:.3f} [{row.low:.3f}, {row.high:.3f}]"
