"""A few small images and a small network on them, that the tests of training share."""

from collections.abc import Mapping

import numpy as np
from draws import seeded
from torch import Tensor

from liprune_utils.data import Dataset
from liprune_utils.images import Images, fixed_batches, make_images
from liprune_utils.settings import TrainingRun

RUN = TrainingRun(
    depth=8, learning_rate=0.05, decay_epochs=(3,), num_epochs=3,
    num_images=12, num_test_images=40, batch_size=4,
)  # fmt: skip
BATCHES = fixed_batches(12, 4, seed=0)


def dataset(num_train: int = 20, num_test: int = 50, darkest: int = 0) -> Dataset:
    draw = seeded(7)
    images = [
        draw.integers(darkest, 256, (n, 32, 32, 3), dtype=np.uint8) for n in (num_train, num_test)
    ]
    labels = [(image.mean(axis=(1, 2, 3)) * 100).astype(np.int64) % 10 for image in images]
    classes = tuple("abcdefghij")
    return Dataset(images[0], labels[0], images[1], labels[1], "CIFAR-10", "0", classes)


def images(device: str = "cpu") -> Images:
    return make_images(dataset(), RUN.num_images, RUN.num_test_images, device=device)


def moved(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Augment one image, ``[C, H, W]``, by padding, cutting and turning it."""
    top, left, mirrored = shift
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (4, 4), (4, 4)))
    cut = padded[:, top : top + height, left : left + width]
    return cut[:, :, ::-1] if mirrored else cut


def same(one: object, other: object) -> bool:
    """Whether two nests of dictionaries, lists, tensors and numbers are equal bit for bit."""
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and one.equal(other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
