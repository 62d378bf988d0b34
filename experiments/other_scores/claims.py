"""The claim on other scores, decided by the register's rule."""

import pandas as pd

from experiments.other_scores.convex import WAYS
from experiments.other_scores.convex_tables import RIVAL, best_cases, describe_case, won_outright
from liprune_utils.book.register import Claim, claim, decide, decides
from liprune_utils.intervals import Estimate


@decides("outperforms-existing")
def outperforms_claim(cases: pd.DataFrame, *, cost: float) -> Claim:
    """Decide "cases where LiPrune outperforms existing methods": each rival, on some problem."""
    answers = {rival: _beaten(rows.outcome) for rival, rows in cases.groupby(RIVAL)}
    best = best_cases(cases)
    worst = best.loc[best.high.idxmax()]
    verdict = decide(answers.values(), in_part=answers["random", WAYS[1][1]] is True)
    note = (
        f"Ratio of test losses, LiPrune over a rival, at the worst of four steps, no step size "
        f"tuned for either. {list(answers.values()).count(True)} of {len(answers)} rivals are "
        f"beaten on some problem, all at once on {won_outright(cases)}; LiPrune is ahead in "
        f"{(cases.outcome == 'ahead').sum()} of {len(cases)} cases. Hardest to beat: "
        f"{describe_case(worst)}."
    )
    ratio = Estimate.of(worst, "ratio")
    return claim("outperforms-existing", ratio, verdict, cost=cost, note=note)


# Whether some case is won; None if none is, but some might be.
def _beaten(outcomes: pd.Series) -> bool | None:
    if (outcomes == "ahead").any():
        return True
    return None if (outcomes == "undecided").any() else False
