"""The table of claims: a row each, all that stands behind it, and controls that name its values."""

import re

import pandas as pd
import pytest

import experiments
from experiments.verdict.tables import ORDERS, summary_html, verdict_html
from liprune_utils.book.register import (
    UNDECIDED,
    deciding_functions,
    load_register,
    read_claims,
    verdict_table,
)
from liprune_utils.files import PROJECT

ROW = {
    "id": "some-claim", "quote": "a <b> claim", "place": "Section 2", "page": "04_linear_model",
    "statistic": "share < 1", "holds": "above 0", "estimate": 0.5, "low": 0.25, "high": 0.75,
    "num_runs": 9.0, "cost": 120.0, "source": "executed", "verdict": "holds", "note": "x < y",
}  # fmt: skip
OTHER = ROW | {
    "id": "other", "page": "09_cifar10", "verdict": "inconclusive", "source": "recorded",
    "cost": 5400.0,
}  # fmt: skip


def rows(*claims: dict[str, object]) -> list[str]:
    """The rows of the table of claims."""
    functions = {"some-claim": "experiments.linear_model.claims.some_claim"}
    errata = {"some-claim": [3, 4]}
    page = verdict_html(pd.DataFrame(claims), {"09_cifar10": "CIFAR-10"}, functions, errata)
    return re.findall(r"<tr id=.*?</tr>", page, re.DOTALL)


def test_a_row_opens_to_rule_cost_data_code_and_errata():
    one, other = rows(ROW, OTHER)
    for text in (
        '<tr id="claim-some-claim"', "share &lt; 1. Holds: above 0.", "x &lt; y", "generated",
        "2 min, computed when the book was built", 'href="04_linear_model.html"',
        "<code>some_claim</code> in <code>experiments/linear_model/claims.py</code>",
        'href="../book/errata.html#erratum-3">3</a>, ', "a &lt;b&gt; claim",
    ):  # fmt: skip
        assert text in one
    for text in ("1.5 h, recorded, with provenance", "CIFAR-10;"):
        assert text in other
    assert not re.search("Code|Errata|Margin|Replace", other)


@pytest.mark.parametrize(
    ("cost", "text"),
    [(0, "0 s"), (0.42, "0.42 s"), (89, "89 s"), (90, "1.5 min"), (1e3, "17 min"),
     (4e6, "1,111 h")],
)  # fmt: skip
def test_a_cost_has_a_unit_that_suits_it(cost, text):
    assert f"<dd>{text}, computed" in rows(ROW | {"cost": cost})[0]


def test_rows_carry_what_the_controls_choose():
    page = verdict_html(pd.DataFrame([ROW, OTHER]), {}, {}, {})
    assert re.search('data-verdict="holds" data-page="04_linear_model"\\s+data-cost="120"', page)
    for value in ("", "holds", "inconclusive", "04_linear_model", "09_cifar10", *ORDERS):
        assert f'<option value="{value}">' in page
    assert "all (2)" in page
    assert '<form class="claim-controls" hidden>' in page


def test_an_undecided_claim_has_no_cost():
    row = ROW | dict.fromkeys(("estimate", "low", "high", "num_runs", "cost", "source"))
    (page,) = rows(row | {"verdict": "not-evaluated", "note": UNDECIDED})
    assert "Cost" not in page
    assert 'data-cost="0"' in page


def test_a_rule_and_its_successor_lead_to_each_other():
    rule = {"why": "it asked > 1 thing", "margin": "speed up 1.1", "level": 0.9, "control": "seen"}
    old, new = rows(
        ROW | {"superseded_by": "some-claim-b"},
        ROW | rule | {"id": "some-claim-b", "supersedes": "some-claim"},
    )
    assert '<dt>Replaced by</dt><dd><a href="#claim-some-claim-b">some-claim-b</a></dd>' in old
    for text in (
        '<a href="#claim-some-claim">some-claim</a>, since it asked &gt; 1 thing',
        "<dt>Margin</dt><dd>speed up 1.1</dd>", "<dt>Intervals</dt><dd>90%</dd>", "<dd>seen</dd>",
    ):  # fmt: skip
        assert text in new


def test_a_summary_leads_to_the_rows():
    page = summary_html(pd.DataFrame([ROW, OTHER]))
    assert page.count("<tr>") == 1 + 2
    link = '<a href="../notebooks/14_verdict.html#claim-some-claim"><span class="verdict holds">'
    assert link in page
    assert "0.5 [0.25, 0.75], n\u00a0=\u00a09" in page
    assert "<b>" not in page


def test_each_claim_has_the_function_that_decides_it():
    functions, register = deciding_functions(experiments), load_register()
    assert set(functions) <= set(register)
    assert {claim.id for claim in read_claims(PROJECT / "build" / "results")} <= set(functions)
    undecided = set(register) - set(functions)
    assert all("supersedes" in register[claim_id] for claim_id in undecided)
    assert functions["theorem-1"] == "experiments.importance_sampling.claims.theorem_claim"


def test_the_register_is_shown_whole():
    table = verdict_table(PROJECT / "nowhere")
    shown = rows(*table.to_dict("records"))
    assert len(shown) == len(load_register())
