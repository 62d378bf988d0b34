"""Tiny trees of the files that CIFAR-10 comes in, which the tests of the data share."""

import hashlib
import pickle

import numpy as np
from PIL import Image
from torchvision import datasets

from liprune_utils import data

SMALL = {"train": 3, "test": 2}  # images for each class
ARCHIVE, BATCHES = datasets.CIFAR10.filename, datasets.CIFAR10.base_folder
JPEG = "CIFAR-10 (JPEG re-encoding)"


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


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def copy_into(folder, path):
    """Put a file, or a folder of files, into the folder."""
    target = folder / path.name if path.is_dir() else folder
    target.mkdir(parents=True, exist_ok=True)
    for file in path.iterdir() if path.is_dir() else [path]:
        (target / file.name).write_bytes(file.read_bytes())


def assert_same(first, second):
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), strict=True)
