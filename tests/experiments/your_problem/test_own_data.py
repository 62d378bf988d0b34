"""A file of one's own: read whatever its labels, or refused with a line that mends it."""

import io
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from experiments.your_problem.own_data import FINITE, read_classes, read_targets
from liprune_utils.checks import InputError

THREE = np.arange(30) % 3
TENTHS = np.arange(30) / 10 + 0.05
DAYS = [f"2026-01-{day:02}" for day in range(1, 31)]


@pytest.fixture
def arrays(tmp_path):
    """Write arrays into an .npz file and return its name."""

    def write(**content: np.ndarray) -> str:
        np.savez(tmp_path / "mine.npz", **content)
        return str(tmp_path / "mine.npz")

    return write


@pytest.fixture
def table(tmp_path):
    """Write columns into a .csv file and return its name."""

    def write(**columns: object) -> str:
        pd.DataFrame(columns).to_csv(tmp_path / "mine.csv", index=False)
        return str(tmp_path / "mine.csv")

    return write


def pixels(count: int = 30) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 2, 3))


def test_the_defaults_are_scikit_learns():
    assert read_classes("").x.shape == (1797, 64)
    assert read_targets("").x.shape == (442, 10)


@pytest.mark.parametrize(
    "labels",
    [
        THREE, THREE + 1, THREE * 5 - 5, THREE.astype(np.uint8), THREE.astype(np.float32),
        np.array(["ant", "bee", "cat"])[THREE], np.array([b"ant", b"bee", b"cat"])[THREE],
    ],
)  # fmt: skip
def test_classes_may_have_any_labels(arrays, labels):
    x = pixels()
    found = read_classes(arrays(x=x.astype(np.float32), y=labels))
    assert (found.name, found.y.dtype) == ("mine", np.int64)
    np.testing.assert_allclose(found.x, x.reshape(30, 6), rtol=1e-6)
    np.testing.assert_array_equal(found.y, THREE)


@pytest.mark.parametrize("labels", [THREE + 1, np.array(["ant", "bee", "cat"])[THREE]])
def test_a_table_is_read(table, labels):
    found = read_classes(table(height=np.arange(30) / 7, y=labels, is_red=THREE == 1))
    np.testing.assert_allclose(found.x, np.column_stack([np.arange(30) / 7, THREE == 1]))
    np.testing.assert_array_equal(found.y, THREE)
    heights = read_targets(table(is_red=THREE == 1, y=np.arange(30) / 7))
    np.testing.assert_allclose(heights.y, np.arange(30) / 7)


def test_images_are_read_as_numbers(arrays):
    images = (pixels() * 40 + 100).clip(0, 255).astype(np.uint8)
    np.testing.assert_array_equal(read_classes(arrays(x=images, y=THREE)).x, images.reshape(30, 6))


def test_one_file_serves_both_recipes(arrays):
    x, numbers = pixels(), np.arange(30) ** 2 / 9
    classes = read_classes("", arrays(x=x, y=numbers))
    assert classes.name == "mine, above the median or not"
    np.testing.assert_array_equal(classes.y, np.arange(30) >= 15)
    most = read_classes("", arrays(x=x, y=np.minimum(THREE, 1)))
    assert most.name == "mine, above 0 or not"  # their median is the largest target
    np.testing.assert_array_equal(most.y, np.minimum(THREE, 1))
    words = np.array(["ant", "bee", "bee"])[THREE]
    targets = read_targets("", arrays(x=x, y=words))
    assert targets.name == "mine, class bee or not"
    np.testing.assert_array_equal(targets.y, np.where(words == "bee", 1, -1))


def encoded() -> np.ndarray:
    file = io.BytesIO()
    Image.new("L", (2, 2)).save(file, "png")
    return np.array([file.getvalue()] * 30)


FEW = "shape in "
BAD = {
    "other case": ({"X": pixels(), "Y": THREE}, "npz'); np.savez('mine.npz', x=a['X'], y=a['Y'])"),
    "alike": (
        {"x": np.ones((30, 2)), "y": THREE},
        "'the same for all examples'; expected inputs that",
    ),
    "missing y": (
        {"x": pixels(), "y": np.where(THREE, 1, np.nan)},
        "& np.isfinite(y); x, y = x[keep",
    ),
    "no y": ({"x": pixels()}, "has no arrays x and y, but x: np.savez('mine.npz', x=x, y=y)"),
    "lengths": ({"x": pixels(), "y": THREE[:29]}, "x [30, 2, 3], y [29]'; expected x [n, ...]"),
    "few": ({"x": pixels(19), "y": THREE[:19]}, "with n >= 20"),
    "no x": (
        {"x": pixels()[:, :0], "y": THREE},
        "'x [30, 0, 3], y [30]'; expected x [n, ...]",
    ),
    "one number": ({"x": THREE, "y": THREE}, "of one number per example x = x[:, None]"),
    "one-hot": ({"x": pixels(), "y": np.eye(3)[THREE]}, "of one-hot rows y = y.argmax(axis=1)"),
    "one class": ({"x": pixels(), "y": np.zeros(30)}, "is [0.0]; expected at least two classes"),
    "numbers": ({"x": pixels(), "y": np.arange(30) / 7}, "numbers belong to targets_file"),
    "many": ({"x": pixels(), "y": np.arange(30)}, "'30 classes of 30 examples'; expected fewer"),
    "missing": ({"x": np.where(np.eye(30, 6) > 0, np.nan, 1), "y": THREE}, f"numbers: {FINITE}; x"),
    "words": ({"x": np.array([["a"]] * 30), "y": THREE}, "expected numbers: x = x.astype(float)"),
    "bytes": ({"x": encoded(), "y": THREE}, "np.stack([np.asarray(Image.open(io.BytesIO(b))) for"),
    "overflow": (
        {"x": pixels() * 1e200, "y": THREE},
        "e+200; expected numbers below 1e+100: x = x / np.abs(x).max()",
    ),
    "fields": (
        {"x": np.zeros(30, dtype=[("a", float), ("b", int)]), "y": THREE},
        "expected numbers: x = pd.DataFrame(x).to_numpy()",
    ),
    "complex": ({"x": pixels() * 1j, "y": THREE}, "is complex128; expected numbers: x = np.abs(x)"),
    "complex y": ({"x": pixels(), "y": THREE * 1j}, "is 'complex128'; expected numbers or words"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_file_is_refused_with_what_mends_it(arrays, bad):
    content, words = BAD[bad]
    with pytest.raises(InputError, match=re.escape(words)) as error:
        read_classes(arrays(**content))
    assert "\n" not in str(error.value)


def test_arrays_of_objects_are_refused_with_what_mends_them(tmp_path, monkeypatch):
    x, y = np.empty(30, dtype=object), np.array(["ant", None, "cat"], dtype=object)[THREE]
    x[:] = pixels().reshape(30, 6).tolist()
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    with pytest.raises(InputError, match="Python objects; expected numbers: ") as error:
        read_classes(str(tmp_path / "mine.npz"))
    monkeypatch.chdir(tmp_path)
    exec(str(error.value).split("expected numbers: ")[1], {"np": np, "pd": pd, "x": x, "y": y})
    found = read_classes(str(tmp_path / "mine.npz"))
    np.testing.assert_array_equal(found.x, pixels().reshape(30, 6)[THREE != 1])
    np.testing.assert_array_equal(found.y, THREE[THREE != 1] // 2)


@pytest.mark.parametrize("y", [np.ones(30), np.array(["a"] * 30), np.full(30, 1e300)])
def test_targets_are_numbers_that_differ(arrays, y):
    with pytest.raises(InputError, match=r"expected (targets that differ|numbers)"):
        read_targets(arrays(x=pixels(), y=y))


@pytest.mark.parametrize(
    ("columns", "written", "mend"),
    [
        ({"x": TENTHS, "kind": THREE}, {}, "rename(columns={'kind': 'y'})"),
        ({" Y": THREE, "x": TENTHS}, {}, "rename(columns={' Y': 'y'})"),
        ({"x": TENTHS, "y": THREE, "y.1": THREE}, {}, "drop(columns=['y.1'])"),
        ({"x": TENTHS, "y": THREE, "z": None}, {}, "dropna(axis=1, how='all')"),
        ({"x": TENTHS, "z": [1, None, None] * 10, "y": THREE}, {}, ".dropna(axis=1)"),
        ({"x": TENTHS, "day": DAYS, "y": THREE}, {}, "drop(columns=['day'])"),
        ({"x": ["?", *TENTHS[1:]], "y": THREE}, {}, "na_values=['?']).dropna()"),
        ({"x": [f"{x:.2f}".replace(".", ",") for x in TENTHS], "y": THREE}, {}, "decimal=',')"),
        ({"x": TENTHS, "y": THREE}, {"encoding": "utf-16"}, "encoding='utf-16')"),
        ({"x": [None, *TENTHS[1:]], "y": THREE}, {}, "float('nan')).dropna()"),
        ({"x": [np.inf, *TENTHS[1:]], "y": THREE}, {}, "float('nan')).dropna()"),
        ({"x": TENTHS, "y": THREE}, {"index": True}, "index_col=0)"),
        ({"x": TENTHS, "y": THREE}, {"sep": ";"}, "sep=None, engine='python')"),
        ({"x": TENTHS, "y": THREE}, {"sep": "\t"}, "sep=None, engine='python')"),
        ({"x": TENTHS, "y": THREE}, {"header": False}, "header=None).rename(columns={1: 'y'})"),
        ({"é": TENTHS, "y": THREE}, {"encoding": "latin-1"}, "encoding='latin-1')"),
    ],
)
def test_the_named_line_mends_a_bad_table(columns, written, mend, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame(columns).to_csv("bad.csv", **{"index": False} | written)
    with pytest.raises(InputError, match=re.escape(mend)) as error:
        read_classes(str(tmp_path / "bad.csv"))
    exec(str(error.value).split(": ", 1)[1], {"pd": pd})
    mended = read_classes(str(tmp_path / "mine.csv"))
    left = slice(30 - len(mended.y), None)  # one line may have been left out
    np.testing.assert_allclose(mended.x, TENTHS[left, None])
    np.testing.assert_array_equal(mended.y, THREE[left])


def test_of_several_faults_the_first_is_named(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({"x": TENTHS, "y": THREE}).to_csv(sep=";", decimal=",", index=False)
    (tmp_path / "mine.csv").write_text(f"# made by me, on Monday\n{table}")
    for mend in ("comment='#', sep=None, engine='python')", "decimal=',')"):
        with pytest.raises(InputError, match=re.escape(mend)) as error:
            read_classes(str(tmp_path / "mine.csv"))
        exec(str(error.value).split(": ", 1)[1], {"pd": pd})
    np.testing.assert_allclose(read_classes(str(tmp_path / "mine.csv")).x, TENTHS[:, None])


def test_numbers_of_many_digits_are_rounded(table, monkeypatch, tmp_path):
    with pytest.raises(InputError, match=r"many digits in its column 'x'; round them") as error:
        read_classes(table(x=[10**26 + i for i in range(30)], y=THREE))
    monkeypatch.chdir(tmp_path)
    exec(str(error.value).split(": ", 1)[1], {"pd": pd})
    with pytest.raises(InputError, match="the same for all examples"):  # all are 1e26 now
        read_classes(str(tmp_path / "mine.csv"))


def test_more_fields_than_names_are_no_index(tmp_path):
    (tmp_path / "bad.csv").write_text("x,y\n" + "0.5,1,2\n" * 30)
    with pytest.raises(InputError, match=re.escape("more fields in its lines than names")):
        read_classes(str(tmp_path / "bad.csv"))


def test_thousands_are_numbers(table, monkeypatch, tmp_path):
    with pytest.raises(InputError, match=r"commas in its column 'x': .*thousands=','") as error:
        read_classes(table(x=["1,000", "20", "1,234,567.5"] * 10, y=THREE))
    monkeypatch.chdir(tmp_path)
    exec(str(error.value).split(": ", 1)[1], {"pd": pd})
    x = read_classes(str(tmp_path / "mine.csv")).x
    np.testing.assert_array_equal(x[:3, 0], [1000, 20, 1234567.5])


def test_words_in_a_table_are_made_numbers_by_the_named_line(table, monkeypatch, tmp_path):
    with pytest.raises(InputError, match=r"words in its column 'x'; make numbers") as error:
        read_classes(table(x=["a", "b", "c"] * 10, y=THREE))
    monkeypatch.chdir(tmp_path)
    exec(str(error.value).split(": ", 1)[1], {"pd": pd})
    np.testing.assert_array_equal(read_classes(str(tmp_path / "mine.csv")).x, np.eye(3)[THREE])


def test_a_table_of_classes_alone_is_refused(table):
    with pytest.raises(InputError, match=re.escape("'x [30, 0], y [30]'; expected x [n, ...]")):
        read_classes(table(y=THREE))


def test_a_file_that_is_none_is_refused(tmp_path):
    text = tmp_path / "mine.npz"
    text.write_text("no arrays")
    for path in (tmp_path / "none.npz", text, tmp_path / "none.csv"):
        with pytest.raises(InputError, match=r"cannot be read \(.*\); expected a "):
            read_targets(str(path))
