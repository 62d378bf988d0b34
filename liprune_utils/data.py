"""CIFAR-10 as one array of bytes that knows where it came from.

``python -m liprune_utils.data`` (``make data``) prepares ``data/`` from the first of these that
can be had:

1. "CIFAR-10": what ``torchvision.datasets.CIFAR10`` reads (Krizhevsky, 2009), in the folder or
   downloaded, its MD5 sums checked.
2. "CIFAR-10 (JPEG re-encoding)": the tree ``cifar10-jpeg/{train,test}/<class>/0000.jpg`` in the
   folder, in the order of ``torchvision.datasets.ImageFolder``: sorted by class, whereas the
   original is shuffled.
3. "scikit-learn digits": a stand-in, so that the book builds anywhere; refused where
   ``REQUIRE_CIFAR10=1``.

It writes ``pixels.npy`` (uint8, ``[n, 32, 32, 3]``, training images first), ``labels.npy`` (int64,
``[n]``) and at last ``ready.json``: the source, and the SHA-256 of both arrays that :func:`load`
checks every time.
"""

import argparse
import hashlib
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liprune_utils.checks import InputError, require
from liprune_utils.files import write_atomically
from liprune_utils.sources import (
    CIFAR10,
    CIFAR10_JPEG,
    DIGITS,
    Arrays,
    read_digits,
    read_jpeg_tree,
    read_original,
)

ROOT = Path(__file__).resolve().parent.parent
READY_TYPES = {
    "source": str,
    "sha256": str,
    "labels_sha256": str,
    "num_train": int,
    "num_test": int,
    "classes": list,
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels with their split and provenance.

    Attributes:
        train_images: uint8 array of shape ``[num_train, 32, 32, 3]``.
        train_labels: int64 array of shape ``[num_train]``, indices into ``class_names``.
        test_images: uint8 array of shape ``[num_test, 32, 32, 3]``.
        test_labels: int64 array of shape ``[num_test]``.
        source: "CIFAR-10", "CIFAR-10 (JPEG re-encoding)" or "scikit-learn digits".
        sha256: Hexadecimal SHA-256 of the bytes of all pixels, training images first.
        class_names: The name of each label.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    source: str
    sha256: str
    class_names: tuple[str, ...]

    @property
    def is_cifar10(self) -> bool:
        """Whether the images are CIFAR-10's, in either encoding."""
        return self.source in (CIFAR10, CIFAR10_JPEG)


def load(folder: str | Path = "data") -> Dataset:
    """Read what ``make data`` prepared, and check it against its SHA-256.

    Args:
        folder: The prepared folder; a relative one starts at the project's root.

    Returns:
        The data with their provenance.

    Raises:
        InputError: If the folder is not prepared or one of its files is damaged.
    """
    folder = ROOT / folder
    if not (folder / "ready.json").is_file():
        raise InputError(f"The folder {folder} holds no prepared data: run `make data`.")
    ready = _read_ready(folder / "ready.json")
    num_train, shape = ready["num_train"], (ready["num_train"] + ready["num_test"], 32, 32, 3)
    pixels = _read_array(folder / "pixels.npy", "uint8", shape, ready["sha256"])
    labels = _read_array(folder / "labels.npy", "int64", shape[:1], ready["labels_sha256"])
    return Dataset(
        train_images=pixels[:num_train],
        train_labels=labels[:num_train],
        test_images=pixels[num_train:],
        test_labels=labels[num_train:],
        source=ready["source"],
        sha256=ready["sha256"],
        class_names=tuple(ready["classes"]),
    )


def banner(dataset: Dataset) -> str:
    """Warn at the top of a page that its data are not CIFAR-10.

    Args:
        dataset: The data that the page uses.

    Returns:
        An HTML admonition, or the empty string for CIFAR-10 in either encoding.
    """
    if dataset.is_cifar10:
        return ""
    return (
        '<div class="admonition warning">\n'
        '<p class="admonition-title">Not CIFAR-10: handwritten digits stand in</p>\n'
        "<p><strong>No number on this page is about CIFAR-10.</strong> CIFAR-10 could not be had"
        f" when this page was built, so the small handwritten digits of {dataset.source} stand in."
        " Run <code>make data</code> where CIFAR-10 can be downloaded, then build the page again."
        "</p>\n</div>"
    )


def prepare(folder: str | Path = "data", retry: bool = False) -> Dataset:
    """Prepare the folder from the best source; where that is already done, change nothing.

    The network is tried only where nothing intact is prepared. A better source that lies in the
    folder itself always replaces what is prepared.

    Args:
        folder: The folder to prepare; a relative one starts at the project's root.
        retry: Whether to try the network also where the digits are prepared.

    Returns:
        What the folder now holds.

    Raises:
        InputError: If the folder is a file, the JPEG tree is broken, or ``REQUIRE_CIFAR10=1`` and
            only the digits remain.
    """
    folder = ROOT / folder
    there = next(path for path in (folder, *folder.parents) if path.exists())
    require(there.is_dir(), "folder", str(folder), "a folder, or the name of one to be made")
    prepared = _load_intact(folder)
    network = prepared is None or (retry and prepared.source == DIGITS)
    sources = {
        CIFAR10: lambda: read_original(folder, network),
        CIFAR10_JPEG: lambda: read_jpeg_tree(folder / "cifar10-jpeg"),
        DIGITS: read_digits,
    }
    for source, read in sources.items():
        if source == DIGITS and os.environ.get("REQUIRE_CIFAR10") == "1":
            raise InputError(
                f"REQUIRE_CIFAR10=1 refuses the handwritten digits, and {folder} holds neither an"
                " intact archive of CIFAR-10 nor the JPEG tree cifar10-jpeg."
            )
        if prepared and prepared.source == source:
            return prepared
        if arrays := read():
            _write(folder, source, arrays)
            return load(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command ``python -m liprune_utils.data``.

    Args:
        arguments: The command line's arguments; by default those of the process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m liprune_utils.data", description="Prepare CIFAR-10 once, or a stand-in."
    )
    parser.add_argument("--folder", default="data", help="default: data; starts at the root")
    parser.add_argument("--retry", action="store_true", help="download where digits stand in")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        dataset = prepare(options.folder, options.retry)
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: The folder {options.folder} could not be prepared: {error}.")
    print(
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


def _read_ready(path: Path) -> dict:
    try:
        ready = json.loads(path.read_bytes())
        intact = {key: type(value) for key, value in ready.items()} == READY_TYPES
    except (ValueError, AttributeError):
        intact = False
    if not (intact and ready["source"] in (CIFAR10, CIFAR10_JPEG, DIGITS)):
        raise InputError(f"{path} is damaged: delete it and run `make data`.")
    return ready


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


def _write(folder: Path, source: str, arrays: Arrays) -> None:
    ready = {
        "source": source,
        "sha256": _sha256(arrays.pixels),
        "labels_sha256": _sha256(arrays.labels),
        "num_train": arrays.num_train,
        "num_test": len(arrays.labels) - arrays.num_train,
        "classes": arrays.class_names,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ready.json").unlink(missing_ok=True)  # never beside arrays that it does not describe
    text = f"{json.dumps(ready, indent=1)}\n"
    write_atomically(folder / "pixels.npy", lambda path: np.save(path, arrays.pixels))
    write_atomically(folder / "labels.npy", lambda path: np.save(path, arrays.labels))
    write_atomically(folder / "ready.json", lambda path: path.write_text(text))


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


if __name__ == "__main__":
    main()
