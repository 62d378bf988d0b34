"""Scores on the disk: what is read is what was written, and a killed run resumes where it was."""

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import die_at, flip
from torch import nn

from liprune_utils import score_files
from liprune_utils.batch_scores import Estimates
from liprune_utils.checks import InputError
from liprune_utils.score_files import (
    ScoreManifest,
    load_scores,
    resumable_scores,
    save_scores,
    saved_estimates,
    weights_sha256,
)

MANIFEST = ScoreManifest(
    score="hessian", model="ResNet-20", epoch=3, data_source="CIFAR-10", pixel_sha256="ab" * 32,
    weights_sha256="cd" * 32, batch_norm="eval", seed=1, num_examples=7, tolerance=1e-2,
)  # fmt: skip
SCORES = np.array([0.1, 3.0, -2.0, 1e300, 5e-324, 0.0, 1 / 3])
NAME = "hessian-epoch3-seed1"
OTHERS = {
    "score": "grand", "model": "ResNet-14", "epoch": 4, "data_source": "scikit-learn digits",
    "pixel_sha256": "00" * 32, "weights_sha256": "11" * 32, "batch_norm": "train", "seed": 2,
    "num_examples": 8, "tolerance": 1e-3,
}  # fmt: skip
IN_NAME = ("score", "epoch", "seed", "num_examples")  # or refused before a file is opened


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def change(path: Path, **entries: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_scores_are_read_as_they_were_written(tmp_path):
    path = save_scores(tmp_path / "new" / "folder", SCORES, MANIFEST)
    assert names(path.parent) == [f"{NAME}.json", f"{NAME}.npy"]
    noted = json.loads(path.with_suffix(".json").read_text())
    assert dict(MANIFEST).items() <= noted.items()
    assert noted["npy_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert noted["versions"]["torch"] == version("torch")
    change(path.with_suffix(".json"), versions={"torch": "0.1"}, python="2.7", cpus=1)
    scores = load_scores(str(path), MANIFEST)  # other versions may read it
    assert scores.dtype == np.float64
    np.testing.assert_array_equal(scores, SCORES)


def test_others_name_every_field():
    assert list(OTHERS) == list(ScoreManifest.model_fields)
    assert all(getattr(MANIFEST, name) != value for name, value in OTHERS.items())


@pytest.mark.parametrize("field", OTHERS)
def test_a_mismatch_names_the_field_and_both_values(tmp_path, field):
    path = save_scores(tmp_path, SCORES, MANIFEST)
    expected = MANIFEST.replace(**{field: OTHERS[field]})
    with pytest.raises(InputError) as caught:
        load_scores(path, expected)
    value = f"{field} in {path.with_suffix('.json')} is {getattr(MANIFEST, field)!r}"
    assert str(caught.value) == f"{value}; expected {OTHERS[field]!r}."


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def replace(array: object):
    """Put another array in the file, under the hash that belongs to it."""

    def damage(path: Path) -> None:
        np.save(path, array)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        change(path.with_suffix(".json"), npy_sha256=sha256)

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, r"^The SHA-256 of .*\.npy is '\w{64}'; expected '\w{64}', as in its manifest"),
        (flip, r"^The SHA-256 of .*\.npy is '\w{64}'; expected '\w{64}', as in its manifest"),
        (Path.unlink, r"\.npy is missing; expected it beside its manifest"),
        (
            lambda path: path.with_suffix(".json").unlink(),
            r"manifest .*\.json is missing; expected",
        ),
        (lambda path: path.with_suffix(".json").write_text("{"), "is damaged; expected a JSON"),
        (lambda path: path.with_suffix(".json").write_text("[1]"), "is damaged; expected a JSON"),
        (lambda path: path.with_suffix(".json").write_text("{}"), "score in .* is None; expected"),
        (lambda path: change(path.with_suffix(".json"), npy_sha256=None), "expected None, as in"),
        (replace(SCORES[:6]), r"is 'float64 of shape \[6\]'; expected float64 of shape \[7\]"),
        (replace(np.zeros(7, "f4")), "is 'float32 of shape"),
        (replace(np.array([{}] * 7)), "is damaged or missing; expected an array of scores"),
        (replace(np.where(SCORES == 3, np.nan, SCORES)), "score of example 1 is nan; expected a"),
    ],
)
def test_damaged_files_are_refused(tmp_path, damage, message):
    path = save_scores(tmp_path, SCORES, MANIFEST)
    damage(path)
    with pytest.raises(InputError, match=message):
        load_scores(path, MANIFEST)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (SCORES[:6], r"shape \[6\]'; expected float64 of shape \[7\]"),
        (SCORES[:, None], r"shape \[7, 1\]'; expected float64 of shape \[7\]"),
        (np.where(SCORES == 3, np.inf, SCORES), "score of example 1 is inf; expected a finite"),
    ],
)
def test_bad_scores_are_not_written(tmp_path, scores, message):
    with pytest.raises(InputError, match=message):
        save_scores(tmp_path, scores, MANIFEST)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("score", "../hessian"),
        ("score", ""),
        ("model", 20),
        ("epoch", -1),
        ("batch_norm", "off"),
        ("num_examples", 0),
        ("tolerance", 1.0),
        ("tolerance", -0.1),
    ],
)
def test_impossible_manifests_are_refused(field, value):
    with pytest.raises(InputError, match=f"^{field} is {value!r}; expected "):
        MANIFEST.replace(**{field: value})


def small_net() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3))
    with torch.no_grad():
        model[0].weight.copy_(torch.arange(24).view(3, 2, 2, 2))
        model[0].bias.zero_()
    return model


def test_the_weights_hash_knows_values_not_layouts():
    content = b"".join(value.numpy().tobytes() for value in small_net().state_dict().values())
    expected = hashlib.sha256(content).hexdigest()
    assert weights_sha256(small_net()) == expected
    assert weights_sha256(small_net().to(memory_format=torch.channels_last)) == expected
    hashes = {expected, *(weights_sha256(small_net().to(t)) for t in (torch.half, torch.bfloat16))}
    for change_one in (
        lambda model: model[0].weight.data.view(-1)[5].add_(1e-3),
        lambda model: model[1].running_mean[1].add_(1e-3),
        lambda model: model[1].num_batches_tracked.add_(1),
    ):
        model = small_net()
        change_one(model)
        hashes.add(weights_sha256(model))
    assert len(hashes) == 6


def recorder(log: Path, fails_at: int | None = None):
    """A function that scores chunks and notes its calls, but is interrupted in one of them."""

    def score_chunk(start: int, stop: int) -> np.ndarray:
        if start == fails_at:
            raise KeyboardInterrupt
        with log.open("a") as file:
            file.write(f"{start} {stop}\n")
        return SCORES[start:stop]

    return score_chunk


def run(folder: Path, score_chunk, chunk_size: int = 3, manifest: ScoreManifest = MANIFEST):
    return resumable_scores(folder, manifest, score_chunk, chunk_size)


def interrupt(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(folder, recorder(folder / "interrupted.log", 3))


CHUNKS = ["0 3", "3 6", "6 7"]


def test_an_undisturbed_run_scores_each_chunk_once(tmp_path):
    folder, log = tmp_path / "new" / "scores", tmp_path / "log"
    for _ in range(2):  # the second reads
        np.testing.assert_array_equal(run(folder, recorder(log)), SCORES)
        assert log.read_text().splitlines() == CHUNKS
        assert names(folder) == [f"{NAME}.json", f"{NAME}.npy"]
    np.testing.assert_array_equal(load_scores(folder / f"{NAME}.npy", MANIFEST), SCORES)


def test_an_interrupted_run_computes_only_what_is_missing(tmp_path):
    interrupt(tmp_path)
    assert names(tmp_path / f"{NAME}.shards") == ["000000000000.npy", "shards.json"]
    np.testing.assert_array_equal(run(tmp_path, recorder(tmp_path / "log")), SCORES)
    assert (tmp_path / "log").read_text().splitlines() == CHUNKS[1:]


def die(folder: Path, log: Path, where: object, name: str, count: int) -> None:
    """Run in a process of its own, and be killed at the count-th call of a function."""
    die_at(where, name, count)
    run(folder, recorder(log))


MOMENTS = [
    *[(os, "fsync", count) for count in range(1, 7)],  # a note, three shards, two final files
    *[(Path, "replace", count) for count in range(1, 7)],
    (score_files, "load_scores", 1),
    (shutil, "rmtree", 1),
    *[(Path, "unlink", count) for count in range(1, 8)],
    *[(os, "unlink", count) for count in range(8, 12)],
]


@pytest.mark.parametrize(("where", "name", "count"), MOMENTS)
def test_a_killed_run_resumes_where_it_was(tmp_path, where, name, count):
    folder, log = tmp_path / "scores", tmp_path / "log"
    arguments = (folder, log, where, name, count)
    process = multiprocessing.get_context("fork").Process(target=die, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    np.testing.assert_array_equal(run(folder, recorder(log)), SCORES)
    done = log.read_text().splitlines()
    assert list(dict.fromkeys(done)) == CHUNKS
    assert len(done) <= len(CHUNKS) + 1  # at most the chunk in which it was killed, again
    assert {f"{NAME}.json", f"{NAME}.npy"} <= set(names(folder))
    assert f"{NAME}.shards" not in names(folder)


@pytest.mark.parametrize("field", [name for name in OTHERS if name not in IN_NAME])
@pytest.mark.parametrize("finished", [False, True])
def test_files_of_another_run_are_refused(tmp_path, field, finished):
    if finished:
        run(tmp_path, recorder(tmp_path / "log"))
    else:
        interrupt(tmp_path)
    before = contents(tmp_path)
    other = MANIFEST.replace(**{field: OTHERS[field]})
    expected = f"^{field} in .*json is '?{getattr(MANIFEST, field)}'?; expected '?{OTHERS[field]}'?"
    with pytest.raises(InputError, match=expected):
        run(tmp_path, recorder(tmp_path / "other.log"), manifest=other)
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("field", ["score", "epoch", "seed"])
def test_runs_of_other_names_share_a_folder(tmp_path, field):
    other = MANIFEST.replace(**{field: OTHERS[field]})
    run(tmp_path, lambda start, stop: SCORES[start:stop])
    scores = run(tmp_path, lambda start, stop: -SCORES[start:stop], manifest=other)
    np.testing.assert_array_equal(scores, -SCORES)
    np.testing.assert_array_equal(load_scores(tmp_path / f"{NAME}.npy", MANIFEST), SCORES)


def test_an_empty_chunk_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"^chunk_size is 0; expected at least 1"):
        run(tmp_path, recorder(tmp_path), chunk_size=0)
    assert names(tmp_path) == []


def test_estimates_are_computed_once_and_read_exactly(tmp_path):
    path = tmp_path / "new" / "some.npz"
    rows = [(0, -1 / 3, True), (4, 5e-324, False)]
    scores = pd.DataFrame(rows, columns=["batch", "eigenvalue", "converged"])
    computed = Estimates(scores, np.array([[0.1, 2], [3, 1e-7]], dtype=np.float16))
    for compute in (lambda: computed, pytest.fail):
        estimates = saved_estimates(path, compute)
        pd.testing.assert_frame_equal(estimates.scores, scores, check_exact=True)
        assert estimates.starts.dtype == np.float16
        np.testing.assert_array_equal(estimates.starts, computed.starts)
    truncate(path)
    with pytest.raises(InputError, match=r"some\.npz is damaged or missing"):
        saved_estimates(path, pytest.fail)
