"""Numbers and claims as a reader sees them."""

import math

import pandas as pd
import pytest

from liprune_utils.book.formats import badge, claims_html, estimated, measured, number
from liprune_utils.book.register import UNDECIDED
from liprune_utils.intervals import Estimate

ROW = {
    "quote": 'E||w|| <= eps & "<b>so on</b>"', "place": "Section 2 <a>", "estimate": -0.012345,
    "low": -0.02, "high": 1234.5, "num_runs": 10000.0, "verdict": "does-not-hold",
    "note": "a < b", "page": "04_linear_model",
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


def test_measured_value_has_its_interval_and_runs():
    assert measured(claims({}).iloc[0]) == "−0.0123 [−0.02, 1,230], n\u00a0=\u00a010,000"
    nothing = dict.fromkeys(("estimate", "low", "high", "num_runs"), math.nan)
    assert measured(claims(nothing).iloc[0]) == "–"


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


def test_an_estimate_is_written_with_its_interval_and_number():
    words = estimated(Estimate(-0.51234, -0.6, 1.0, 12_000), "runs")
    assert words == "−0.512 [−0.6, 1], n = 12,000 runs"
