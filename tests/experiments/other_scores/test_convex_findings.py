"""What page 10 says of the contests, on tables made by hand."""

import pandas as pd
import pytest

from experiments.other_scores import convex_findings
from experiments.other_scores.convex import LATER, LINEAR, NEVER, START
from liprune_utils.book.register import Claim


def outcome(verdict: str) -> Claim:
    return Claim("outperforms-existing", 0.9, 0.8, 0.95, 20, 1.0, "executed", verdict, "why")


def case_rows(outcomes: dict) -> pd.DataFrame:
    rows = [
        (problem, "rate", 0.1, *way, 10, 0.8, 0.7, 0.9, 20, 0.8, found)
        for problem, ways in outcomes.items() for way, found in ways.items()
    ]  # fmt: skip
    names = ["problem", "rate", "keep_fraction", "against", "taken", "step", "ratio", "low",
             "high", "num_runs", "last", "outcome"]  # fmt: skip
    return pd.DataFrame(rows, columns=names)


WAYS = {("random", NEVER): "undecided", ("grand", START): "ahead", ("el2n", LATER): "ahead"}


def test_convex_words_tell_the_verdict_and_the_whole_count():
    cases = case_rows({LINEAR: WAYS, "digits": dict.fromkeys(WAYS, "ahead")})
    counts = pd.DataFrame({
        "against": ["random", "grand", "el2n"], "taken": [NEVER, START, LATER],
        "ahead": [1, 2, 0], "not ahead": [0, 0, 2], "undecided": [1, 0, 0],
    })  # fmt: skip
    words = convex_findings.convex_words(outcome("holds-in-part"), counts, cases)
    assert words.startswith("Holds in part, on convex problems: 2 of 3 rivals are beaten")
    assert "in 2 of 4 cases, and of random pruning in 1 of 2" in words
    assert words.endswith("of all rivals at once in 1 of 2 settings.")


def test_best_words_list_each_case():
    words = convex_findings.best_words(case_rows({LINEAR: {("grand", START): "ahead"}}))
    assert words == f"GraNd {START}, {LINEAR}, keep 0.1: 0.8 [0.7, 0.9], n = 20 runs."


def test_shared_words_take_the_smallest_fraction_and_average_rates():
    rows = [(LINEAR, "a", 0.1, 0.9), (LINEAR, "b", 0.1, 0.7), ("digits", "a", 0.1, 1.0),
            ("digits", "a", 0.5, 0.3)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["problem", "rate", "keep_fraction", "shared"])
    table = table.assign(against="grand", taken=START)
    other = table.assign(taken=LATER, shared=0.0)
    words = convex_findings.shared_words(pd.concat([table, other]))
    expected = f"LiPrune keeps 80% on {LINEAR}, 100% on digits."
    assert words == f"Of the 0.1 that GraNd keeps at the start, {expected}"


def loss_rows(random: float = 1.0) -> pd.DataFrame:
    rows = [
        (LINEAR, rate, fraction, *way, step, ratio, random if way[0] == "random" else 2.0)
        for rate in ("0.01", "0.05") for fraction in (0.1, 0.5)
        for way in WAYS | {("el2n", START): ""}
        for step, ratio in ((5, 1.25 if rate == "0.01" else 9.0), (30, 0.5))
    ]  # fmt: skip
    names = ["problem", "rate", "keep_fraction", "against", "taken", "step", "ratio", "other_loss"]
    return pd.DataFrame(rows, columns=names)


def test_linear_words_follow_the_steps_at_the_papers_rate():
    words = convex_findings.linear_words(loss_rows())
    steps = "1.25 (step 5), 0.50 (step 30)"
    assert words.startswith("At the rate 0.01 with 0.1 kept, the ratio of LiPrune's test loss ")
    assert words.endswith(f"to GraNd's is {steps}, and to EL2N's is {steps}.")


@pytest.mark.parametrize(("random", "count"), [(1.0, 2), (3.0, 0)])
def test_random_words_count_where_random_too_is_better(random, count):
    cases = case_rows({LINEAR: WAYS}).assign(rate="0.01")
    words = convex_findings.random_words(loss_rows(random), cases)
    assert words.startswith(f"In {count} of the 2 cases in which LiPrune is ahead")
