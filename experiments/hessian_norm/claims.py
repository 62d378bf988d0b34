"""The claims on the Hessian norm, decided by the register's rules."""

import math

import pandas as pd

from experiments.hessian_norm import step_tables
from liprune_utils.book import formats
from liprune_utils.book.register import Claim, claim, decides, load_register, margin
from liprune_utils.intervals import Estimate, mean_interval

TIGHT, LEAST_OVERLAP = (0.8, 1.25), 0.8  # of the rule of hessian-tight-b
PRUNED = 0.2  # of the batches, which the paper's cheapest training keeps


def step_level() -> float:
    """Return the level of the intervals at the length of a step."""
    return load_register()["hessian-tight-b"]["level"]


@decides("hessian-tight-b")
def step_claim(summary: pd.DataFrame, *, cost: float) -> Claim:
    """Decide "the constant is tight" at the length of a step, for each learning rate and epoch."""
    ratios, overlaps = (list(step_tables.estimates(summary, n)) for n in ("eigenvector", "overlap"))
    answers = [_is_tight(*cell) for cell in zip(ratios, overlaps, strict=True)]
    if all(answer is True for answer in answers):
        verdict = "holds"
    elif True in answers:
        verdict = "holds-in-part"
    else:
        verdict = "does-not-hold" if None not in answers else "inconclusive"
    place = max(range(len(ratios)), key=lambda cell: abs(math.log(ratios[cell].value)))
    worst, least = summary.iloc[place], summary.loc[summary.overlap.idxmin()]
    note = (
        f"Farthest from 1 at rate {worst.learning_rate:g}, start of epoch {worst.epoch:.0f}. Both "
        f"limits are kept in {answers.count(True)} of {len(answers)} cases, one is missed in "
        f"{answers.count(False)}; more seeds would decide the other {answers.count(None)}. The two "
        f"scores share at least "
        f"{formats.number(100 * least.overlap, 2)}% of the kept batches on average."
    )
    facts = {"cost": cost, "note": note, "source": "recorded"}
    return claim("hessian-tight-b", ratios[place], verdict, **facts)


def step_sentence(outcome: Claim) -> str:
    """Say what holds at the length of a step, and the case farthest from 1, for an answer."""
    cases = {
        "holds": "the norm is about right in all cases",
        "holds-in-part": "the norm is about right in some cases",
        "does-not-hold": "the norm is right in no case",
        "inconclusive": "the norm is surely right in no case",
    }[outcome.verdict]
    ends = (outcome.estimate, outcome.low, outcome.high)
    size, low, high = (formats.number(value, 2) for value in ends)
    return (
        f"Over a step of SGD {cases}; farthest from 1, the ratio along the top eigenvector is "
        f"{size} ({step_level():.0%} interval {low} to {high}, {outcome.num_runs} seeds)."
    )


def _is_tight(ratio: Estimate, overlap: Estimate) -> bool | None:
    """Tell whether a case keeps both limits; None where an interval holds one of them."""
    below = overlap.below(LEAST_OVERLAP)
    limits = ratio.within(*TIGHT), None if below is None else not below
    if False in limits:
        return False
    return None if None in limits else True


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
        f"extrapolated from a sample; the paper trains for {margin('cost-per-example', 'epochs')}. "
        + _against_pruned(worst)
    )
    return claim("cost-per-example", worst, verdict, cost=cost, note=note)


def pruned_epochs() -> float:
    """Count the full epochs that the paper's training costs where it keeps a fifth."""
    return PRUNED * margin("cost-per-example", "epochs")


def _against_pruned(cost: Estimate) -> str:
    """Compare the cost of the scores with that of the training that they would shorten."""
    below = cost.below(pruned_epochs())
    word = {
        True: "less than",
        False: "more than",
        None: "neither surely more nor surely less than",
    }[below]
    return (
        f"Training on {PRUNED:.0%} of the batches costs {formats.number(pruned_epochs(), 2)} such "
        f"epochs, so the scores alone cost {word} pruned training."
    )
