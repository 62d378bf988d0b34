"""The table of claims: a row each, all that stands behind it, and controls that name its values."""

import re

import pandas as pd
import pytest
from bs4 import BeautifulSoup

import experiments
from experiments.verdict.tables import (
    ORDERS,
    counts,
    current,
    summary_html,
    themes,
    verdict_html,
)
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
    "theme": "Theory", "measured": "It is {{ amount('%', scale=100) }} {{ over('runs') }}.",
    "superseded_by": None, "supersedes": None,
}  # fmt: skip
OTHER = ROW | {
    "id": "other", "page": "09_cifar10", "verdict": "inconclusive", "source": "recorded",
    "cost": 5400.0, "theme": "Networks", "data": "{images}, here",
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
    for text in ("1.5 h, recorded, with provenance", "CIFAR-10, here;"):
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
    carried = 'data-verdict="holds" data-theme="Theory" data-page="04_linear_model"'
    assert re.search(f'{carried}\\s+data-cost="120"', page)
    values = ("", "holds", "inconclusive", "Theory", "04_linear_model", "09_cifar10", *ORDERS)
    for value in values:
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


def test_a_theme_has_a_heading_and_a_successor_follows_its_rule():
    old, new = {"id": "old", "superseded_by": "new"}, {"id": "new", "supersedes": "old"}
    claims = [ROW | old, OTHER, ROW | {"id": "third"}, ROW | new]
    grouped = [(theme, list(table.id)) for theme, table in themes(pd.DataFrame(claims))]
    assert grouped == [("Theory", ["old", "new", "third"]), ("Networks", ["other"])]
    page = verdict_html(pd.DataFrame(claims), {}, {}, {})
    found = re.findall(r'<tr (?:id="claim-(\w+)"|class="theme" data-theme="(\w+)")', page)
    shown = [one or other for one, other in found]
    assert shown == ["Theory", "old", "new", "third", "Networks", "other"]
    for text in ('id="claim-old" class="replaced"', 'id="claim-new" class="successor"'):
        assert text in page
    assert page.count('class="tag">first rule, replaced<') == 1
    assert page.count('class="tag">new rule<') == 1


@pytest.mark.parametrize("verdict", ["not-evaluated", "inconclusive"])
def test_a_claim_counts_once_by_its_latest_rule(verdict):
    old = ROW | {"id": "old", "superseded_by": "new"}
    new = ROW | {"id": "new", "supersedes": "old", "verdict": verdict}
    table = pd.DataFrame([old, OTHER, new])
    assert set(current(table).id) == {"new", "other"}
    found = counts(table)
    assert list(found.index) in (["Theory", "Networks"], ["Networks", "Theory"])
    assert found.to_numpy().sum() == 2
    assert found.loc["Theory", verdict.replace("-", " ")] == 1


def test_a_summary_leads_to_the_rows():
    page = summary_html(pd.DataFrame([ROW, OTHER]))
    assert page.count("<tr>") == 1 + 2
    link = '<a href="../notebooks/14_verdict.html#claim-some-claim"><span class="verdict holds">'
    assert link in page
    assert "It is 50% (99% interval 25 to 75%, 9 runs)." in page
    assert "<b>" not in page


def test_each_claim_has_the_function_that_decides_it():
    functions, register = deciding_functions(experiments), load_register()
    assert set(functions) <= set(register)
    assert {claim.id for claim in read_claims(PROJECT / "build" / "results")} <= set(functions)
    without = [register[claim_id] for claim_id in set(register) - set(functions)]
    assert all("supersedes" in entry or "first_verdict" in entry for entry in without)
    assert functions["theorem-1"] == "experiments.importance_sampling.claims.theorem_claim"


def test_the_register_is_shown_whole():
    table = verdict_table(PROJECT / "nowhere")
    shown = rows(*table.to_dict("records"))
    assert len(shown) == len(load_register())


def test_recorded_claims_are_about_cifar10_whatever_images_the_build_has():
    table = verdict_table(PROJECT / "book" / "results")  # where no page has claims
    known = dict.fromkeys(table.page, "handwritten digits")
    shown = BeautifulSoup(verdict_html(table, known, {}, {}), "html.parser")
    data = {
        row["id"].removeprefix("claim-"): row.find("dt", string="Data").find_next("dd").text
        for row in shown.select("tr[id]")
    }
    assert {name for name, text in data.items() if "digits" in text} == {
        "hessian-tight", "cost-per-example",
    }  # fmt: skip
    recorded = [name for name in data if re.match("cifar|asymptotic|points-to", name)]
    assert all("CIFAR-10, recorded" in data[name] for name in recorded)
    assert data["theorem-1"].startswith("generated points;")
