"""Scores on the disk: what is read is what was written, and a killed run goes on where it was."""

import dataclasses
import hashlib
import json
import multiprocessing
import os
import signal
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from liprune_utils import score_files
from liprune_utils.checks import InputError
from liprune_utils.score_files import (
    ScoreManifest,
    load_scores,
    resumable_scores,
    save_scores,
    weights_sha256,
)

MANIFEST = ScoreManifest(
    score="hessian",
    model="ResNet-20",
    epoch=3,
    data_source="CIFAR-10",
    pixel_sha256="ab" * 32,
    weights_sha256="cd" * 32,
    batch_norm="eval",
    seed=1,
    num_examples=7,
    tolerance=1e-2,
)
SCORES = np.array([0.1, 3.0, -2.0, 1e300, 5e-324, 0.0, 1 / 3])
NAME = "hessian-epoch3-seed1"
OTHERS = {
    "score": "grand",
    "model": "ResNet-14",
    "epoch": 4,
    "data_source": "scikit-learn digits",
    "pixel_sha256": "00" * 32,
    "weights_sha256": "11" * 32,
    "batch_norm": "train",
    "seed": 2,
    "num_examples": 8,
    "tolerance": 1e-3,
}


IN_NAME = ("score", "epoch", "seed", "num_examples")  # or refused before a file is opened


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def change(path: Path, **entries: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_scores_are_read_as_they_were_written(tmp_path):
    path = save_scores(tmp_path / "new" / "folder", SCORES, MANIFEST)
    assert names(path.parent) == [f"{NAME}.json", f"{NAME}.npy"]
    found = load_scores(str(path), MANIFEST)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, SCORES)


def test_the_manifest_says_what_computed_the_scores(tmp_path):
    path = save_scores(tmp_path, SCORES, MANIFEST)
    found = json.loads(path.with_suffix(".json").read_text())
    assert dataclasses.asdict(MANIFEST).items() <= found.items()
    assert found["npy_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found["versions"]["torch"] == version("torch")


def test_other_versions_may_read(tmp_path):
    path = save_scores(tmp_path, SCORES, MANIFEST)
    change(path.with_suffix(".json"), versions={"torch": "0.1"}, python="2.7", cpus=1)
    np.testing.assert_array_equal(load_scores(path, MANIFEST), SCORES)


def test_others_name_every_field():
    fields = [field.name for field in dataclasses.fields(ScoreManifest)]
    assert list(OTHERS) == fields
    assert all(getattr(MANIFEST, name) != value for name, value in OTHERS.items())


@pytest.mark.parametrize("field", OTHERS)
def test_a_mismatch_names_the_field_and_both_values(tmp_path, field):
    path = save_scores(tmp_path, SCORES, MANIFEST)
    expected = dataclasses.replace(MANIFEST, **{field: OTHERS[field]})
    with pytest.raises(InputError) as caught:
        load_scores(path, expected)
    found = f"{field} in {path.with_suffix('.json')} is {getattr(MANIFEST, field)!r}"
    assert str(caught.value) == f"{found}; expected {OTHERS[field]!r}."


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def edit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


# Another array under the hash that belongs to it.
def replace(array: object):
    def damage(path: Path) -> None:
        np.save(path, array)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        change(path.with_suffix(".json"), npy_sha256=sha256)

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, r"^The SHA-256 of .*\.npy is '\w{64}'; expected '\w{64}', as in its manifest"),
        (edit, r"^The SHA-256 of .*\.npy is '\w{64}'; expected '\w{64}', as in its manifest"),
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
    ("field", "value", "message"),
    [
        ("score", "../hessian", "expected letters, digits and hyphens"),
        ("score", "", "expected letters, digits and hyphens"),
        ("model", 20, "expected a text, not a whole number"),
        ("epoch", -1, "expected at least 0"),
        ("epoch", np.int64(3), "expected a whole number, not a int64"),
        ("batch_norm", "off", "expected 'train' or 'eval'"),
        ("num_examples", 0, "expected at least 1"),
        ("tolerance", 1.0, r"expected a number in \[0, 1\)"),
        ("tolerance", float("nan"), r"expected a number in \[0, 1\)"),
    ],
)
def test_impossible_manifests_are_refused(field, value, message):
    with pytest.raises(InputError, match=f"^{field} is .*; {message}"):
        dataclasses.replace(MANIFEST, **{field: value})


def small_net() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3))
    with torch.no_grad():
        model[0].weight.copy_(torch.arange(24).view(3, 2, 2, 2))
        model[0].bias.zero_()
    return model


def test_the_weights_hash_is_of_the_bytes_in_order():
    model = small_net()
    content = b"".join(value.numpy().tobytes() for value in model.state_dict().values())
    assert weights_sha256(model) == hashlib.sha256(content).hexdigest()


def test_the_weights_hash_knows_values_not_layouts():
    expected = weights_sha256(small_net())
    assert weights_sha256(small_net().to(memory_format=torch.channels_last)) == expected
    found = {expected, weights_sha256(small_net().double()), weights_sha256(small_net().bfloat16())}
    for change_one in (
        lambda model: model[0].weight.data.view(-1)[5].add_(1e-3),
        lambda model: model[1].running_mean[1].add_(1e-3),
        lambda model: model[1].num_batches_tracked.add_(1),
    ):
        model = small_net()
        change_one(model)
        found.add(weights_sha256(model))
    assert len(found) == 6


# Scores parts and writes each call down; a part of its own may fail.
def recorder(log: Path, fails_at: int | None = None, fail=None):
    def score_part(start: int, stop: int) -> np.ndarray:
        if start == fails_at:
            fail()
        with log.open("a") as file:
            file.write(f"{start} {stop}\n")
        return SCORES[start:stop]

    return score_part


def calls(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


PARTS = ["0 3", "3 6", "6 7"]


def run(folder: Path, score_part, part_size: int = 3, manifest: ScoreManifest = MANIFEST):
    return resumable_scores(folder, manifest, score_part, part_size)


def test_an_undisturbed_run_scores_each_part_once(tmp_path):
    folder, log = tmp_path / "new" / "scores", tmp_path / "log"
    np.testing.assert_array_equal(run(folder, recorder(log)), SCORES)
    assert calls(log) == PARTS
    assert names(folder) == [f"{NAME}.json", f"{NAME}.npy"]
    np.testing.assert_array_equal(load_scores(folder / f"{NAME}.npy", MANIFEST), SCORES)
    np.testing.assert_array_equal(run(folder, recorder(log)), SCORES)  # read, not computed
    assert calls(log) == PARTS


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("fails_at", [0, 3, 6])
def test_an_interrupted_run_goes_on_where_it_was(tmp_path, fails_at):
    folder, log = tmp_path / "scores", tmp_path / "log"
    with pytest.raises(KeyboardInterrupt):
        run(folder, recorder(log, fails_at, interrupt))
    assert names(folder) == [f"{NAME}.partial.json", f"{NAME}.partial.npy"]
    known = np.load(folder / f"{NAME}.partial.npy")
    np.testing.assert_array_equal(known[:fails_at], SCORES[:fails_at])
    assert np.isnan(known[fails_at:]).all()
    np.testing.assert_array_equal(run(folder, recorder(log)), SCORES)
    assert calls(log) == PARTS
    assert names(folder) == [f"{NAME}.json", f"{NAME}.npy"]


def test_another_part_size_computes_only_what_is_missing(tmp_path):
    folder, log = tmp_path / "scores", tmp_path / "log"
    with pytest.raises(KeyboardInterrupt):
        run(folder, recorder(log, 3, interrupt))
    np.testing.assert_array_equal(run(folder, recorder(log), part_size=2), SCORES)
    assert calls(log) == ["0 3", "2 4", "4 6", "6 7"]


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


# In a process of its own: die in a part, or at the count-th call of a function of the disk.
def die(folder: Path, log: Path, where: object, name: str, count: int) -> None:
    remaining = iter(range(count - 1))
    original = getattr(where, name)

    def deadly(*arguments, **options):
        if next(remaining, None) is None:
            kill()
        return original(*arguments, **options)

    setattr(where, name, deadly)
    run(folder, recorder(log))


MOMENTS = [
    *[(os, "fsync", count) for count in (1, 2, 3, 4)],  # two partial files, two final ones
    *[(Path, "replace", count) for count in (1, 2, 3, 4)],
    *[(np.memmap, "flush", count) for count in (1, 2, 3)],
    (score_files, "_check_scores", 2),
    (score_files, "load_scores", 1),
    *[(Path, "unlink", count) for count in range(1, 8)],
]


@pytest.mark.parametrize(("where", "name", "count"), MOMENTS)
def test_a_killed_run_goes_on_where_it_was(tmp_path, where, name, count):
    folder, log = tmp_path / "scores", tmp_path / "log"
    arguments = (folder, log, where, name, count)
    process = multiprocessing.get_context("fork").Process(target=die, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    np.testing.assert_array_equal(run(folder, recorder(log)), SCORES)
    done = calls(log)
    assert list(dict.fromkeys(done)) == PARTS
    assert len(done) <= len(PARTS) + 1  # at most the part in which it was killed, again
    assert {f"{NAME}.json", f"{NAME}.npy"} <= set(names(folder))
    assert not any(file.startswith(NAME) and ".partial." in file for file in names(folder))


@pytest.mark.parametrize("field", [name for name in OTHERS if name not in IN_NAME])
@pytest.mark.parametrize("finished", [False, True])
def test_files_of_another_run_are_refused(tmp_path, field, finished):
    log = tmp_path / "log"
    if finished:
        run(tmp_path, recorder(log))
    else:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, recorder(log, 3, interrupt))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    other = dataclasses.replace(MANIFEST, **{field: OTHERS[field]})
    found = f"^{field} in .*json is '?{getattr(MANIFEST, field)}'?; expected '?{OTHERS[field]}'?"
    with pytest.raises(InputError, match=found):
        run(tmp_path, recorder(log), manifest=other)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("field", ["score", "epoch", "seed"])
def test_runs_of_other_names_share_a_folder(tmp_path, field):
    other = dataclasses.replace(MANIFEST, **{field: OTHERS[field]})
    run(tmp_path, lambda start, stop: SCORES[start:stop])
    found = run(tmp_path, lambda start, stop: -SCORES[start:stop], manifest=other)
    np.testing.assert_array_equal(found, -SCORES)
    np.testing.assert_array_equal(load_scores(tmp_path / f"{NAME}.npy", MANIFEST), SCORES)


@pytest.mark.parametrize("damage", [truncate, Path.unlink, lambda path: path.write_text("no")])
def test_a_damaged_partial_file_is_refused(tmp_path, damage):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, recorder(tmp_path / "log", 3, interrupt))
    damage(tmp_path / f"{NAME}.partial.npy")
    with pytest.raises(InputError, match=r"partial\.npy is damaged or missing; expected"):
        run(tmp_path, recorder(tmp_path / "log"))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ([1.0, np.nan, 2.0], "^The score of example 4 is nan; expected a finite number"),
        ([1.0, 2.0], r"shape \[2\]'; expected float64 of shape \[3\]"),
    ],
)
def test_a_bad_part_stops_the_run_before_it_is_kept(tmp_path, part, message):
    with pytest.raises(InputError, match=message):
        run(tmp_path, lambda start, stop: part if start == 3 else SCORES[start:stop])
    assert np.isnan(np.load(tmp_path / f"{NAME}.partial.npy")).sum() == 4


def test_an_empty_part_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"^part_size is 0; expected at least 1"):
        run(tmp_path, recorder(tmp_path), part_size=0)
    assert names(tmp_path) == []
