"""The claim on other scores, decided by the register's rule."""

from collections.abc import Collection

import pandas as pd

from experiments.other_scores.convex_tables import CLAIM, LABELS, estimates, level
from liprune_utils.book.formats import relative
from liprune_utils.book.register import Claim, claim, decides
from liprune_utils.intervals import Estimate


@decides(CLAIM)
def outperforms_claim(rivals: pd.DataFrame, *, cost: float) -> Claim:
    """Decide "cases where LiPrune outperforms existing methods": on average, against each rival."""
    found = estimates(rivals)
    hardest = max(found.values(), key=lambda estimate: estimate.value)
    listed = "; ".join(_against(row, found[row.against]) for row in rivals.itertuples())
    note = (
        f"LiPrune's excess test loss on average over {hardest.num_runs} problems, each method at "
        f"its own tuned step size: {listed}."
    )
    return claim(CLAIM, hardest, _verdict(found.values()), cost=cost, note=note)


def _verdict(found: Collection[Estimate]) -> str:
    """Holds if below zero against every rival, and the mirror; in part if against some."""
    below = [estimate.high < 0 for estimate in found]
    if any(below):
        return "holds" if all(below) else "holds-in-part"
    return "does-not-hold" if all(estimate.low > 0 for estimate in found) else "inconclusive"


def _against(row: object, estimate: Estimate) -> str:
    words = relative(estimate.exp(), level=level())
    return (
        f"{words} than with {LABELS[row.against]} (problems won: {row.problems_won}, "
        f"lost: {row.problems_lost}, open: {row.problems_open})"
    )
