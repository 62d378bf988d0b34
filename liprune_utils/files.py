"""Files that are never half there, and that are named where they are damaged."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import yaml

from liprune_utils.parameters import InputError


def read_json(path: Path) -> object:
    """Read JSON.

    Args:
        path: The file.

    Returns:
        Its content.

    Raises:
        InputError: If it is damaged.
    """
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        raise InputError(f"{path} is damaged; expected JSON.") from None


def read_yaml(path: Path, name: str) -> object:
    """Read YAML in which no mapping has a name twice.

    Args:
        path: The file.
        name: What the reader calls it.

    Returns:
        Its content.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return yaml.load(file, _Loader)
    except (OSError, yaml.YAMLError) as error:
        words = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(f"{name} {path} cannot be read: {words}.") from None


# By itself YAML takes the last of two equal names, and loses what the first says without a word.
class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        names = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if names.count(key.value) > 1:
                words = f"found {key.value!r} twice"
                raise yaml.constructor.ConstructorError(None, None, words, key.start_mark)
        return super().construct_mapping(node, deep)


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
