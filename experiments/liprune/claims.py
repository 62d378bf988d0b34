"""The two claims of page 03, decided by the register's rules."""

import numpy as np
import pandas as pd

from liprune_utils.book.register import Claim, claim, decide, decides, margin
from liprune_utils.intervals import Estimate


@decides("lipschitz-linear")
def linear_claim(ratios: np.ndarray, *, cost: float) -> Claim:
    """Decide whether the linear model's constants are the squared inputs."""
    worst = float(np.abs(ratios - 1).max())
    note = (
        "For the stated functions, with their half, every secant of the gradient is x²: the "
        "largest relative difference, reported here, is rounding. Without the half it is 2x²."
    )
    holds = worst <= margin("lipschitz-linear", "relative_difference")
    estimate, verdict = Estimate(worst, worst, worst, ratios.size), decide([holds], in_part=False)
    return claim("lipschitz-linear", estimate, verdict, cost=cost, note=note)


@decides("grand-approximates")
def grand_claim(way: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether GraNd shares enough of LiPrune's points all the way to the minimiser."""
    least = margin("grand-approximates", "overlap")
    answers = [
        True if row.low >= least else False if row.high < least else None
        for row in way.itertuples()
    ]
    worst = way.loc[way.overlap.idxmin()]
    last = way.way[[answer is True for answer in answers]].max()
    reached = (
        "nowhere" if np.isnan(last) else f"up to {last:.0%} of the way from 0 to the minimiser"
    )
    note = (
        f"Of a tenth kept, GraNd shares at least {least:g} with LiPrune at {answers.count(True)} "
        f"of {len(answers)} weights, {reached}. The share is least at {worst.way:.0%} of the way, "
        "where label noise decides."
    )
    estimate, verdict = Estimate.of(worst, "overlap"), decide(answers, in_part=True)
    return claim("grand-approximates", estimate, verdict, cost=cost, note=note)
