"""The book's answer: four sentences and a tally, whichever way the verdicts fall."""

import re
from itertools import product

import pandas as pd
import pytest

from experiments.verdict.answers import (
    ANSWERS,
    MAIN_CLAIMS,
    answer,
    main_claims,
    tally,
    tuned_words,
)
from liprune_utils.book.formats import words
from liprune_utils.book.register import VERDICTS, load_register, verdict_table
from liprune_utils.files import PROJECT, write_table

TABLE = verdict_table(PROJECT / "nowhere")  # all claims, none decided


def decided(**verdicts: str) -> pd.DataFrame:
    """The register's claims with some verdicts."""
    found = TABLE.id.map({name.replace("_", "-"): verdict for name, verdict in verdicts.items()})
    return TABLE.assign(verdict=found.fillna("not-evaluated"))


def test_there_are_sentences_for_claims_that_matter():
    assert set(ANSWERS) < set(MAIN_CLAIMS) < set(load_register())


@pytest.mark.parametrize(("claim", "verdict"), list(product(ANSWERS, VERDICTS)))
def test_the_answer_has_four_sentences_whatever_the_verdicts(claim, verdict):
    text = answer(decided(**{claim.replace("-", "_"): verdict}))
    assert len(re.findall(r"\.( [A-Z]|$)", text)) == 4
    assert text.endswith(".")


def test_the_answer_changes_with_a_verdict():
    verdicts = ("holds", "does-not-hold", "inconclusive")
    successors = {e["supersedes"]: name for name, e in load_register().items() if "supersedes" in e}
    for claim in ANSWERS:
        latest = successors.get(claim, claim).replace("-", "_")
        texts = {answer(decided(**{latest: verdict})) for verdict in verdicts}
        assert len(texts) == 3


def test_a_successor_counts_even_where_only_the_first_rule_is_decided():
    first = decided(cifar_no_acceleration="holds")
    both = decided(cifar_no_acceleration="inconclusive", cifar_no_acceleration_b="holds")
    for table in (first, both):
        assert "cifar-no-acceleration-b" in set(main_claims(table).id)
        assert list(main_claims(table).claim) == list(MAIN_CLAIMS)
    assert "CIFAR-10, no:" not in answer(first)
    assert "CIFAR-10, no:" in answer(both)


def test_the_tally_counts_each_claim_once():
    first = [entry for entry in load_register().values() if "supersedes" not in entry]
    own = sum(entry["place"] == "this book" for entry in first)
    total = len(first) - own
    text = tally(decided(theorem_1="holds", theorem_2_proof="holds-with-correction"))
    assert text.startswith(
        f"**2 of the paper's {total} claims hold**, 1 of them after a correction"
    )
    assert f"{total - 2} are not evaluated" in text
    assert text.endswith(f"This book has {own} claims of its own: {own} not evaluated.")
    assert "Theory, 2 of 8" in text
    held = tally(decided(design_real="holds"))
    assert held.endswith(f"claims of its own: 1 holds, {own - 1} not evaluated.")
    assert "not evaluated" not in tally(TABLE.assign(verdict="inconclusive"))


def test_a_verdict_has_one_word():
    assert not any("open" in words(verdict) for verdict in VERDICTS)


def test_the_lead_at_best_rates_is_read_from_the_page_on_longer_steps(tmp_path):
    columns = ["step", "keep_fraction", "rival", "ratio", "low", "high", "num_runs"]
    rows = [
        (10, 0.1, "random", 0.4, 0.3, 0.5, 99),
        (30, 0.1, "random", 0.9, 0.8, 1.0, 99),
        (10, 0.1, "none", 0.7, 0.6, 0.8, 99),
        (10, 0.3, "random", 0.8, 0.7, 0.9, 99),
    ]
    (tmp_path / "05_what_accelerates").mkdir()
    write_table(tmp_path / "05_what_accelerates", "best", pd.DataFrame(rows, columns=columns))
    assert "is 60% lower (99% interval 50 to 70%) than that of random" in tuned_words(tmp_path)
