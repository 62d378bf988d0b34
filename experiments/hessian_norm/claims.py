"""The claims on the Hessian norm, decided by the register's rules."""

import pandas as pd

from experiments.hessian_norm.tables import worst_ratios
from liprune_utils.book.register import Claim, claim, decides, margin
from liprune_utils.intervals import Estimate, mean_interval


@decides("hessian-tight")
def tight_claim(secants: pd.DataFrame, *, cost: float) -> Claim:
    """Decide "the constant is tight": the register's two limits, network by network."""
    cases, tolerance = worst_ratios(secants), margin("hessian-tight", "ratio")
    holds = (cases.highest <= 1 + tolerance) & ((cases.along_top - 1).abs() <= tolerance)
    smooth = cases.activation != "relu"
    if holds.all():
        verdict = "holds"
    else:
        verdict = "holds-in-part" if holds[smooth].all() else "does-not-hold"
    worst = Estimate(cases.highest.max(), cases.highest.min(), cases.highest.max(), len(cases))
    note = (
        "Largest secant up to a distance of 0.001 in units of the Hessian norm; the interval spans "
        "the networks. With ReLU the gradient jumps, and the Hessian sees no jump."
    )
    return claim("hessian-tight", worst, verdict, cost=cost, note=note)


@decides("cost-per-example")
def cost_claim(costs: pd.DataFrame, *, is_cifar10: bool, cost: float) -> Claim:
    """Decide "this cannot be performed for each example": more than the paper's training?"""
    stages = [mean_interval(rows.gradients) for _, rows in costs.groupby("epochs")]
    worst = max(stages, key=lambda stage: stage.high)
    below = worst.below(margin("cost-per-example", "epochs"))
    verdict = {True: "does-not-hold", False: "holds", None: "inconclusive"}[below]
    if not is_cifar10:
        verdict = "not-evaluated"
    note = (
        "Cost of the norms of all examples to 1e-2, in epochs of training (a gradient an example), "
        "extrapolated from a sample; the paper trains for 164."
    )
    return claim("cost-per-example", worst, verdict, cost=cost, note=note)
