"""The three claims of page 11, decided by the register's rules."""

from collections.abc import Sequence

import pandas as pd

from experiments.cifar10.claims import MARGIN
from experiments.why.tables import estimate_of
from liprune_utils.book.formats import in_brackets, number
from liprune_utils.book.register import Claim, claim, decide
from liprune_utils.checks import require
from liprune_utils.intervals import Estimate

LOSS_MARGIN = 0.05  # register: of an excess loss, here of random pruning's loss


def select(table: pd.DataFrame, **values: object) -> pd.Series:
    """Find the one row of a table.

    Args:
        table: The table.
        **values: What the row has in some columns.

    Returns:
        The row.
    """
    for name, value in values.items():
        table = table[table[name] == value]
    words = ", ".join(f"{name} {value!r}" for name, value in values.items())
    require(len(table) == 1, f"The number of rows with {words}", len(table), "1")
    return table.iloc[0]


def loss_differs(row: pd.Series) -> bool | None:
    """Tell whether two losses differ.

    Args:
        row: Of `experiments.why.tables.loss_table`.

    Returns:
        True if the interval of the difference leaves out zero, False if it lies within 5% of
        random pruning's loss, None otherwise.
    """
    if row.low > 0 or row.high < 0:
        return True
    margin = LOSS_MARGIN * row.random
    return False if estimate_of(row).within(-margin, margin) else None


def asymptotic_claim(losses: pd.DataFrame, *, cost: float) -> Claim:
    """Decide "a modification of the loss landscape": does the loss of all images differ?

    Args:
        losses: From `experiments.why.tables.loss_table`.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the difference for batches, the paper's case.
    """
    batches, examples = (
        select(losses, arm=arm, measure="full_set_loss") for arm in ("liprune", "hessian")
    )
    answers = loss_differs(batches), loss_differs(examples)
    if answers[0]:
        verdict = "holds"
    elif answers[1]:
        verdict = "holds-in-part"
    else:
        verdict = "does-not-hold" if answers == (False, False) else "inconclusive"
    note = (
        f"Loss of all training images after long training, LiPrune less random pruning, where "
        f"random pruning's is {number(batches.random)}. For the examples with the largest norms "
        f"the difference is {in_brackets(estimate_of(examples))}."
    )
    return claim(
        "asymptotic-loss",
        estimate_of(batches),
        verdict,
        cost=cost,
        note=note,
        source="recorded",
    )


def noise_claim(
    linear: pd.DataFrame, matched: pd.DataFrame, examples: pd.DataFrame, *, cost: float
) -> Claim:
    """Decide whether LiPrune's gradient has less variance wherever LiPrune is faster.

    Args:
        linear: From `experiments.why.linear_noise.noise_table`.
        matched: From `experiments.why.tables.matched_noise`.
        examples: From `experiments.why.tables.example_table`; a method is faster than random
            pruning on CIFAR-10 where its error is lower by more than the interval.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the largest ratio of variances where LiPrune is faster.
    """
    steps = linear[(linear.method == "liprune") & (linear.left_high < 1)]
    cases = [Estimate(row.noise, row.noise_low, row.noise_high, int(row.num_runs))
             for row in steps.itertuples()]  # fmt: skip
    noise = matched[matched.measure == "kept_noise"].set_index("method")
    faster = examples[(examples.high < 0) & (examples.keep_fraction == 0.2)].arm
    cases += [Estimate(*noise.loc[arm, ["ratio", "low", "high", "num_seeds"]]) for arm in faster]
    worst = max(cases, key=lambda case: case.value)
    first = steps[steps.error == steps.error.max()]
    where = "is faster in no case" if not len(faster) else f"is faster for {', '.join(faster)}"
    note = (
        f"Largest ratio of variances at the same weights where LiPrune is faster: near the optimum "
        f"of the linear model. Far from it the ratio is below 1, but the noise accounts for at "
        f"most {first.share.max():.1%} of a step's lead. On CIFAR-10 keeping large norms {where}."
    )
    verdict = decide([case.below(1) for case in cases], in_part=False)
    return claim("noise-reduction", worst, verdict, cost=cost, note=note)


def points_claim(
    examples: pd.DataFrame, control: Estimate, convex: Sequence[Estimate], *, cost: float
) -> Claim:
    """Decide whether pruning examples fails, too, although the convex model would gain.

    Args:
        examples: From `experiments.why.tables.example_table`.
        control: The positive control: random pruning, more kept less fewer kept, in points.
        convex: Ratios of losses in the convex model at CIFAR-10's spreads, LiPrune's over random
            pruning's.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the fraction whose difference is farthest from zero. By the letter
        of the rule it does not hold where examples are worse by more than the margin, which is no
        acceleration either; the note then says so.
    """
    rows = examples[examples.arm == "hessian"]
    found = [estimate_of(row) for _, row in rows.iterrows()]
    answers = [gap.within(-MARGIN, MARGIN) for gap in found]
    answers += [ratio.below(1.0) for ratio in convex]
    seen = control.below(0.0) is True
    worst = max(found, key=lambda gap: abs(gap.value))
    note = f"Test error with examples of large norm less that of random pruning. {outcome(found)}"
    if not seen:
        note = "Even the positive control is not resolved. " + note
    verdict = decide(answers, in_part=False) if seen else "inconclusive"
    return claim(
        "points-to-batches",
        worst,
        verdict,
        cost=cost,
        note=note,
        source="recorded",
    )


def outcome(found: Sequence[Estimate]) -> str:
    """Say in a sentence whether pruning examples accelerates.

    Args:
        found: Differences of mean test error from random pruning, in points, one a fraction kept.

    Returns:
        The sentence.
    """
    if all(gap.within(-MARGIN, MARGIN) for gap in found):
        return "It accelerates nothing: the two are equivalent within the margin of 1 point."
    if all(gap.low > MARGIN for gap in found):
        return (
            "It accelerates nothing: it is worse by more than the margin of 1 point, so that the "
            "rule's equivalence fails on the other side."
        )
    if any(gap.high < -MARGIN for gap in found):
        return "It is faster by more than the margin of 1 point for at least one fraction kept."
    if all(gap.low > -MARGIN for gap in found):
        return (
            "It accelerates nothing beyond the margin of 1 point; whether it is equivalent or "
            "worse is not decided for every fraction kept."
        )
    return "The intervals leave open whether it accelerates."
