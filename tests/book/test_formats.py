"""Numbers and claims as a reader sees them."""

import math

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbconvert.filters import markdown2html

from liprune_utils.book.formats import (
    badge,
    claims_html,
    difference,
    literal,
    measured,
    number,
    outcome,
    relative,
    typeset,
)
from liprune_utils.book.register import UNDECIDED
from liprune_utils.intervals import Estimate

ROW = {
    "quote": 'E||w|| <= eps & "<b>so on</b>"', "place": "Section 2 <a>", "estimate": -0.012345,
    "low": -0.02, "high": 1234.5, "num_runs": 10000.0, "verdict": "does-not-hold",
    "note": "a < b", "page": "04_linear_model",
    "measured": "It is {{ difference('points') }} {{ over('runs') }}.",
}  # fmt: skip


def claims(*changes: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame([ROW | change for change in changes])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.123"),
        (-1.5, "−1.5"),
        (0.0, "0"),
        (123.456, "123"),
        (-0.0000123456, "−1.23e−05"),
        (1e6, "1e+06"),
        (-1234.5, "−1,230"),
        (999_999.0, "1,000,000"),
        (math.inf, "inf"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_number(value, text):
    assert number(value) == text


def test_number_has_as_many_digits_as_wanted():
    assert number(2 / 3, digits=5) == "0.66667"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((-0.4808, -0.8825, -0.0792), "0.48 points lower (90% interval 0.08 to 0.88 points)"),
        (
            (0.1, -0.2, 0.4),
            "0.10 points higher (90% interval 0.20 points lower to 0.40 points higher)",
        ),
        ((-2.5, -2.5, -2.5), "2.50 points lower"),
        (
            (0.29188, 0.29146, 0.29232),
            "0.2919 points higher (90% interval 0.2915 to 0.2923 points)",
        ),
        ((1234.5, 1200.2, 1300.7), "1,234 points higher (90% interval 1,200 to 1,301 points)"),
        ((3e-9, 1e-9, 5e-9), "3e−09 points higher (90% interval 1e−09 to 5e−09 points)"),
    ],
)
def test_a_difference_is_said_in_words(values, text):
    assert difference(Estimate(*values, 9), "points", level=0.9) == text


def test_what_rounds_to_nothing_has_no_side():
    nothing = Estimate(-0.0007, -0.48, 0.479, 5)
    expected = "0.00 points lower or higher (99% interval 0.48 points lower to 0.48 points higher)"
    assert difference(nothing, "points") == expected


def test_a_ratio_is_said_as_a_change_in_per_cent():
    words = ("slower", "faster")
    text = relative(Estimate(0.0897, 0.0881, 0.0914, 9))
    assert text == "91.0% lower (99% interval 90.9 to 91.2%)"
    text = relative(Estimate(1.1, 0.95, 1.25, 9), level=0.9, words=words)
    assert text == "10% faster (90% interval 5% slower to 25% faster)"


def filled(template: str, **changes: object) -> str:
    row = {"estimate": 0.5, "low": 0.25, "high": 0.75, "num_runs": 1200.0, "measured": template}
    return measured(pd.Series(row | changes))


def test_a_measurement_is_its_template_filled_in():
    assert filled("{{ amount('%', scale=100) }} {{ over('runs', of='mean of ') }}") == (
        "50% (99% interval 25 to 75%, mean of 1,200 runs)"
    )
    assert filled("{{ amount('times') }}{{ interval() }}", level=0.9) == (
        "0.50 times90% interval 0.25 to 0.75 times"
    )
    assert "95% interval" in filled("{{ difference() }} {{ over('runs') }}", measured_level=0.95)
    assert filled("{{ relative('fewer', 'more') }}") == "50% fewer"
    assert filled("{{ relative(log=true) }}", estimate=math.log(2)) == "100% higher"
    assert filled("{{ number(value) }} of {{ n }}, {{ count // 400 }}") == "0.5 of 1,200, 3"


def test_an_interval_without_spread_is_left_out():
    same = dict.fromkeys(("estimate", "low", "high"), 0.5)
    assert filled("{{ amount('%') }} {{ over('runs') }}", **same) == "0.500% (1,200 runs)"
    assert filled("{{ amount('%') }}{{ interval() }}", **same) == "0.500%"


def test_what_is_not_measured_is_a_dash():
    nothing = dict.fromkeys(("estimate", "low", "high", "num_runs"), math.nan)
    assert measured(claims(nothing).iloc[0]) == "–"


def test_a_formula_is_marked_for_mathjax_and_the_rest_escaped():
    text = typeset("if $a < b$, <i>then</i> $c$")
    mark = '<span class="math notranslate nohighlight">\\({}\\)</span>'
    first, second = mark.format("a &lt; b"), mark.format("c")
    assert text == f"if {first}, &lt;i&gt;then&lt;/i&gt; {second}"


def test_a_replaced_rule_and_its_successor_say_so():
    verdicts = [{}, {"superseded_by": "b"}, {"supersedes": "a"}]
    plain, old, new = (outcome(claim) for _, claim in claims(*verdicts).iterrows())
    assert plain == badge("does-not-hold")
    assert old == f'{plain} <span class="tag">first rule, replaced</span>'
    assert new == f'{plain} <span class="tag">new rule</span>'


def test_badge_says_its_verdict():
    assert badge("holds-in-part") == '<span class="verdict holds-in-part">holds in part</span>'


def test_words_of_others_are_escaped():
    page = claims_html(claims({}))
    assert "<q>E||w|| &lt;= eps &amp; &#34;&lt;b&gt;so on&lt;/b&gt;&#34;</q>" in page
    assert '<span class="place">Section 2 &lt;a&gt;</span>' in page
    assert "<td>a &lt; b</td>" in page
    assert "<b>" not in page
    assert "<a" not in page


def test_every_claim_has_a_row_and_nothing_is_cut():
    long = "word" * 100
    page = claims_html(claims({"note": long}, {"note": UNDECIDED}, {"quote": long}))
    assert page.count("<tr") == 1 + 3
    assert page.count(long) == 2
    assert 'class="dataframe claims"' in page


def test_a_claim_of_this_book_is_no_quotation():
    page = claims_html(claims({"place": "this book"}))
    assert "This book's claim" in page.replace("&#39;", "'")
    assert "<q>" not in page
    mixed = claims_html(claims({"place": "this book"}, {}))
    assert "The paper's words" in mixed.replace("&#39;", "'")
    assert mixed.count("<q>") == 1


@pytest.mark.parametrize("name", ["mine", "a_b_c*d*", "<=50K", "$5 to $10", "`x`\\[y](z)"])
def test_a_name_is_shown_as_it_is(name):
    shown = BeautifulSoup(markdown2html(f"*{literal(name)}*"), "html.parser")
    assert shown.em.text == shown.text.strip() == name
