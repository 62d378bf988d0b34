"""Numbers and claims as a reader sees them."""

import math
import re
from collections.abc import Iterable, Sequence

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from liprune_utils.intervals import Estimate, runs_to_settle

OWN = "this book"  # the place of a claim that is not the paper's
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


def literal(text: str) -> str:
    """Write what a reader has named so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_$<>\[\]])", r"\\\1", text)


def difference(
    estimate: Estimate,
    unit: str = "",
    *,
    level: float = 0.99,
    words: tuple[str, str] = ("lower", "higher"),
) -> str:
    """Write a difference in words, such as "2.5 points lower (99% interval 1 to 4 points)"."""
    size, interval = _difference(estimate, unit, level, words)
    return f"{size} ({interval})" if interval else size


def to_settle(estimate: Estimate, bound: float, num_seeds: int) -> str:
    """Say how many seeds would leave the bound out of the interval, if the estimate stays."""
    needed = runs_to_settle(estimate, bound, num_seeds)
    return f"If the estimate stays, some {needed:,} seeds in place of {num_seeds} would decide."


def relative(
    ratio: Estimate, *, level: float = 0.99, words: tuple[str, str] = ("lower", "higher")
) -> str:
    """Write a ratio as a change in per cent, such as "91.0% lower (99% interval 90.8 to 91.2%)"."""
    return difference(_per_cent(ratio), "%", level=level, words=words)


def _difference(
    estimate: Estimate, unit: str, level: float, words: tuple[str, str]
) -> tuple[str, str]:
    """Write a difference and its interval, which is empty where the ends are the same."""
    size, *ends = _rounded([abs(value) for value in estimate[:3]], estimate)
    word, *sides = (words[int(value > 0)] for value in estimate[:3])
    word = word if size.strip("0.") else " or ".join(words)
    unit = _after_number(unit)
    if estimate.low == estimate.high:
        interval = ""
    elif estimate.low * estimate.high >= 0:
        near, far = ends if estimate.high > 0 else reversed(ends)
        interval = f"{level:.0%} interval {near} to {far}{unit}"
    else:
        low, high = (f"{end}{unit} {side}" for end, side in zip(ends, sides, strict=True))
        interval = f"{level:.0%} interval {low} to {high}"
    return f"{size}{unit} {word}", interval


def _per_cent(ratio: Estimate) -> Estimate:
    return Estimate(*(100 * (value - 1) for value in ratio[:3]), ratio.num_runs)


def _after_number(unit: str) -> str:
    return f" {unit}" if unit and unit != "%" else unit


def _rounded(values: Sequence[float], estimate: Estimate) -> list[str]:
    """Write an estimate and its ends with the same decimals, as many as tell the ends apart."""
    largest, width = max(map(abs, estimate[:3])), estimate.high - estimate.low
    decimals = 2 - _magnitude(largest)  # three digits of the largest
    if width:
        wanted = 1 - _magnitude(width)  # two digits of the width, or one at the cost of a fourth
        decimals = wanted if wanted < decimals else max(decimals, wanted - 1)
    if decimals > 6:
        return [number(value, 3 if width else 2) for value in values]
    return [f"{value:,.{max(decimals, 0)}f}".replace("-", "\N{MINUS SIGN}") for value in values]


def _magnitude(value: float) -> int:
    return math.floor(math.log10(value)) if value else 0


def words(verdict: str) -> str:
    """Write a verdict as words within a sentence."""
    return verdict.replace("-", " ")


class Measurement:
    """What the template of a claim's measurement (``measured`` in the register) can say."""

    def __init__(self, claim: pd.Series) -> None:
        """Read a claim's estimate, and the level of its interval."""
        self.estimate = Estimate.of(claim, "estimate")
        levels = (claim.get(name) for name in ("measured_level", "level"))
        self.level = next((level for level in levels if pd.notna(level)), 0.99)
        self._interval = ""

    def difference(self, unit: str = "", scale: float = 1) -> str:
        """Write a difference, such as "0.48 points lower"."""
        scaled = self._scaled(scale)
        size, self._interval = _difference(scaled, unit, self.level, ("lower", "higher"))
        return size

    def relative(self, less: str = "lower", more: str = "higher", *, log: bool = False) -> str:
        """Write a ratio, or its logarithm, as a change, such as "91.0% lower"."""
        ratio = self.estimate.exp() if log else self.estimate
        words = (less, more)
        size, self._interval = _difference(_per_cent(ratio), "%", self.level, words)
        return size

    def amount(self, unit: str, scale: float = 1) -> str:
        """Write what is no difference, such as "17.2%"."""
        scaled, unit = self._scaled(scale), _after_number(unit)
        size, low, high = _rounded(scaled[:3], scaled)
        spread = scaled.low != scaled.high
        self._interval = f"{self.level:.0%} interval {low} to {high}{unit}" if spread else ""
        return f"{size}{unit}"

    def interval(self) -> str:
        """Write the interval of what was written last; nothing where it has no spread."""
        return self._interval

    def over(self, what: str, of: str = "") -> str:
        """Write in brackets the interval of what was written last, and what n counts."""
        counted = f"{of}{self.estimate.num_runs:,} {what}"
        return f"({self._interval}, {counted})" if self._interval else f"({counted})"

    def _scaled(self, scale: float) -> Estimate:
        return Estimate(*(scale * value for value in self.estimate[:3]), self.estimate.num_runs)

    def sentence(self, template: str) -> str:
        """Fill in a template."""
        names = ("difference", "relative", "amount", "interval", "over")
        known = {name: getattr(self, name) for name in names} | {"number": number}
        value, low, high, count = self.estimate
        known |= {"value": value, "low": low, "high": high, "count": count, "n": f"{count:,}"}
        return jinja2.Template(template, undefined=jinja2.StrictUndefined).render(known)


def measured(claim: pd.Series) -> str:
    """Write the measurement of a claim as a sentence; a dash where there is none."""
    return "–" if pd.isna(claim.estimate) else Measurement(claim).sentence(claim.measured)


def typeset(text: str) -> Markup:
    r"""Mark formulae between dollars for MathJax, which reads :math:`\(...\)` in this class."""
    parts = re.split(r"\$([^$]+)\$", text)
    formula = Markup(r'<span class="math notranslate nohighlight">\({}\)</span>')
    shown = (formula.format(part) if odd % 2 else escape(part) for odd, part in enumerate(parts))
    return Markup("").join(shown)


def badge(verdict: str) -> Markup:
    """Write a verdict as a badge."""
    return Markup('<span class="verdict {}">{}</span>').format(verdict, words(verdict))


def quotation(claim: pd.Series) -> Markup:
    """Write a claim in the paper's words, or in this book's own, with their place."""
    words = Markup("{}" if claim.place == OWN else "<q>{}</q>").format(typeset(claim.quote))
    return Markup('{} <span class="place">{}</span>').format(words, claim.place)


def table_html(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write an HTML table that folds into cards on a phone."""
    return _TABLE.render(columns=columns, rows=rows)


def outcome(claim: pd.Series) -> Markup:
    """Write a claim's verdict, and whether its rule is replaced or replaces another."""
    replaced, replaces = (pd.notna(claim.get(name)) for name in ("superseded_by", "supersedes"))
    word = "first rule, replaced" if replaced else "new rule" if replaces else ""
    tag = Markup(' <span class="tag">{}</span>').format(word) if word else ""
    return badge(claim.verdict) + tag


def claims_html(table: pd.DataFrame) -> str:
    """Write claims as an HTML table."""
    claims = [claim for _, claim in table.iterrows()]
    rows = [(quotation(c), measured(c), outcome(c), c.note) for c in claims]
    first = "This book's claim" if {c.place for c in claims} == {OWN} else CLAIMS_COLUMNS[0]
    return table_html((first, *CLAIMS_COLUMNS[1:]), rows)
