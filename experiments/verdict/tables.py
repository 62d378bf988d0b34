"""The verdict: each claim with its rule, data, code, cost and errata, in a table to filter."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import jinja2
import pandas as pd
from markupsafe import Markup
from pydantic import model_validator

from liprune_utils.book.formats import (
    CLAIMS_COLUMNS,
    measured,
    number,
    outcome,
    quotation,
    table_html,
    words,
)
from liprune_utils.book.parameters import Parameters
from liprune_utils.book.register import VERDICTS, read_claims
from liprune_utils.checks import require
from liprune_utils.files import PROJECT, in_project

ORDERS = {
    "": "by theme",
    "verdict": "by verdict",
    "cost": "by cost, highest first",
}
ORIGINS = {
    "executed": "computed when the book was built",
    "recorded": "recorded, with provenance",
    "frozen": "not computed any more: the last outcome of a rule that was replaced",
}
TEMPLATE = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
).get_template("claims.html")


class VerdictParameters(Parameters):
    """Parameters of page 14."""

    records_dir: str  # folder with one folder of results for each page

    @model_validator(mode="after")
    def _check(self) -> Self:
        folder, name = in_project(self.records_dir), self.records_dir
        ids = [claim.id for claim in read_claims(folder)]
        expected = "a folder that `make book` or a page's rerun has filled"
        require(bool(ids), "records_dir", name, expected)
        twice = [claim_id for claim_id in ids if ids.count(claim_id) > 1]
        once = f"each claim once, but there are two of {', '.join(sorted(set(twice)))}"
        require(not twice, "records_dir", name, once)
        drawn = (folder / "04_linear_model" / "curves.csv").is_file()
        require(drawn, "records_dir", name, "results of page 04 too, in 04_linear_model")
        return self


def load_errata() -> dict[str, list[int]]:
    """Read which errata concern which claim: those whose row links to it."""
    errata: dict[str, list[int]] = {}
    for row in (PROJECT / "book" / "errata.md").read_text().split('<span id="erratum-')[1:]:
        for claim_id in re.findall(r"#claim-([\w-]+)", row):
            errata.setdefault(claim_id, []).append(int(row.split('"')[0]))
    return errata


def current(table: pd.DataFrame) -> pd.DataFrame:
    """Keep of each claim the rule that has no successor."""
    return table[table.superseded_by.isna()]


def themes(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Group claims by theme in the register's order, each rule followed by its successor."""
    for theme, rows in table.groupby("theme", sort=False):
        place = rows.supersedes.fillna(rows.id)
        first = {claim_id: number for number, claim_id in enumerate(rows.id)}
        yield theme, rows.iloc[place.map(first).argsort(kind="stable")]


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """Count the claims by theme and verdict, each by its latest rule."""
    latest = current(table)
    found = pd.crosstab(latest.theme, latest.verdict)
    found = found.reindex(index=latest.theme.unique(), columns=VERDICTS, fill_value=0)
    return found.rename(columns=words).rename_axis(index=None, columns=None)


def summary_html(table: pd.DataFrame) -> str:
    """Write claims in short, each with a verdict that links to page 14."""
    link = Markup('<a href="../notebooks/14_verdict.html#claim-{}">{}</a>')
    rows = [
        (quotation(claim), measured(claim), link.format(claim.id, outcome(claim)))
        for _, claim in table.iterrows()
    ]
    return table_html(CLAIMS_COLUMNS[:3], rows)


def verdict_html(
    table: pd.DataFrame,
    sources: Mapping[str, str],
    functions: Mapping[str, str],
    errata: Mapping[str, Sequence[int]],
) -> str:
    """Write all claims as a table that ``book/_static/claims.js`` filters and sorts."""
    # The script shows the controls: without it, and on paper, the whole table is there.
    return TEMPLATE.render(
        columns=CLAIMS_COLUMNS,
        options=_options(table),
        themes={
            theme: [_shown(row) for _, row in rows.iterrows()] for theme, rows in themes(table)
        },
        origins=ORIGINS,
        sources=sources,
        functions={name: _place(function) for name, function in functions.items()},
        errata=errata,
    )


def _options(table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """List what a reader can choose: for each control its values, and how they are shown."""
    counts = table.verdict.value_counts()
    verdicts = {verdict: f"{words(verdict)} ({count})" for verdict, count in counts.items()}
    pages = {page: page[:2].lstrip("0") for page in sorted(table.page.unique())}
    return {
        "verdict": {"": f"all ({len(table)})"} | verdicts,
        "theme": {"": "all"} | {theme: theme for theme in table.theme.unique()},
        "page": {"": "all"} | pages,
        "order": ORDERS,
    }


def _shown(claim: pd.Series) -> dict[str, object]:
    """Take what a claim has, with its measurement and verdict as they are shown."""
    shown = {"quotation": quotation(claim), "measured": measured(claim), "outcome": outcome(claim)}
    shown |= {"duration": pd.notna(claim.cost) and _duration(claim.cost)}
    return claim.dropna().to_dict() | shown


def _place(function: str) -> tuple[str, str]:
    """Split the full name of a function into its file and its name."""
    module, _, name = function.rpartition(".")
    return f"{module.replace('.', '/')}.py", name


def _duration(seconds: float) -> str:
    """Write a span of time in the unit that suits it."""
    size, unit = next(
        pair for pair in ((3600, "h"), (60, "min"), (0, "s")) if seconds >= 1.5 * pair[0]
    )
    value = seconds / max(size, 1)
    return f"{value:,.0f} {unit}" if value >= 10 else f"{number(value, 2)} {unit}"
