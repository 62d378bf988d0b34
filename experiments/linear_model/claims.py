"""The claims of page 04, decided by the register's rules."""

from experiments.linear_model.tables import Figures, gaps, initial_loss_ratios
from liprune_utils.book.formats import relative
from liprune_utils.book.register import Claim, claim, decide, decides, margin
from liprune_utils.intervals import Estimate, ratio_interval


@decides("figure-1-acceleration", "learning-rates")
def acceleration_claim(
    claim_id: str, differences: dict[str, Estimate], *, in_part: bool, cost: float
) -> Claim:
    """Decide whether LiPrune is ahead of random pruning in every comparison."""
    answers = [gap.below(0.0) for gap in differences.values()]
    worst = max(differences, key=lambda name: differences[name].value)
    note = (
        f"LiPrune is ahead in {answers.count(True)} and behind in {answers.count(False)} of "
        f"{len(answers)} comparisons; least favourable: {worst}."
    )
    verdict = decide(answers, in_part=in_part)
    return claim(claim_id, differences[worst], verdict, cost=cost, note=note)


@decides("figure-1-no-pruning")
def no_pruning_claim(figures: Figures, *, cost: float) -> Claim:
    """Decide whether "No pruning" is almost the same as random pruning (Figure 1, caption)."""
    unpruned = figures[1]["none", 1.0].excess_test_loss()
    ratios = {
        f"keep {fraction:g}, step {step}": ratio_interval(
            paths.excess_test_loss()[step], unpruned[step]
        )
        for (method, fraction), paths in figures[1].items()
        if method == "random"
        for step in (10, 30)
    }
    largest = margin("figure-1-no-pruning", "excess_loss")
    answers = [ratio.within(1 - largest, 1 + largest) for ratio in ratios.values()]
    worst = max(ratios, key=lambda name: abs(ratios[name].value - 1))
    note = (
        f"Within {largest:.0%} of no pruning in {answers.count(True)} of {len(answers)} "
        f"comparisons; farthest: {worst}."
    )
    verdict = decide(answers, in_part=True)
    return claim("figure-1-no-pruning", ratios[worst], verdict, cost=cost, note=note)


@decides("figure-1-initial-loss")
def initial_loss_claim(figures: Figures, *, cost: float) -> Claim:
    """Decide whether LiPrune's initial *test* loss, which the caption names, is large."""
    ratios = initial_loss_ratios(figures)
    kept = ratios["kept"]
    note = (
        "The test loss at step 0 does not depend on the points kept. The loss on the kept training "
        f"points does: with the fewest kept, LiPrune's is {relative(kept)} than random pruning's."
    )
    # The same number for both methods, without spread.
    above = ratios["test"].value > margin("figure-1-initial-loss", "ratio")
    verdict = decide([above], in_part=False)
    return claim("figure-1-initial-loss", ratios["test"], verdict, cost=cost, note=note)


def decide_claims(figures: Figures, *, cost: float) -> list[Claim]:
    """Decide the four claims of the page by the register's rules."""
    rates = gaps(figures, 5, (5, 10, 20, 30)) | gaps(figures, 6, (5, 10, 20, 30))
    first = gaps(figures, 1, (5, 10, 20))
    return [
        acceleration_claim("figure-1-acceleration", first, in_part=False, cost=cost),
        no_pruning_claim(figures, cost=cost),
        initial_loss_claim(figures, cost=cost),
        acceleration_claim("learning-rates", rates, in_part=True, cost=cost),
    ]
