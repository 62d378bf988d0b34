"""The download of CIFAR-10's archive, given up where the network falls silent."""

import hashlib
import logging
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from urllib.request import urlopen

from tqdm import tqdm

from liprune_utils.files import write_atomically

ARCHIVE_BYTES = 170_498_071  # for the progress bar alone
BLOCK_BYTES = 1 << 16
SILENCE_S = 10  # a block that takes longer, name resolution included, ends the download

logger = logging.getLogger(__name__)


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
