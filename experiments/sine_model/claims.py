"""The claims on the sine model, decided by the register's rules."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from experiments.linear_model.runs import Pruning
from experiments.sine_model.landscapes import WEIGHT
from experiments.sine_model.runs import NEAR, Paths, end_table, pair_table
from experiments.sine_model.tables import MANY_WELLS, PRUNED
from liprune_utils.book.formats import relative, words
from liprune_utils.book.register import Claim, claim, decide, decides, margin
from liprune_utils.intervals import Estimate

COMES_NEAR = 0.01  # our reading of "comes near w*": at least this share of the runs


@decides("sine-landscape")
def landscape_claim(population: pd.DataFrame, samples: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether the population has at least three wells that count."""
    count = int(population.wells[population.keep_fraction == 1].iloc[0])
    row = samples[samples.method == "none"].iloc[0]
    note = (
        f"The expected loss is not convex, but has {count} wells that count. Data sets of "
        f"{row.num_points:,.0f} points have {row.wells:.2f} on average (99% interval "
        f"{row.wells_low:.2f} to {row.wells_high:.2f}); what exceeds {count} is sampling noise."
    )
    verdict = decide([count >= MANY_WELLS], in_part=False)
    wells = Estimate(count, count, count, int(row.num_wells))
    return claim("sine-landscape", wells, verdict, cost=cost, note=note)


@decides("sine-pruned-landscape")
def pruned_claim(population: pd.DataFrame, samples: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether pruning with LiPrune makes the minimiser harder to identify.

    The paper's figure is on the asymptotic landscape, so that the population decides. If wells and
    rivals grow there, it remains whether the minimiser moves: if it stays, the claim holds in part.
    """
    rows = population.set_index("keep_fraction").loc[list(PRUNED)]
    grows = [bool((np.diff(rows[name]) > 0).all()) for name in ("wells", "rival_depth")]
    stays = bool((np.abs(rows.minimiser - WEIGHT) <= NEAR).all())
    verdict = decide(grows, in_part=False)
    if verdict == "holds" and stays:
        verdict = "holds-in-part"
    least = samples[samples.keep_fraction == min(PRUNED)].set_index("method")
    ours, theirs = least.loc["liprune"], least.loc["random"]
    note = (
        f"With LiPrune the expected loss has {', '.join(str(n) for n in rows.wells)} wells at r = "
        f"{', '.join(f'{r:g}' for r in PRUNED)}, the best rival is "
        f"{', '.join(f'{d:.2f}' for d in rows.rival_depth)} deep, and the "
        f"minimiser {'stays' if stays else 'moves'}. At r = {min(PRUNED):g} it stays close to "
        f"w* in {theirs.near:.1%} of the data sets of {ours.num_points:,.0f} points with random "
        "pruning."
    )
    near = Estimate.of(ours, "near")
    return claim("sine-pruned-landscape", near, verdict, cost=cost, note=note)


@decides("sine-no-advantage")
def advantage_claim(pruned: Mapping[Pruning, Paths], *, cost: float) -> Claim:
    """Decide whether LiPrune has no clear advantage in Figure 12."""
    setting = next(iter(pruned.values())).setting
    rates = setting.learning_rates[0], setting.learning_rates[-1]
    (verdict, worst, near), (other, worst_other, near_other) = (
        _advantage_at(pruned, rate) for rate in rates
    )
    note = (
        f"After {setting.steps[-1]} steps fewer than {near.near_high:.2%} of the runs of any "
        f"method are within {NEAR:g} of w* (upper end of the interval). The measured "
        f"difference is that at keep {worst.keep_fraction:g}. Without the half in the loss, "
        f"{near_other.near:.1%} are near ({near_other.method}, keep "
        f"{near_other.keep_fraction:g}), and LiPrune's loss is "
        f"{relative(Estimate.of(worst_other, 'ratio'))} than random pruning's; by the rule, the "
        f"claim then {words(other)}."
    )
    ratio = Estimate.of(worst, "ratio")
    return claim("sine-no-advantage", ratio, verdict, cost=cost, note=note)


def _advantage_at(
    pruned: Mapping[Pruning, Paths], learning_rate: float
) -> tuple[str, pd.Series, pd.Series]:
    """The register's verdict at one rate, at the last step; the worst ratio and largest share."""
    shares, pairs = (
        table[(table.learning_rate == learning_rate) & (table.step == table.step.max())]
        for table in (end_table(pruned), pair_table(pruned))
    )
    largest = margin("sine-no-advantage", "loss")
    answers = [
        Estimate.of(row, "ratio").within(1 - largest, 1 + largest) for row in pairs.itertuples()
    ]
    unseen = shares.near_high.max() < COMES_NEAR
    verdict = "inconclusive" if unseen else decide(answers, in_part=False)
    worst = pairs.loc[(pairs.ratio - 1).abs().idxmax()]
    return verdict, worst, shares.loc[shares.near.idxmax()]
