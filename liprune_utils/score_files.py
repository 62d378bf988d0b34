"""Scores on the disk: an array and a manifest that says of what; written part after part."""

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from liprune_utils.checks import InputError, check_types, require
from liprune_utils.files import provenance, write_atomically, write_json


@dataclass(frozen=True)
class ScoreManifest:
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
        tolerance: Relative accuracy of a Hessian norm; 0 where a score has none.
    """

    score: str
    model: str
    epoch: int
    data_source: str
    pixel_sha256: str
    weights_sha256: str
    batch_norm: str
    seed: int
    num_examples: int
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        check_types(self)
        plain = self.score.replace("-", "").isalnum()
        require(plain, "score", self.score, "letters, digits and hyphens, for a file's name")
        require(self.epoch >= 0, "epoch", self.epoch, "at least 0")
        known = self.batch_norm in ("train", "eval")
        require(known, "batch_norm", self.batch_norm, "'train' or 'eval'")
        require(self.num_examples >= 1, "num_examples", self.num_examples, "at least 1")
        require(0 <= self.tolerance < 1, "tolerance", self.tolerance, "a number in [0, 1)")

    @property
    def name(self) -> str:
        """The files' name without ending, such as "hessian-epoch30-seed0"."""
        return f"{self.score}-epoch{self.epoch}-seed{self.seed}"


def weights_sha256(model: nn.Module) -> str:
    """Hash a model's parameters and buffers: their bytes, in the order of its state dict.

    Args:
        model: The model, on any device and in any memory layout.

    Returns:
        Hexadecimal SHA-256.
    """
    digest = hashlib.sha256()
    for value in model.state_dict().values():
        row_major = value.detach().cpu().contiguous().reshape(-1)
        digest.update(row_major.view(torch.uint8).numpy())
    return digest.hexdigest()


def save_scores(folder: str | Path, scores: np.ndarray, manifest: ScoreManifest) -> Path:
    """Write scores as ``.npy``, then their manifest as ``.json``; each whole or not at all.

    Args:
        folder: The folder, which is made if need be.
        scores: Finite numbers, shape ``[num_examples]``.
        manifest: What they are; with the versions and the array's SHA-256 it is in the JSON file.

    Returns:
        The ``.npy`` file, float64, named after the manifest.

    Raises:
        InputError: If the scores' shape is not the manifest's or one is not finite.
    """
    path = _path(folder, manifest)
    scores = np.asarray(scores, dtype=np.float64)
    _check_scores(scores, manifest.num_examples, first=0)
    stream = io.BytesIO()
    np.save(stream, scores, allow_pickle=False)
    content = stream.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    # Never beside an array that it does not describe:
    path.with_suffix(".json").unlink(missing_ok=True)
    write_atomically(path, lambda partial: partial.write_bytes(content))
    facts = asdict(manifest) | {"npy_sha256": hashlib.sha256(content).hexdigest()}
    write_json(path.with_suffix(".json"), provenance(**facts))
    return path


def load_scores(path: str | Path, expected: ScoreManifest) -> np.ndarray:
    """Read scores, and refuse any that are not what is expected.

    Args:
        path: The ``.npy`` file; its manifest lies beside it.
        expected: What the scores should be of; the versions that computed them may differ.

    Returns:
        Float64 array of shape ``[num_examples]``.

    Raises:
        InputError: If a file is missing or damaged, or a field of the manifest differs.
    """
    path = Path(path)
    found = _read_manifest(path.with_suffix(".json"), expected)
    if not path.is_file():
        raise InputError(f"{path} is missing; expected it beside its manifest.")
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    noted = found.get("npy_sha256")
    require(sha256 == noted, f"The SHA-256 of {path}", sha256, f"{noted!r}, as in its manifest")
    scores = _read_array(path, lambda: np.load(io.BytesIO(content), allow_pickle=False))
    _check_scores(scores, expected.num_examples, first=0)
    return scores


def resumable_scores(
    folder: str | Path,
    manifest: ScoreManifest,
    score_part: Callable[[int, int], np.ndarray],
    part_size: int,
) -> np.ndarray:
    """Score part after part; if killed at any moment, go on from there when called again.

    Each part is on the disk before the next begins, in ``NAME.partial.npy``, NaN where nothing is
    known yet. Scores that are there already are read, not computed.

    Args:
        folder: The folder, which is made if need be.
        manifest: What the scores are of.
        score_part: Scores examples ``start`` to ``stop - 1``: (start, stop) -> ``[stop - start]``.
        part_size: Examples in each part but the last, >= 1; at most so many are scored twice.

    Returns:
        Float64 array of shape ``[num_examples]``, as in the manifest.

    Raises:
        InputError: If the folder holds scores or parts of another kind, or a score is not finite.
    """
    require(part_size >= 1, "part_size", part_size, "at least 1")
    path = _path(folder, manifest)
    partial = path.with_suffix(".partial.npy")
    if not path.with_suffix(".json").exists():
        scores = _open_partial(partial, manifest)
        _fill(scores, score_part, part_size)
        save_scores(folder, scores, manifest)
    scores = load_scores(path, manifest)
    partial.with_suffix(".json").unlink(missing_ok=True)
    partial.unlink(missing_ok=True)
    return scores


def remembered_look(
    path: Path, look: Callable[[], tuple[pd.DataFrame, np.ndarray]]
) -> tuple[pd.DataFrame, np.ndarray]:
    """Read what a look at some batches found, or look and write it, each number exact.

    Args:
        path: An ``.npz`` file; its folder is made if need be.
        look: Returns rows and start vectors, as `liprune_utils.batch_scores.look_at_batches`.

    Returns:
        The rows and the start vectors.

    Raises:
        InputError: If the file is damaged.
    """
    if not path.exists():
        table, guesses = look()
        found = {"rows": table.to_records(index=False), "guesses": guesses}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda partial: np.savez(partial, **found))
    found = _read_array(path, lambda: dict(np.load(path, allow_pickle=False)))
    return pd.DataFrame(found["rows"]), found["guesses"]


# An array without its manifest was killed before its first part, for that is written before.
def _open_partial(path: Path, manifest: ScoreManifest) -> np.memmap:
    note = path.with_suffix(".json")
    if note.exists():
        _read_manifest(note, manifest)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        unknown = np.full(manifest.num_examples, np.nan)
        write_atomically(path, lambda partial: np.save(partial, unknown, allow_pickle=False))
        write_json(note, asdict(manifest))
    # Read whole first, since a memory map would fill up a truncated file with zeros.
    _check_shape(
        _read_array(path, lambda: np.load(path, allow_pickle=False)), manifest.num_examples
    )
    return np.load(path, mmap_mode="r+", allow_pickle=False)


def _fill(scores: np.memmap, score_part: Callable[[int, int], np.ndarray], part_size: int) -> None:
    count = len(scores)
    known = count - int(np.isnan(scores).sum())
    with tqdm(total=count, initial=known, desc="Scoring", unit=" examples", disable=None) as bar:
        for start in range(0, count, part_size):
            part = scores[start : start + part_size]
            missing = int(np.isnan(part).sum())
            if missing:
                found = np.asarray(score_part(start, start + len(part)), dtype=np.float64)
                _check_scores(found, len(part), first=start)
                part[:] = found
                scores.flush()
                bar.update(missing)


def _path(folder: str | Path, manifest: ScoreManifest) -> Path:
    return Path(folder) / f"{manifest.name}.npy"


def _read_manifest(path: Path, expected: ScoreManifest) -> dict[str, object]:
    if not path.is_file():
        raise InputError(f"The manifest {path} is missing; expected it beside the scores.")
    try:
        found = dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError):
        raise InputError(f"The manifest {path} is damaged; expected a JSON object.") from None
    for name, value in asdict(expected).items():
        require(found.get(name) == value, f"{name} in {path}", found.get(name), repr(value))
    return found


def _read_array(path: Path, read: Callable[[], np.ndarray]) -> np.ndarray:
    try:
        return read()
    except Exception as error:  # a damaged header raises many kinds, tokenize.TokenError among them
        raise InputError(f"{path} is damaged or missing; expected an array of scores.") from error


def _check_scores(scores: np.ndarray, count: int, first: int) -> None:
    _check_shape(scores, count)
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        found = f"The score of example {first + bad[0]} is {scores[bad[0]]}"
        raise InputError(f"{found}; expected a finite number.")


def _check_shape(scores: np.ndarray, count: int) -> None:
    kind = f"{scores.dtype} of shape {list(scores.shape)}"
    fits = scores.dtype == np.float64 and scores.shape == (count,)
    require(fits, "The array of scores", kind, f"float64 of shape [{count}]")
