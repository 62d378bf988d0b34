"""Numbers and tables as a reader sees them."""

import html

import numpy as np
import pandas as pd

from liprune_utils.intervals import Estimate


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
    text = f"{value:.{digits}g}"
    if "e+" in text and abs(value) < 1e6:  # thousands are read more easily than powers of ten
        text = f"{float(text):,.0f}"
    return text.replace("-", "\N{MINUS SIGN}")


def in_brackets(estimate: Estimate) -> str:
    """Write an estimate with its interval.

    Args:
        estimate: The estimate.

    Returns:
        Words such as "0.5 [0.4, 0.6]".

    Example:
        >>> in_brackets(Estimate(-0.4811, -0.883, -0.0791, 48))
        '−0.481 [−0.883, −0.0791]'
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
        verdict: One of ``liprune_utils.book.register.VERDICTS``.

    Returns:
        HTML.
    """
    return f'<span class="verdict {verdict}">{words(verdict)}</span>'


def measured(row: pd.Series) -> str:
    """Write an estimate with its interval and number of runs.

    Args:
        row: A row of `liprune_utils.book.register.verdict_table`.

    Returns:
        HTML.
    """
    if pd.isna(row.estimate):
        return "–"
    interval = f"[{number(row.low)}, {number(row.high)}]"
    return f"{number(row.estimate)} {interval}, n\u00a0=\u00a0{row.num_runs:,.0f}"


def quotation(row: pd.Series) -> str:
    """Write a claim in the paper's words, with their place.

    Args:
        row: A row of `liprune_utils.book.register.verdict_table`.

    Returns:
        HTML.
    """
    place = f'<span class="place">{html.escape(row.place)}</span>'
    return f"<q>{html.escape(row.quote)}</q> {place}"


def claims_html(table: pd.DataFrame) -> str:
    """Write claims as an HTML table that folds into cards on a phone.

    Args:
        table: Rows of `liprune_utils.book.register.verdict_table`.

    Returns:
        HTML.
    """
    rows = [row for _, row in table.iterrows()]
    cells = pd.DataFrame({
        "The paper's words": [quotation(row) for row in rows],
        "Measured": [measured(row) for row in rows],
        "Verdict": [badge(row.verdict) for row in rows],
        "Why": [html.escape(row.note) for row in rows],
    })  # fmt: skip
    with pd.option_context("display.max_colwidth", None):
        return cells.to_html(escape=False, index=False, border=0, classes="claims")


def words(verdict: str) -> str:
    """Write a verdict as words within a sentence.

    Args:
        verdict: One of ``liprune_utils.book.register.VERDICTS``.

    Returns:
        The words, such as "does not hold".
    """
    return verdict.replace("-", " ")


def duration(seconds: float) -> str:
    """Write a span of time in the unit that suits it.

    Args:
        seconds: At least 0.

    Returns:
        Words such as "0.4 s", "12 min" or "3.2 h".

    Example:
        >>> duration(90), duration(7300)
        ('1.5 min', '2 h')
    """
    size, unit = next(
        pair for pair in ((3600, "h"), (60, "min"), (0, "s")) if seconds >= 1.5 * pair[0]
    )
    value = seconds / max(size, 1)
    return f"{value:,.0f} {unit}" if value >= 10 else f"{number(value, 2)} {unit}"
