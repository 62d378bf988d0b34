"""Files that are never half there and are named where they are damaged; who computed them."""

import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
import yaml

from liprune_utils.checks import InputError


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


PROJECT = Path(__file__).resolve().parent.parent


def results_folder(results_dir: str | Path, name: str = "results_dir") -> Path:
    """Make sure that a folder for results exists and can be written.

    Args:
        results_dir: The folder; a relative one lies in the project, wherever the page runs.
        name: What the reader calls it.

    Returns:
        The folder.

    Raises:
        InputError: If it cannot be made or written.
    """
    folder = PROJECT / results_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{name} is {str(results_dir)!r}; expected a folder that can be written, "
            f"but {folder}: {error.strerror}."
        ) from None
    return folder


def write_json(path: Path, content: object) -> None:
    """Write JSON atomically.

    Args:
        path: The file.
        content: What to write; NaN is refused.
    """
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_atomically(path, lambda partial: partial.write_text(text))


def write_table(folder: Path, name: str, table: pd.DataFrame) -> None:
    """Write a tidy table as CSV, with enough digits to read back the same numbers.

    Args:
        folder: The results folder.
        name: The table's name, without ending.
        table: One row an observation.
    """
    write_atomically(folder / f"{name}.csv", lambda path: table.to_csv(path, index=False))


def read_table(path: Path) -> pd.DataFrame:
    """Read a table that `write_table` wrote.

    Args:
        path: The file.

    Returns:
        One row an observation.

    Raises:
        InputError: If it is missing or damaged.
    """
    try:
        return pd.read_csv(path)
    except (OSError, ValueError):  # all of pandas' own are among the latter
        raise InputError(f"{path} is missing or damaged; expected a table.") from None


def provenance(**facts: object) -> dict[str, object]:
    """Describe what computed a record.

    Args:
        **facts: What else the record should say, such as its data source.

    Returns:
        The machine, the code's commit, the versions, and ``facts``.
    """
    packages = {
        name: package_version(name) for name in ("liprune-utils", "numpy", "torch", "torchvision")
    }
    machine = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    code = {"commit": commit(), "versions": packages}
    return {**machine, "cpus": os.cpu_count(), **code, **facts}


def package_version(name: str) -> str:
    """Look up the version of an installed package.

    Args:
        name: Its name.

    Returns:
        The version, or "not installed".
    """
    try:
        return version(name)
    except PackageNotFoundError:  # a copy that is run where it lies
        return "not installed"


def commit() -> str:
    """Name the version of the code that runs.

    Returns:
        The git commit, with "-dirty" where files differ from it; without git what the environment
        variable ``LIPRUNE_COMMIT`` says, or "unknown".
    """
    words = ["git", "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    try:
        found = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("LIPRUNE_COMMIT", "unknown")
    return found.stdout.strip()


def read_provenance(records_dir: Path, page: str) -> dict[str, object]:
    """Read what a page recorded of its circumstances.

    Args:
        records_dir: Folder with one folder a page.
        page: The page's name.

    Returns:
        The record; empty if there is none.
    """
    path = Path(records_dir) / page / "provenance.json"
    return read_json(path) if path.exists() else {}
