"""The table of claims: a row each, all that stands behind it, and controls that name its values."""

import re

import pandas as pd
import pytest

from liprune_utils.book.register import UNDECIDED, load_register
from liprune_utils.book.verdicts import ORDERS, deciding_functions, summary_html, verdict_html
from liprune_utils.files import PROJECT

ROW = {
    "id": "some-claim", "quote": "a <b> claim", "place": "Section 2", "page": "04_linear_model",
    "statistic": "share < 1", "holds": "above 0", "estimate": 0.5, "low": 0.25, "high": 0.75,
    "num_runs": 9.0, "cost": 120.0, "source": "executed", "verdict": "holds", "note": "x < y",
}  # fmt: skip
OTHER = ROW | {"id": "other", "page": "09_cifar10", "verdict": "inconclusive", "source": "recorded"}
TABLE = pd.DataFrame([ROW, OTHER])


@pytest.fixture
def page() -> str:
    functions = {"some-claim": "liprune_utils.intervals.mean_interval"}
    return verdict_html(TABLE, {"09_cifar10": "CIFAR-10"}, functions, {"some-claim": [3, 4]})


def test_a_row_opens_to_rule_cost_data_code_and_errata(page):
    row = re.search(r'<tr id="claim-some-claim".*?</tr>', page, flags=re.S).group()
    for words in (
        "share &lt; 1. Holds: above 0.", "2 min, computed when the book was built", "generated",
        'href="../book/experiments.html#liprune_utils.intervals.mean_interval"',
        'href="../book/errata.html#erratum-3">3</a>', "x &lt; y", 'href="04_linear_model.html"',
    ):  # fmt: skip
        assert words in row
    other = re.search(r'<tr id="claim-other".*?</tr>', page, flags=re.S).group()
    assert "recorded, with provenance" in other
    assert "CIFAR-10;" in other
    assert "Code" not in other
    assert "Errata" not in other


def test_rows_carry_what_the_controls_choose(page):
    assert 'data-verdict="holds" data-page="04_linear_model" data-cost="120"' in page
    for value in ("", "holds", "inconclusive", "04_linear_model", "09_cifar10", *ORDERS):
        assert f'<option value="{value}">' in page
    assert "all (2)" in page
    assert re.search(r'<form class="claim-controls" hidden>', page)


def test_an_undecided_claim_has_no_cost():
    row = ROW | dict.fromkeys(("estimate", "low", "high", "num_runs", "cost", "source"))
    table = pd.DataFrame([row | {"verdict": "not-evaluated", "note": UNDECIDED}])
    page = verdict_html(table, {}, {}, {})
    assert "Cost" not in page
    assert 'data-cost="0"' in page


def test_a_rule_and_its_successor_lead_to_each_other():
    rule = {"why": "it asked > 1 thing", "margin": "speed up 1.1", "level": 0.9, "control": "seen"}
    table = pd.DataFrame([
        ROW | {"superseded_by": "some-claim-b"},
        ROW | rule | {"id": "some-claim-b", "supersedes": "some-claim"},
    ])  # fmt: skip
    old, new = re.findall(
        r'<tr id="claim-some-claim.*?</tr>', verdict_html(table, {}, {}, {}), re.S
    )
    assert '<dt>Replaced by</dt><dd><a href="#claim-some-claim-b">some-claim-b</a></dd>' in old
    assert "Margin" not in old
    for words in (
        '<a href="#claim-some-claim">some-claim</a>, since it asked &gt; 1 thing',
        "<dt>Margin</dt><dd>speed up 1.1</dd>", "<dt>Intervals</dt><dd>90%</dd>", "<dd>seen</dd>",
    ):  # fmt: skip
        assert words in new


def test_successors_say_whom_they_replace_and_why():
    register = load_register()
    for name, entry in register.items():
        if "supersedes" in entry:
            assert register[entry["supersedes"]]["superseded_by"] == name
            assert entry["why"]
            assert 0 < entry["level"] < 1
    pairs = [entry for entry in register.values() if "superseded_by" in entry]
    assert all(register[entry["superseded_by"]]["supersedes"] == entry["id"] for entry in pairs)
    assert len(pairs) == 10


def test_a_summary_leads_to_the_rows():
    page = summary_html(TABLE)
    assert page.count("<tr>") == 1 + 2
    assert (
        'href="../notebooks/14_verdict.html#claim-some-claim"><span class="verdict holds">' in page
    )
    assert "0.5 [0.25, 0.75], n\u00a0=\u00a09" in page
    assert "<b>" not in page


def test_every_claim_of_the_register_has_a_function_that_decides_it():
    functions = deciding_functions(PROJECT / "experiments")
    waiting = {name for name, entry in load_register().items() if "supersedes" in entry}
    assert set(load_register()) - waiting <= set(functions)
    assert functions["theorem-1"] == "experiments.importance_sampling.claims.theorem_claim"
