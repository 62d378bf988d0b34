"""The claims of page 09, decided by the register's rules from the recorded grids."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.cifar10.tables import (
    LEVEL,
    control_difference,
    differences,
    image_pairs,
    last_errors,
    part,
    pooled,
)
from liprune_utils.book.formats import estimated, in_brackets, words
from liprune_utils.book.register import Claim, claim, decide
from liprune_utils.intervals import Estimate, mean_interval

MARGIN, PAPER_SCALE_MARGIN = 1.0, 0.5  # points of test error, the register's at either scale
EPOCHS_MARGIN = 0.1  # the register's, of the epochs to a threshold
DECIDED = ("holds", "does-not-hold")


class Judgement(NamedTuple):
    """What a grid, or a part of one, says about acceleration."""

    error: Estimate  # mean test error from the pruning on, LiPrune minus random, in points
    epochs: Estimate  # epochs to the same test error, LiPrune over random
    control: Estimate  # random pruning, largest minus smallest fraction, in points
    margin: float  # of the test error, in points
    verdict: str  # by the rule of cifar-no-acceleration


def equivalent(gap: Estimate, margin: float, sign: int) -> bool | None:
    """Tell whether a difference is inside a margin on both sides, or beyond it on one.

    Args:
        gap: The difference with its interval.
        margin: The margin, > 0.
        sign: The side of zero that would refute: 1 or -1.

    Returns:
        True if the interval is inside, False if it is beyond on the refuting side, else None.
    """
    if gap.within(-margin, margin):
        return True
    beyond = gap.high < -margin if sign < 0 else gap.low > margin
    return False if beyond else None


def judge(curves: pd.DataFrame, control: Estimate, margin: float = MARGIN) -> Judgement:
    """Apply the rule of cifar-no-acceleration: equivalence in error and in epochs.

    Where the positive control is not seen nothing is decided.

    Args:
        curves: One row a run and epoch, of paired runs.
        control: From `control_difference`, of these curves or of others made in the same way.
        margin: Points of test error: 1 at reduced scale, 0.5 at the paper's.

    Returns:
        Both statistics with their 90% intervals, and the verdict: "holds" if both are inside their
        margins, "does-not-hold" if LiPrune is ahead by more than one of them.
    """
    table = differences(curves)
    error, logs = pooled(table, "mean_error"), pooled(table, "log_epochs")
    answers = [equivalent(error, margin, -1), equivalent(logs, np.log1p(EPOCHS_MARGIN), -1)]
    seen = control.below(0.0) is True
    verdict = decide(answers, in_part=False) if seen else "inconclusive"
    epochs = Estimate(*map(float, np.exp(logs[:3])), logs.num_runs)
    return Judgement(error, epochs, control, margin, verdict)


def by_level(curves: pd.DataFrame, column: str) -> dict[float, Judgement]:
    """Judge each level of a setting by its own runs and its own control.

    Args:
        curves: One row a run and epoch.
        column: "learning_rate" or "prune_epoch".

    Returns:
        For each level, in rising order, its judgement.
    """
    levels = sorted(curves[curves.method != "none"][column].unique())
    parts = {level: part(curves, **{column: level}) for level in levels}
    return {level: judge(runs, control_difference(runs)) for level, runs in parts.items()}


def reason(found: Judgement) -> str:
    """Say in a sentence what a verdict rests on.

    Args:
        found: The judgement.

    Returns:
        The sentence.
    """
    if found.control.below(0.0) is not True:
        return "The positive control is not seen, so that nothing is decided."
    if found.verdict == "holds":
        return "Both intervals lie inside their margins."
    if found.verdict == "does-not-hold":
        return "LiPrune is ahead by more than a margin."
    ahead = {"test error": found.error.low <= -found.margin}
    ahead |= {"epochs": found.epochs.low <= 1 / (1 + EPOCHS_MARGIN)}
    if not any(ahead.values()):
        return "Both intervals exclude an advantage beyond the margins, but not a disadvantage."
    names = " and in ".join(name for name, possible in ahead.items() if possible)
    return f"An advantage beyond the margin is not excluded in {names}."


def evidence(found: Judgement) -> str:
    """Say what a judgement rests on besides the test error: epochs, control, reason.

    Args:
        found: The judgement.

    Returns:
        Three sentences.
    """
    return (
        f"Epochs to the same error, over random's: {estimated(found.epochs, 'pairs')}. "
        f"Positive control, in points: {estimated(found.control, 'pairs')}. {reason(found)}"
    )


def acceleration_claim(found: Judgement, *, cost: float) -> Claim:
    """Decide "no advantage of LiPrune" by equivalence (register).

    Args:
        found: Of the whole grid.
        cost: Seconds of computing of the runs.

    Returns:
        The claim; its estimate is that of the test error, its note has the epochs.
    """
    note = "Mean test error from the pruning on, LiPrune minus random, in points. "
    outcome = {"cost": cost, "note": note + evidence(found), "source": "recorded"}
    return claim("cifar-no-acceleration", found.error, found.verdict, **outcome)


def loss_against_none(curves: pd.DataFrame) -> dict[str, Estimate]:
    """Estimate how much final test error each method of pruning costs.

    Args:
        curves: One row a run and epoch, among them runs without pruning.

    Returns:
        For "liprune" and "random" the points above no pruning, pooled over cells and seeds.
    """
    last = last_errors(curves)
    gaps = {name: last.assign(gap=last[name] - last.none) for name in ("liprune", "random")}
    return {name: pooled(table, "gap") for name, table in gaps.items()}


def performance_claim(curves: pd.DataFrame, *, cost: float) -> Claim:
    """Decide "the loss in performance might be minimal" by equivalence with random pruning.

    Args:
        curves: One row a run and epoch, of the whole grid.
        cost: Seconds of computing of the runs.

    Returns:
        The claim; its note has the loss against no pruning, as the register asks.
    """
    gap, losses = pooled(differences(curves), "final_error"), loss_against_none(curves)
    note = (
        "Test error at the last epoch, LiPrune minus random, in points. Above no pruning: "
        f"LiPrune {estimated(losses['liprune'], 'pairs')}, random "
        f"{estimated(losses['random'], 'pairs')}."
    )
    verdict = decide([equivalent(gap, MARGIN, 1)], in_part=False)
    if verdict == "inconclusive" and gap.high < MARGIN:
        note += " A loss against random beyond the margin is excluded, a gain is not."
    return claim("cifar-performance", gap, verdict, cost=cost, note=note, source="recorded")


def image_words(curves: pd.DataFrame, runs: pd.DataFrame) -> str:
    """Say whether pairs trained on as many images, and what those say that did.

    Args:
        curves: One row a run and epoch.
        runs: One row a run, with ``num_images_kept``.

    Returns:
        One or two sentences.
    """
    table = image_pairs(curves, runs)
    equal = table[table.more_images == 0].mean_error
    if len(equal) == len(table):
        return "In every pair both methods kept as many images."
    fewer, more = (table.more_images < 0).sum(), (table.more_images > 0).sum()
    found = (
        f"Of {len(table)} pairs LiPrune kept fewer images in {fewer} and more in {more}, since it "
        "kept or dropped the small last batch where random pruning did not."
    )
    if len(equal) < 2:
        return found
    gap = estimated(mean_interval(equal, LEVEL), "pairs")
    return (
        f"{found} Where both kept as many, the difference of the mean test error is {gap}, in "
        "points (pairs taken as independent)."
    )


def same_claim(claim_id: str, cases: Mapping[str, Judgement], *, cost: float) -> Claim:
    """Decide whether cases have the same verdict (register: holds if they do).

    Args:
        claim_id: Identifier in the register.
        cases: For each case, in words, its judgement.
        cost: Seconds of computing of the runs.

    Returns:
        The claim; "inconclusive" if a case is. Its estimate is the case whose test error may be
        farthest from random pruning's.
    """
    verdicts = {found.verdict for found in cases.values()}
    verdict = "inconclusive"
    if verdicts <= set(DECIDED):
        verdict = "holds" if len(verdicts) == 1 else "does-not-hold"
    worst = max((found.error for found in cases.values()), key=lambda e: max(-e.low, e.high))
    note = "LiPrune minus random, mean test error in points, and epochs over random's. " + " ".join(
        f"{name.capitalize()}: {words(found.verdict)} ({in_brackets(found.error)} points, "
        f"{in_brackets(found.epochs)} times the epochs, n = {found.error.num_runs} pairs)."
        for name, found in cases.items()
    )
    return claim(claim_id, worst, verdict, cost=cost, note=note, source="recorded")


def recorded_claims(curves: pd.DataFrame, *, cost: float) -> list[Claim]:
    """Decide what the paper's grid decides.

    Args:
        curves: One row a run and epoch, of the whole recorded grid.
        cost: Seconds of computing of the runs.

    Returns:
        Four of the page's claims; `late_claim` is the fifth.
    """
    rates, epochs = by_level(curves, "learning_rate"), by_level(curves, "prune_epoch")
    by_rate = {f"rate {level:g}": found for level, found in rates.items()}
    by_epoch = {f"pruned at epoch {level:g}": found for level, found in epochs.items()}
    return [
        acceleration_claim(judge(curves, control_difference(curves)), cost=cost),
        performance_claim(curves, cost=cost),
        same_claim("cifar-learning-rate", by_rate, cost=cost),
        same_claim("cifar-prune-epoch", by_epoch, cost=cost),
    ]


def late_claim(curves: pd.DataFrame, late: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether pruning late says the same as pruning early.

    Args:
        curves: As in `recorded_claims`.
        late: Curves of ``experiments/grids/prune15.yml``, which has one fraction; its control is
            the others'.
        cost: Seconds of computing of both.

    Returns:
        The claim.
    """
    whole = judge(curves, control_difference(curves))
    cases = {
        "pruned at epochs 1 and 5": whole,
        "pruned at epoch 15": judge(late, whole.control),
    }
    return same_claim("cifar-iteration-15", cases, cost=cost)
