"""The two claims of page 03, decided by the register's rules."""

import numpy as np
import pandas as pd

from liprune_utils.book.register import Claim, claim, decide
from liprune_utils.intervals import Estimate

OVERLAP_MARGIN = 0.9  # register: grand-approximates


SECANT_MARGIN = 1e-9  # register: lipschitz-linear


def linear_claim(ratios: np.ndarray, *, cost: float) -> Claim:
    """Decide whether the linear model's constants are the squared inputs.

    Args:
        ratios: Largest secants found over :math:`x^2`, from `linear_ratios`.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the largest relative difference.
    """
    worst = float(np.abs(ratios - 1).max())
    note = (
        "For the stated functions, with their half, every secant of the gradient is x²: the "
        "largest relative difference, reported here, is rounding. Without the half it is 2x²."
    )
    verdict = decide([worst <= SECANT_MARGIN], in_part=False)
    return claim(
        "lipschitz-linear", Estimate(worst, worst, worst, ratios.size), verdict,
        cost=cost, note=note,
    )  # fmt: skip


def grand_claim(way: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether GraNd keeps nine in ten of LiPrune's points all the way to the minimiser.

    Args:
        way: From `way_table`.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the smallest overlap.
    """
    answers = [
        True if row.low >= OVERLAP_MARGIN else False if row.high < OVERLAP_MARGIN else None
        for row in way.itertuples()
    ]
    worst = way.loc[way.overlap.idxmin()]
    last = way.way[[answer is True for answer in answers]].max()
    reached = (
        "nowhere" if np.isnan(last) else f"up to {last:.0%} of the way from 0 to the minimiser"
    )
    note = (
        f"Of a tenth kept, GraNd shares at least 0.9 with LiPrune at {answers.count(True)} of "
        f"{len(answers)} weights, {reached}; least, at {worst.way:.0%} of it: there label noise "
        "alone is left."
    )
    found = Estimate(worst.overlap, worst.low, worst.high, worst.num_runs)
    verdict = decide(answers, in_part=True)
    return claim("grand-approximates", found, verdict, cost=cost, note=note)
