"""What a page leaves behind: tidy tables, claims decided by the register's rules, provenance."""

import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
import yaml

from liprune_utils.files import read_json, write_atomically
from liprune_utils.parameters import InputError, require
from liprune_utils.stats import Estimate

PROJECT = Path(__file__).resolve().parent.parent
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


def results_folder(results_dir: str | Path, name: str = "results_dir") -> Path:
    """Make sure that a folder for results exists and can be written.

    Args:
        results_dir: The folder; a relative one lies in the project, wherever the page runs.
        name: What the reader calls it.

    Returns:
        The folder.

    Raises:
        InputError: If it cannot be made or written.
    """
    folder = PROJECT / results_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{name} is {str(results_dir)!r}; expected a folder that can be written, "
            f"but {folder}: {error.strerror}."
        ) from None
    return folder


def write_json(path: Path, content: object) -> None:
    """Write JSON atomically.

    Args:
        path: The file.
        content: What to write; NaN is refused.
    """
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_atomically(path, lambda partial: partial.write_text(text))


def write_table(folder: Path, name: str, table: pd.DataFrame) -> None:
    """Write a tidy table as CSV, with enough digits to read back the same numbers.

    Args:
        folder: The results folder.
        name: The table's name, without ending.
        table: One row an observation.
    """
    write_atomically(folder / f"{name}.csv", lambda path: table.to_csv(path, index=False))


def read_table(path: Path) -> pd.DataFrame:
    """Read a table that `write_table` wrote.

    Args:
        path: The file.

    Returns:
        One row an observation.

    Raises:
        InputError: If it is missing or damaged.
    """
    try:
        return pd.read_csv(path)
    except (OSError, ValueError):  # all of pandas' own are among the latter
        raise InputError(f"{path} is missing or damaged; expected a table.") from None


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


def provenance(**facts: object) -> dict[str, object]:
    """Describe what computed a record.

    Args:
        **facts: What else the record should say, such as its data source.

    Returns:
        The machine, the code's commit, the versions, and ``facts``.
    """
    packages = {name: _version(name) for name in ("liprune-utils", "numpy", "torch", "torchvision")}
    machine = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    code = {"commit": commit(), "versions": packages}
    return {**machine, "cpus": os.cpu_count(), **code, **facts}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # a copy that is run where it lies
        return "not installed"


def commit() -> str:
    """Name the version of the code that runs.

    Returns:
        The git commit, with "-dirty" where files differ from it; without git what the environment
        variable ``LIPRUNE_COMMIT`` says, or "unknown".
    """
    words = ["git", "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    try:
        found = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("LIPRUNE_COMMIT", "unknown")
    return found.stdout.strip()


def read_provenance(records_dir: Path, page: str) -> dict[str, object]:
    """Read what a page recorded of its circumstances.

    Args:
        records_dir: Folder with one folder a page.
        page: The page's name.

    Returns:
        The record; empty if there is none.
    """
    path = Path(records_dir) / page / "provenance.json"
    return read_json(path) if path.exists() else {}
