"""Files that are never half there."""

import os
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file under another name, then rename it once it is whole and on the disk.

    Args:
        path: The file; its folder exists.
        write: Writes the file at the path that it is given, which has the same ending. If it
            raises, what it wrote is deleted and the file stays as it was.

    Returns:
        The file.
    """
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        write(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        return partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
