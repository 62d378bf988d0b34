"""The three claims of page 05, decided by the register's rules."""

import pandas as pd

from experiments.what_accelerates.closed_forms import BATCH_SIZE
from experiments.what_accelerates.tables import PRUNED, STEP
from liprune_utils.book.formats import in_brackets
from liprune_utils.book.register import Claim, claim, decide, decides, margin
from liprune_utils.intervals import Estimate


@decides("figure-1-mechanism")
def mechanism_claim(table: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether the theory's unbiased sampling explains Figure 1 (register: at least half)."""
    unbiased, matched = (table[table.method == m] for m in ("unbiased", "matched"))
    enough, negligible = (
        margin("figure-1-mechanism", name) for name in ("share", "negligible_share")
    )
    answers = [
        True if row.low >= enough else False if row.high < negligible else None
        for row in unbiased.itertuples()
    ]
    best = unbiased.loc[unbiased.share.idxmax()]
    note = (
        f"Of the gap at step {STEP}, unbiased sampling with p ∝ L closes "
        f"{unbiased.share.min():.3f} to {unbiased.share.max():.3f} over the four keep fractions "
        f"(largest: keep {best.keep_fraction:g}); random pruning with LiPrune's mean step closes "
        f"{matched.share.min():.3f} to {matched.share.max():.3f}."
    )
    verdict = decide(answers, in_part=False)
    estimate = Estimate.of(best, "share")
    return claim("figure-1-mechanism", estimate, verdict, cost=cost, note=note)


@decides("large-x-faster")
def rate_claim(table: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether large x contract faster at every rate (register: in part with the range)."""
    rows = table[table.batch_size == BATCH_SIZE]
    small = [True if low > 0 else None for low in rows.low]  # at small rates
    all_rates = [
        True if row.low >= 1 else False if row.high < 1 else None for row in rows.itertuples()
    ]
    worst = rows.loc[rows.share.idxmin()]
    keep = rows.keep_fraction
    note = (
        f"LiPrune contracts faster at rates below {rows.crossing.min():.3f} (keep "
        f"{keep[rows.crossing.idxmin()]:g}) to {rows.crossing.max():.3f} (keep "
        f"{keep[rows.crossing.idxmax()]:g}): {worst.share:.0%} to {rows.share.max():.0%} of the "
        f"rates at which random pruning converges. It diverges from {rows.liprune.min():.3f} (keep "
        f"{keep[rows.liprune.idxmin()]:g}) or {rows.liprune.max():.3f} (keep "
        f"{keep[rows.liprune.idxmax()]:g}) on, random pruning from {rows.random.mean():.3f} on."
    )
    verdict = decide(small + all_rates, in_part=True)
    return claim("large-x-faster", Estimate.of(worst, "share"), verdict, cost=cost, note=note)


@decides("batch-size")
def batch_claim(table: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether LiPrune's advantage shrinks as batches grow (register: the ratio grows).

    To grow is to grow by more than the margin, from each batch size to the next. The growth is that
    of the expected ratio given the inputs, which is far more precise than the simulated one and has
    been checked against it.
    """
    steps, least = table.dropna(subset="growth"), margin("batch-size", "growth")
    grows = {}
    for pruned in PRUNED:
        below = [
            Estimate.of(row, "growth").below(least)
            for row in steps[steps.pruned == pruned].itertuples()
        ]
        answers = [None if answer is None else not answer for answer in below]
        grows[pruned] = decide(answers, in_part=False)
    points = steps[steps.pruned == "points"]
    most = points.loc[points.growth.idxmax()]
    only_batches = (grows["points"], grows["batches"]) == ("does-not-hold", "holds")
    verdict = "holds-in-part" if only_batches else grows["points"]
    ends = table[(table.keep_fraction == 0.1) & table.batch_size.isin([1, 100])]
    first, last, _, last_batches = ends.ratio
    note = (
        f"Pruning points, from one batch size to the next the ratio grows by factors of "
        f"{points.growth.min():.4f} to {most.growth:.3f}, within the register's margin of "
        f"{least - 1:.0%} (keep 0.1: {first:.4f} at batch size 1, {last:.4f} at 100). Pruning "
        f"fixed batches it grows to {last_batches:.2f}. The kept sets share "
        f"{table.overlap.min():.2f} to {table.overlap.max():.2f} of their members: the fraction "
        f"kept, at every batch size."
    )
    return claim("batch-size", Estimate.of(most, "growth"), verdict, cost=cost, note=note)


def answer(
    mechanism: pd.DataFrame, best: pd.DataFrame, limits: pd.DataFrame, batches: pd.DataFrame
) -> str:
    """Say in one paragraph what accelerates, for a tenth kept."""
    share = mechanism[mechanism.keep_fraction == 0.1].set_index("method")
    rivals = best[(best.keep_fraction == 0.1) & (best.step == STEP)].set_index("rival")
    row = limits[(limits.keep_fraction == 0.1) & (limits.batch_size == BATCH_SIZE)].iloc[0]
    ratios = batches[batches.keep_fraction == 0.1].set_index(["pruned", "batch_size"]).ratio
    closed = {m: in_brackets(Estimate.of(share.loc[m], "share")) for m in ("matched", "unbiased")}
    ratio_to = {m: in_brackets(Estimate.of(rivals.loc[m], "ratio")) for m in ("random", "none")}
    return (
        f"The longer step. With a tenth kept, random pruning at LiPrune's mean step, "
        f"{share.multiplier.iloc[0]:.2f} times as long, closes {closed['matched']} of "
        f"the gap in excess test loss at step {STEP}; unbiased sampling with p ∝ L, which the "
        f"theory speaks of, closes {closed['unbiased']}. The choice of points does "
        f"help in another way: label noise disturbs a slope less where |x| is large. With each "
        f"method at its best rate, LiPrune's excess is {ratio_to['random']} "
        f"times that of random pruning and {ratio_to['none']} times that of "
        f"no pruning. Above the rate {row.crossing:.3f} random pruning contracts faster, from "
        f"{row.liprune:.3f} on LiPrune diverges, and random pruning does so only from "
        f"{row.random:.3f} on. Batch size hardly matters when points are pruned (ratio "
        f"{ratios['points', 1]:.3f} at 1, {ratios['points', 100]:.3f} at 100); when fixed batches "
        f"are, most of the gain is lost ({ratios['batches', 10]:.2f} at 10, "
        f"{ratios['batches', 100]:.2f} at 100). n = {rivals.num_runs.iloc[0]:,} paired runs."
    )
