"""The claims on the sine model, decided by the register's rules."""

import numpy as np
import pandas as pd

from experiments.sine_model.landscapes import WEIGHT
from experiments.sine_model.runs import (
    COMES_NEAR,
    LOSS_MARGIN,
    NEAR,
    Cell,
    Races,
    pair_table,
    race_table,
)
from experiments.sine_model.tables import MANY_WELLS, PRUNED
from liprune_utils import intervals
from liprune_utils.book.register import Claim, claim, decide
from liprune_utils.intervals import Estimate


def landscape_claim(population: pd.DataFrame, samples: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether the population has at least three wells that count.

    Args:
        population: From `experiments.sine_model.tables.population_table`, with fraction 1.
        samples: From `landscape_table`, without pruning.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the number of wells, which has no error.
    """
    count = int(population.wells[population.keep_fraction == 1].iloc[0])
    row = samples[samples.method == "none"].iloc[0]
    note = (
        f"The expected loss is not convex, but has {count} wells that count. Data sets of "
        f"{row.num_points:,.0f} points have {row.wells:.2f} on average (99% interval "
        f"{row.wells_low:.2f} to {row.wells_high:.2f}); what exceeds {count} is sampling noise."
    )
    verdict = decide([count >= MANY_WELLS], in_part=False)
    found = Estimate(count, count, count, int(row.num_wells))
    return claim("sine-landscape", found, verdict, cost=cost, note=note)


def pruned_claim(population: pd.DataFrame, samples: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether pruning with LiPrune makes the minimiser harder to identify.

    The paper's figure is on the asymptotic landscape, so that the population decides. If wells and
    rivals grow there, it remains whether the minimiser moves: if it stays, the claim holds in part.

    Args:
        population: From `experiments.sine_model.tables.population_table`, with the register's
            fractions.
        samples: From `landscape_table`, at the paper's number of points.
        cost: Seconds of computing.

    Returns:
        The claim; it reports how often a data set keeps its minimiser at the smallest fraction.
    """
    rows = population.set_index("keep_fraction").loc[list(PRUNED)]
    grows = [bool((np.diff(rows[name]) > 0).all()) for name in ("wells", "rival_depth")]
    stays = bool((np.abs(rows.minimiser - WEIGHT) <= NEAR).all())
    verdict = decide(grows, in_part=False)
    if verdict == "holds" and stays:
        verdict = "holds-in-part"
    least = samples[samples.keep_fraction == min(PRUNED)].set_index("method")
    ours, theirs = least.loc["liprune"], least.loc["random"]
    note = (
        f"With LiPrune the expected loss has {', '.join(str(n) for n in rows.wells)} wells at r = "
        f"{', '.join(f'{r:g}' for r in PRUNED)}, the best rival is "
        f"{', '.join(f'{d:.2f}' for d in rows.rival_depth)} deep, and the "
        f"minimiser {'stays' if stays else 'moves'}. Reported: how often {ours.num_points:,.0f} "
        f"points keep it, r = {min(PRUNED):g}; random pruning: {theirs.near:.3f}."
    )
    found = Estimate(ours.near, ours.near_low, ours.near_high, int(ours.num_runs))
    return claim("sine-pruned-landscape", found, verdict, cost=cost, note=note)


def advantage_claim(races: dict[Cell, Races], *, cost: float) -> Claim:
    """Decide whether LiPrune has no clear advantage in Figure 12.

    Args:
        races: From `experiments.sine_model.runs.simulate` with full losses, in the paper's
            setting; the plan's last rate is that of the loss without the half.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the ratio of the losses farthest from 1.
    """
    plan = next(iter(races.values())).plan
    judged = [judge(races, rate) for rate in (plan.learning_rates[0], plan.learning_rates[-1])]
    (verdict, worst, near), (other, worst_other, near_other) = judged
    note = (
        f"After {plan.steps[-1]} steps fewer than {near.near_high:.2%} of the runs of any method "
        f"are within {NEAR:g} of w* (upper end); reported is the losses' ratio farthest from 1 "
        f"(keep {worst.keep_fraction:g}). Without the half in the loss, {near_other.near:.1%} are "
        f"near ({near_other.method}, keep {near_other.keep_fraction:g}), the ratio is "
        f"{worst_other.ratio:.2f} [{worst_other.ratio_low:.2f}, {worst_other.ratio_high:.2f}]: "
        f"{other.replace('-', ' ')}."
    )
    found = intervals.Estimate(worst.ratio, worst.ratio_low, worst.ratio_high, int(worst.num_runs))
    return claim("sine-no-advantage", found, verdict, cost=cost, note=note)


def judge(races: dict[Cell, Races], learning_rate: float) -> tuple[str, pd.Series, pd.Series]:
    """Apply the register's rule at one rate, at the last step.

    Args:
        races: From `experiments.sine_model.runs.simulate` with full losses.
        learning_rate: The rate.

    Returns:
        The verdict, the pair with the ratio farthest from 1, the cell with the most runs near w*.
    """
    shares, pairs = (
        table[(table.learning_rate == learning_rate) & (table.step == table.step.max())]
        for table in (race_table(races), pair_table(races))
    )
    ratios = pairs[["ratio", "ratio_low", "ratio_high", "num_runs"]].itertuples(index=False)
    inside = [
        intervals.Estimate(*ratio).within(1 - LOSS_MARGIN, 1 + LOSS_MARGIN) for ratio in ratios
    ]
    nobody = shares.near_high.max() < COMES_NEAR
    verdict = "inconclusive" if nobody else decide(inside, in_part=False)
    worst = pairs.loc[(pairs.ratio - 1).abs().idxmax()]
    return verdict, worst, shares.loc[shares.near.idxmax()]
