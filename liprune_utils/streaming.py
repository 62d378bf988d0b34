"""Scores of a data set that is read in pieces: bounded memory, shards on the disk, a cluster."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from liprune_utils.checks import InputError, require, whole_number
from liprune_utils.model_inputs import Inputs, each, tensors
from liprune_utils.score_files import weights_sha256
from liprune_utils.shards import Compute, Map, Range, in_shards, one_by_one

_PIECE = 512
_SAMPLE = 16  # examples that tell one data set from another
_LABELS = ("labels", "label")
_ALONE = threading.Lock()  # scoring changes global state, and a worker may have several threads

Piece = tuple[Inputs, Tensor]  # some examples: inputs, labels


@dataclass(frozen=True)
class Source:
    """A map-style data set, and how a model gets some of its examples."""

    model: nn.Module
    dataset: Any  #: with ``__len__`` and ``__getitem__``
    loader: Mapping[str, object] = field(default_factory=dict)  #: options of torch's DataLoader

    def read(self, pieces: Iterable[Sequence[int]]) -> Iterator[Piece]:
        """Read pieces of examples, on the model's device and in its precision."""
        own = next(self.model.parameters())

        def fit(value: Tensor) -> Tensor:
            return value.to(own.device, own.dtype if value.is_floating_point() else None)

        for batch in self._batches(pieces):
            inputs, labels = _inputs_and_labels(batch)
            yield each(fit, inputs), fit(labels)

    def _batches(self, pieces: Iterable[Sequence[int]]) -> Iterator[object]:
        try:
            yield from DataLoader(self.dataset, batch_sampler=list(pieces), **self.loader)
        except (TypeError, RuntimeError) as error:  # of torch's, where items do not fit together
            reason = f"{type(error).__name__}: {' '.join(str(error).splitlines()[-1:])}"
            expected = (
                "items that a transform or loader={'collate_fn': ...} makes tensors of a size"
            )
            message = f"The data set cannot be read ({reason}); expected {expected}."
            raise InputError(message) from error

    def sha256(self) -> str:
        """Hash some examples; refuse those that are another time something else."""
        count = len(self.dataset)
        chosen = np.linspace(0, count - 1, min(count, _SAMPLE)).round().astype(int).tolist()
        first, second = (_hash(*piece) for piece in self.read([chosen, chosen]))
        if first != second:
            expected = "a data set without random augmentation"
            raise InputError(f"Two reads of the same examples differ; expected {expected}.")
        return first


@dataclass(frozen=True)
class Shard:
    """Computes the numbers of a shard; it can be sent to another process."""

    source: Source
    pieces: Callable[[int, int], Sequence[Sequence[int]]]  #: of a shard, each indices
    score: Callable[[Iterable[Piece]], np.ndarray]

    def __call__(self, first: int, stop: int) -> np.ndarray:
        """Compute the numbers from the first to one before the last."""
        begun = []

        def read() -> Iterator[Piece]:
            pieces = self.pieces(first, stop)
            reader = self.source.read(pieces)
            for piece in pieces:
                begun.append(piece)
                yield next(reader)

        try:
            with _ALONE:
                return self.score(read())
        except InputError as error:  # whose examples are numbered within the piece
            at = f"In the piece of examples {begun[-1][0]} to {begun[-1][-1]}"
            raise InputError(f"{at}: {error}") from error


def in_pieces(first: int, stop: int) -> list[range]:
    """Divide a shard's examples into pieces that are read and scored together."""
    return [range(i, min(i + _PIECE, stop)) for i in range(first, stop, _PIECE)]


def dataset_size(dataset: object) -> int:
    """Return a data set's number of examples; refuse data without a length, or without items."""
    kind = type(dataset).__name__
    has_items = all(hasattr(dataset, name) for name in ("__len__", "__getitem__"))
    fits = has_items and not isinstance(dataset, np.ndarray)
    require(fits, "The data", kind, "a torch.Tensor, several, or a map-style Dataset")
    require(len(dataset) > 0, "The data set's number of examples", 0, "at least 1")
    return len(dataset)


def stream(
    shard: Shard,
    facts: Mapping[str, object],
    count: int,
    shard_size: int,
    folder: str | Path | None,
    client: Any,
) -> np.ndarray:
    """Compute all numbers of a source, in shards that are kept in a folder if there is one.

    Args:
        shard: Computes the numbers of a shard.
        facts: What decides them, beside the model and the data set.
        count: How many numbers there are.
        shard_size: As in `in_shards`.
        folder: For the shards; without one they are deleted at the end.
        client: A Dask client or a ``concurrent.futures.Executor``, or None for this process.

    Returns:
        Float64 array of shape ``[count]``.
    """
    shard_size = whole_number("shard_size", shard_size, 1)
    own = {
        "weights_sha256": weights_sha256(shard.source.model),
        "data_sha256": shard.source.sha256(),
    }
    run = one_by_one if client is None else on_cluster(client)
    with TemporaryDirectory() if folder is None else nullcontext(folder) as kept:
        return in_shards(Path(kept), {**facts, **own}, shard, count, shard_size, run)


def on_cluster(client: Any) -> Map:
    """Return what computes shards on a Dask cluster, or by any executor, as workers are free."""
    is_dask = hasattr(client, "get_executor")
    executor = client.get_executor(pure=False) if is_dask else client

    def run(compute: Compute, ranges: Sequence[Range]) -> Iterator[tuple[Range, np.ndarray]]:
        sent = client.scatter(compute, broadcast=True) if is_dask else compute  # once per worker
        futures = {executor.submit(_call, sent, *own): own for own in ranges}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            for future in futures:
                future.cancel()

    return run


def _call(compute: Compute, first: int, stop: int) -> np.ndarray:
    return compute(first, stop)


def _inputs_and_labels(batch: object) -> Piece:
    """Take a batch apart: the labels are the last of several values, or have their name."""
    if isinstance(batch, Mapping):
        values = dict(batch)
        name = next((name for name in _LABELS if name in values), None)
        require(
            name is not None, "A batch's names", sorted(map(str, values)), "'labels' among them"
        )
        labels = values.pop(name)
        return values, labels
    fits = isinstance(batch, tuple | list) and len(batch) >= 2
    require(fits, "A batch", type(batch).__name__, "inputs and labels, or a dictionary of them")
    *inputs, labels = batch
    return (inputs[0] if len(inputs) == 1 else tuple(inputs)), labels


def _hash(inputs: Inputs, labels: Tensor) -> str:
    digest = hashlib.sha256()
    for name, value in (tensors(inputs) | {"labels": labels}).items():
        digest.update(f"{name} {value.dtype} {list(value.shape)} ".encode())
        digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
