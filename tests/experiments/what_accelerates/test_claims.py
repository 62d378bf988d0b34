"""The claims of page 05 follow the register's rules."""

import pandas as pd
import pytest

from experiments.what_accelerates.claims import (
    batch_claim,
    decide_claims,
    first_words,
    mechanism_claim,
    percentage,
    rate_claim,
)
from experiments.what_accelerates.runs import run_experiment
from experiments.what_accelerates.tables import all_tables
from liprune_utils.book.register import load_register
from liprune_utils.intervals import Estimate


def shares(*centres):
    rows = [
        {"keep_fraction": 0.1 * k, "method": method, "share": c, "low": c - 0.01, "high": c + 0.01}
        for k, c in enumerate(centres, 1)
        for method in ("unbiased", "matched")
    ]
    return pd.DataFrame(rows).assign(num_runs=9)


@pytest.mark.parametrize(
    ("centres", "verdict"),
    [
        ((0.02, 0.03), "does-not-hold"),
        ((0.6, 0.52), "holds"),
        ((0.045, 0.045), "inconclusive"),
        ((0.3, 0.2), "inconclusive"),  # the rule says nothing of the range between
        ((0.6, 0.02), "does-not-hold"),
    ],
)
def test_mechanism_needs_half_of_the_gap(centres, verdict):
    claim = mechanism_claim(shares(*centres), cost=1)
    assert (claim.verdict, claim.estimate) == (verdict, max(centres))


def limits(*centres):
    rows = [{"share": c, "low": c - 0.01, "high": min(c + 0.01, 1)} for c in centres]
    facts = {"batch_size": 10, "num_runs": 9, "crossing": [0.3, 0.1], "liprune": [0.1, 0.4]}
    return pd.DataFrame(rows).assign(**facts, random=0.2, keep_fraction=[0.15, 0.6])


@pytest.mark.parametrize(
    ("centres", "verdict"),
    [((0.3, 0.5), "holds-in-part"), ((1.01, 1.01), "holds"), ((0.995, 1.0), "inconclusive")],
)
def test_large_x_must_be_faster_at_every_rate(centres, verdict):
    claim = rate_claim(limits(*centres), cost=1)
    assert (claim.verdict, claim.estimate) == (verdict, min(centres))
    assert "below 0.100 (keep 0.6) to 0.300 (keep 0.15)" in claim.note
    assert "diverges from 0.100 (keep 0.15) or 0.400 (keep 0.6) on" in claim.note


def batches(points, pruned):
    rows = [
        {"pruned": what, "batch_size": size, "ratio": 0.1, "overlap": 0.1, "growth": value,
         "growth_low": value - 0.01, "growth_high": value + 0.01}
        for what, value in (("points", points), ("batches", pruned))
        for size in (1, 100)
    ]  # fmt: skip
    table = pd.DataFrame(rows).assign(keep_fraction=0.1, num_runs=9)
    return table.assign(growth=table.growth.where(table.batch_size > 1))


@pytest.mark.parametrize(
    ("points", "pruned", "verdict"),
    [
        (1.2, 1.5, "holds"),
        (1.02, 1.5, "holds-in-part"),
        (1.02, 1.02, "does-not-hold"),
        (1.05, 1.5, "inconclusive"),
        (0.8, 1.5, "holds-in-part"),
    ],
)
def test_ratio_must_grow_by_more_than_the_margin(points, pruned, verdict):
    claim = batch_claim(batches(points, pruned), cost=1)
    assert (claim.verdict, claim.estimate) == (verdict, points)


def test_all_claims_of_the_page_are_decided():
    experiment = run_experiment(num_runs=400, seed=2, slope=1.0)
    claims = decide_claims(all_tables(experiment), cost=1)
    page = {k for k, entry in load_register().items() if entry["page"] == "05_what_accelerates"}
    assert {claim.id for claim in claims} == page
    assert [claim.verdict for claim in claims[1:]] == ["holds-in-part", "holds-in-part"]


def test_answer_opens_with_what_closes_the_gap():
    small, half, large = (Estimate(c, c - 0.1, c + 0.1, 9) for c in (0.02, 0.5, 0.98))
    assert first_words(half, matched=large, unbiased=small) == "The longer step."
    assert first_words(half, matched=small, unbiased=large) == "The theory's sampling."
    assert first_words(half, matched=small, unbiased=small) == "Neither alone."
    assert first_words(half, matched=half, unbiased=small) == "These runs do not decide it."
    assert first_words(large, matched=large, unbiased=small) == "LiPrune is not ahead here."


def test_shares_are_percentages():
    assert percentage(Estimate(0.5, 0.25, 0.9912, 9)) == "50% (99% interval 25 to 99.1%)"
