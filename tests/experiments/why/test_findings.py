"""The sentences of page 11 say what its tables say."""

from dataclasses import replace

import pandas as pd
import pytest
import why_tables as toy

from experiments.why.findings import (
    answer,
    closing_sentence,
    example_sentence,
    linear_sentence,
    loss_sentence,
    matched_sentence,
    remedy_sentence,
    shift_sentence,
    spread_sentence,
    verdict_words,
)
from experiments.why.tables import (
    example_table,
    loss_table,
    matched_noise,
    remedy_table,
    shift_table,
)
from liprune_utils.book.register import Claim
from liprune_utils.intervals import Estimate

CLAIM = Claim("asymptotic-loss", 0.5, 0.25, 0.75, 3, 1.0, "recorded", "holds", "")
SHIFTS, EXAMPLES = shift_table(toy.kept()), example_table(toy.example_curves())
REMEDY = remedy_table(toy.curves(), prune_epoch=5)


def test_the_answer_has_the_three_verdicts_and_the_outcome():
    claims = [replace(CLAIM, verdict=v) for v in ("holds-in-part", "inconclusive", "does-not-hold")]
    words = answer(*claims, EXAMPLES)
    assert "at the end holds in part: " in words
    assert "faster is inconclusive as" in words
    assert words.endswith("as batches do does not hold.")
    assert words.count("0.5 [0.25, 0.75]") == 3
    assert "worse by more than the margin" in words


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("holds", "holds"),
        ("not-evaluated", "is not evaluated"),
        ("inconclusive", "is inconclusive"),
    ],
)
def test_a_verdict_is_a_predicate(verdict, words):
    assert verdict_words(replace(CLAIM, verdict=verdict)) == words


def test_losses_in_words():
    words = loss_sentence(loss_table(toy.long_runs(0.5, -1.0)))
    assert "loss of 0.01 on its kept images and of 3 on all" in words
    assert "0.5 [" in words
    assert "\N{MINUS SIGN}1 [" in words
    assert "3 paired seeds" in words


def test_shifts_in_words():
    words = shift_sentence(SHIFTS)
    assert "is 2 (random batches), 2 (LiPrune's batches), 2 (examples) times that of all" in words
    assert "0.1 (examples) in total variation distance" in words


def test_the_linear_model_in_words():
    words = linear_sentence(toy.linear((0.2, 2.0, 3.0), (0.7, 0.8, 1.0)))
    assert "has 0.2 to 0.2 times the variance" in words
    assert "at most 0.2% of its lead" in words
    assert "In 1 of the 2 cases" in words
    assert "by up to 2 times" in words
    assert "at least 0.7 times" in words


def test_noise_at_the_pruning_in_words():
    words = matched_sentence(matched_noise(toy.dynamics(2.0)), SHIFTS)
    assert "2 [2, 2] for LiPrune's batches and 4 [4, 4] for examples" in words
    assert "0.9 for LiPrune's batches and 0.9 for examples" in words


def test_the_remedy_in_words():
    words = remedy_sentence(REMEDY, toy.kept())
    assert "For examples the rate is multiplied by 0.5 to 0.7" in words
    assert "changes by 2 [" in words
    assert "less random pruning's it is 4 [" in words


def test_spreads_in_words():
    races = pd.DataFrame({"ratio": [0.06, 0.7], "steps": [2.5, 1.2]}, index=[1, 28])
    rows = {"what": ["batches", "examples"], "spread": [0.17, 1.1], "batch_size": [28, 1]}
    words = spread_sentence(races, pd.DataFrame(rows), Estimate(-2.0, -3.0, -1.0, 3))
    assert "0.17 (batches): loss 0.7 times random pruning's, a step worth 1.2; " in words
    assert "1.10 (examples): loss 0.06 times random pruning's, a step worth 2.5." in words
    assert "by \N{MINUS SIGN}2 [\N{MINUS SIGN}3, \N{MINUS SIGN}1] points" in words


def test_examples_in_words():
    words = example_sentence(EXAMPLES, Estimate(-5.0, -6.0, -4.0, 3))
    assert "points with 0.2 kept and 2 [" in words
    assert "worse by more than the margin" in words
    assert words.endswith("is \N{MINUS SIGN}5 [\N{MINUS SIGN}6, \N{MINUS SIGN}4].")


def test_the_closing_weighs_what_was_found():
    faster, unclear = Estimate(0.7, 0.6, 0.8, 9), Estimate(1.0, 0.9, 1.1, 9)
    words = closing_sentence(EXAMPLES, [faster], REMEDY)
    assert "is not the reason" in words
    assert "accelerate no more" in words
    assert "neither faster" in words
    cured, ahead = REMEDY.copy(), EXAMPLES.copy()
    cured[["difference", "low", "high"]] -= 8
    ahead[["difference", "low", "high"]] -= 8
    words = closing_sentence(ahead, [faster, unclear], cured)
    assert "may be too small" in words
    assert "is not settled" in words
    assert "makes LiPrune's batches and examples faster" in words
