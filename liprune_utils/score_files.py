"""Scores on the disk: an array beside a manifest that describes it; written chunk after chunk."""

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import nn

from liprune_utils.batch_scores import Estimates
from liprune_utils.checks import Checked, InputError, require, whole_number
from liprune_utils.files import provenance, write_atomically, write_json
from liprune_utils.shards import check_facts, check_numbers, in_shards


class ScoreManifest(Checked):
    """What scores are of, and how they were computed; all that must agree to use them again.

    Attributes:
        score: The score's name, as in `liprune_utils.scores.score`.
        model: The network, such as "ResNet-20".
        epoch: Epochs trained before scoring, >= 0.
        data_source: As in `liprune_utils.data.Dataset`.
        pixel_sha256: SHA-256 of the pixels of the data.
        weights_sha256: Of the model that scored, from `liprune_utils.score_files.weights_sha256`.
        batch_norm: "train" or "eval".
        seed: Seed of what was random.
        num_examples: Number of scores, >= 1.
        tolerance: Relative accuracy of a Hessian norm, in [0, 1); 0 where a score has none.
    """

    score: str = Field(pattern="^[A-Za-z0-9-]+$", description="letters, digits and hyphens")
    model: str
    epoch: int = Field(ge=0)
    data_source: str
    pixel_sha256: str
    weights_sha256: str
    batch_norm: Literal["train", "eval"]
    seed: int
    num_examples: int = Field(ge=1)
    tolerance: float = Field(0.0, ge=0, lt=1)

    @property
    def name(self) -> str:
        """The files' name without its ending, such as "hessian-epoch30-seed0"."""
        return f"{self.score}-epoch{self.epoch}-seed{self.seed}"


def weights_sha256(model: nn.Module) -> str:
    """Hash a model's state dict: its bytes, in its order, on any device, in any memory layout."""
    digest = hashlib.sha256()
    for value in model.state_dict().values():
        row_major = value.detach().cpu().contiguous().reshape(-1)
        digest.update(row_major.view(torch.uint8).numpy())
    return digest.hexdigest()


def save_scores(folder: str | Path, scores: np.ndarray, manifest: ScoreManifest) -> Path:
    """Write scores as ``.npy``, then their manifest as ``.json``, both atomically.

    Args:
        folder: The folder, made if need be.
        scores: Finite numbers, shape ``[num_examples]``.
        manifest: What they are; the JSON file holds it, the versions and the array's SHA-256.

    Returns:
        The ``.npy`` file, float64, named after the manifest.
    """
    path = _path(folder, manifest)
    scores = np.asarray(scores, dtype=np.float64)
    check_numbers(scores, manifest.num_examples, first=0)
    stream = io.BytesIO()
    np.save(stream, scores, allow_pickle=False)
    content = stream.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").unlink(missing_ok=True)  # it would not describe the new array
    write_atomically(path, lambda partial: partial.write_bytes(content))
    facts = dict(manifest) | {"npy_sha256": hashlib.sha256(content).hexdigest()}
    write_json(path.with_suffix(".json"), provenance(**facts))
    return path


def load_scores(path: str | Path, expected: ScoreManifest) -> np.ndarray:
    """Read scores that `save_scores` wrote.

    Args:
        path: The ``.npy`` file; its manifest lies beside it.
        expected: What the scores should be of; the versions that computed them may differ.

    Returns:
        Float64 array of shape ``[num_examples]``.

    Raises:
        InputError: If a file is missing or damaged, or a field of the manifest differs.
    """
    path = Path(path)
    manifest = _read_manifest(path.with_suffix(".json"), expected)
    if not path.is_file():
        raise InputError(f"{path} is missing; expected it beside its manifest.")
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    noted = manifest.get("npy_sha256")
    require(sha256 == noted, f"The SHA-256 of {path}", sha256, f"{noted!r}, as in its manifest")
    scores = _read_array(path, lambda: np.load(io.BytesIO(content), allow_pickle=False))
    check_numbers(scores, expected.num_examples, first=0)
    return scores


def resumable_scores(
    folder: str | Path,
    manifest: ScoreManifest,
    score_chunk: Callable[[int, int], np.ndarray],
    chunk_size: int,
) -> np.ndarray:
    """Score chunk after chunk; if killed at any moment, resume from there when called again.

    Chunks are in the folder ``NAME.shards`` until all are. Scores of a finished run are read.

    Args:
        folder: The folder, made if need be.
        manifest: What the scores are of; scores with another manifest are refused.
        score_chunk: Scores examples ``start`` to ``stop - 1``: (start, stop) -> ``[stop - start]``.
        chunk_size: As the ``shard_size`` of `liprune_utils.shards.in_shards`.

    Returns:
        Float64 array of shape ``[num_examples]``, as in the manifest.
    """
    path, shards = _path(folder, manifest), _path(folder, manifest).with_suffix(".shards")
    if not path.with_suffix(".json").exists():
        chunk_size = whole_number("chunk_size", chunk_size, 1)
        numbers = in_shards(shards, dict(manifest), score_chunk, manifest.num_examples, chunk_size)
        save_scores(folder, numbers, manifest)
    scores = load_scores(path, manifest)
    shutil.rmtree(shards, ignore_errors=True)
    return scores


def saved_estimates(path: Path, compute: Callable[[], Estimates]) -> Estimates:
    """Read estimates of batches from a file, or compute and write them, each number exact.

    Args:
        path: An ``.npz`` file; its folder is made if need be.
        compute: As the cache of `liprune_utils.batch_scores.select_batches` is given it.

    Returns:
        The estimates.
    """
    if not path.exists():
        scores, starts = compute()
        arrays = {"rows": scores.to_records(index=False), "guesses": starts}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda partial: np.savez(partial, **arrays))
    arrays = _read_array(path, lambda: dict(np.load(path, allow_pickle=False)))
    return Estimates(pd.DataFrame(arrays["rows"]), arrays["guesses"])


def _path(folder: str | Path, manifest: ScoreManifest) -> Path:
    return Path(folder) / f"{manifest.name}.npy"


def _read_manifest(path: Path, expected: ScoreManifest) -> dict[str, object]:
    if not path.is_file():
        raise InputError(f"The manifest {path} is missing; expected it beside the scores.")
    try:
        manifest = dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError):
        raise InputError(f"The manifest {path} is damaged; expected a JSON object.") from None
    check_facts(path, manifest, dict(expected))
    return manifest


def _read_array(path: Path, read: Callable[[], np.ndarray]) -> np.ndarray:
    try:
        return read()
    except Exception as error:  # a damaged header raises many kinds, tokenize.TokenError among them
        raise InputError(f"{path} is damaged or missing; expected an array of scores.") from error
