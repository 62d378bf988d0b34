"""The proof of Theorem 2, checked line by line: a line's status is computed, never typed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.stochastic_pruning.proof.checks import OURS, Line
from experiments.stochastic_pruning.proof.count import COUNT_LINES, SIMPLER_LINES
from experiments.stochastic_pruning.proof.recursion import EXPECTED_LINES, RECURSION_LINES
from experiments.stochastic_pruning.proof.sampling import SAMPLING_LINES
from experiments.stochastic_pruning.proof.step import STEP_LINES

LINES = (
    *SAMPLING_LINES,
    *STEP_LINES,
    *RECURSION_LINES,
    *COUNT_LINES,
    *EXPECTED_LINES,
    *SIMPLER_LINES,
)
HOLDS, CORRECTED, FAILS = "holds", "holds after a correction", "fails as printed"


@dataclass(frozen=True)
class Outcome:
    """What the checks of a line found; None stands for a check that passed or does not exist."""

    number: int  # from 1, in the order of the proof
    line: Line
    counterexample: str | None  # to the printed line
    remaining: str | None  # to the corrected line
    unassumed: str | None  # to the line without what it takes for granted

    @property
    def status(self) -> str:
        """The line's status: "holds", "holds after a correction" or "fails as printed"."""
        if self.counterexample is None:
            return HOLDS
        rescued = self.line.corrected_check is not None and self.remaining is None
        return CORRECTED if rescued else FAILS


def check_line(line: Line, number: int, seed: int) -> Outcome:
    """Run a line's checks.

    Args:
        line: The line.
        number: Its number, >= 1; lines have streams of random numbers of their own.
        seed: Root of the random streams.

    Returns:
        The outcome.
    """
    checks = line.check, line.corrected_check, line.without
    streams = np.random.default_rng([seed, number]).spawn(len(checks))
    found = [check and check(stream) for check, stream in zip(checks, streams, strict=True)]
    return Outcome(number, line, *found)


def check_lines(seed: int, lines: Iterable[Line] = LINES) -> list[Outcome]:
    """Run the checks of all lines.

    Args:
        seed: Root of the random streams.
        lines: The lines, in the order of the proof.

    Returns:
        The outcomes, in the same order.
    """
    return [check_line(line, number, seed) for number, line in enumerate(lines, 1)]


def outcome_table(outcomes: Iterable[Outcome]) -> pd.DataFrame:
    """Lay outcomes out as a table of texts, Markdown with LaTeX between dollars.

    Args:
        outcomes: The outcomes.

    Returns:
        One row a line: number, name, place, printed, question, method, status, counterexample,
        corrected (of a line that needed it), given, without (a counterexample to the line without
        that), proof.
    """
    return pd.DataFrame([_row(outcome) for outcome in outcomes])


# One row of the table.
def _row(outcome: Outcome) -> dict:
    line = outcome.line
    return {
        "number": outcome.number,
        "name": line.name,
        "place": line.place,
        "printed": line.printed,
        "question": line.question,
        "method": line.check.method,
        "status": outcome.status,
        "counterexample": outcome.counterexample or "",
        "corrected": line.corrected if outcome.status == CORRECTED else "",
        "given": line.given,
        "without": outcome.unassumed or "",
        "proof": line.proof,
    }


def printed(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out the lines that are ours.

    Args:
        table: Rows of `outcome_table`.

    Returns:
        The rows of the paper's lines.
    """
    return table[table.place != OURS]


def markdown_table(
    table: pd.DataFrame, columns: Sequence[str] = ("number", "place", "method", "status", "printed")
) -> str:
    """Write columns of an outcome table as a Markdown table of the class ``proof``.

    Args:
        table: Rows of `outcome_table`.
        columns: Names of the columns to show.

    Returns:
        Markdown (MyST); the headers are the names, capitalised.
    """
    header = [column.capitalize() for column in columns]
    rows = [header, ["---"] * len(header), *table[list(columns)].astype(str).to_numpy().tolist()]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([":::{table}", ":class: proof", *lines, ":::"])


def markdown_corrections(table: pd.DataFrame) -> str:
    """Write what was corrected as a list: counterexample, corrected line, proof.

    Args:
        table: Rows of `outcome_table`.

    Returns:
        Markdown, an item for each corrected line.
    """
    return "\n".join(
        f"- **{row.number}, {row['name']}.** *Counterexample:* {row.counterexample}. "
        f"*Corrected:* {row.corrected}. *Proof:* {row.proof}"
        for _, row in table[table.status == CORRECTED].iterrows()
    )


def markdown_assumptions(table: pd.DataFrame) -> str:
    """Write what lines take for granted as a list, with what happens without it.

    Args:
        table: Rows of `outcome_table`.

    Returns:
        Markdown, an item for each line that breaks without what it takes for granted.
    """
    return "\n".join(
        f"- **{row.number}, {row['name']}.** *Given:* {row.given}. *Without it:* {row.without}."
        for _, row in table[table.without != ""].iterrows()
    )
