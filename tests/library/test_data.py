"""The sources of CIFAR-10, their order, and the command that prepares one: on tiny trees."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from cifar_sources import ARCHIVE, BATCHES, JPEG, assert_same, copy_into, write_jpeg_tree
from sklearn.datasets import load_digits
from torchvision import datasets

from liprune_utils import data
from liprune_utils.checks import InputError
from liprune_utils.files import PROJECT

pytestmark = pytest.mark.usefixtures("small_and_offline")


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


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


def test_unprepared_folder_is_named_and_a_relative_one_starts_at_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"{PROJECT}/none holds no prepared data: run `make data"):
        data.load("none")


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
