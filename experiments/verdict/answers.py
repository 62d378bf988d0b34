"""The book's answer in sentences, each chosen by the verdict of a claim."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from experiments.verdict.tables import counts, current
from liprune_utils.book.formats import OWN, relative
from liprune_utils.files import read_table
from liprune_utils.intervals import Estimate

MAIN_CLAIMS = (
    "figure-1-acceleration", "figure-1-mechanism", "cifar-no-acceleration", "stochastic-fraction",
    "points-to-batches",
)  # fmt: skip
ANSWERS: Mapping[str, Mapping[str, str]] = {
    "figure-1-acceleration": {
        "holds": "On the paper's linear model, yes: the test loss falls faster with LiPrune than "
        "with random pruning, whatever fraction of the points is kept.",
        "does-not-hold": "On the paper's linear model, not always: in some comparisons the test "
        "loss does not fall faster with LiPrune than with random pruning.",
        "inconclusive": "On the paper's linear model, the runs cannot tell whether the test loss "
        "falls faster with LiPrune than with random pruning.",
    },
    "figure-1-mechanism": {
        "holds": "The sampling that the theory describes explains at least half of the difference.",
        "does-not-hold": "The sampling that the theory describes explains almost none of the "
        "difference; page 5 traces it to longer steps, which the paper's contraction factor has.",
        "inconclusive": "How much of the difference the sampling that the theory describes "
        "explains is inconclusive.",
    },
    "cifar-no-acceleration": {
        "holds": "For ResNets on CIFAR-10, no: LiPrune is not faster than random pruning by more "
        "than a margin that was set beforehand.",
        "holds-in-part": "For ResNets on CIFAR-10, no gain is seen: at one of two scales LiPrune "
        "is not faster than random pruning by more than a margin that was set beforehand; at the "
        "other, a somewhat larger gain is not excluded.",
        "does-not-hold": "For ResNets on CIFAR-10, yes: LiPrune is faster than random pruning by "
        "more than a margin that was set beforehand.",
        "inconclusive": "For ResNets on CIFAR-10, the runs cannot tell whether LiPrune is faster "
        "than random pruning by more than a margin that was set beforehand.",
    },
    "points-to-batches": {
        "holds": "The paper explains this by the non-convexity of networks, and its explanation "
        "passes our test: a convex loss on the same images is trained faster by LiPrune.",
        "holds-in-part": "The paper explains this by the non-convexity of networks, and its "
        "explanation passes our test in part: a convex loss on the same images is trained faster "
        "where single images are pruned, but not where batches are.",
        "does-not-hold": "The paper conjectures that the non-convexity of networks is the reason, "
        "which does not pass our test: LiPrune does not train a convex loss on the same images "
        "faster by more than the margin, either.",
        "inconclusive": "The paper conjectures that the non-convexity of networks is the reason; "
        "our test of this with a convex loss on the same images is inconclusive.",
    },
}


def answer(table: pd.DataFrame) -> str:
    """Answer the book's question in four sentences, true whichever way the verdicts fall."""
    rows = main_claims(table).set_index("claim").loc[list(ANSWERS)]
    return " ".join(_sentence(row) for _, row in rows.iterrows())


def _sentence(claim: pd.Series) -> str:
    if claim.verdict == "not-evaluated":
        return f"The claim of {claim.place} is not evaluated yet."
    sentences = ANSWERS[claim.name]
    return sentences.get(claim.verdict, sentences["holds"])


def tuned_words(results: Path) -> str:
    """Say what is left of LiPrune's lead on the linear model where each method has its own rate."""
    best = read_table(results / "05_what_accelerates" / "best.csv")
    row = best.query("keep_fraction == 0.1 and rival == 'random' and step == 10").iloc[0]
    ratio = Estimate.of(row, "ratio")
    return (
        "With each method at its own best learning rate, LiPrune's excess test loss after ten "
        f"steps is {relative(ratio)} than that of random pruning, since points far from 0 "
        "say more about a slope."
    )


def main_claims(table: pd.DataFrame) -> pd.DataFrame:
    """Take the claims that matter most, each by its latest rule."""
    latest = current(table)
    named = latest.assign(claim=latest.supersedes.fillna(latest.id)).set_index("claim")
    return named.loc[list(MAIN_CLAIMS)].reset_index()


def tally(table: pd.DataFrame) -> str:
    """Say in Markdown how many of the paper's claims hold, on which topics; and of the book's."""
    own = table.place == OWN
    found, beyond = counts(table[~own]), counts(table[own]).sum()
    total, held = found.sum(), found["holds"] + found["holds with correction"]
    waiting = total["not evaluated"]
    missing = f"; {waiting} are not evaluated" if waiting else ""
    topics = "; ".join(
        f"{theme}, {held[theme]} of {size}" for theme, size in found.sum(axis=1).items()
    )
    listed = ", ".join(
        f"{count} {word if count == 1 else _plural(word)}"
        for word, count in beyond[beyond > 0].items()
    )
    return (
        f"**{held.sum()} of the paper's {total.sum()} claims hold**, "
        f"{total['holds with correction']} of them after a correction. Another "
        f"{total['holds in part']} hold in part, {total['does not hold']} do not hold, and "
        f"{total['inconclusive']} are inconclusive{missing}. "
        f"Claims that hold, by topic: {topics}. "
        f"This book has {beyond.sum()} claims of its own: {listed}."
    )


def _plural(verdict: str) -> str:
    return verdict.replace("does not", "do not").replace("holds", "hold")
