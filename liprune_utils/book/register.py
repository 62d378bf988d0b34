"""The register of claims, and the claims that pages decide by its rules."""

import importlib.util
import math
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from liprune_utils.checks import InputError, require
from liprune_utils.files import PROJECT, read_json, read_yaml, write_json
from liprune_utils.intervals import Estimate

VERDICTS = (
    "holds", "holds-with-correction", "holds-in-part",
    "does-not-hold", "inconclusive", "not-evaluated",
)  # fmt: skip
SOURCES = ("executed", "recorded", "frozen")
CLAIMS = "book/claims.yml"
UNDECIDED = "Not among these results."
FROZEN = ["first_verdict", "first_estimate", "first_note"]  # of an entry: see `frozen`
DECIDED_BY: dict[str, str] = {}  # for each claim the full name of its function
Function = Callable[..., object]


@dataclass(frozen=True)
class Claim:
    """The outcome of one claim of the register."""

    id: str  # as in book/claims.yml
    estimate: float | None  # the statistic of the register's rule, its least favourable case
    low: float | None
    high: float | None
    num_runs: int
    cost: float  # seconds of computing
    source: str  # "executed", "recorded", or "frozen" in the register
    verdict: str
    note: str  # one sentence for the reader

    def __post_init__(self) -> None:
        require(
            self.verdict in VERDICTS, f"verdict of {self.id}", self.verdict, f"one of {VERDICTS}"
        )
        require(self.source in SOURCES, f"source of {self.id}", self.source, f"one of {SOURCES}")


def decide(answers: Iterable[bool | None], *, in_part: bool) -> str:
    """Turn the answers to a rule's cases into a verdict; None where an interval is open."""
    answers = list(answers)
    if answers and all(answer is True for answer in answers):
        return "holds"
    if False not in answers:
        return "inconclusive"
    return "holds-in-part" if in_part and True in answers else "does-not-hold"


def decides(*claim_ids: str) -> Callable[[Function], Function]:
    """Register a function as the one that decides claims of the register."""

    def register(function: Function) -> Function:
        DECIDED_BY.update(dict.fromkeys(claim_ids, f"{function.__module__}.{function.__name__}"))
        return function

    return register


def deciding_functions(experiments: ModuleType) -> dict[str, str]:
    """Import the claims of every experiment, and name the function that decides each claim."""
    for room in pkgutil.iter_modules(experiments.__path__, f"{experiments.__name__}."):
        if importlib.util.find_spec(f"{room.name}.claims"):
            importlib.import_module(f"{room.name}.claims")
    return DECIDED_BY


def claim(
    claim_id: str,
    worst: Estimate,
    verdict: str,
    *,
    cost: float,
    note: str,
    source: str = "executed",
) -> Claim:
    """Fill in a claim from the estimate of its least favourable case; ``cost`` in seconds."""
    values = (float(worst.value), float(worst.low), float(worst.high), int(worst.num_runs))
    return Claim(claim_id, *values, round(cost, 1), source, verdict, note)


@cache
def load_register() -> dict[str, dict[str, Any]]:
    """Read the register: each claim's entry by its identifier, in order."""
    return {entry["id"]: entry for entry in read_yaml(PROJECT / CLAIMS, "The register of claims")}


def margin(claim_id: str, name: str) -> float:
    """Read a number that a claim's rule fixes beforehand."""
    return load_register()[claim_id]["margin"][name]


def write_claims(folder: Path, claims: Iterable[Claim]) -> None:
    """Write the claims that a page decides into its results folder."""
    claims, register = list(claims), load_register()
    unknown = [outcome.id for outcome in claims if outcome.id not in register]
    if unknown:
        raise InputError(f"Claim {unknown[0]!r} is not in the register {CLAIMS}.")
    closed = [outcome.id for outcome in claims if frozen(register[outcome.id])]
    if closed:
        raise InputError(f"Claim {closed[0]!r} is frozen in the register {CLAIMS}; decide another.")
    write_json(folder / "claims.json", [asdict(outcome) for outcome in claims])


def read_claims(records_dir: Path) -> list[Claim]:
    """Read the claims of every page that has run; ``records_dir`` has one folder per page."""
    files = sorted(Path(records_dir).glob("*/claims.json"))
    return [outcome for file in files for outcome in _claims_in(file)]


def _claims_in(file: Path) -> list[Claim]:
    try:
        return [Claim(**entry) for entry in read_json(file)]
    except (TypeError, ValueError):
        raise InputError(f"{file} is damaged; expected the claims of a page.") from None


def verdict_table(records_dir: Path) -> pd.DataFrame:
    """Join the register with what the pages measured: one row per claim, in its order."""
    return _joined(load_register().values(), read_claims(records_dir))


def claims_table(claims: Iterable[Claim]) -> pd.DataFrame:
    """Join the claims of one page with their entries in the register, in its order."""
    found = {outcome.id: outcome for outcome in claims}
    entries = [entry for name, entry in load_register().items() if name in found]
    return _joined(entries, found.values())


def frozen(entry: Mapping[str, Any]) -> Claim | None:
    """Read the last outcome of a rule that has been replaced, once its successor is decided."""
    if "first_verdict" not in entry:
        return None
    outcome = {"source": "frozen", "verdict": entry["first_verdict"], "note": entry["first_note"]}
    return Claim(entry["id"], *entry["first_estimate"], math.nan, **outcome)


def _joined(entries: Iterable[Mapping[str, Any]], claims: Iterable[Claim]) -> pd.DataFrame:
    entries = list(entries)
    outcomes = {outcome.id: outcome for outcome in [*claims, *filter(None, map(frozen, entries))]}
    columns = [field.name for field in fields(Claim)]
    found = pd.DataFrame(map(asdict, outcomes.values()), columns=columns).set_index("id")
    table = pd.DataFrame(entries).drop(columns=FROZEN, errors="ignore").set_index("id").join(found)
    if "margin" in table:
        table["margin"] = table.margin.map(_margin_words, na_action="ignore")
    return table.fillna({"verdict": "not-evaluated", "note": UNDECIDED}).reset_index()


def _margin_words(margin: Mapping[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in margin.items())
