"""The verdict of page 14: each claim with its rule, data, code, cost and errata, to be sifted."""

import ast
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from liprune_utils.book.formats import badge, duration, measured, quotation, words
from liprune_utils.book.parameters import Parameters
from liprune_utils.book.register import UNDECIDED, read_claims
from liprune_utils.checks import require
from liprune_utils.files import PROJECT

ORDERS = {
    "paper": "in the paper's order",
    "verdict": "by verdict",
    "cost": "by cost, highest first",
}
HEADINGS = ("The paper's words", "Measured", "Verdict", "Why")


@dataclass(frozen=True)
class VerdictParameters(Parameters):
    """Parameters of page 14."""

    records_dir: str  # folder with one folder of results for each page

    def check(self) -> None:
        """Check that there are results to judge: each claim once, and the curves of page 04."""
        super().check()
        folder, name = PROJECT / self.records_dir, self.records_dir
        ids = [outcome.id for outcome in read_claims(folder)]
        expected = "a folder that `make book` or a page's rerun has filled"
        require(bool(ids), "records_dir", name, expected)
        twice = [claim_id for claim_id in ids if ids.count(claim_id) > 1]
        once = f"each claim once, but there are two of {', '.join(sorted(set(twice)))}"
        require(not twice, "records_dir", name, once)
        drawn = (folder / "04_linear_model" / "curves.csv").is_file()
        require(drawn, "records_dir", name, "results of page 04 too, in 04_linear_model")


def load_errata(path: Path = PROJECT / "book" / "errata.md") -> dict[str, list[int]]:
    """Read which errata concern which claim: those whose row links to it.

    Args:
        path: The page of errata.

    Returns:
        For each claim that a row links to, the rows' numbers in order.
    """
    found: dict[str, list[int]] = {}
    for row in Path(path).read_text().split('<span id="erratum-')[1:]:
        for claim_id in re.findall(r"#claim-([\w-]+)", row):
            found.setdefault(claim_id, []).append(int(row.split('"')[0]))
    return found


def deciding_functions(experiments: Path) -> dict[str, str]:
    """Find the function that decides each claim: the one that writes its identifier.

    Args:
        experiments: Folder of the experiments, a package.

    Returns:
        For each text that stands in a public function, the function's full name.
    """
    found = {}
    for path in sorted(experiments.rglob("*.py")):
        module = ".".join(path.relative_to(experiments.parent).with_suffix("").parts)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                texts = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
                found |= dict.fromkeys(texts, f"{module}.{node.name}")
    return found


def summary_html(table: pd.DataFrame) -> str:
    """Write claims in short: the paper's words, what was measured, and a verdict that leads on.

    Args:
        table: Rows of `liprune_utils.book.register.verdict_table`.

    Returns:
        HTML whose links to page 14 work from any page of the book.
    """
    rows = []
    for _, row in table.iterrows():
        link = f'<a href="../notebooks/14_verdict.html#claim-{row.id}">{badge(row.verdict)}</a>'
        cells = (quotation(row), measured(row), link)
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return _table(HEADINGS[:3], rows, "dataframe claims")


def verdict_html(
    table: pd.DataFrame,
    sources: Mapping[str, str],
    functions: Mapping[str, str],
    errata: Mapping[str, Sequence[int]],
) -> str:
    """Write all claims as a table with controls that sift and sort it.

    The controls are hidden until ``book/_static/claims.js`` shows them: without JavaScript, and on
    paper, the whole table stands there.

    Args:
        table: Rows of `liprune_utils.book.register.verdict_table`.
        sources: For each page, what its data are.
        functions: For each claim, the full name of the function that decides it.
        errata: For each claim, the numbers of the errata that concern it.

    Returns:
        HTML whose links work from page 14; a row's id is "claim-" and the claim's identifier.
    """
    rows = []
    for _, row in table.iterrows():
        details = _details(row, sources.get(row.page, "generated"), functions.get(row.id), errata)
        page = f'<span class="place"><a href="{row.page}.html">page {row.page[:2]}</a></span>'
        why = html.escape(row.note) + details
        cells = (quotation(row) + page, measured(row), badge(row.verdict), why)
        cost = 0 if pd.isna(row.cost) else row.cost
        data = f'data-verdict="{row.verdict}" data-page="{row.page}" data-cost="{cost:g}"'
        inner = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f'<tr id="claim-{row.id}" {data}>{inner}</tr>')
    return _controls(table) + _table(HEADINGS, rows, "dataframe claims sifted")


def _table(headings: Sequence[str], rows: Sequence[str], classes: str) -> str:
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    body = "\n".join(rows)
    return f'<table class="{classes}"><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>'


def _details(
    row: pd.Series, source: str, function: str | None, errata: Mapping[str, Sequence[int]]
) -> str:
    how = {"executed": "computed when the book was built", "recorded": "recorded, with provenance"}
    facts = {"Rule": f"{html.escape(row.statistic)}. Holds: {html.escape(row.holds)}."} | _more(row)
    if row.note != UNDECIDED:
        facts["Cost"] = f"{duration(row.cost)}, {how[row.source]}"
    facts["Data"] = f'{html.escape(source)}; <a href="../book/tables.html">tables</a>'
    if function:
        facts["Code"] = f'<a href="../book/experiments.html#{function}"><code>{function}</code></a>'
    if numbers := errata.get(row.id):
        links = [f'<a href="../book/errata.html#erratum-{n}">{n}</a>' for n in numbers]
        facts["Errata"] = ", ".join(links)
    terms = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in facts.items())
    return f"<details><summary>Rule, data, code, cost</summary><dl>{terms}</dl></details>"


# What a rule has that not every rule has.
def _more(row: pd.Series) -> dict[str, str]:
    given = {name: row[name] for name in row.index if pd.notna(row[name])}
    named = [name for name in ("Margin", "Control") if name.lower() in given]
    facts = {name: html.escape(given[name.lower()]) for name in named}
    if "level" in given:
        facts["Intervals"] = f"{given['level']:.0%}"
    if "supersedes" in given:
        facts["Replaces"] = f"{_link(given['supersedes'])}, since {html.escape(given['why'])}"
    if "superseded_by" in given:
        facts["Replaced by"] = _link(given["superseded_by"])
    return facts


def _link(claim_id: str) -> str:
    return f'<a href="#claim-{claim_id}">{claim_id}</a>'


def _controls(table: pd.DataFrame) -> str:
    counts = table.verdict.value_counts()
    verdicts = {v: f"{words(v)} ({count})" for v, count in counts.items()}
    pages = {page: page for page in sorted(table.page.unique())}
    selects = {
        "verdict": ("Verdict", {"": f"all ({len(table)})"} | verdicts),
        "page": ("Page", {"": "all"} | pages),
        "order": ("Order", ORDERS),
    }
    inner = "".join(
        f'<label>{label} <select name="{name}">'
        + "".join(f'<option value="{value}">{text}</option>' for value, text in options.items())
        + "</select></label>"
        for name, (label, options) in selects.items()
    )
    return (
        f'<form class="claim-controls" hidden>{inner}<output aria-live="polite"></output></form>\n'
    )
