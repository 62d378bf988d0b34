"""The proof of Theorem 2, checked line by line: a line's status is computed, never typed."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from markupsafe import Markup

from experiments.stochastic_pruning.proof.checks import OURS, Line
from experiments.stochastic_pruning.proof.count import COUNT_LINES, SIMPLER_LINES
from experiments.stochastic_pruning.proof.recursion import RECURSION_LINES
from experiments.stochastic_pruning.proof.sampling import SAMPLING_LINES
from experiments.stochastic_pruning.proof.step import STEP_LINES
from liprune_utils.book import formats

LINES = (*SAMPLING_LINES, *STEP_LINES, *RECURSION_LINES, *COUNT_LINES, *SIMPLER_LINES)
HOLDS, CORRECTED, FAILS = "holds", "holds after a correction", "fails as printed"


def _check_line(line: Line, number: int, seed: int) -> dict[str, object]:
    """Run a line's checks: one row of the table."""
    checks = line.check, line.corrected_check, line.without
    streams = np.random.default_rng([seed, number]).spawn(len(checks))
    broken, remaining, unassumed = (
        check and check(stream) for check, stream in zip(checks, streams, strict=True)
    )
    rescued = line.corrected_check is not None and remaining is None
    status = HOLDS if broken is None else CORRECTED if rescued else FAILS
    return {
        "number": number,
        "name": line.name,
        "place": line.place,
        "printed": line.printed,
        "question": line.question,
        "method": line.check.method,
        "status": status,
        "counterexample": broken or "",
        "corrected": line.corrected if status == CORRECTED else "",
        "given": line.given,
        "without": unassumed or "",
        "proof": line.proof,
    }


def check_lines(seed: int) -> pd.DataFrame:
    """Check all lines; texts are Markdown with LaTeX between dollars."""
    return pd.DataFrame([_check_line(line, number, seed) for number, line in enumerate(LINES, 1)])


def printed(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out the lines that are ours."""
    return table[table.place != OURS]


def lines_html(table: pd.DataFrame) -> Markup:
    """Write what was asked of each line and answered as an HTML table of the class ``proof``."""
    columns = ["number", "place", "method", "status", "printed"]
    head = _row('<th scope="col">{}</th>', [name.capitalize() for name in columns])
    rows = [_row("<td>{}</td>", values) for values in table[columns].astype(str).to_numpy()]
    whole = '<table class="proof">\n<thead>{}</thead>\n<tbody>\n{}\n</tbody></table>'
    return Markup(whole).format(head, Markup("\n").join(rows))


def _row(cell: str, values: Iterable[str]) -> Markup:
    cells = (Markup(cell).format(formats.typeset(value)) for value in values)
    return Markup("<tr>{}</tr>").format(Markup("").join(cells))


def markdown_corrections(table: pd.DataFrame) -> str:
    """Write what was corrected as a list: printed line, counterexample, correction, proof."""
    return "\n".join(
        f"- **Line {row.number}, {row['name']}** ({row.place}). *Printed:* {row.printed}. "
        f"*Counterexample:* {row.counterexample}. *Corrected:* {row.corrected}. "
        f"*Proof:* {row.proof}"
        for _, row in table[table.status == CORRECTED].iterrows()
    )


def markdown_assumptions(table: pd.DataFrame) -> str:
    """Write what lines take for granted as a list, with what happens without it."""
    return "\n".join(
        f"- **Line {row.number}, {row['name']}.** *Given:* {row.given}. "
        f"*Without it:* {row.without}."
        for _, row in table[table.without != ""].iterrows()
    )
