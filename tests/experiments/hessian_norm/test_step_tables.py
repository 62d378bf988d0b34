"""The study at the length of a step: its tables, its words and the rule of its claim."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from experiments.hessian_norm import claims, step_tables
from liprune_utils.book.register import load_register
from liprune_utils.intervals import Estimate, mean_interval

RATES, EPOCHS = (0.01, 0.1), (1, 5, 10)


def record(num_seeds: int = 3) -> pd.DataFrame:
    keys = product(range(num_seeds), RATES, EPOCHS, range(10))
    table = pd.DataFrame(keys, columns=["seed", "learning_rate", "epoch", "batch"])
    draw = np.random.default_rng(4)
    for name in ("eigenvalue", "secant_down", "secant_up", "secant_step"):
        table[name] = draw.uniform(1, 3, len(table))
    table["eigenvalue"] *= np.where(table.epoch == 1, -1, 1)
    return table.assign(length=table.learning_rate * table.epoch)


def test_a_network_is_reduced_to_ratios_and_an_overlap():
    table = record()
    cells = step_tables.by_seed(table)
    assert len(cells) == 18
    for row in cells.itertuples():
        chosen = (table.seed == row.seed) & (table.learning_rate == row.learning_rate)
        norms, totals, kept = [], [], []
        for batch in table[chosen & (table.epoch == row.epoch)].itertuples():
            norms.append(abs(batch.eigenvalue))
            totals.append(batch.secant_down / 2 + batch.secant_up / 2)
        assert row.eigenvector == pytest.approx(np.mean(np.array(totals) / norms))
        for scores in (norms, totals):
            kept.append({index for index in range(10) if sorted(scores)[-2] <= scores[index]})
        assert row.overlap == len(kept[0] & kept[1]) / 2
        assert row.length == row.learning_rate * row.epoch
    first = cells.iloc[0]
    rows = table[:10]
    for name in ("down", "up", "step"):
        assert first[name] == pytest.approx((rows[f"secant_{name}"] / -rows.eigenvalue).mean())
    assert set(cells.overlap) > {0}


def test_over_the_seeds_the_interval_is_students():
    cells = step_tables.by_seed(record())
    table = step_tables.over_seeds(cells, 0.9)
    assert table[["learning_rate", "epoch"]].to_numpy().tolist() == [
        *map(list, product(RATES, EPOCHS))
    ]
    for name in step_tables.MEASURES:
        row = table.iloc[4]
        own = cells[(cells.learning_rate == 0.1) & (cells.epoch == 5)][name].to_numpy()
        found = Estimate.of(row, name)
        np.testing.assert_allclose(found, mean_interval(own, 0.9))
    assert found.num_runs == 3


def summary(changed: dict[int, dict[str, tuple]]) -> pd.DataFrame:
    """All cases keep both limits but those changed: value, low and high."""
    rows = []
    for number, (rate, epoch) in enumerate(product(RATES, EPOCHS)):
        cell = dict.fromkeys(step_tables.MEASURES, (1.1, 1.05, 1.15)) | {"overlap": (0.95, 0.9, 1)}
        row = {"learning_rate": rate, "epoch": epoch, "length": 0.1, "num_runs": 6}
        for name, ends in (cell | changed.get(number, {})).items():
            row |= Estimate(*ends, 6).named_columns(name)
        rows.append(row)
    return pd.DataFrame(rows)


HIGH, LOW, OPEN = (1.4, 1.26, 1.5), (0.7, 0.6, 0.79), (1.2, 1.1, 1.3)
FEW, UNSURE = (0.7, 0.65, 0.75), (0.85, 0.75, 0.95)
EVERYWHERE = range(6)


@pytest.mark.parametrize(
    ("changed", "verdict", "worst"),
    [
        ({}, "holds", 1.1),
        ({2: {"overlap": (1, 1, 1)}}, "holds", 1.1),
        ({2: {"eigenvector": HIGH}}, "holds-in-part", 1.4),
        ({2: {"eigenvector": LOW}, 3: {"eigenvector": OPEN}}, "holds-in-part", 0.7),
        ({2: {"eigenvector": OPEN}}, "holds-in-part", 1.2),
        ({2: {"overlap": FEW}}, "holds-in-part", 1.1),
        ({n: {"eigenvector": HIGH} for n in EVERYWHERE}, "does-not-hold", 1.4),
        ({n: {"overlap": FEW} for n in EVERYWHERE}, "does-not-hold", 1.1),
        ({n: {"overlap": FEW, "eigenvector": OPEN} for n in EVERYWHERE}, "does-not-hold", 1.2),
        ({n: {"overlap": UNSURE} for n in EVERYWHERE}, "inconclusive", 1.1),
        ({n: {"eigenvector": OPEN} for n in EVERYWHERE}, "inconclusive", 1.2),
        ({n: {"eigenvector": OPEN if n else LOW} for n in EVERYWHERE}, "inconclusive", 0.7),
    ],
)
def test_step_rule(changed, verdict, worst):
    found = claims.step_claim(summary(changed), cost=2.34)
    assert (found.id, found.verdict, found.cost) == ("hessian-tight-b", verdict, 2.3)
    assert (found.source, found.num_runs) == ("recorded", 6)
    assert found.estimate == worst


def test_the_numbers_of_the_rule_are_those_of_the_register():
    rule = load_register()["hessian-tight-b"]["holds"]
    low, high = claims.TIGHT
    assert f"within {low} to {high}, and the overlap above {claims.LEAST_OVERLAP}," in rule


def test_the_note_says_where_and_how_often():
    changed = {2: {"eigenvector": HIGH}, 3: {"overlap": FEW}, 4: {"eigenvector": OPEN}}
    outcome = claims.step_claim(summary(changed), cost=1)
    assert "rate 0.01, start of epoch 10." in outcome.note
    assert (
        "kept in 3 of 6 cases, one is missed in 2; more seeds would decide the other 1."
        in outcome.note
    )
    assert "at least 70% of the kept" in outcome.note
    assert "eigenvector is 1.4 (95% interval 1.3 to 1.5, 6 seeds)" in claims.step_sentence(outcome)


def test_words_span_the_cases():
    words = step_tables.in_words(
        summary({2: {"eigenvector": HIGH}, 3: {"overlap": FEW}}), (0.8, 1.25)
    )
    assert "changes 1.1 to 1.4 times as fast" in words
    assert "in 5 of the cases the interval lies within 0.8 to 1.25" in words
    assert "keep 70 to 95% of the batches" in words
    assert "random choices share 20%" in words


@pytest.mark.parametrize(
    ("costs", "words"),
    [
        ([60.0, 61, 62], "cost more than pruned training"),
        ([20.0, 21, 22], "cost less than pruned training"),
        ([31.0, 33, 35], "cost neither surely more nor surely less than pruned training"),
    ],
)
def test_the_cost_is_set_against_pruned_training_too(costs, words):
    table = pd.DataFrame({"epochs": 0, "gradients": costs})
    note = claims.cost_claim(table, is_cifar10=True, cost=1).note
    assert "the paper trains for 164." in note
    assert "20% of the batches costs 33 such epochs" in note
    assert words in note
