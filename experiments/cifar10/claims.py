"""The claims of page 09, decided by the register's rules from the recorded grids."""

from collections.abc import Mapping
from itertools import compress
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.cifar10.tables import (
    LEVEL,
    control_difference,
    differences,
    last_errors,
    over_seeds,
    pooled,
    select,
)
from liprune_utils.book.formats import difference, relative, words
from liprune_utils.book.register import Claim, claim, decide, decides, margin
from liprune_utils.intervals import Estimate

ERROR_MARGIN, PAPER_SCALE_MARGIN, EPOCHS_MARGIN = (
    margin("cifar-no-acceleration", name)
    for name in ("test_error", "test_error_at_paper_scale", "epochs")
)


class Comparison(NamedTuple):
    """LiPrune against random pruning in a grid, or in some cells of one."""

    error: Estimate  # mean test error from the pruning on, LiPrune minus random, in points
    epochs: Estimate  # epochs to the same test error, LiPrune over random
    control: Estimate  # random pruning, largest minus smallest fraction, in points
    margin: float  # of the test error, in points
    verdict: str  # by the rule of cifar-no-acceleration


def equivalent(gap: Estimate, margin: float, sign: int) -> bool | None:
    """Tell whether a difference is inside a margin on both sides, or beyond it on one."""
    if gap.within(-margin, margin):
        return True
    beyond = gap.high < -margin if sign < 0 else gap.low > margin
    return False if beyond else None


def compare(curves: pd.DataFrame, control: Estimate, margin: float = ERROR_MARGIN) -> Comparison:
    """Apply the rule of cifar-no-acceleration: equivalence in error and in epochs."""
    table = differences(curves)
    error, logs = pooled(table, "mean_error"), pooled(table, "log_epochs")
    answers = [equivalent(error, margin, -1), equivalent(logs, np.log1p(EPOCHS_MARGIN), -1)]
    if control.below(0.0) is not True:  # such a comparison cannot detect acceleration
        answers = [None]
    verdict = decide(answers, in_part=False)
    epochs = Estimate(*map(float, np.exp(logs[:3])), logs.num_runs)
    return Comparison(error, epochs, control, margin, verdict)


def _compare_by_level(curves: pd.DataFrame, column: str) -> dict[float, Comparison]:
    """Compare within each level of a setting, by its own runs and its own control."""
    levels = sorted(curves[curves.method != "none"][column].unique())
    runs = {level: select(curves, **{column: level}) for level in levels}
    return {level: compare(rows, control_difference(rows)) for level, rows in runs.items()}


def compare_groups(
    curves: pd.DataFrame, late: pd.DataFrame, whole: pd.DataFrame
) -> dict[str, Comparison]:
    """Compare in all cells, by rate and by prune epoch, in late pruning, at the paper's scale."""
    control = control_difference(curves)
    groups = {"all settings": compare(curves, control)}
    for column, name in (("learning_rate", "rate"), ("prune_epoch", "pruned at epoch")):
        levels = _compare_by_level(curves, column)
        groups |= {f"{name} {level:g}": found for level, found in levels.items()}
    groups[f"pruned at epoch {late.prune_epoch.max()}"] = compare(late, control)
    return groups | {"the paper's scale": compare(whole, control, PAPER_SCALE_MARGIN)}


def possible_gains(comparison: Comparison) -> tuple[bool, bool]:
    """Tell whether a gain beyond the margin is not excluded, in test error and in epochs."""
    in_error = comparison.error.low <= -comparison.margin
    return in_error, comparison.epochs.low <= 1 / (1 + EPOCHS_MARGIN)


def format_reason(comparison: Comparison) -> str:
    """Write in a sentence what a verdict rests on."""
    if comparison.control.below(0.0) is not True:
        return "The positive control is not seen, so that nothing is decided."
    if comparison.verdict == "holds":
        return "Both intervals lie inside their margins."
    if comparison.verdict == "does-not-hold":
        return "LiPrune is ahead by more than a margin."
    ahead = possible_gains(comparison)
    if not any(ahead):
        return "Both intervals exclude an advantage beyond the margins, but not a disadvantage."
    names = " and in ".join(compress(("test error", "epochs"), ahead))
    return f"An advantage beyond the margin is not excluded in {names}."


def format_evidence(comparison: Comparison) -> str:
    """Write what a verdict rests on besides the test error: epochs, control, reason."""
    return (
        "With LiPrune the number of epochs to the same error is "
        f"{relative(comparison.epochs, level=LEVEL)}. Positive control: with more batches kept, "
        f"random pruning's mean error is {_points(comparison.control)}. {format_reason(comparison)}"
    )


def _points(gap: Estimate) -> str:
    return difference(gap, "points", level=LEVEL)


@decides("cifar-no-acceleration")
def acceleration_claim(curves: pd.DataFrame, comparison: Comparison, *, cost: float) -> Claim:
    """Decide "no advantage of LiPrune" by equivalence (register)."""
    seeds = over_seeds(differences(curves), "mean_error")
    note = format_evidence(comparison) + (
        f" The interval of the mean error treats settings and seeds as random. Over the "
        f"{seeds.num_runs} seeds alone the difference is {_points(seeds)}."
    )
    outcome = {"cost": cost, "note": note, "source": "recorded"}
    return claim("cifar-no-acceleration", comparison.error, comparison.verdict, **outcome)


def _loss_against_none(curves: pd.DataFrame) -> dict[str, Estimate]:
    """Estimate how much final test error each method of pruning costs."""
    last = last_errors(curves)
    gaps = {name: last.assign(gap=last[name] - last.none) for name in ("liprune", "random")}
    return {name: pooled(table, "gap") for name, table in gaps.items()}


@decides("cifar-performance")
def performance_claim(curves: pd.DataFrame, *, cost: float) -> Claim:
    """Decide "the loss in performance might be minimal" by equivalence with random pruning."""
    gap, losses = pooled(differences(curves), "final_error"), _loss_against_none(curves)
    note = (
        f"Against no pruning, the last test error is {_points(losses['liprune'])} with LiPrune and "
        f"{_points(losses['random'])} with random pruning."
    )
    largest = margin("cifar-performance", "test_error")
    verdict = decide([equivalent(gap, largest, 1)], in_part=False)
    if verdict == "inconclusive" and gap.high < largest:
        note += " A loss against random beyond the margin is excluded, a gain is not."
    return claim("cifar-performance", gap, verdict, cost=cost, note=note, source="recorded")


@decides("cifar-learning-rate", "cifar-prune-epoch")
def same_verdict_claim(claim_id: str, cases: Mapping[str, Comparison], *, cost: float) -> Claim:
    """Decide whether cases have the same verdict, where all are decided."""
    verdicts = {case.verdict for case in cases.values()}
    verdict = "inconclusive"
    if verdicts <= {"holds", "does-not-hold"}:
        verdict = "holds" if len(verdicts) == 1 else "does-not-hold"
    worst = max((case.error for case in cases.values()), key=lambda e: max(-e.low, e.high))
    note = " ".join(
        f"{name.capitalize()}: {words(case.verdict)}; LiPrune's mean test error is "
        f"{_points(case.error)} than random pruning's, and the number of epochs to the same error "
        f"{relative(case.epochs, level=LEVEL)}, in {case.error.num_runs} pairs of runs."
        for name, case in cases.items()
    )
    return claim(claim_id, worst, verdict, cost=cost, note=note, source="recorded")


def recorded_claims(curves: pd.DataFrame, *, cost: float) -> list[Claim]:
    """Decide the claims on the paper's grid."""
    rates, epochs = (
        _compare_by_level(curves, column) for column in ("learning_rate", "prune_epoch")
    )
    by_rate = {f"rate {level:g}": comparison for level, comparison in rates.items()}
    by_epoch = {f"pruned at epoch {level:g}": comparison for level, comparison in epochs.items()}
    return [
        acceleration_claim(curves, compare(curves, control_difference(curves)), cost=cost),
        performance_claim(curves, cost=cost),
        same_verdict_claim("cifar-learning-rate", by_rate, cost=cost),
        same_verdict_claim("cifar-prune-epoch", by_epoch, cost=cost),
    ]


@decides("cifar-iteration-15")
def late_claim(curves: pd.DataFrame, late: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether late pruning has the same verdict as early pruning."""
    whole = compare(curves, control_difference(curves))
    cases = {
        "pruned at epochs 1 and 5": whole,
        "pruned at epoch 15": compare(late, whole.control),
    }
    return same_verdict_claim("cifar-iteration-15", cases, cost=cost)
