"""Numbers and claims as a reader sees them."""

from collections.abc import Iterable, Sequence

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from liprune_utils.intervals import Estimate

CLAIMS_COLUMNS = ("The paper's words", "Measured", "Verdict", "Why")
_TABLE = jinja2.Environment(autoescape=True).from_string(
    """\
<table class="dataframe claims">
<thead><tr>{% for name in columns %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for cells in rows -%}
<tr>{% for cell in cells %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor -%}
</tbody></table>"""
)


def number(value: float | None, digits: int = 3) -> str:
    """Write a number for a reader, or a dash where there is none."""
    if value is None or np.isnan(value):
        return "–"
    text = f"{value:.{digits}g}"
    if "e+" in text and abs(value) < 1e6:  # thousands are read more easily than powers of ten
        text = f"{float(text):,.0f}"
    return text.replace("-", "\N{MINUS SIGN}")


def in_brackets(estimate: Estimate) -> str:
    """Write an estimate with its interval."""
    value, low, high = map(number, estimate[:3])
    return f"{value} [{low}, {high}]"


def estimated(estimate: Estimate, unit: str) -> str:
    """Write an estimate with its interval and what it rests on."""
    return f"{in_brackets(estimate)}, n = {estimate.num_runs:,} {unit}"


def difference(
    estimate: Estimate,
    unit: str,
    *,
    level: float = 0.99,
    words: tuple[str, str] = ("lower", "higher"),
) -> str:
    """Write a difference in words, such as "0.48 points lower (90% interval 0.08 to 0.88)"."""
    digits = next(n for n in range(3, 10) if n == 9 or _differ(estimate.low, estimate.high, n))
    sizes = [number(abs(value), digits) for value in estimate[:3]]
    signs = [words[value > 0] for value in estimate[:3]]
    unit = unit if unit == "%" else f" {unit}"
    if estimate.low * estimate.high >= 0:
        small, large = sorted(sizes[1:], key=lambda size: float(size.replace(",", "")))
        span = f" {small} to {large}{unit}"
    else:
        span = f": {sizes[1]}{unit} {signs[1]} to {sizes[2]}{unit} {signs[2]}"
    return f"{sizes[0]}{unit} {signs[0]} ({level:.0%} interval{span})"


def _differ(low: float, high: float, digits: int) -> bool:
    return low == high or number(low, digits) != number(high, digits)


def relative(
    ratio: Estimate, *, level: float = 0.99, words: tuple[str, str] = ("lower", "higher")
) -> str:
    """Write a ratio as a change in per cent, such as "91% lower (99% interval 90.8 to 91.2%)"."""
    percent = Estimate(*(100 * (value - 1) for value in ratio[:3]), ratio.num_runs)
    return difference(percent, "%", level=level, words=words)


def words(verdict: str) -> str:
    """Write a verdict as words within a sentence."""
    return verdict.replace("-", " ")


def measured(claim: pd.Series) -> str:
    """Write the estimate of a claim with its interval and number of runs."""
    if pd.isna(claim.estimate):
        return "–"
    estimate = Estimate.of(claim, "estimate")
    return f"{in_brackets(estimate)}, n\u00a0=\u00a0{estimate.num_runs:,}"


def badge(verdict: str) -> Markup:
    """Write a verdict as a badge."""
    return Markup('<span class="verdict {}">{}</span>').format(verdict, words(verdict))


def quotation(claim: pd.Series) -> Markup:
    """Write a claim in the paper's words, with their place."""
    text = Markup('<q>{}</q> <span class="place">{}</span>')
    return text.format(claim.quote, claim.place)


def table_html(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write an HTML table that folds into cards on a phone."""
    return _TABLE.render(columns=columns, rows=rows)


def claims_html(table: pd.DataFrame) -> str:
    """Write claims as an HTML table."""
    claims = [claim for _, claim in table.iterrows()]
    rows = [(quotation(c), measured(c), badge(c.verdict), c.note) for c in claims]
    return table_html(CLAIMS_COLUMNS, rows)
