"""A reader's own data: a file read, or refused with the line that mends it; both recipes' views."""

import re
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn import datasets

from liprune_utils.checks import InputError, require
from liprune_utils.files import PROJECT

FEWEST = 20  # examples
LARGEST = 1e100  # sums of squares of larger numbers may overflow
FINITE = "keep = np.isfinite(x.reshape(len(x), -1)).all(axis=1); x, y = x[keep], y[keep]"


class Examples(NamedTuple):
    """Inputs with their targets."""

    name: str  # what the page calls them
    x: np.ndarray  # float64, [n, dim]
    y: np.ndarray  # [n]; classes int64 from 0, or targets float64


def read_classes(classes_file: str, targets_file: str = "") -> Examples:
    """Read a classification problem; of targets alone, whether they lie above their median."""
    if classes_file:
        return _classes(classes_file)[0]
    if targets_file:
        name, x, y = read_targets(targets_file)
        return Examples(f"{name}, above the median or not", x, (y > np.median(y)).astype(np.int64))
    bunch = datasets.load_digits()
    return Examples("handwritten digits", bunch.data, bunch.target.astype(np.int64))


def read_targets(targets_file: str, classes_file: str = "") -> Examples:
    """Read a regression problem; of classes alone, 1 for the most frequent one and -1 else."""
    if targets_file:
        x, y = _read(targets_file)
        y = _numbers(y, "y", targets_file)
        _check_finite(x, y, targets_file)
        require(y.min() < y.max(), f"y in {targets_file}", y[0], "targets that differ")
        return Examples(Path(targets_file).stem, x, y)
    if classes_file:
        (name, x, y), labels = _classes(classes_file)
        frequent = np.bincount(y).argmax()
        name = f"{name}, class {labels[frequent]} or not"
        return Examples(name, x, np.where(y == frequent, 1.0, -1.0))
    bunch = datasets.load_diabetes()
    return Examples("diabetes", bunch.data, bunch.target)


def _classes(file: str) -> tuple[Examples, np.ndarray]:
    """Read classes, whatever their labels: numbered from 0 in the order of the labels."""
    x, y = _read(file)
    _check_finite(x, y, file)
    require(y.dtype.kind in "biufUS", f"y in {file}", str(y.dtype), "numbers or words")
    labels, numbers = np.unique(y, return_inverse=True)
    of = f"y in {file}"
    whole = y.dtype.kind != "f" or bool((y == y.round()).all())
    require(whole, of, labels[0], "classes; numbers belong to targets_file")
    require(len(labels) > 1, of, labels.tolist(), "at least two classes")
    many = f"{len(labels)} classes of {len(y)} examples"
    require(2 * len(labels) <= len(y), of, many, "fewer; numbers belong to targets_file")
    return Examples(Path(file).stem, x, numbers.astype(np.int64)), labels


def _read(file: str) -> tuple[np.ndarray, np.ndarray]:
    """Read x as float64, [n, dim], and y as it is, [n]."""
    x, y = _read_csv(file) if file.lower().endswith(".csv") else _read_npz(file)
    x = _numbers(x, "x", file)
    fits = y.ndim == 1 and x.ndim >= 2 and x.size and len(x) == len(y) >= FEWEST
    shapes = f"x {list(x.shape)}, y {list(y.shape)}"
    expected = f"x [n, ...], not empty, and y [n] with n >= {FEWEST}"
    if x.ndim == 1:
        expected += "; of one number per example x = x[:, None]"
    if y.ndim == 2:
        expected += "; of a column y = y.ravel(), of one-hot rows y = y.argmax(axis=1)"
    require(bool(fits), f"The shape in {file}", shapes, expected)
    return x.reshape(len(x), -1), y


def _read_npz(file: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(PROJECT / file, allow_pickle=False) as arrays:
            names = ", ".join(arrays.files)
            return arrays["x"], arrays["y"]
    except KeyError:
        save = "np.savez('mine.npz', x=x, y=y)"
        raise InputError(f"{file} has no arrays x and y, but {names}: {save}") from None
    except (OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
        if "Object arrays" in str(error):
            save = "np.savez('mine.npz', x=np.stack(list(x)), y=np.array(list(y)))"
            raise InputError(
                f"{file} has arrays of Python objects; expected numbers: {save}"
            ) from None
        expected = "expected a .csv or an .npz file with arrays x and y"
        raise InputError(f"{file!r} cannot be read ({error}); {expected}.") from None


def _read_csv(file: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        table = pd.read_csv(PROJECT / file)
        fault = _fault(table, file)
    except UnicodeDecodeError:
        fault = "is not in UTF-8", f"pd.read_csv({file!r}, encoding='latin-1')"
    except (OSError, ValueError) as error:
        expected = "expected a table with a line of names"
        raise InputError(f"{file!r} cannot be read ({error}); {expected}.") from None
    if fault:
        raise InputError(f"{file} {fault[0]}: {fault[1]}.to_csv('mine.csv', index=False)")
    x, y = table.drop(columns="y").to_numpy(dtype=np.float64), table.y.to_numpy()
    return x, y.astype(str) if y.dtype.kind == "O" else y


def _fault(table: pd.DataFrame, file: str) -> tuple[str, str] | None:
    """Say what keeps a table from being used, if anything does, and name one that could be."""
    names, read = [str(name) for name in table.columns], f"pd.read_csv({file!r}"
    if "y" not in names:
        last = f".rename(columns={{{names[-1]!r}: 'y'}})"
        if len(names) == 1 and re.search(r"[;\t| ]", names[0]):
            return "has another separator than commas", f"{read}, sep=None, engine='python')"
        if any(re.match(r"-?\d*\.\d", name) for name in names):
            last = f".rename(columns={{{len(names) - 1}: 'y'}})"
            return "has no line of names; name its columns", f"{read}, header=None){last}"
        return f"has no column y, but {', '.join(names[:5])}; name it", f"{read}){last}"
    if names[0] == "Unnamed: 0":
        return "numbers its lines in a first column; leave it out", f"{read}, index_col=0)"
    if (table.isna() | table.isin([np.inf, -np.inf])).any(axis=None):
        said = "has fields that are empty, infinite, or say NA, None or the like"
        finite = ".replace([float('inf'), -float('inf')], float('nan'))"
        return f"{said}; leave their lines out", f"{read}){finite}.dropna()"
    for name, column in table.drop(columns="y").items():
        if column.dtype.kind not in "biuf":
            numbers = f"pd.get_dummies({read}), columns=[{name!r}], dtype=float)"
            return f"holds words in its column {name!r}; make numbers of them", numbers
    return None


def _numbers(values: np.ndarray, name: str, file: str) -> np.ndarray:
    """Return numbers as float64; refuse words, bytes, and what overflows."""
    mends = {
        "xS": "x = np.stack([np.asarray(Image.open(io.BytesIO(b))) for b in x])",
        "xc": "x = np.abs(x)",
        "yc": "y = np.abs(y)",
    }
    if values.dtype.kind not in "biuf":
        mend = mends.get(name + values.dtype.kind, f"{name} = {name}.astype(float)")
        raise InputError(f"{name} in {file} is {values.dtype}; expected numbers: {mend}")
    numbers = values.astype(np.float64)
    largest = np.abs(numbers[np.isfinite(numbers)]).max(initial=0.0)
    mend = f"numbers below {LARGEST:g}: {name} = {name} / np.abs({name}).max(axis=0)"
    require(largest < LARGEST, f"The largest number of {name} in {file}", float(largest), mend)
    return numbers


def _check_finite(x: np.ndarray, y: np.ndarray, file: str) -> None:
    finite = np.isfinite(x).all(axis=1) & (np.isfinite(y) if y.dtype.kind == "f" else True)
    bad = np.flatnonzero(~finite)
    require(
        not len(bad), f"Example {bad[:1].tolist()} of {file}", "not finite", f"numbers: {FINITE}"
    )
