"""The sources of CIFAR-10, their order, and what is refused: on tiny trees."""

import hashlib
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits
from torchvision import datasets

from liprune_utils import data
from liprune_utils.checks import InputError
from liprune_utils.files import PROJECT

SMALL = {"train": 3, "test": 2}
ARCHIVE, BATCHES = datasets.CIFAR10.filename, datasets.CIFAR10.base_folder
JPEG, HEX = "CIFAR-10 (JPEG re-encoding)", "[0-9a-f]{12}"


@pytest.fixture(autouse=True)
def _small_and_offline(monkeypatch):
    monkeypatch.setattr(data, "IMAGES_PER_CLASS", SMALL)
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:1/refused.tar.gz")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("REQUIRE_CIFAR10", raising=False)


def write_jpeg_tree(folder):
    rng = np.random.default_rng(0)
    for split, num_images in SMALL.items():
        for name in data.CLASSES:
            (folder / "cifar10-jpeg" / split / name).mkdir(parents=True)
            for i in range(num_images):
                image = Image.fromarray(rng.integers(256, size=(32, 32, 3), dtype=np.uint8))
                image.save(folder / "cifar10-jpeg" / split / name / f"{i:04d}.jpg")


def write_batch(path, images, labels):
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)  # [n, 3072], colours first
    path.write_bytes(pickle.dumps({"data": rows, "labels": labels.tolist()}))


@pytest.fixture
def original(tmp_path_factory, monkeypatch):
    """CIFAR-10 in the original's files, two images per batch: their folder, images and labels."""
    root, rng = tmp_path_factory.mktemp("original"), np.random.default_rng(1)
    images = rng.integers(256, size=(12, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(10, size=12)
    batches = root / BATCHES
    batches.mkdir()
    names = [name for name, _ in datasets.CIFAR10.train_list + datasets.CIFAR10.test_list]
    for i, name in enumerate(names):
        write_batch(batches / name, images[2 * i : 2 * i + 2], labels[2 * i : 2 * i + 2])
    (batches / "batches.meta").write_bytes(pickle.dumps({"label_names": list(data.CLASSES)}))
    with tarfile.open(root / ARCHIVE, "w:gz") as file:
        file.add(batches, arcname=batches.name)
    sums = [[name, md5(batches / name)] for name in names]
    meta = datasets.CIFAR10.meta | {"md5": md5(batches / "batches.meta")}
    values = {"train_list": sums[:5], "test_list": sums[5:], "meta": meta}
    for name, value in (values | {"tgz_md5": md5(root / ARCHIVE)}).items():
        monkeypatch.setattr(datasets.CIFAR10, name, value)
    return root, images, labels


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def copy_into(folder, path):
    """Put a file, or a folder of files, into the folder."""
    target = folder / path.name if path.is_dir() else folder
    target.mkdir(parents=True, exist_ok=True)
    for file in path.iterdir() if path.is_dir() else [path]:
        (target / file.name).write_bytes(file.read_bytes())


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def damage(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def assert_same(first, second):
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), strict=True)


@pytest.fixture
def digits(tmp_path):
    data._write(tmp_path / "digits", data._read_digits())
    return tmp_path / "digits"


@pytest.fixture
def jpeg(tmp_path):
    write_jpeg_tree(tmp_path / "jpeg")
    data.prepare(tmp_path / "jpeg")
    return tmp_path / "jpeg"


# Sources.


def test_jpeg_tree_is_what_image_folder_reads(jpeg):
    dataset = data.load(jpeg)
    assert dataset.source == JPEG
    for split in ("train", "test"):
        reference = datasets.ImageFolder(jpeg / "cifar10-jpeg" / split)
        assert tuple(reference.classes) == dataset.class_names
        images = np.stack([np.asarray(image) for image, _ in reference])
        np.testing.assert_array_equal(getattr(dataset, f"{split}_images"), images, strict=True)
        np.testing.assert_array_equal(getattr(dataset, f"{split}_labels"), reference.targets)


def test_original_in_the_folder(tmp_path, original):
    root, images, labels = original
    copy_into(tmp_path, root / BATCHES)
    dataset = data.prepare(tmp_path)
    assert (dataset.source, dataset.class_names) == ("CIFAR-10", data.CLASSES)
    np.testing.assert_array_equal(dataset.train_images, images[:10], strict=True)
    np.testing.assert_array_equal(dataset.test_images, images[10:], strict=True)
    np.testing.assert_array_equal(dataset.train_labels, labels[:10], strict=True)
    np.testing.assert_array_equal(dataset.test_labels, labels[10:], strict=True)


def test_digits_are_enlarged_and_every_fifth_of_a_class_is_a_test_image(digits):
    dataset, reference = data.load(digits), load_digits()
    seen, expected = [0] * 10, {False: [], True: []}
    for grey, label in zip(reference.images, reference.target, strict=True):
        seen[label] += 1
        expected[seen[label] % 5 == 0].append((np.kron(grey, np.ones((4, 4))), label))
    splits = (
        (dataset.train_images, dataset.train_labels, expected[False]),
        (dataset.test_images, dataset.test_labels, expected[True]),
    )
    for images, labels, rows in splits:
        greys = np.stack([grey for grey, _ in rows])[..., None] * (255 / 16)
        np.testing.assert_array_equal(images, greys.round() + np.zeros(3))
        np.testing.assert_array_equal(labels, [label for _, label in rows])
    assert (len(splits[0][1]), len(splits[1][1])) == (1442, 355)
    assert dataset.class_names == tuple("0123456789")


# Their order.


@pytest.fixture
def cifar10(tmp_path, original):
    copy_into(tmp_path / "cifar10", original[0] / ARCHIVE)
    data.prepare(tmp_path / "cifar10")
    return tmp_path / "cifar10"


@pytest.mark.parametrize("retry", [False, True])
@pytest.mark.parametrize("prepared", ["digits", "jpeg", "cifar10"])
def test_prepared_folder_is_left_alone(prepared, retry, request):
    folder = request.getfixturevalue(prepared)
    before, first = times(folder), data.load(folder)
    assert_same(data.prepare(folder, retry), first)
    assert times(folder) == before


def test_network_is_tried_again_only_on_request(digits, monkeypatch):
    urls = []
    monkeypatch.setattr(data, "_download", lambda url, *_: bool(urls.append(url)))
    data.prepare(digits)
    assert urls == []
    data.prepare(digits, retry=True)
    assert urls == [datasets.CIFAR10.url]


def test_better_source_in_the_folder_replaces_a_worse_one(tmp_path, original, monkeypatch, caplog):
    caplog.set_level("INFO")
    assert data.prepare(tmp_path).source == "scikit-learn digits"
    monkeypatch.setattr(data, "_download", lambda *_: pytest.fail("the network was tried"))
    write_jpeg_tree(tmp_path)
    assert data.prepare(tmp_path).source == JPEG
    copy_into(tmp_path, original[0] / ARCHIVE)
    assert data.prepare(tmp_path).source == data.load(tmp_path).source == "CIFAR-10"
    assert f"Found {JPEG} in {tmp_path}/cifar10-jpeg." in caplog.messages


def test_downloaded_archive_replaces_digits_on_retry(digits, original, monkeypatch):
    def download(url, path, md5):
        copy_into(path.parent, original[0] / ARCHIVE)
        return True

    monkeypatch.setattr(data, "_download", download)
    np.testing.assert_array_equal(data.prepare(digits, retry=True).train_images, original[1][:10])


def test_require_cifar10_refuses_digits(tmp_path, digits, monkeypatch):
    monkeypatch.setenv("REQUIRE_CIFAR10", "1")
    for folder in (tmp_path / "fresh", digits):
        with pytest.raises(InputError, match="REQUIRE_CIFAR10=1 refuses the handwritten digits"):
            data.prepare(folder)
    assert not list((tmp_path / "fresh").glob("*"))
    write_jpeg_tree(digits)
    assert data.prepare(digits).is_cifar10


# Damage.


DAMAGES = {
    "another bit": damage,
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
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
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


def test_unprepared_folder_is_named_and_a_relative_one_starts_at_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"{PROJECT}/none holds no prepared data: run `make data"):
        data.load("none")


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
    damage(next(tmp_path.rglob(name)))
    assert data.prepare(tmp_path).source == JPEG
    assert f"{name} is missing or damaged" in caplog.text
    assert "could not be downloaded" in caplog.text


def test_damaged_batch_is_restored_from_the_archive(tmp_path, original):
    for name in (BATCHES, ARCHIVE):
        copy_into(tmp_path, original[0] / name)
    damage(tmp_path / BATCHES / "data_batch_2")
    np.testing.assert_array_equal(data.prepare(tmp_path).train_images, original[1][:10])


# Writing.

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
    assert not list(digits.rglob("*.partial*"))


def test_full_disk_is_one_sentence_and_leaves_nothing_half_written(tmp_path, monkeypatch, capsys):
    def fsync(_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", fsync)
    assert data.main(["--folder", str(tmp_path)]) == 1
    assert re.fullmatch("error: .*No space left on device\n", capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


# The command.


def run(folder, **environment):
    return subprocess.run(
        [sys.executable, "-m", "liprune_utils.data", "--folder", folder],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env=os.environ | environment,
    )


def test_command_says_what_is_prepared(jpeg):
    ended, sha256 = run(jpeg), data.load(jpeg).sha256
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"{JPEG}: 30 training and 20 test images, pixel SHA-256 {sha256[:12]}.\n"


def test_command_refuses_digits_in_one_sentence(digits):
    ended = run(digits, REQUIRE_CIFAR10="1")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.fullmatch("error: REQUIRE_CIFAR10=1 refuses.*\n", ended.stderr)


def test_command_that_finds_all_prepared_imports_nothing_slow(digits):
    code = (
        "import sys; from liprune_utils import data; data.main(['--folder', sys.argv[1]]);"
        "print({'torch', 'torchvision', 'PIL', 'sklearn', 'requests'} & set(sys.modules))"
    )
    printed = subprocess.check_output([sys.executable, "-c", code, digits], text=True, cwd=PROJECT)
    assert printed.endswith("set()\n")
