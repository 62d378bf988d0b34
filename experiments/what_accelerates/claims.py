"""The three claims of page 05, decided by the register's rules."""

from collections.abc import Mapping

import pandas as pd

from experiments.what_accelerates.closed_forms import BATCH_SIZE
from experiments.what_accelerates.tables import PRUNED, STEP
from liprune_utils.book.formats import number
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
        f"{unbiased.share.min():.1%} to {unbiased.share.max():.1%} over the four keep fractions "
        f"(largest: keep {best.keep_fraction:g}). Random pruning with LiPrune's mean step closes "
        f"{matched.share.min():.1%} to {matched.share.max():.1%}: the longer step is the paper's "
        "own contraction factor, 1 − ηx² in Section 4.1."
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


def decide_claims(results: Mapping[str, pd.DataFrame], *, cost: float) -> list[Claim]:
    """Decide the three claims of the page by the register's rules."""
    return [
        mechanism_claim(results["mechanism"], cost=cost),
        rate_claim(results["limits"], cost=cost),
        batch_claim(results["batches"], cost=cost),
    ]


def first_words(ratio: Estimate, matched: Estimate, unbiased: Estimate) -> str:
    """Say which of two explanations closes more than half of LiPrune's lead, to open the answer.

    ``ratio`` is LiPrune's excess loss over that of random pruning; the others are shares closed.
    """
    if not ratio.below(1.0):
        return "LiPrune is not ahead here."
    words = {
        (False, True): "The longer step.",
        (True, False): "The theory's sampling.",
        (True, True): "Neither alone.",
        (False, False): "Either would do.",
    }
    small = matched.below(0.5), unbiased.below(0.5)
    return words.get(small, "These runs do not decide it.")


def percentage(share: Estimate) -> str:
    """Write a share with its 99% interval, such as "99% (99% interval 98 to 99.5%)"."""
    value, low, high = (number(100 * end) for end in share[:3])
    return f"{value}% (99% interval {low} to {high}%)"
