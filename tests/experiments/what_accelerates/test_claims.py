"""The claims of page 05 follow the register's rules."""

import numpy as np
import pandas as pd
import pytest

from experiments.what_accelerates.claims import (
    answer,
    batch_claim,
    batch_table,
    excess_pairs,
    growth,
    interval,
    mechanism_claim,
    rate_claim,
)
from experiments.what_accelerates.runs import run_experiment
from experiments.what_accelerates.tables import best_table, limit_table, mechanism_table
from liprune_utils.book.register import load_register


@pytest.fixture(scope="module")
def experiment():
    return run_experiment(num_runs=400, seed=2, slope=1.0)


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


def test_growth_is_the_ratio_of_ratios():
    generator = np.random.default_rng(0)
    first, second = generator.uniform(1, 2, (2, 2, 50))
    found = growth(first, second)
    expected = second[0].mean() / second[1].mean() / (first[0].mean() / first[1].mean())
    assert found.value == pytest.approx(expected)
    same = growth(first, 3 * first)
    np.testing.assert_allclose(same[:3], 1)
    resampled = generator.integers(50, size=(4000, 50))
    a, b, c, d = (term[resampled].mean(axis=1) for term in (*second, *first))
    spread = np.std((a / b) / (c / d))  # bootstrap
    assert (found.high - found.low) / 2 / 2.68 == pytest.approx(spread, rel=0.1)


def test_expected_excess_is_what_the_simulation_finds(experiment):
    for pruned, size in (("points", 1), ("points", 100), ("batches", 10)):
        pairs = excess_pairs(experiment, size, 0.3, pruned)
        difference = np.subtract(*pairs)
        z = difference.mean(axis=1) / (difference.std(axis=1, ddof=1) / 20)
        assert np.abs(z).max() < 5


def test_batch_table_grows_for_batches_alone(experiment):
    table = batch_table(experiment).set_index(["pruned", "keep_fraction", "batch_size"])
    assert len(table) == 32
    at = table.expected
    assert table.growth["points", 0.1, 10] == pytest.approx(
        at["points", 0.1, 10] / at["points", 0.1, 1]
    )
    assert (table.growth["batches"].dropna() > 1.05).all()
    assert (table.growth["points"].dropna() < 1.05).all()
    assert table.multiplier["batches", 0.1, 100] < table.multiplier["points", 0.1, 100]


def test_all_claims_of_the_page_are_decided(experiment):
    tables = mechanism_table(experiment), limit_table(experiment), batch_table(experiment)
    rules = mechanism_claim, rate_claim, batch_claim
    claims = [rule(table, cost=1) for rule, table in zip(rules, tables, strict=True)]
    page = {k for k, entry in load_register().items() if entry["page"] == "05_what_accelerates"}
    assert {claim.id for claim in claims} == page
    assert [claim.verdict for claim in claims[1:]] == ["holds-in-part", "holds-in-part"]
    text = answer(tables[0], best_table(experiment), *tables[1:])
    assert "n = 400 paired runs" in text
    row = tables[0].set_index(["keep_fraction", "method"]).loc[0.1, "unbiased"]
    assert interval(row) in text
