"""Run folders: one process each, checkpoints, requests to stop; done once ``done.json`` is there.

A folder holds ``run.json`` (what it is a run of), at most two checkpoints, and at last its tables
and ``done.json``. A checkpoint's name ends with the SHA-256 of its content, so that damage is
detected; it holds the settings of its run, so that a checkpoint of another run is detected too.
"""

import functools
import hashlib
import io
import json
import logging
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from filelock import FileLock, Timeout
from torch import nn

from liprune_utils.checks import InputError, require
from liprune_utils.files import (
    provenance,
    read_json,
    read_table,
    write_atomically,
    write_json,
    write_table,
)

CHECKPOINT_SECONDS = 30.0  # between two, at most; a step comes on top
POLL_SECONDS = 0.1  # between two attempts to get a lock
NUM_CHECKPOINTS = 2  # kept: the latest, and the one before in case it is damaged
HASH_LENGTH = 16  # hexadecimal digits in a name

logger = logging.getLogger(__name__)


class RunError(RuntimeError):
    """A run that cannot go on, described in one sentence; what it has saved is safe."""


stop_requested = threading.Event()  # every run of this process saves and leaves soon after


class Stopped(Exception):  # noqa: N818 - nothing is wrong
    """A run has saved and left, as it was asked to."""


def ask_to_stop() -> None:
    """Ask all runs of this process to save and leave."""
    stop_requested.set()


def withdraw_stop() -> None:
    """Let runs of this process begin again."""
    stop_requested.clear()


def leave_if_asked() -> None:
    """Raise `Stopped`, without saving, if the runs of this process are asked to stop."""
    if stop_requested.is_set():
        raise Stopped("Asked to stop.")


@contextmanager
def stopping_at_signals() -> Iterator[None]:
    """Let SIGTERM and SIGINT ask runs to save; a second one stops at once. Main thread only."""

    def ask(number: int, _frame: object) -> None:
        if stop_requested.is_set():
            raise KeyboardInterrupt
        stop_requested.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop_requested.clear()


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold an exclusive lock on a folder; it is released when the process ends, however it does.

    Yields:
        Nothing; the folder is made if need be.

    Raises:
        RunError: If another process has the lock and ``wait`` is false.
        Stopped: If the runs of this process are asked to stop while it waits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A lock file without the system's lock would outlive a killed process.
    lock = FileLock(folder / ".lock", poll_interval=POLL_SECONDS, fallback_to_soft=False)
    try:
        held = lock.acquire(blocking=wait, cancel_check=stop_requested.is_set)
    except Timeout:
        leave_if_asked()
        raise RunError(f"{folder} is in use by another process; expected to be alone.") from None
    with held:
        yield


@dataclass
class RunFolder:
    """A run folder that this process has locked; from `open_run`."""

    path: Path
    settings: Mapping[str, object]  #: everything that decides the run's result
    seconds: float = 0.0  #: computed before the latest checkpoint that was read
    threads: set[int] = field(default_factory=set)  #: numbers of threads before that checkpoint
    _began: float = field(default_factory=time.monotonic)
    _saved: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> dict[str, object] | None:
        """What `finish` has noted, or None while the run is not done."""
        path = self.path / "done.json"
        return read_json(path) if path.exists() else None

    def is_due(self) -> bool:
        """Tell whether to save: half a minute after the last checkpoint, or when asked to stop."""
        return stop_requested.is_set() or time.monotonic() - self._saved >= CHECKPOINT_SECONDS

    def save(self, position: tuple[int, int], state: Mapping[str, object]) -> None:
        """Write a checkpoint, keep the one before, and leave if the run is asked to stop.

        Args:
            position: Epoch and step; a later checkpoint has a later position.
            state: Tensors, numbers, texts, lists and dictionaries of them.

        Raises:
            RunError: If it cannot be written; the checkpoints before stay.
            Stopped: If the run is asked to stop; the checkpoint is written.
        """
        stream = io.BytesIO()
        content = {"settings": dict(self.settings), "state": state, "seconds": self._elapsed()}
        content["threads"] = self._all_threads()
        torch.save(content, stream)
        digest = hashlib.sha256(stream.getvalue()).hexdigest()[:HASH_LENGTH]
        name = "checkpoint-{:05d}-{:06d}-{}.pt".format(*position, digest)
        write = functools.partial(Path.write_bytes, data=stream.getvalue())
        self._write(lambda: write_atomically(self.path / name, write), name)
        for path in self._checkpoints()[NUM_CHECKPOINTS:]:
            path.unlink()
        self._saved = time.monotonic()
        if stop_requested.is_set():
            raise Stopped(f"{self.path.name}: saved at epoch {position[0]}, step {position[1]}.")

    def restore(self) -> dict[str, object] | None:
        """Read the latest whole checkpoint of this run, or None; others are set aside, by name."""
        for path in self._checkpoints():
            try:
                content = self._read(path)
            except InputError as error:
                logger.warning("%s It is set aside, and the one before is used.", error)
                path.rename(path.with_suffix(".refused"))
            else:
                self.seconds, self.threads = content["seconds"], set(content["threads"])
                self._warn_of_threads()
                return content["state"]
        return None

    def finish(self, tables: Mapping[str, pd.DataFrame], **facts: object) -> None:
        """Write each table as a CSV file, and then that the run is done.

        Args:
            tables: By name.
            **facts: What else ``done.json`` should say, beside seconds, memory, provenance and
                threads: their number, which changes rounding, or all if it changed on the way.
        """
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        threads = self._all_threads()
        facts |= {"seconds": round(self._elapsed(), 1), "peak_memory_mib": round(memory)}
        facts |= {"threads": threads if len(threads) > 1 else threads[0]}
        for name, table in tables.items():
            write = functools.partial(write_table, self.path, name, table)
            self._write(write, f"{name}.csv")
        record = provenance(**facts)
        self._write(lambda: write_json(self.path / "done.json", record), "done.json")

    def _elapsed(self) -> float:
        return self.seconds + time.monotonic() - self._began

    def _all_threads(self) -> list[int]:
        return sorted({*self.threads, torch.get_num_threads()})

    def _warn_of_threads(self) -> None:
        before, now = sorted(self.threads), torch.get_num_threads()
        if before not in ([], [now]):
            logger.warning(
                "%s goes on with %d instead of %s threads: its numbers will differ in rounding.",
                self.path.name, now, " and ".join(map(str, before)),
            )  # fmt: skip

    # The latest first.
    def _checkpoints(self) -> list[Path]:
        return sorted(self.path.glob("checkpoint-*.pt"), reverse=True)

    def _write(self, write: Callable[[], object], name: str) -> None:
        try:
            write()
        except OSError as error:
            raise RunError(
                f"{name} cannot be written to {self.path}: {error.strerror}; started again, the "
                "run goes on from its checkpoint before."
            ) from error

    def _read(self, path: Path) -> dict[str, object]:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:HASH_LENGTH]
        expected = path.stem.split("-")[-1]
        require(
            digest == expected, f"The SHA-256 of {path}", digest, f"{expected!r}, as in its name"
        )
        saved = _unpacked(path, content)
        same = saved["settings"] == dict(self.settings)
        require(same, f"The run of {path}", saved["settings"], "the settings of this one")
        return saved


# What is not a checkpoint may be anything; nothing in it is executed.
def _unpacked(path: Path, content: bytes) -> dict[str, object]:
    try:
        saved = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        content = {name: saved[name] for name in ("settings", "state", "seconds")}
        return content | {"threads": saved.get("threads", [])}  # older checkpoints name none
    except Exception as error:  # torch.load raises many kinds
        raise InputError(
            f"{path} holds something else ({type(error).__name__}); expected a checkpoint."
        ) from None


@contextmanager
def open_run(
    root: Path, label: str, settings: Mapping[str, object], *, wait: bool = False
) -> Iterator[RunFolder]:
    """Open the folder of a run, new or begun, for this process alone.

    Args:
        root: Folder of run folders.
        label: What the folder's name begins with, for people.
        settings: Everything that decides the result: texts, numbers, lists of them.
        wait: As in `locked`.

    Yields:
        The folder.

    Raises:
        RunError: If another process has it open, or it cannot be written.
        InputError: If the folder holds a run of other settings.
        Stopped: As in `locked`.
    """
    path = run_folder(root, label, settings)
    with locked(path, wait=wait):
        for partial in path.glob(".*.partial.*"):  # of a process that was killed
            partial.unlink()
        folder, note = RunFolder(path, settings), path / "run.json"
        if not note.exists():
            folder._write(lambda: write_json(note, settings), note.name)
        noted = read_json(note)
        require(noted == dict(settings), f"The run in {path}", noted, f"{dict(settings)}")
        yield folder


def finished_tables(
    root: Path,
    label: str,
    settings: Mapping[str, object],
    compute: Callable[[], Mapping[str, pd.DataFrame]],
) -> dict[str, pd.DataFrame]:
    """Read the tables of a run's folder by name; compute and write them first if it is not done."""
    with open_run(root, label, settings, wait=True) as folder:
        if not folder.done:
            folder.finish(compute())
        return {path.stem: read_table(path) for path in sorted(folder.path.glob("*.csv"))}


def run_folder(root: Path, label: str, settings: Mapping[str, object]) -> Path:
    """Name the folder of a run by its label and a hash of its settings; nothing is made."""
    text = json.dumps(settings, sort_keys=True)
    return Path(root) / f"{label}-{hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]}"


def save_network(model: nn.Module, path: Path) -> None:
    """Write the parameters and buffers of a network atomically."""
    write_atomically(path, lambda partial: torch.save(model.state_dict(), partial))


def read_network(model: nn.Module, path: Path) -> None:
    """Read what `save_network` wrote into a network of the same shape, or refuse a damaged file."""
    try:
        model.load_state_dict(torch.load(path, weights_only=True))
    except Exception as error:  # torch.load raises many kinds
        found = type(error).__name__
        raise InputError(f"{path} is missing or damaged ({found}); expected a network.") from None
