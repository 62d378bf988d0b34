"""The sources of CIFAR-10 and its stand-ins, and its download; `liprune_utils.data` chooses."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from urllib.request import urlopen

import numpy as np
from tqdm import tqdm

from liprune_utils.checks import InputError
from liprune_utils.files import write_atomically

CIFAR10 = "CIFAR-10"
CIFAR10_JPEG = "CIFAR-10 (JPEG re-encoding)"
DIGITS = "scikit-learn digits"
CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
IMAGES_PER_CLASS = {"train": 5000, "test": 1000}
ORIGINAL_FILES = ("cifar-10-batches-py", "cifar-10-python.tar.gz")  # as torchvision names them

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Arrays:
    """What a source yields, training images first.

    Attributes:
        pixels: uint8 array of shape ``[n, 32, 32, 3]``.
        labels: int64 array of shape ``[n]``, indices into ``class_names``.
        num_train: Number of training images.
        class_names: The name of each label.
    """

    pixels: np.ndarray
    labels: np.ndarray
    num_train: int
    class_names: Sequence[str]


def read_original(folder: Path, network: bool) -> Arrays | None:
    """Read the original CIFAR-10, unpacked or downloaded first where need be.

    Args:
        folder: The folder of torchvision's files.
        network: Whether it may be downloaded.

    Returns:
        The arrays, or None if it cannot be had.
    """
    if not (network or any((folder / name).exists() for name in ORIGINAL_FILES)):
        return None  # before the slow import
    from torchvision.datasets import CIFAR10 as ORIGINAL
    from torchvision.datasets.utils import extract_archive

    archive, batches = folder / ORIGINAL.filename, folder / ORIGINAL.base_folder
    meta = (ORIGINAL.meta["filename"], ORIGINAL.meta["md5"])
    md5s = [*ORIGINAL.train_list, *ORIGINAL.test_list, meta]
    if not (batches.is_dir() and all(_has_md5(batches / name, md5) for name, md5 in md5s)):
        archived = archive.exists() and _has_md5(archive, ORIGINAL.tgz_md5)
        if not (archived or (network and download(ORIGINAL.url, archive, ORIGINAL.tgz_md5))):
            return None
        extract_archive(archive, folder)
    logger.info("Found %s in %s.", CIFAR10, batches)
    train, test = ORIGINAL(folder, train=True), ORIGINAL(folder, train=False)
    pixels = np.concatenate([train.data, test.data])
    labels = np.array(train.targets + test.targets, dtype=np.int64)
    return Arrays(pixels, labels, len(train), train.classes)


def _has_md5(path: Path, md5: str) -> bool:
    from torchvision.datasets.utils import check_integrity

    intact = check_integrity(path, md5)
    if not intact:
        logger.warning("%s is missing or damaged (MD5 sum): it is not used.", path)
    return intact


def read_jpeg_tree(tree: Path) -> Arrays | None:
    """Read CIFAR-10 from JPEG images, in the order of ``torchvision.datasets.ImageFolder``.

    Args:
        tree: The folder of ``{train,test}/<class>/0000.jpg``.

    Returns:
        The arrays, or None if there is no such folder.

    Raises:
        InputError: If an image is missing or damaged.
    """
    if not tree.is_dir():
        return None
    logger.info("Found %s in %s.", CIFAR10_JPEG, tree)
    paths = [
        tree / split / name / f"{i:04d}.jpg"
        for split, num_images in IMAGES_PER_CLASS.items()
        for name in CLASSES
        for i in range(num_images)
    ]
    bar = tqdm(paths, desc="Decoding", unit=" images", disable=None)
    pixels = np.stack([_decode(path) for path in bar])
    labels = np.concatenate([np.arange(10).repeat(num) for num in IMAGES_PER_CLASS.values()])
    return Arrays(pixels, labels, 10 * IMAGES_PER_CLASS["train"], CLASSES)


def _decode(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path, formats=["JPEG"]) as image:
            if image.size == (32, 32):
                return np.asarray(image.convert("RGB"))
            reason = f"{image.width} x {image.height} pixels, expected 32 x 32"
    except OSError as error:
        reason = error.strerror or "not a whole JPEG image"
    raise InputError(
        f"{path} is missing or damaged ({reason}): unpack the whole JPEG tree again, or delete it."
    )


def read_digits() -> Arrays:
    """Read scikit-learn's digits, enlarged to 32 x 32; every fifth of each class is a test image.

    Returns:
        The arrays.
    """
    from sklearn.datasets import load_digits

    logger.info("%s cannot be had: %s stand in.", CIFAR10, DIGITS)
    digits = load_digits()
    grey = np.round(digits.images * (255 / 16)).astype(np.uint8)  # from 0 to 16, [n, 8, 8]
    pixels = np.stack([grey.repeat(4, axis=1).repeat(4, axis=2)] * 3, axis=-1)
    labels = digits.target.astype(np.int64)
    rank = np.cumsum(np.eye(10, dtype=int)[labels], axis=0)[np.arange(len(labels)), labels]
    is_test = rank % 5 == 0  # every fifth image of each class
    order = np.argsort(is_test, kind="stable")
    return Arrays(pixels[order], labels[order], int(np.sum(~is_test)), tuple("0123456789"))


ARCHIVE_BYTES = 170_498_071  # for the progress bar alone
BLOCK_BYTES = 1 << 16
SILENCE_S = 10  # a block that takes longer, name resolution included, ends the download


def download(url: str, path: Path, md5: str) -> bool:
    """Download the archive whole and intact, or not at all; a failure is logged.

    Args:
        url: Where the archive is.
        path: Where it goes; missing folders are made.
        md5: The MD5 sum that it must have, in hexadecimal.

    Returns:
        Whether the archive is at the path.

    Raises:
        OSError: If the path cannot be written.
    """
    # torchvision's own download has no timeout, and writes to the final name as it goes
    logger.info("Downloading CIFAR-10 from %s.", url)
    try:
        content = _receive(url, md5)
    except (OSError, HTTPException) as error:
        logger.warning("CIFAR-10 could not be downloaded: %s.", error)
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda partial: partial.write_bytes(content))
    return True


def _receive(url: str, md5: str) -> bytearray:
    content = bytearray()
    with tqdm(total=ARCHIVE_BYTES, unit="B", unit_scale=True, disable=None) as bar:
        for block in _blocks(url):
            content += block
            bar.update(len(block))
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise OSError(f"{len(content)} bytes came, with the MD5 sum {found}, not {md5}")
    return content


def _blocks(url: str) -> Iterator[bytes]:
    # a thread, since no socket timeout bounds name resolution or a host's many addresses
    blocks: Queue[bytes | Exception] = Queue(maxsize=16)
    Thread(target=_fill, args=(blocks, url), daemon=True).start()
    while True:
        try:
            block = blocks.get(timeout=SILENCE_S)
        except Empty:
            raise TimeoutError(f"the network was silent for {SILENCE_S} seconds") from None
        if isinstance(block, Exception):
            raise block
        if not block:
            return
        yield block


def _fill(blocks: Queue, url: str) -> None:
    try:
        with urlopen(url, timeout=2 * SILENCE_S) as response:
            while block := response.read(BLOCK_BYTES):
                blocks.put(block)
        blocks.put(b"")
    except Exception as error:  # raised where the queue is read
        blocks.put(error)
