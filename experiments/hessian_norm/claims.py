"""The claims on the Hessian norm, decided by the register's rules."""

import pandas as pd

from experiments.hessian_norm.tables import LEVEL, TOLERATED, TRAINING_EPOCHS, worst_ratios
from liprune_utils.book.register import Claim, claim
from liprune_utils.intervals import Estimate, mean_interval


def tight_claim(table: pd.DataFrame, *, cost: float) -> Claim:
    """Decide "the constant is tight": the register's two limits, network by network.

    Args:
        table: As in `worst_ratios`.
        cost: Seconds of computing.

    Returns:
        The claim; its estimate is the highest ratio of all, its interval spans the networks'.
    """
    cases = worst_ratios(table)
    holds = (cases.highest <= 1 + TOLERATED) & ((cases.along_top - 1).abs() <= TOLERATED)
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


def cost_claim(costs: pd.DataFrame, *, is_cifar10: bool, cost: float) -> Claim:
    """Decide "this cannot be performed for each example": more than 164 epochs of training?

    Args:
        costs: One row a chunk of examples: ``epochs``, of training before, and ``gradients``, the
            time of one score in units of the time of one example's share of a batch gradient.
        is_cifar10: Whether the images are CIFAR-10; a stand-in decides nothing.
        cost: Seconds of computing.

    Returns:
        The claim; its estimate is the dearest stage of training.
    """
    stages = [mean_interval(group.gradients, LEVEL) for _, group in costs.groupby("epochs")]
    worst = max(stages, key=lambda stage: stage.high)
    below = worst.below(TRAINING_EPOCHS)
    verdict = {True: "does-not-hold", False: "holds", None: "inconclusive"}[below]
    if not is_cifar10:
        verdict = "not-evaluated"
    note = (
        "Cost of the norms of all examples to 1e-2, in epochs of training (a gradient an example), "
        "extrapolated from a sample; the paper trains for 164."
    )
    return claim("cost-per-example", worst, verdict, cost=cost, note=note)
