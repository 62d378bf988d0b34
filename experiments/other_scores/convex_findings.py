"""What page 10 says of the contests on convex problems."""

import pandas as pd

from experiments.other_scores.convex import LINEAR, START
from experiments.other_scores.convex_tables import CASE, LABELS, SETTING, describe, won_outright
from liprune_utils.book.formats import estimated, words
from liprune_utils.book.register import Claim
from liprune_utils.intervals import Estimate


def convex_words(outcome: Claim, counts: pd.DataFrame, cases: pd.DataFrame) -> str:
    """Say how LiPrune does against other scores on convex problems.

    Args:
        outcome: From `experiments.other_scores.claims.outperforms_claim`.
        counts: From `experiments.other_scores.convex_tables.count_table`.
        cases: From `experiments.other_scores.convex_tables.case_table`.

    Returns:
        Sentences with the claim's verdict, its best cases and the whole count.
    """
    random = counts.against == "random"
    compared = counts[["ahead", "not ahead", "undecided"]].sum(axis=1)
    return (
        f"{words(outcome.verdict).capitalize()}, on convex problems: "
        f"{(counts.ahead > 0).sum()} of {len(counts)} rivals are beaten on some problem. LiPrune "
        f"is ahead of another score, at every step compared, in {counts.ahead[~random].sum()} of "
        f"{compared[~random].sum()} cases, and of random pruning in {counts.ahead[random].sum()} "
        f"of {compared[random].sum()}; of all rivals at once in {won_outright(cases)} of "
        f"{cases.groupby(SETTING).ngroups} settings."
    )


def best_words(best: pd.DataFrame) -> str:
    """List the best case of LiPrune against each rival.

    Args:
        best: From `experiments.other_scores.convex_tables.best_cases`.

    Returns:
        One line of text.
    """
    found = {
        describe(row): Estimate(row.ratio, row.low, row.high, row.num_runs)
        for row in best.itertuples()
    }
    return "; ".join(f"{case}: {estimated(ratio, 'runs')}" for case, ratio in found.items()) + "."


def shared_words(shared: pd.DataFrame) -> str:
    """Say how many of GraNd's points at the start are LiPrune's, the fewest kept.

    Args:
        shared: From `experiments.other_scores.convex_tables.shared_table`.

    Returns:
        A sentence.
    """
    fraction = shared.keep_fraction.min()
    rows = shared[(shared.against == "grand") & (shared.taken == START)]
    means = rows[rows.keep_fraction == fraction].groupby("problem", sort=False).shared.mean()
    listed = ", ".join(f"{share:.0%} on {name}" for name, share in means.items())
    return f"Of the {fraction:g} that GraNd keeps at the start, LiPrune keeps {listed}."


def linear_words(losses: pd.DataFrame, rate: str = "0.01") -> str:
    """Follow LiPrune against GraNd and EL2N at the start on the paper's linear model.

    Args:
        losses: From `experiments.other_scores.convex_tables.loss_table`.
        rate: The name of a rate; the default is that of the paper's Figure 1.

    Returns:
        A sentence, for the smallest fraction kept.
    """
    rows = losses[(losses.problem == LINEAR) & (losses.rate == rate) & (losses.taken == START)]
    rows = rows[rows.keep_fraction == losses.keep_fraction.min()]
    parts = []
    for name in ("grand", "el2n"):
        here = rows[rows.against == name]
        listed = ", ".join(f"{r.ratio:.2f} (step {r.step})" for r in here.itertuples())
        parts.append(f"to {LABELS[name]}'s is {listed}")
    return (
        f"At the rate {rate} with {rows.keep_fraction.iloc[0]:g} kept, the ratio of LiPrune's test "
        f"loss {', and '.join(parts)}."
    )


def random_words(losses: pd.DataFrame, cases: pd.DataFrame) -> str:
    """Count how often random pruning, too, ends below a score that LiPrune is ahead of.

    Args:
        losses: From `experiments.other_scores.convex_tables.loss_table`.
        cases: From `experiments.other_scores.convex_tables.case_table`.

    Returns:
        A sentence.
    """
    last = losses.groupby(CASE, sort=False).other_loss.last().reset_index()
    random = last[last.against == "random"].set_index(SETTING).other_loss.rename("random_loss")
    won = cases[(cases.outcome == "ahead") & (cases.against != "random")]
    won = won.merge(last, on=CASE).join(random, on=SETTING)
    return (
        f"In {(won.random_loss < won.other_loss).sum()} of the {len(won)} cases in which LiPrune "
        f"is ahead of another score, random pruning, too, ends with a lower test loss than that "
        f"score."
    )
