"""CIFAR-10, or a stand-in, as one array of bytes that knows where it came from.

``python -m liprune_utils.data`` (``make data``) prepares ``data/`` from the first of these sources
that is available:

1. "CIFAR-10": the files of ``torchvision.datasets.CIFAR10`` (Krizhevsky, 2009), found in the folder
   or downloaded, with their MD5 sums checked.
2. "CIFAR-10 (JPEG re-encoding)": the tree ``cifar10-jpeg/{train,test}/<class>/0000.jpg`` in the
   folder, in the order of ``torchvision.datasets.ImageFolder``: sorted by class, whereas the
   original is shuffled.
3. "scikit-learn digits": a stand-in, so that the book builds anywhere; ``REQUIRE_CIFAR10=1``
   refuses it.

The folder then holds ``pixels.npy`` (uint8, ``[n, 32, 32, 3]``, training images first),
``labels.npy`` (int64, ``[n]``) and ``ready.json``, which is written last: the source, and the
SHA-256 of both arrays, which :func:`load` checks.
"""

import argparse
import hashlib
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pooch
from pydantic import BaseModel, ValidationError
from tqdm import tqdm

from liprune_utils.checks import InputError, exit_status, require
from liprune_utils.files import in_project, write_atomically

CIFAR10 = "CIFAR-10"
CIFAR10_JPEG = "CIFAR-10 (JPEG re-encoding)"
DIGITS = "scikit-learn digits"
CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
IMAGES_PER_CLASS = {"train": 5000, "test": 1000}
ORIGINAL_FILES = ("cifar-10-batches-py", "cifar-10-python.tar.gz")  # as torchvision names them
SILENCE_S = 10  # a connection, or a host, that is silent for longer ends the download

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels with their split and provenance."""

    train_images: np.ndarray  #: uint8, [num_train, 32, 32, 3]
    train_labels: np.ndarray  #: int64, [num_train], indices into class_names
    test_images: np.ndarray  #: uint8, [num_test, 32, 32, 3]
    test_labels: np.ndarray  #: int64, [num_test]
    source: str  #: CIFAR10, CIFAR10_JPEG or DIGITS
    sha256: str  #: hexadecimal, of the bytes of all pixels, training images first
    class_names: tuple[str, ...]  #: the name of each label

    @property
    def is_cifar10(self) -> bool:
        """Whether the images are CIFAR-10's, in either encoding."""
        return self.source in (CIFAR10, CIFAR10_JPEG)


class _Ready(BaseModel, strict=True, extra="forbid"):
    """What ``ready.json`` says of the arrays beside it."""

    source: Literal[CIFAR10, CIFAR10_JPEG, DIGITS]
    sha256: str
    labels_sha256: str
    num_train: int
    num_test: int
    classes: tuple[str, ...]


def load(folder: str | Path = "data") -> Dataset:
    """Read what ``make data`` prepared, and check it against its SHA-256.

    Args:
        folder: The prepared folder; a relative one starts at the project's root.

    Returns:
        The data with their provenance: uint8 images of shape ``[n, 32, 32, 3]``, int64 labels.

    Raises:
        InputError: If the folder is not prepared or one of its files is damaged.
    """
    folder = in_project(folder)
    if not (folder / "ready.json").is_file():
        raise InputError(f"The folder {folder} holds no prepared data: run `make data`.")
    ready = _read_ready(folder / "ready.json")
    num_train, shape = ready.num_train, (ready.num_train + ready.num_test, 32, 32, 3)
    pixels = _read_array(folder / "pixels.npy", "uint8", shape, ready.sha256)
    labels = _read_array(folder / "labels.npy", "int64", shape[:1], ready.labels_sha256)
    return _split(pixels, labels, num_train, ready.source, ready.classes, ready.sha256)


def prepare(folder: str | Path = "data", retry: bool = False) -> Dataset:
    """Prepare the folder from the best source; where that is already done, change nothing.

    The network is tried only where nothing intact is prepared, or with ``retry`` where the digits
    are. A better source that lies in the folder itself always replaces what is prepared.

    Returns:
        What the folder now holds.

    Raises:
        InputError: If the folder is a file, the JPEG tree is broken, or ``REQUIRE_CIFAR10=1`` and
            only the digits remain.
    """
    folder = in_project(folder)
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    require(existing.is_dir(), "folder", str(folder), "a folder, or the name of one to be made")
    prepared = _load_intact(folder)
    network = prepared is None or (retry and prepared.source == DIGITS)
    readers = {
        CIFAR10: lambda: _read_original(folder, network),
        CIFAR10_JPEG: lambda: _read_jpeg_tree(folder / "cifar10-jpeg"),
        DIGITS: _read_digits,
    }
    for source, read in readers.items():
        if source == DIGITS and os.environ.get("REQUIRE_CIFAR10") == "1":
            raise InputError(
                f"REQUIRE_CIFAR10=1 refuses the handwritten digits, and {folder} holds neither an"
                " intact archive of CIFAR-10 nor the JPEG tree cifar10-jpeg."
            )
        if prepared and prepared.source == source:
            return prepared
        if dataset := read():
            _write(folder, dataset)
            return load(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command ``python -m liprune_utils.data`` and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m liprune_utils.data", description="Prepare CIFAR-10 once, or a stand-in."
    )
    parser.add_argument("--folder", default="data", help="default: data; starts at the root")
    parser.add_argument("--retry", action="store_true", help="download where digits stand in")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return exit_status(lambda: print(_describe(prepare(options.folder, options.retry))))


def _describe(dataset: Dataset) -> str:
    return (
        f"{dataset.source}: {len(dataset.train_labels)} training and {len(dataset.test_labels)}"
        f" test images, pixel SHA-256 {dataset.sha256[:12]}."
    )


def _load_intact(folder: Path) -> Dataset | None:
    if not (folder / "ready.json").is_file():
        return None
    try:
        return load(folder)
    except InputError as error:
        logger.warning("%s Doing so now.", error)
        return None


def _read_ready(path: Path) -> _Ready:
    try:
        return _Ready.model_validate_json(path.read_bytes())
    except ValidationError:
        raise InputError(f"{path} is damaged: delete it and run `make data`.") from None


def _read_array(path: Path, dtype: str, shape: tuple[int, ...], sha256: str) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
        intact = array.dtype == dtype and array.shape == shape
        found = _sha256(array) if intact else "wrong shape"
    except Exception:  # a damaged header raises many kinds, tokenize.TokenError among them
        found = "unreadable"
    if found != sha256:
        raise InputError(
            f"{path} is damaged (SHA-256 expected {sha256[:12]}, found {found[:12]}):"
            " delete it and run `make data`."
        )
    return array


def _write(folder: Path, dataset: Dataset) -> None:
    pixels = np.concatenate([dataset.train_images, dataset.test_images])
    labels = np.concatenate([dataset.train_labels, dataset.test_labels])
    ready = _Ready(
        source=dataset.source,
        sha256=_sha256(pixels),
        labels_sha256=_sha256(labels),
        num_train=len(dataset.train_labels),
        num_test=len(dataset.test_labels),
        classes=dataset.class_names,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ready.json").unlink(missing_ok=True)  # never beside arrays that it does not describe
    text = f"{ready.model_dump_json(indent=1)}\n"
    write_atomically(folder / "pixels.npy", lambda path: np.save(path, pixels))
    write_atomically(folder / "labels.npy", lambda path: np.save(path, labels))
    write_atomically(folder / "ready.json", lambda path: path.write_text(text))


def _split(
    pixels: np.ndarray,
    labels: np.ndarray,
    num_train: int,
    source: str,
    class_names: Sequence[str],
    sha256: str = "",
) -> Dataset:
    train, test = slice(num_train), slice(num_train, None)
    arrays = pixels[train], labels[train], pixels[test], labels[test]
    return Dataset(*arrays, source, sha256 or _sha256(pixels), tuple(class_names))


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


# The sources. What each needs is imported when it is read, since torchvision takes seconds.


def _read_original(folder: Path, network: bool) -> Dataset | None:
    if not (network or any((folder / name).exists() for name in ORIGINAL_FILES)):
        return None
    from torchvision.datasets import CIFAR10 as ORIGINAL
    from torchvision.datasets.utils import extract_archive

    archive, batches = folder / ORIGINAL.filename, folder / ORIGINAL.base_folder
    meta = (ORIGINAL.meta["filename"], ORIGINAL.meta["md5"])
    md5s = [*ORIGINAL.train_list, *ORIGINAL.test_list, meta]
    if not (batches.is_dir() and all(_has_md5(batches / name, md5) for name, md5 in md5s)):
        archived = archive.exists() and _has_md5(archive, ORIGINAL.tgz_md5)
        if not (archived or (network and _download(ORIGINAL.url, archive, ORIGINAL.tgz_md5))):
            return None
        extract_archive(archive, folder)
    logger.info("Found %s in %s.", CIFAR10, batches)
    train, test = ORIGINAL(folder, train=True), ORIGINAL(folder, train=False)
    pixels = np.concatenate([train.data, test.data])
    labels = np.array(train.targets + test.targets, dtype=np.int64)
    return _split(pixels, labels, len(train), CIFAR10, train.classes)


def _has_md5(path: Path, md5: str) -> bool:
    intact = path.is_file() and pooch.file_hash(str(path), alg="md5") == md5
    if not intact:
        logger.warning("%s is missing or damaged (MD5 sum): it is not used.", path)
    return intact


def _download(url: str, path: Path, md5: str) -> bool:
    # torchvision's own download has no timeout, and writes to the final name as it goes
    downloader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(), chunk_size=1 << 16, timeout=SILENCE_S
    )
    try:
        pooch.retrieve(url, f"md5:{md5}", path.name, path.parent, downloader=downloader)
    except (OSError, ValueError) as error:  # of the network or the disk, or another MD5 sum
        logger.warning("CIFAR-10 could not be downloaded: %s", error)
        return False
    return True


def _read_jpeg_tree(tree: Path) -> Dataset | None:
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
    return _split(pixels, labels, 10 * IMAGES_PER_CLASS["train"], CIFAR10_JPEG, CLASSES)


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


def _read_digits() -> Dataset:
    from sklearn.datasets import load_digits

    logger.info("%s cannot be had: %s stand in.", CIFAR10, DIGITS)
    digits = load_digits()
    grey = np.round(digits.images * (255 / 16)).astype(np.uint8)  # from 0 to 16, [n, 8, 8]
    pixels = np.stack([grey.repeat(4, axis=1).repeat(4, axis=2)] * 3, axis=-1)
    labels = digits.target.astype(np.int64)
    rank = np.cumsum(np.eye(10, dtype=int)[labels], axis=0)[np.arange(len(labels)), labels]
    is_test = rank % 5 == 0  # every fifth image of each class
    order = np.argsort(is_test, kind="stable")
    return _split(pixels[order], labels[order], int(np.sum(~is_test)), DIGITS, tuple("0123456789"))


if __name__ == "__main__":
    sys.exit(main())
