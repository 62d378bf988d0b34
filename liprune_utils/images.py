"""Images of an experiment as tensors on one device: standardised, in fixed batches, augmented.

The paper (Section 4.2) does not say how. Here images are standardised by channel, and augmented by
a pad-4 crop and a flip (He et al. 2016, arXiv 1512.03385, Section 4.2).
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from liprune_utils.data import Dataset
from liprune_utils.streams import StreamFamily

PURPOSES = ("subset", "batches", "init", "choice", "order", "augmentation")
generator = StreamFamily({purpose: number for number, purpose in enumerate(PURPOSES)})
PADDING = 4  # pixels


@dataclass(frozen=True)
class Images:
    """Standardised images and their labels, to train and to test on, on one device."""

    inputs: Tensor  #: to train on, float32, [n, 3, 32, 32], channels last in memory
    labels: Tensor  #: their classes, int64, [n]
    test_inputs: Tensor  #: to test on, as inputs
    test_labels: Tensor  #: as labels


def draw_images(
    data: Dataset, num_images: int, num_test_images: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the images of a repetition, without replacement; all where the data set has fewer.

    Returns:
        Indices of the training images, shape ``[num_images]``, and of the test images, shape
        ``[num_test_images]``.
    """
    draw = generator(seed, "subset")
    train = draw.permutation(len(data.train_labels))[:num_images]
    return train, draw.permutation(len(data.test_labels))[:num_test_images]


def images_sha256(data: Dataset, num_images: int, num_test_images: int, seed: int) -> str:
    """Hash the pixels of the images of `draw_images`, training images first, in hexadecimal."""
    train, test = draw_images(data, num_images, num_test_images, seed)
    digest = hashlib.sha256(data.train_images[train])
    digest.update(data.test_images[test])
    return digest.hexdigest()


def make_images(
    data: Dataset, num_images: int, num_test_images: int, *, seed: int = 0, device: str = "cpu"
) -> Images:
    """Draw the images of a repetition, as `draw_images` does, and standardise them.

    Returns:
        On ``device``, standardised by the channels' means and deviations over the training images.
    """
    train, test = draw_images(data, num_images, num_test_images, seed)
    levels = _standardised_levels(data.train_images[train])

    def tensor(images: np.ndarray) -> Tensor:
        scaled = np.stack([levels[images[..., c], c] for c in range(3)], axis=-1)
        return torch.from_numpy(scaled).permute(0, 3, 1, 2).to(device)

    return Images(
        inputs=tensor(data.train_images[train]),
        labels=torch.from_numpy(data.train_labels[train]).to(device),
        test_inputs=tensor(data.test_images[test]),
        test_labels=torch.from_numpy(data.test_labels[test]).to(device),
    )


# What each of the 256 levels of a channel becomes, by its mean and deviation over all pixels.
def _standardised_levels(images: np.ndarray) -> np.ndarray:
    counts = np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(3)], 1)
    shares, values = counts / counts.sum(axis=0), np.arange(256.0)[:, None]
    mean = (values * shares).sum(axis=0)
    deviation = np.sqrt(((values - mean) ** 2 * shares).sum(axis=0))
    return ((values - mean) / np.maximum(deviation, 1e-4)).astype(np.float32)


def fixed_batches(num_images: int, batch_size: int, seed: int) -> list[np.ndarray]:
    """Cut a random permutation of the images into batches, fixed for the whole training.

    Returns:
        Indices of each batch's images, int64, ``[batch_size]``; the last batch may have fewer.
    """
    order = generator(seed, "batches").permutation(num_images)
    return np.split(order, range(batch_size, num_images, batch_size))


def draw_shifts(count: int, draw: np.random.Generator) -> np.ndarray:
    """Draw how images are augmented: where the crop begins, and whether it is mirrored.

    Returns:
        Int64 array of shape ``[count, 3]``: top and left of the crop, from 0 to 8 (4 does not move
        the image), and 1 where it is mirrored, else 0.
    """
    corners = draw.integers(0, 2 * PADDING + 1, size=(2, count))
    return np.stack([*corners, draw.random(count) < 0.5], axis=1)


def shifted(images: Tensor, shifts: Tensor) -> Tensor:
    """Shift each image by up to four pixels, with zeros moving in, and mirror some.

    Args:
        images: Float, shape ``[B, 3, H, W]``.
        shifts: From `draw_shifts`, int64, shape ``[B, 3]``, on the same device.

    Returns:
        New images of the same shape, channels last in memory.
    """
    top, left, mirrored = shifts.T[:, :, None]  # [B, 1] each
    rows, columns = (torch.arange(size, device=images.device) for size in images.shape[2:])
    columns = torch.where(mirrored.bool(), columns.flip(0), columns)
    padded = functional.pad(images, (PADDING,) * 4).permute(0, 2, 3, 1)
    index = torch.arange(len(images), device=images.device)[:, None, None]
    moved = padded[index, (top + rows)[:, :, None], (left + columns)[:, None]]  # [B, H, W, 3]
    return moved.permute(0, 3, 1, 2)
