"""Data that are damaged, or whose preparation is killed or finds the disk full: on tiny trees."""

import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from cifar_sources import ARCHIVE, BATCHES, JPEG, assert_same, copy_into, write_jpeg_tree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from small_runs import flip

from liprune_utils import data
from liprune_utils.checks import InputError
from liprune_utils.files import PROJECT

pytestmark = pytest.mark.usefixtures("small_and_offline")
HEX = "[0-9a-f]{12}"


DAMAGES = {
    "another bit": flip,
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "flat": lambda path: np.save(path, np.load(path).ravel()[:, None]),
    "other type": lambda path: np.save(path, np.load(path).view(np.int8)),
    "pickle": lambda path: np.save(path, np.array([{}], dtype=object)),
}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", ["pixels.npy", "labels.npy"])
def test_damaged_array_is_refused_and_prepared_again(jpeg, name, how):
    intact = data.load(jpeg)
    DAMAGES[how](jpeg / name)
    with pytest.raises(
        InputError,
        match=rf"{name} is damaged .*expected {HEX}, found (unreadable|wrong shape|{HEX})",
    ):
        data.load(jpeg)
    assert_same(data.prepare(jpeg), intact)
    assert_same(data.load(jpeg), intact)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("small"), np.random.default_rng(2)
    pixels = rng.integers(256, size=(5, 32, 32, 3), dtype=np.uint8)
    data._write(folder, data._split(pixels, np.arange(5), 3, "CIFAR-10", "abcde"))
    return folder


@given(
    name=st.sampled_from(["pixels.npy", "labels.npy"]),
    offset=st.integers(0, 167),
    byte=st.integers(0, 255),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_byte_of_an_array_is_guarded(small, name, offset, byte):
    intact, content = data.load(small), (small / name).read_bytes()
    changed = bytearray(content)
    changed[offset] = byte
    (small / name).write_bytes(changed)
    try:
        assert_same(data.load(small), intact)  # such as a blank of the header's padding
    except InputError as error:
        assert f"{name} is damaged" in str(error)  # noqa: PT017
    finally:
        (small / name).write_bytes(content)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"[]", b"{}", b"null", {"source": "other"}, {"num_train": "30"}],
)
def test_damaged_ready_json_is_refused_and_prepared_again(jpeg, content):
    path = jpeg / "ready.json"
    intact, text = data.load(jpeg), path.read_bytes()
    if isinstance(content, dict):
        content = json.dumps(json.loads(text) | content).encode()
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"ready\.json is damaged: delete it and run `make data`"):
        data.load(jpeg)
    assert_same(data.prepare(jpeg), intact)
    assert path.read_bytes() == text


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(b""), "not a whole JPEG"),
        (lambda path: path.write_bytes(path.read_bytes()[:-2]), "not a whole JPEG"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "not a whole JPEG"),
        (lambda path: Image.new("RGB", (32, 31)).save(path), "32 x 31 pixels"),
    ],
)
@pytest.mark.parametrize("name", ["train/airplane/0000.jpg", "test/truck/0001.jpg"])
def test_broken_jpeg_is_named_and_the_digits_there_stay(digits, name, harm, reason):
    before = data.load(digits)
    write_jpeg_tree(digits)
    harm(digits / "cifar10-jpeg" / name)
    with pytest.raises(InputError, match=rf"cifar10-jpeg/{name} is missing or damaged \({reason}"):
        data.prepare(digits)
    assert_same(data.load(digits), before)


@pytest.mark.parametrize(
    ("source", "name"),
    [*((BATCHES, name) for name in ("data_batch_3", "test_batch", "batches.meta")), (ARCHIVE,) * 2],
)
def test_damaged_original_is_named_and_the_next_source_taken(
    tmp_path, original, caplog, source, name
):
    write_jpeg_tree(tmp_path)
    copy_into(tmp_path, original[0] / source)
    flip(next(tmp_path.rglob(name)))
    assert data.prepare(tmp_path).source == JPEG
    assert f"{name} is missing or damaged" in caplog.text
    assert "could not be downloaded" in caplog.text


def test_damaged_batch_is_restored_from_the_archive(tmp_path, original):
    for name in (BATCHES, ARCHIVE):
        copy_into(tmp_path, original[0] / name)
    flip(tmp_path / BATCHES / "data_batch_2")
    np.testing.assert_array_equal(data.prepare(tmp_path).train_images, original[1][:10])


KILLED = """
import os, signal, sys
from pathlib import Path
from liprune_utils import data
data.IMAGES_PER_CLASS = {"train": 3, "test": 2}
calls = []
def fsync(descriptor):
    calls.append(descriptor)
    if len(calls) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
os.fsync = fsync
folder = Path(sys.argv[1])
data._write(folder, data._read_jpeg_tree(folder / "cifar10-jpeg"))
"""


@pytest.mark.parametrize("num_files", [1, 2, 3])
def test_killed_preparation_looks_unprepared(digits, num_files):
    write_jpeg_tree(digits)
    killed = subprocess.run([sys.executable, "-c", KILLED, digits, str(num_files)], cwd=PROJECT)
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(InputError, match="holds no prepared data"):
        data.load(digits)
    assert data.prepare(digits).source == JPEG
    assert data.load(digits).source == JPEG


def test_full_disk_is_one_sentence_and_leaves_nothing_half_written(tmp_path, monkeypatch, capsys):
    def fsync(_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", fsync)
    assert data.main(["--folder", str(tmp_path)]) == 1
    assert re.fullmatch("error: .*No space left on device\n", capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []
