"""Folders with CIFAR-10 at toy size, for the tests of the data."""

import pickle
import tarfile

import numpy as np
import pytest
from cifar_sources import ARCHIVE, BATCHES, SMALL, md5, write_batch, write_jpeg_tree
from torchvision import datasets

from liprune_utils import data


@pytest.fixture
def small_and_offline(monkeypatch):
    monkeypatch.setattr(data, "IMAGES_PER_CLASS", SMALL)
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:1/refused.tar.gz")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("REQUIRE_CIFAR10", raising=False)


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


@pytest.fixture
def digits(tmp_path):
    data._write(tmp_path / "digits", data._read_digits())
    return tmp_path / "digits"


@pytest.fixture
def jpeg(tmp_path):
    write_jpeg_tree(tmp_path / "jpeg")
    data.prepare(tmp_path / "jpeg")
    return tmp_path / "jpeg"
