"""A reader's own data: a file read, or refused with the line that mends it; both recipes' views."""

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn import datasets

from experiments.your_problem.own_table import FEWEST, read_columns
from liprune_utils.checks import InputError, require
from liprune_utils.files import in_project

LARGEST = 1e100  # sums of squares of larger numbers may overflow
FINITE = "keep = np.isfinite(x.reshape(len(x), -1)).all(axis=1)"


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
        median = np.median(y)  # none is above it where most are the largest
        cut = median if median < y.max() else y[y < median].max()
        which = "the median" if cut == median else f"{cut:.3g}"
        return Examples(f"{name}, above {which} or not", x, (y > cut).astype(np.int64))
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
    kind = Path(file).suffix.lower()
    require(kind in (".csv", ".npz"), "The file", file, "a .csv or an .npz file")
    x, y = read_columns(file) if kind == ".csv" else _read_npz(file)
    x = _numbers(x, "x", file)
    fits = y.ndim == 1 and x.ndim >= 2 and x.size and len(x) == len(y) >= FEWEST
    shapes = f"x {list(x.shape)}, y {list(y.shape)}"
    expected = f"x [n, ...], not empty, and y [n] with n >= {FEWEST}"
    if x.ndim == 1:
        expected += "; of one number per example x = x[:, None]"
    if y.ndim == 2:
        expected += "; of a column y = y.ravel(), of one-hot rows y = y.argmax(axis=1)"
    require(bool(fits), f"The shape in {file}", shapes, expected)
    differ = not np.array_equal(x, np.broadcast_to(x[:1], x.shape))
    require(differ, f"x in {file}", "the same for all examples", "inputs that differ")
    return x.reshape(len(x), -1), y


def _read_npz(file: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(in_project(file), allow_pickle=False) as arrays:
            names = {name.lower(): name for name in arrays.files}
            return arrays["x"], arrays["y"]
    except KeyError:
        save = "np.savez('mine.npz', x=x, y=y)"
        if {"x", "y"} <= set(names):  # in capitals
            arrays = f"x=a[{names['x']!r}], y=a[{names['y']!r}]"
            save = f"a = np.load({file!r}); np.savez('mine.npz', {arrays})"
        found = ", ".join(names.values())
        raise InputError(f"{file} has no arrays x and y, but {found}: {save}") from None
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        if "Object arrays" in str(error):
            kept = "x=np.array(x[keep].tolist(), float), y=np.array(y[keep].tolist())"
            save = f"keep = pd.notna(y); np.savez('mine.npz', {kept})"
            raise InputError(
                f"{file} has arrays of Python objects; expected numbers: {save}"
            ) from None
        expected = "expected a .csv or an .npz file with arrays x and y"
        raise InputError(f"{file!r} cannot be read ({error}); {expected}.") from None


def _numbers(values: np.ndarray, name: str, file: str) -> np.ndarray:
    """Return numbers as float64; refuse words, bytes, and what overflows."""
    mends = {
        "xV": "x = pd.DataFrame(x).to_numpy()",
        "xS": "x = np.stack([np.asarray(Image.open(io.BytesIO(b))) for b in x])",
        "xc": "x = np.abs(x)",
        "yc": "y = np.abs(y)",
    }
    if values.dtype.kind not in "biuf":
        mend = mends.get(name + values.dtype.kind, f"{name} = {name}.astype(float)")
        if name == "y" and values.dtype.kind in "US" and not _are_numbers(values):
            mend = f"words belong to classes_file, -p classes_file {file}"
        raise InputError(f"{name} in {file} is {values.dtype}; expected numbers: {mend}")
    numbers = values.astype(np.float64)
    largest = np.abs(numbers[np.isfinite(numbers)]).max(initial=0.0)
    mend = f"numbers below {LARGEST:g}: {name} = {name} / np.abs({name}).max()"
    require(largest < LARGEST, f"The largest number of {name} in {file}", float(largest), mend)
    return numbers


def _check_finite(x: np.ndarray, y: np.ndarray, file: str) -> None:
    finite = np.isfinite(x).all(axis=1) & (np.isfinite(y) if y.dtype.kind == "f" else True)
    bad = np.flatnonzero(~finite)
    keep = f"{FINITE} & np.isfinite(y)" if y.dtype.kind == "f" else FINITE
    mend = f"numbers: {keep}; x, y = x[keep], y[keep]"
    require(not len(bad), f"Example {bad[:1].tolist()} of {file}", "not finite", mend)


def _are_numbers(words: np.ndarray) -> bool:
    try:
        words.astype(float)
    except ValueError:
        return False
    return True
