"""The three claims of page 11, decided by the register's rules."""

import math
from collections.abc import Mapping, Sequence
from itertools import product

import pandas as pd

from experiments.cifar10.tables import to_settle_in_words
from experiments.convex_is_not_enough.convex_head import UNITS
from experiments.why.less_variance import LESS
from experiments.why.speed_ups import faster, found
from liprune_utils.book.formats import number
from liprune_utils.book.register import Claim, claim, decides, margin
from liprune_utils.intervals import Estimate

NEAR = 0.05  # distance to 1 of a ratio of steps that is near 1


@decides("asymptotic-loss-b")
def asymptotic_claim(batches: Estimate, examples: Estimate, *, note: str, cost: float) -> Claim:
    """Decide "a modification of the loss landscape": does the loss of all images differ?

    The estimates are logarithms of ratios.
    """
    if _differs(batches):
        verdict = "holds"
    else:
        verdict = "holds-in-part" if _differs(examples) else "inconclusive"
    facts = {"cost": cost, "note": note, "source": "recorded"}
    return claim("asymptotic-loss-b", batches, verdict, **facts)


def _differs(log_ratio: Estimate) -> bool:
    return log_ratio.low > 0 or log_ratio.high < 0


@decides("noise-reduction-b")
def variance_claim(races: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether less variance saves steps, wherever there is less."""
    counted = races[races.variance_high < LESS]
    steps = [Estimate.of(row, "steps") for row in counted.itertuples()]
    verdict = _variance_verdict(steps) if races.num_runs.min() >= 1000 else "inconclusive"
    shown = counted if len(counted) else races
    worst = shown.loc[shown.steps.idxmax()]
    low, high = (f"{share:.1%}" for share in (races.share.min(), races.share.max()))
    note = (
        f"{len(counted)} of {len(races)} cases have less variance. In "
        f"{sum(case.high < 1 for case in steps)} of them the whole interval says fewer steps. The "
        f"least favourable has {number(worst.variance, 2)} times the variance. Of what the mean "
        f"steps gain, the variance takes back {low} to {high}: less of it cannot save much more."
    )
    slower = races[(races.variance_high < 1) & (races.steps_low > 1)]
    if len(slower):
        ratio = number(slower.variance.min())
        note += f" It is no rule: {ratio} times the variance came with more steps."
    return claim("noise-reduction-b", Estimate.of(worst, "steps"), verdict, cost=cost, note=note)


def _variance_verdict(steps: Sequence[Estimate]) -> str:
    if any(case.low > 1 + NEAR for case in steps):
        return "does-not-hold"
    if steps and all(case.high < 1 for case in steps):
        return "holds"
    near = any(case.high >= 1 and case.within(1 - NEAR, 1 + NEAR) for case in steps)
    return "holds-in-part" if near and all(c.high < 1 + NEAR for c in steps) else "inconclusive"


@decides("points-to-batches-b")
def points_claim(table: pd.DataFrame, *, cost: float, images_cost: float) -> Claim:
    """Decide whether a convex loss on the same images is accelerated where the network is not."""
    bound = margin("points-to-batches-b", "speed_up")
    cases = {key: found(table, *key) for key in product(("head", "network"), UNITS)}
    above = {key: _above(case, bound) for key, case in cases.items()}
    words = {key: faster(table, *key) for key in cases}
    expected = faster(table, "head", "batches", "predicted")
    note = (
        f"A gain counts beyond {bound - 1:.0%}. By batches the constants predict {expected}, and "
        f"the network trains {words['network', 'batches']}. By points the convex head trains "
        f"{words['head', 'points']} and the network {words['network', 'points']}. The networks "
        f"are the runs of page 09 with all images, and of page 10 with a tenth of them; in these "
        f"fewer epochs are left before the rate falls than the rule asks for, so that all epochs "
        f"after the pruning count. Page 06 has the head with half kept, and with tuned steps."
    )
    speed = cases["network", "points"]
    if speed.low <= bound <= speed.high:
        logs = Estimate(*map(math.log, speed[:3]), speed.num_runs)
        settled = to_settle_in_words(logs, math.log(bound), speed.num_runs, images_cost)
        note += f" By points the network is open. {settled}"
    facts = {"cost": cost, "note": note, "source": "recorded"}
    return claim("points-to-batches-b", cases["head", "batches"], _points_verdict(above), **facts)


def _above(case: Estimate, bound: float) -> bool | None:
    below = case.below(bound)
    return None if below is None else not below


def _points_verdict(above: Mapping[tuple[str, str], bool | None]) -> str:
    """Apply the rule; where an interval holds the bound, nothing is said of its side."""
    batches, points = ((above["head", unit], above["network", unit]) for unit in UNITS)
    if batches == (True, False):
        return "holds"
    if batches[0] is False and points == (True, False):
        return "holds-in-part"
    alike = points[0] is not None and points[0] == points[1]
    return "does-not-hold" if batches[0] is False and alike else "inconclusive"
