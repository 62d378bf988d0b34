"""A table of a reader's own: read, or refused with the line of pandas that mends it."""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from liprune_utils.checks import InputError
from liprune_utils.files import in_project

FEWEST = 20  # examples
NUMBER = re.compile(r"-?\d*\.\d+(e[+-]?\d+)?(\.\d+)?")  # as pandas has it for a name, if twice
THOUSANDS, DECIMAL = r"-?\d{1,3}(,\d{3})+(\.\d*)?|-?\d{1,3}(\.\d*)?", r"-?\d*(,\d+)?"
Fault = tuple[str, str]  # what is wrong, and an expression for a table that is right


def read_columns(file: str) -> tuple[np.ndarray, np.ndarray]:
    """Read all columns but y as float64, [n, dim], and the column y as it is, [n]."""
    try:
        table = pd.read_csv(in_project(file))
        fault = next(_faults(table, file), None)
    except UnicodeDecodeError:
        encoding = "utf-16" if in_project(file).read_bytes()[:1] in b"\xff\xfe" else "latin-1"
        fault = "is not in UTF-8", _read(file, f"encoding={encoding!r}")
    except (OSError, ValueError) as error:
        words = " ".join(str(error).split())
        raise InputError(
            f"{file!r} cannot be read ({words}); expected a table with a line of names."
        ) from None
    if fault:
        raise InputError(f"{file} {fault[0]}: {fault[1]}.to_csv('mine.csv', index=False)")
    x, y = table.drop(columns="y").to_numpy(dtype=np.float64), table.y.to_numpy()
    return x, y.astype(str) if y.dtype.kind == "O" else y


def _faults(table: pd.DataFrame, file: str) -> Iterator[Fault]:
    """Find what keeps a table from being used; only the first is sure, since others may follow."""
    yield from _faults_of_lines(table, file)
    yield from _faults_of_names([str(name) for name in table.columns], file)
    if len(table):
        yield from _gaps(table, file)
        for name, column in table.drop(columns="y").items():
            if column.dtype.kind not in "biuf":
                yield _words(name, column.astype(str).str.strip(), file)


def _read(file: str, options: str = "") -> str:
    return f"pd.read_csv({file!r}{', ' if options else ''}{options})"


def _faults_of_lines(table: pd.DataFrame, file: str) -> Iterator[Fault]:
    first, *others = map(str, table.columns)
    if first.startswith("#"):
        yield "begins with a comment", _read(file, "comment='#', sep=None, engine='python'")
    if not others and re.search(r"[;\t|]", first):
        yield "has another separator than commas", _read(file, "sep=None, engine='python'")
    if not others and " " in first:
        yield "has another separator than commas", _read(file, r"sep=r'\s+'")
    if not isinstance(table.index, pd.RangeIndex):
        said = "has more fields in its lines than names; leave the last ones out"
        yield said, _read(file, "index_col=False")


def _faults_of_names(names: list[str], file: str) -> Iterator[Fault]:
    if "y" not in names and any(map(NUMBER.fullmatch, names)):
        renamed = f".rename(columns={{{len(names) - 1}: 'y'}})"
        yield "has no line of names; name its columns", _read(file, "header=None") + renamed
    if "y" not in names:
        alike = [name for name in names if name.strip().lower() == "y"]
        said = "it" if alike else "the right one, for example the last"
        renamed = f".rename(columns={{{[*names, *alike][-1]!r}: 'y'}})"
        yield f"has no column y, but {', '.join(names[:5])}; rename {said}", _read(file) + renamed
    if "y.1" in names:
        yield "has two columns y; leave one out", f"{_read(file)}.drop(columns=['y.1'])"
    if names[0] == "Unnamed: 0":
        yield "numbers its lines in a first column; leave it out", _read(file, "index_col=0")


def _gaps(table: pd.DataFrame, file: str) -> Iterator[Fault]:
    gaps = table.isna() | table.isin([np.inf, -np.inf])
    finite = f"{_read(file)}.replace([float('inf'), -float('inf')], float('nan'))"
    if gaps.all().any():
        yield "has columns without a value; leave them out", f"{finite}.dropna(axis=1, how='all')"
    said = "has fields that are empty, infinite, or say NA, None or the like"
    if gaps.any(axis=None) and (~gaps.any(axis=1)).sum() >= FEWEST:
        yield f"{said}; leave their lines out", f"{finite}.dropna()"
    if gaps.any(axis=None):
        most = f"{finite}.dropna(subset=['y']).dropna(axis=1)"
        yield f"{said}, in most lines; leave their columns out", most


def _words(name: str, words: pd.Series, file: str) -> Fault:
    numbers = pd.to_numeric(words, errors="coerce")
    odd = sorted(words[numbers.isna()].unique())
    said = f"holds words in its column {name!r}"
    if not odd:
        long = f"has whole numbers of many digits in its column {name!r}; round them"
        return long, f"{_read(file)}.astype({{{name!r}: float}})"
    if words.str.fullmatch(THOUSANDS).all():
        return f"has commas in its column {name!r}", _read(file, "thousands=','")
    if words.str.fullmatch(DECIMAL).all():
        return f"has commas in its column {name!r}", _read(file, "decimal=','")
    if len(odd) <= 2 and numbers.notna().mean() >= 0.5:
        return f"{said}; leave their lines out", _read(file, f"na_values={odd}") + ".dropna()"
    if words.nunique() > len(words) / 2:
        return (
            f"{said}, most of them different; leave it out",
            f"{_read(file)}.drop(columns=[{name!r}])",
        )
    return f"{said}; make numbers of them", (
        f"pd.get_dummies({_read(file)}, columns=[{name!r}], dtype=float)"
    )
