"""The claims of page 04, decided by the register's rules."""

from experiments.linear_model.runs import Cell, Runs
from experiments.linear_model.tables import gaps, initial_loss_ratios
from liprune_utils.book.register import Claim, claim, decide
from liprune_utils.intervals import Estimate, ratio_interval

EXCESS_MARGIN = 0.05  # register: margin for an excess loss


INITIAL_MARGIN = 1.05  # register: figure-1-initial-loss


def acceleration_claim(
    claim_id: str, found: dict[str, Estimate], *, in_part: bool, cost: float
) -> Claim:
    """Decide whether LiPrune is ahead of random pruning everywhere (register: "negative for all").

    Args:
        claim_id: "figure-1-acceleration" or "learning-rates".
        found: Differences from `gaps`.
        in_part: Whether the rule knows "in-part".
        cost: Seconds of computing.

    Returns:
        The claim; it reports the least favourable difference.
    """
    answers = {where: gap.below(0.0) for where, gap in found.items()}
    worst = max(found, key=lambda where: found[where].value)
    ahead, behind = (sum(answer is sign for answer in answers.values()) for sign in (True, False))
    note = (
        f"LiPrune is ahead in {ahead} and behind in {behind} of {len(answers)} comparisons; "
        f"least favourable: {worst}."
    )
    verdict = decide(answers.values(), in_part=in_part)
    return claim(claim_id, found[worst], verdict, cost=cost, note=note)


def no_pruning_claim(runs: dict[Cell, Runs], *, cost: float) -> Claim:
    """Decide whether "No pruning" is almost the same as random pruning (Figure 1, caption).

    Args:
        runs: The simulated runs.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the ratio of excess test losses farthest from 1.
    """
    whole = runs[Cell(1, "none", 1.0)].excess_test_loss()
    ratios = {
        f"keep {cell.keep_fraction:g}, step {step}": ratio_interval(
            runs[cell].excess_test_loss()[step], whole[step]
        )
        for cell in runs
        if cell[:2] == (1, "random")
        for step in (10, 30)
    }
    near = {where: r.within(1 - EXCESS_MARGIN, 1 + EXCESS_MARGIN) for where, r in ratios.items()}
    worst = max(ratios, key=lambda where: abs(ratios[where].value - 1))
    note = (
        f"Within 5% of no pruning in {sum(a is True for a in near.values())} of {len(near)} "
        f"comparisons; farthest: {worst}."
    )
    verdict = decide(near.values(), in_part=True)
    return claim("figure-1-no-pruning", ratios[worst], verdict, cost=cost, note=note)


def initial_loss_claim(runs: dict[Cell, Runs], *, cost: float) -> Claim:
    """Decide whether LiPrune's initial *test* loss, which the caption names, is large.

    Args:
        runs: The simulated runs.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the ratio of the test losses.
    """
    ratios = initial_loss_ratios(runs)
    kept = ratios["kept"]
    note = (
        "The test loss at step 0 does not depend on the points kept; the loss on the kept training "
        f"points does: ratio {kept.value:.2f} [{kept.low:.2f}, {kept.high:.2f}], the fewest kept."
    )
    above = ratios["test"].value > INITIAL_MARGIN  # the same number for both methods, no spread
    verdict = decide([above], in_part=False)
    return claim("figure-1-initial-loss", ratios["test"], verdict, cost=cost, note=note)


def decide_claims(runs: dict[Cell, Runs], *, cost: float) -> list[Claim]:
    """Decide the four claims of the page by the register's rules.

    Args:
        runs: The simulated runs of the paper's figures.
        cost: Seconds of computing.

    Returns:
        The claims.
    """
    rates = gaps(runs, 5, (5, 10, 20, 30)) | gaps(runs, 6, (5, 10, 20, 30))
    first = gaps(runs, 1, (5, 10, 20))
    return [
        acceleration_claim("figure-1-acceleration", first, in_part=False, cost=cost),
        no_pruning_claim(runs, cost=cost),
        initial_loss_claim(runs, cost=cost),
        acceleration_claim("learning-rates", rates, in_part=True, cost=cost),
    ]
