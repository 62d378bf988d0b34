"""The claims of page 12 on made-up cases: every verdict, and what the notes say."""

from itertools import product

import pandas as pd
import pytest

from experiments.what_to_keep import claims
from experiments.what_to_keep.races import KEEP_FRACTIONS, STEPS, WEIGHTED

LOWER, HIGHER, OPEN, SAME = (0.5, 0.4, 0.6), (2.0, 1.5, 2.5), (1.1, 0.9, 1.3), (1.0, 1.0, 1.0)
WORDS = {LOWER: "lower", HIGHER: "higher", OPEN: "open", SAME: "same"}


def made(random=LOWER, liprune=LOWER, none=HIGHER, num_runs=200) -> pd.DataFrame:
    """Cases with the same outcomes throughout, and others that are no claim's."""
    cells = product(("noise 0.5", "logistic", "even signal"), (1, 10, 50), KEEP_FRACTIONS, STEPS)
    rows = []
    for labels, dim, fraction, step in cells:
        rivals = {"random": random, "liprune": liprune, "none": none}
        if labels == "even signal" or dim == 1:
            rivals = dict.fromkeys(rivals, HIGHER)
        for rival, (ratio, low, high) in rivals.items():
            facts = {"labels": labels, "dim": dim, "keep_fraction": fraction, "step": step}
            facts |= {"method": "A", "against": rival, "ratio": ratio, "low": low, "high": high}
            rows.append(facts | {"num_runs": num_runs, "outcome": WORDS[ratio, low, high]})
    return pd.DataFrame(rows)


def put(cases: pd.DataFrame, ends: tuple, **where: object) -> pd.DataFrame:
    """Change the outcome of the cases that meet all conditions."""
    chosen = pd.Series(True, index=cases.index)
    for name, value in where.items():
        chosen &= cases[name] == value
    cases.loc[chosen, ["ratio", "low", "high"]] = ends
    cases.loc[chosen, "outcome"] = WORDS[ends]
    return cases


DECIDE = {"noise 0.5": claims.least_squares_claim, "logistic": claims.logistic_claim}
BOTH = pytest.mark.parametrize("labels", DECIDE)
ONE = {"dim": 50, "keep_fraction": 0.3, "step": 30}


@BOTH
@pytest.mark.parametrize(
    ("cases", "verdict"),
    [
        (made(), "holds"),
        (put(made(), OPEN, against="liprune", **ONE), "holds-in-part"),
        (put(made(HIGHER, HIGHER), LOWER, **ONE), "holds-in-part"),
        (put(made(HIGHER, HIGHER), LOWER, against="random", **ONE), "inconclusive"),
        (made(random=LOWER, liprune=OPEN), "inconclusive"),
        (made(HIGHER, HIGHER), "does-not-hold"),
        (put(made(HIGHER, HIGHER), OPEN, against="random", **ONE), "inconclusive"),
        (made(OPEN, OPEN), "inconclusive"),
        (made(num_runs=199), "inconclusive"),
    ],
)
def test_the_verdict_follows_the_register(labels, cases, verdict):
    outcome = DECIDE[labels](cases, cost=2.34)
    assert outcome.verdict == verdict
    assert (outcome.cost, outcome.source) == (2.3, "executed")


@BOTH
def test_the_least_favourable_case_is_reported(labels):
    cases = made()
    worst = (cases.labels == labels) & (cases.dim == 10) & (cases.against == "random")
    cases.loc[cases.index[worst][3], ["ratio", "low", "high"]] = (0.8, 0.7, 0.9)
    outcome = DECIDE[labels](cases, cost=0)
    assert (outcome.estimate, outcome.low, outcome.high) == (0.8, 0.7, 0.9)
    assert outcome.num_runs == 200


def test_the_note_counts_and_says_where_no_pruning_is_beaten():
    cases = put(made(none=HIGHER), LOWER, against="none", labels="noise 0.5", **ONE)
    cases = put(cases, OPEN, against="liprune", dim=10, step=30)
    note = claims.least_squares_claim(cases, cost=0).note
    assert note == (
        "Of 12 cases (dimension, fraction kept, number of steps), the design's excess test loss is "
        "lower than with random pruning in 12, higher in 0, undecided in 0; "
        "lower than with LiPrune in 10, higher in 0, undecided in 2; "
        "lower than with no pruning in 1, higher in 11, undecided in 0. "
        "It beats no pruning at d = 50, keep 0.3, 30 steps: 50% lower (99% interval 40 to 60%)."
    )
    note = claims.least_squares_claim(made(none=OPEN), cost=0).note
    assert note.endswith("Nowhere does it beat no pruning.")


def test_the_note_tells_pilots_from_pruned_runs():
    cases = made()
    cases.loc[(cases.dim == 10) & (cases.keep_fraction == 0.1), "method"] = WEIGHTED
    for step in (30, 100):
        where = {"dim": 10, "keep_fraction": 0.1, "step": step, "labels": "logistic"}
        cases = put(cases, SAME, against="none", **where)
    cases = put(cases, OPEN, against="random", labels="logistic", **ONE)
    note = claims.logistic_claim(cases, cost=0).note
    assert "lower than with no pruning in 0, higher in 10, undecided in 0, the same in 2." in note
    assert (
        "In 3 cases the weighted design tuned better than the plain one; in 2 of these its pilot "
        "on all points was still running, and nothing was pruned yet. In the 10 other cases the "
        "design is ahead of both in 9."
    ) in note
