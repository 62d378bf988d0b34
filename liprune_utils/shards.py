"""Numbers computed shard after shard, each on the disk before the next: a killed run resumes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from liprune_utils.checks import InputError, require
from liprune_utils.files import read_json, write_atomically, write_json

NOTE = "shards.json"
Range = tuple[int, int]  # the first number of a shard, and one past its last
Compute = Callable[[int, int], np.ndarray]  # (first, one past the last) -> finite numbers
# (function, its ranges) -> each range with what the function returned, in any order
Map = Callable[[Compute, Sequence[Range]], Iterable[tuple[Range, np.ndarray]]]


def one_by_one(compute: Compute, ranges: Sequence[Range]) -> Iterator[tuple[Range, np.ndarray]]:
    """Compute shards in this process."""
    return ((own, compute(*own)) for own in ranges)


def in_shards(
    folder: Path,
    facts: Mapping[str, object],
    compute: Compute,
    count: int,
    shard_size: int,
    run: Map = one_by_one,
) -> np.ndarray:
    """Compute those shards that a folder does not hold yet, and join all.

    Args:
        folder: The folder of the shards, made if need be.
        facts: What decides the numbers, as JSON has it; shards with other facts are refused.
        compute: Computes a shard.
        count: How many numbers there are.
        shard_size: Numbers in each shard but the last, >= 1; at most one shard is computed twice.
        run: Computes several shards, in this process unless told otherwise.

    Returns:
        Float64 array of shape ``[count]``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_note(folder / NOTE, {"count": count, "shard_size": shard_size, **facts})
    ranges = [(first, min(first + shard_size, count)) for first in range(0, count, shard_size)]
    waiting = [own for own in ranges if not _path(folder, own).exists()]
    done = count - sum(stop - first for first, stop in waiting)
    bar = tqdm(total=count, initial=done, desc="Scoring", unit=" examples", disable=None)
    with bar:
        for own, values in run(compute, waiting):
            _write(_path(folder, own), own, values)
            bar.update(own[1] - own[0])
    return np.concatenate([_read(_path(folder, own), own) for own in ranges] or [np.empty(0)])


def check_numbers(numbers: np.ndarray, count: int, first: int) -> None:
    """Refuse what is not so many finite float64 numbers, of examples that begin at ``first``."""
    kind = f"{numbers.dtype} of shape {list(numbers.shape)}"
    fits = numbers.dtype == np.float64 and numbers.shape == (count,)
    require(fits, "The array of scores", kind, f"float64 of shape [{count}]")
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        name, value = f"The score of example {first + bad[0]}", numbers[bad[0]]
        raise InputError(f"{name} is {value}; expected a finite number.")


def check_facts(path: Path, found: Mapping[str, object], expected: Mapping[str, object]) -> None:
    """Refuse a note of other facts than those expected."""
    for name, value in expected.items():
        require(found.get(name) == value, f"{name} in {path}", found.get(name), repr(value))


def _check_note(path: Path, facts: Mapping[str, object]) -> None:
    if not path.exists():
        write_json(path, facts)
    noted = read_json(path)
    require(isinstance(noted, dict), str(path), noted, "a JSON object")
    check_facts(path, noted, facts)


def _path(folder: Path, own: Range) -> Path:
    return folder / f"{own[0]:012d}.npy"


def _write(path: Path, own: Range, values: np.ndarray) -> None:
    values = np.asarray(values, dtype=np.float64)
    check_numbers(values, own[1] - own[0], own[0])
    write_atomically(path, lambda partial: np.save(partial, values, allow_pickle=False))


def _read(path: Path, own: Range) -> np.ndarray:
    try:
        values = np.load(path, allow_pickle=False)
        check_numbers(values, own[1] - own[0], own[0])
    except Exception as error:  # a damaged header raises many kinds
        raise InputError(f"{path} is damaged; delete it to have it computed again.") from error
    return values
