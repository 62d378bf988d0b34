"""The three claims of page 11, decided by the register's rules."""

from collections.abc import Sequence

import pandas as pd

from experiments.why.tables import seed_estimate
from liprune_utils.book.formats import in_brackets, number
from liprune_utils.book.register import Claim, claim, decide, decides, margin
from liprune_utils.intervals import Estimate


@decides("asymptotic-loss")
def asymptotic_claim(losses: pd.DataFrame, *, cost: float) -> Claim:
    """Decide "a modification of the loss landscape": does the loss of all images differ?"""
    full = losses[losses.measure == "full_set_loss"].set_index("arm")
    batches, examples = full.loc["liprune"], full.loc["hessian"]
    answers = _differs(batches), _differs(examples)
    if answers[0]:
        verdict = "holds"
    elif answers[1]:
        verdict = "holds-in-part"
    else:
        verdict = "does-not-hold" if answers == (False, False) else "inconclusive"
    note = (
        f"Loss of all training images after long training, LiPrune less random pruning, where "
        f"random pruning's is {number(batches.random)}. For the examples with the largest norms "
        f"the difference is {in_brackets(seed_estimate(examples))}."
    )
    facts = {"cost": cost, "note": note, "source": "recorded"}
    return claim("asymptotic-loss", seed_estimate(batches), verdict, **facts)


def _differs(row: pd.Series) -> bool | None:
    difference = seed_estimate(row)
    if difference.low > 0 or difference.high < 0:
        return True
    bound = margin("asymptotic-loss", "excess_loss") * row.random
    return False if difference.within(-bound, bound) else None


@decides("noise-reduction")
def noise_claim(
    linear: pd.DataFrame, matched: pd.DataFrame, examples: pd.DataFrame, *, cost: float
) -> Claim:
    """Decide whether LiPrune's gradient has less variance wherever LiPrune is faster."""
    liprune = linear[linear.method == "liprune"]
    steps = liprune[liprune.left_high < 1]
    cases = [Estimate.of(row, "noise") for row in steps.itertuples()]
    noise = matched[matched.measure == "kept_noise"].set_index("method")
    faster = examples[(examples.high < 0) & (examples.keep_fraction == 0.2)].arm
    cases += [seed_estimate(noise.loc[arm], "ratio") for arm in faster]
    verdict = decide([case.below(1) for case in cases], in_part=False)
    if not cases:
        least = Estimate.of(liprune.loc[liprune.noise.idxmin()], "noise")
        note = "Least ratio of variances at the same weights; LiPrune is faster in no case."
        return claim("noise-reduction", least, verdict, cost=cost, note=note)
    worst = max(cases, key=lambda case: case.value)
    first = steps[steps.error == steps.error.max()]
    where = "is faster in no case" if not len(faster) else f"is faster for {', '.join(faster)}"
    note = (
        f"Largest ratio of variances at the same weights where LiPrune is faster: near the optimum "
        f"of the linear model. Far from it the ratio is below 1, but the noise accounts for at "
        f"most {first.share.max():.1%} of a step's lead. On CIFAR-10 keeping large norms {where}."
    )
    return claim("noise-reduction", worst, verdict, cost=cost, note=note)


@decides("points-to-batches")
def points_claim(
    examples: pd.DataFrame, control: Estimate, convex: Sequence[Estimate], *, cost: float
) -> Claim:
    """Decide whether pruning examples fails, too, although the convex model would gain."""
    rows, bound = examples[examples.arm == "hessian"], margin("points-to-batches", "test_error")
    gaps = [seed_estimate(row) for _, row in rows.iterrows()]
    answers = [gap.within(-bound, bound) for gap in gaps]
    answers += [ratio.below(1.0) for ratio in convex]
    fractions = zip(rows.keep_fraction, gaps, strict=True)
    listed = ", ".join(f"{in_brackets(gap)} with {fraction:g} kept" for fraction, gap in fractions)
    note = f"Test error with examples of large norm less that of random pruning: {listed}."
    if all(gap.low > -bound for gap in gaps):
        note += f" It accelerates nothing beyond the margin of {bound:g} point."
    seen = control.below(0.0) is True
    if not seen:
        note = "Even the positive control is not resolved. " + note
    verdict = decide(answers, in_part=False) if seen else "inconclusive"
    worst = max(gaps, key=lambda gap: abs(gap.value))
    facts = {"cost": cost, "note": note, "source": "recorded"}
    return claim("points-to-batches", worst, verdict, **facts)
