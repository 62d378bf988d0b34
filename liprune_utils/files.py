"""Reading and writing of files: written whole or not at all, named if damaged, with provenance."""

import glob
import json
import os
import platform
import secrets
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
import yaml
from filelock import FileLock, Timeout

from liprune_utils.checks import InputError

PROJECT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 10.0  # for a kernel that is about to end
_held: dict[Path, FileLock] = {}  # folders that this process writes to
ABANDONED_SECONDS = 86_400.0  # no writer that lives leaves its file alone for a day


def read_json(path: Path) -> object:
    """Read JSON; a damaged file is an `InputError` that names it."""
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        raise InputError(f"{path} is damaged; expected JSON.") from None


def read_yaml(path: Path, name: str) -> object:
    """Read YAML, called ``name`` in messages; a mapping that has a name twice is refused."""
    try:
        with path.open("rb") as file:
            return yaml.load(file, _Loader)
    except (OSError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(f"{name} {path} cannot be read: {reason}.") from None


# By itself YAML silently takes the last of two equal names.
class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        names = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if names.count(key.value) > 1:
                problem = f"found {key.value!r} twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
        return super().construct_mapping(node, deep)


def write_atomically(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file under a name of this writer's own, then rename it, whole and on the disk.

    ``write`` is given a path in the same folder with the same suffix. If it raises, what it wrote
    is deleted and the file stays as it was. Of several writers of one file the last one counts.

    Returns:
        The file.

    Raises:
        OSError: If it cannot be written; it names the file, not its temporary name.
    """
    _remove_abandoned(path)
    partial = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.partial{path.suffix}")
    try:
        write(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        return partial.replace(path)
    except OSError as error:
        if error.filename == str(partial):
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


# What writers of a file have left that were killed.
def _remove_abandoned(path: Path) -> None:
    for partial in path.parent.glob(f".{glob.escape(path.stem)}.*.partial{path.suffix}"):
        with suppress(FileNotFoundError):  # its writer has just finished
            if time.time() - partial.stat().st_mtime > ABANDONED_SECONDS:
                partial.unlink()


def results_folder(results_dir: str | Path) -> Path:
    """Make a folder as `writable_folder` does, which this process has for itself until it ends.

    Tables of two reruns would otherwise lie beside each other.

    Returns:
        The folder.

    Raises:
        InputError: If it cannot be written, or another process has it.
    """
    folder = writable_folder(results_dir, "results_dir")
    lock = _held.setdefault(folder, FileLock(folder / ".lock"))
    if not lock.is_locked:
        try:
            lock.acquire(timeout=PATIENCE_SECONDS)
        except Timeout:
            expected = "a folder that no other page writes to now (an open notebook does)"
            raise InputError(f"results_dir is {str(results_dir)!r}; expected {expected}.") from None
    return folder


def in_project(path: str | Path) -> Path:
    """Find a path of a user's own: in the project, absolute or from ``~``."""
    return PROJECT / os.path.expanduser(path)  # that of Path fails where there is no such user


def writable_folder(path: str | Path, name: str) -> Path:
    """Make a folder, found by `in_project`, and test that it can be written."""
    folder = in_project(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{name} is {str(path)!r}; expected a folder that can be written, "
            f"but {folder}: {error.strerror}."
        ) from None
    return folder


def write_json(path: Path, content: object) -> None:
    """Write JSON atomically; NaN is refused."""
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_atomically(path, lambda partial: partial.write_text(text))


def write_table(folder: Path, name: str, table: pd.DataFrame) -> None:
    """Write a table as ``NAME.csv``, with enough digits to read back the same numbers."""
    write_atomically(folder / f"{name}.csv", lambda path: table.to_csv(path, index=False))


def read_table(path: Path) -> pd.DataFrame:
    """Read a table that `write_table` wrote; a missing or damaged file is an `InputError`."""
    try:
        return pd.read_csv(path)
    except (OSError, ValueError):  # all of pandas' own are among the latter
        raise InputError(f"{path} is missing or damaged; expected a table.") from None


def provenance(**facts: object) -> dict[str, object]:
    """Describe the machine, the git commit and the versions of packages, beside further facts."""
    packages = ("liprune-utils", "numpy", "torch", "torchvision")
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "commit": _commit(),
        "versions": {name: package_version(name) for name in packages},
        **facts,
    }


def package_version(name: str) -> str:
    """Look up the version of a package, or return "not installed"."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


# The git commit, "-dirty" where files differ from it, but for recorded results, which a recording
# itself writes; without git, LIPRUNE_COMMIT or "unknown".
def _commit() -> str:
    try:
        commit = _git("rev-parse", "--short=10", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!book/results")
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("LIPRUNE_COMMIT", "unknown")
    return f"{commit}-dirty" if changed else commit


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def read_provenance(records_dir: Path, page: str) -> dict[str, object]:
    """Read what a page recorded of its circumstances, ``PAGE/provenance.json``; else ``{}``."""
    path = Path(records_dir) / page / "provenance.json"
    return read_json(path) if path.exists() else {}
