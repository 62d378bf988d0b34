"""Numbers and tables as a reader sees them."""

import html
from collections.abc import Iterable

import numpy as np
import pandas as pd

from liprune_utils.stats import Estimate


def number(value: float | None, digits: int = 3) -> str:
    """Write a number for a reader, or a dash where there is none.

    Args:
        value: The number.
        digits: Significant digits.

    Returns:
        The text, with a true minus sign.
    """
    if value is None or np.isnan(value):
        return "–"
    return f"{value:.{digits}g}".replace("-", "\N{MINUS SIGN}")


def in_brackets(estimate: Estimate) -> str:
    """Write an estimate with its interval.

    Args:
        estimate: The estimate.

    Returns:
        Words such as "0.5 [0.4, 0.6]".
    """
    value, low, high = map(number, estimate[:3])
    return f"{value} [{low}, {high}]"


def estimated(estimate: Estimate, unit: str) -> str:
    """Write an estimate with its interval and what it rests on.

    Args:
        estimate: The estimate.
        unit: What is counted, such as "runs".

    Returns:
        Words such as "0.5 [0.4, 0.6], n = 20 runs".
    """
    return f"{in_brackets(estimate)}, n = {estimate.num_runs:,} {unit}"


def badge(verdict: str) -> str:
    """Write a verdict as a badge.

    Args:
        verdict: One of ``liprune_utils.records.VERDICTS``.

    Returns:
        HTML.
    """
    return f'<span class="verdict {verdict}">{words(verdict)}</span>'


def measured(row: pd.Series) -> str:
    """Write an estimate with its interval and number of runs.

    Args:
        row: A row of `liprune_utils.records.verdict_table`.

    Returns:
        HTML.
    """
    if pd.isna(row.estimate):
        return "–"
    interval = f"[{number(row.low)}, {number(row.high)}]"
    return f"{number(row.estimate)} {interval}, n = {row.num_runs:,.0f}"


def claims_html(table: pd.DataFrame, pages: Iterable[str]) -> str:
    """Write claims as an HTML table that folds into cards on a phone.

    Args:
        table: Rows of `liprune_utils.records.verdict_table`.
        pages: Names of the pages that this edition has, to link to; if empty, as on the page that
            decides the claims, no page is named.

    Returns:
        HTML, with links that work from any page of the book.
    """
    pages = set(pages)

    def link(page: str) -> str:
        return f'<a href="../notebooks/{page}.html">{page}</a>' if page in pages else page

    cells = pd.DataFrame({
        "The paper's words": [
            f'<q>{html.escape(quote)}</q> <span class="place">{html.escape(place)}</span>'
            for quote, place in zip(table["quote"], table.place, strict=True)
        ],
        "Measured": [measured(row) for _, row in table.iterrows()],
        "Verdict": [badge(verdict) for verdict in table.verdict],
        "Why": [html.escape(note) for note in table.note],
        **({"Page": [link(page) for page in table.page]} if pages else {}),
    })  # fmt: skip
    with pd.option_context("display.max_colwidth", None):
        return cells.to_html(escape=False, index=False, border=0, classes="claims")


def words(verdict: str) -> str:
    """Write a verdict as words within a sentence.

    Args:
        verdict: One of ``liprune_utils.records.VERDICTS``.

    Returns:
        The words, such as "does not hold".
    """
    return verdict.replace("-", " ")
