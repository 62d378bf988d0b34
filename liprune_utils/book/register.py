"""The register of claims, and the claims that pages decide by its rules."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd
import yaml

from liprune_utils.checks import InputError, require
from liprune_utils.files import PROJECT, read_json, write_json
from liprune_utils.intervals import Estimate

VERDICTS = (
    "holds", "holds-with-correction", "holds-in-part",
    "does-not-hold", "inconclusive", "not-evaluated",
)  # fmt: skip
SOURCES = ("executed", "recorded")
UNDECIDED = "No page of this edition decides it yet."


@dataclass(frozen=True)
class Claim:
    """The outcome of one claim of the register."""

    id: str  # as in book/claims.yml
    estimate: float | None  # the statistic of the register's rule, its least favourable case
    low: float | None
    high: float | None
    num_runs: int
    cost: float  # seconds of computing
    source: str  # "executed" or "recorded"
    verdict: str
    note: str  # one sentence for the reader

    def __post_init__(self) -> None:
        require(
            self.verdict in VERDICTS, f"verdict of {self.id}", self.verdict, f"one of {VERDICTS}"
        )
        require(self.source in SOURCES, f"source of {self.id}", self.source, f"one of {SOURCES}")


def decide(answers: Iterable[bool | None], *, in_part: bool) -> str:
    """Turn the answers to a rule's cases into a verdict.

    Args:
        answers: For each case whether it holds; None where the interval does not decide.
        in_part: Whether the rule knows "in-part".

    Returns:
        "holds" if all hold; "does-not-hold" if some fail ("holds-in-part", where the rule knows
        it, if others hold); else "inconclusive".

    Example:
        >>> decide([True, None, True], in_part=True), decide([True, False], in_part=True)
        ('inconclusive', 'holds-in-part')
    """
    answers = list(answers)
    if answers and all(answer is True for answer in answers):
        return "holds"
    if False not in answers:
        return "inconclusive"
    return "holds-in-part" if in_part and True in answers else "does-not-hold"


def claim(
    claim_id: str,
    worst: Estimate,
    verdict: str,
    *,
    cost: float,
    note: str,
    source: str = "executed",
) -> Claim:
    """Fill in a claim from its least favourable case.

    Args:
        claim_id: Identifier in the register.
        worst: Estimate and interval to report.
        verdict: From `decide`, or "not-evaluated".
        cost: Seconds of computing.
        note: One sentence for the reader.
        source: "executed" or "recorded".

    Returns:
        The claim.
    """
    values = (float(worst.value), float(worst.low), float(worst.high), int(worst.num_runs))
    return Claim(claim_id, *values, round(cost, 1), source, verdict, note)


def load_register(path: Path = PROJECT / "book" / "claims.yml") -> dict[str, dict[str, str]]:
    """Read the register of claims.

    Args:
        path: The register.

    Returns:
        For each identifier its entry, in the register's order.
    """
    return {entry["id"]: entry for entry in yaml.safe_load(Path(path).read_text())}


def write_claims(folder: Path, claims: Iterable[Claim]) -> None:
    """Write a page's claims.

    Args:
        folder: The page's results folder.
        claims: The claims that the page decides.

    Raises:
        InputError: If the register does not know a claim.
    """
    claims, register = list(claims), load_register()
    unknown = [outcome.id for outcome in claims if outcome.id not in register]
    if unknown:
        raise InputError(f"Claim {unknown[0]!r} is not in the register book/claims.yml.")
    write_json(folder / "claims.json", [asdict(outcome) for outcome in claims])


def read_claims(records_dir: Path) -> list[Claim]:
    """Read the claims of every page that has run.

    Args:
        records_dir: Folder with one folder a page.

    Returns:
        The claims; none if no page has run.
    """
    files = sorted(Path(records_dir).glob("*/claims.json"))
    return [outcome for file in files for outcome in _claims_in(file)]


def _claims_in(file: Path) -> list[Claim]:
    try:
        return [Claim(**entry) for entry in read_json(file)]
    except (TypeError, ValueError):
        raise InputError(f"{file} is damaged; expected the claims of a page.") from None


def verdict_table(records_dir: Path) -> pd.DataFrame:
    """Join the register with what the pages found.

    Args:
        records_dir: Folder with one folder a page.

    Returns:
        One row a claim of the register: its entry and its outcome; claims that no page has decided
        are "not-evaluated" and say so.
    """
    register = pd.DataFrame(load_register().values()).set_index("id")
    columns = [field.name for field in fields(Claim)]
    found = pd.DataFrame(map(asdict, read_claims(records_dir)), columns=columns).set_index("id")
    table = register.join(found)
    table["margin"] = table.margin.map(_margin_words, na_action="ignore")
    return table.fillna({"verdict": "not-evaluated", "note": UNDECIDED}).reset_index()


def _margin_words(margin: Mapping[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in margin.items())
