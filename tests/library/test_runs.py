"""Run folders: checkpoints are exact, damage is refused by name, done means all is written."""

import hashlib
import io
import json
import os
import re
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from small_runs import SETTINGS, TABLE, checkpoints, flip, names, opened

from liprune_utils import runs
from liprune_utils.checks import InputError
from liprune_utils.runs import (
    Stopped,
    ask_to_stop,
    run_folder,
    withdraw_stop,
)

OTHERS = SETTINGS | {"rate": 0.2}


@pytest.fixture(autouse=True)
def go_on_afterwards():
    yield
    withdraw_stop()


@pytest.fixture
def run(tmp_path):
    with opened(tmp_path) as run:
        yield run


def save_two(run: runs.RunFolder) -> None:
    run.save((1, 0), {"step": 1})
    run.save((2, 0), {"step": 2})


# The same, and of the same types, to the last bit.
def same(one: object, other: object) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        layouts = [(value.dtype, value.stride()) for value in (one, other)]
        return layouts[0] == layouts[1] and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and same(list(one.values()), list(other.values()))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def trained_optimizer() -> torch.optim.SGD:
    weights = torch.nn.Parameter(torch.linspace(-1, 1, 24).view(1, 2, 3, 4))
    optimizer = torch.optim.SGD([weights], lr=0.1, momentum=0.9)
    weights.square().sum().backward()
    optimizer.step()
    return optimizer


def test_a_checkpoint_is_restored_exactly(tmp_path):
    state = {
        "weights": torch.linspace(-1, 1, 24).view(1, 2, 3, 4).to(memory_format=torch.channels_last),
        "half": torch.tensor([1 / 3, 3e38], dtype=torch.bfloat16),
        "flags": torch.tensor([True, False]),
        "nothing": torch.zeros(0),
        "third": 1 / 3,
        "infinite": float("inf"),
        "count": 2**62,
        "errors": [100 / 3, 5e-324],
        "text": "α",
        "optimizer": trained_optimizer().state_dict(),
    }
    with opened(tmp_path) as run:
        run.save((1, 0), state)
    with opened(tmp_path) as run:
        restored = run.restore()
    assert same(restored, state)
    assert restored["optimizer"]["state"][0]["momentum_buffer"].abs().sum() > 0


def test_the_two_latest_checkpoints_are_kept_and_nothing_beside_them(run):
    for step in range(1, 6):
        run.save((1, step), {"step": step})
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in checkpoints(run.path)]
    expected = [f"checkpoint-00001-{n:06}-{h}.pt" for n, h in zip((4, 5), hashes, strict=True)]
    assert names(run.path) == [*expected, "run.json"]


@pytest.mark.parametrize(
    ("earlier", "later"), [((9, 400), (10, 0)), ((99, 0), (100, 0)), ((3, 999), (3, 1000))]
)
@pytest.mark.parametrize("order", [1, -1])
def test_the_latest_is_the_one_of_the_latest_epoch_and_step(run, earlier, later, order):
    for position in [earlier, later][::order]:
        run.save(position, {"position": list(position)})
    assert run.restore() == {"position": list(later)}


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = [flip, truncate, empty]


# What was refused is named in a warning of one line, set aside as it was, and not found again.
def assert_refused(paths: list[Path], contents: list[bytes], caplog, reason: str) -> None:
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == len(paths)
    for path, content, message in zip(paths, contents, messages, strict=True):
        assert str(path) in message
        assert reason in message
        assert message.endswith(". It is set aside, and the one before is used.")
        assert "\n" not in message
        assert not path.exists()
        assert path.with_suffix(".refused").read_bytes() == content


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused_by_name_and_the_one_before_is_used(run, damage, caplog):
    save_two(run)
    before, latest = checkpoints(run.path)
    damage(latest)
    content = latest.read_bytes()
    assert run.restore() == {"step": 1}
    assert_refused([latest], [content], caplog, "The SHA-256 of ")
    caplog.clear()
    assert run.restore() == {"step": 1}
    assert not caplog.records
    assert checkpoints(run.path) == [before]
    run.save((2, 0), {"step": 3})
    assert run.restore() == {"step": 3}


def test_a_run_whose_checkpoints_are_all_damaged_begins_anew(run, caplog):
    save_two(run)
    paths = checkpoints(run.path)[::-1]
    for path in paths:
        flip(path)
    contents = [path.read_bytes() for path in paths]
    assert run.restore() is None
    assert_refused(paths, contents, caplog, "The SHA-256 of ")


def test_the_checkpoint_before_may_be_damaged(run, caplog):
    save_two(run)
    flip(checkpoints(run.path)[0])
    assert run.restore() == {"step": 2}
    assert not caplog.records


def test_a_checkpoint_of_another_run_is_refused_by_name(run, tmp_path, caplog):
    run.save((1, 0), {"step": 1})
    with opened(tmp_path, OTHERS) as other:
        other.save((9, 0), {"step": 9})
        (foreign,) = checkpoints(other.path)
    path = Path(shutil.copy(foreign, run.path))
    assert run.restore() == {"step": 1}
    assert_refused([path], [foreign.read_bytes()], caplog, f"is {OTHERS!r}; expected the settings")
    assert str(path) in caplog.text.partition("is {")[0]


# A later checkpoint with any content under the name that belongs to it.
def plant(run: runs.RunFolder, content: bytes) -> Path:
    digest = hashlib.sha256(content).hexdigest()[:16]
    path = run.path / f"checkpoint-00009-000000-{digest}.pt"
    path.write_bytes(content)
    return path


def packed(content: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


UNREADABLE = {
    "nothing": b"",
    "half a checkpoint": packed({"settings": SETTINGS, "state": {}, "seconds": 0.0})[:-99],
    "a list": packed([1, 2]),
    "no settings": packed({"state": {}, "seconds": 0.0}),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_no_checkpoint_is_refused_by_name(run, kind, caplog):
    run.save((1, 0), {"step": 1})
    path = plant(run, UNREADABLE[kind])
    assert run.restore() == {"step": 1}
    assert_refused([path], [UNREADABLE[kind]], caplog, "; expected a checkpoint")


class Executes:
    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_code_in_a_checkpoint_is_not_executed(run, tmp_path, caplog):
    run.save((1, 0), {"step": 1})
    content = packed({"settings": SETTINGS, "state": Executes(tmp_path / "made"), "seconds": 0.0})
    path = plant(run, content)
    assert run.restore() == {"step": 1}
    assert not (tmp_path / "made").exists()
    assert_refused([path], [content], caplog, "; expected a checkpoint")
    torch.load(io.BytesIO(content), weights_only=False)
    assert (tmp_path / "made").exists()  # so it would have been


def test_a_folder_is_named_after_all_its_settings():
    folder = run_folder("root", "small", SETTINGS)
    assert folder.parent == Path("root")
    assert folder.name.startswith("small-")
    assert folder == run_folder("root", "small", dict(reversed(SETTINGS.items())))
    assert len({folder, *(run_folder("root", "small", SETTINGS | {k: 7}) for k in SETTINGS)}) == 4


def test_a_folder_of_other_settings_is_refused(tmp_path):
    with opened(tmp_path) as run:
        pass
    (run.path / "run.json").write_text(json.dumps(OTHERS))
    with pytest.raises(InputError) as caught, opened(tmp_path):
        pytest.fail("opened")
    assert str(caught.value) == f"The run in {run.path} is {OTHERS!r}; expected {SETTINGS!r}."
    assert json.loads((run.path / "run.json").read_text()) == OTHERS


@pytest.mark.parametrize("name", ["run.json", "done.json"])
def test_a_damaged_note_is_named(tmp_path, name):
    with opened(tmp_path) as run:
        run.finish({})
    path = run.path / name
    path.write_bytes(path.read_bytes()[:-3] + b"\xff")
    expected = f"{path} is damaged; expected JSON."
    with pytest.raises(InputError, match=re.escape(expected)), opened(tmp_path) as run:
        print(run.done)


def test_a_run_is_done_when_it_has_finished(tmp_path):
    facts = {"device": "cpu", "test_error": 2}
    with opened(tmp_path) as run:
        assert run.done is None
        run.save((1, 0), {"step": 1})
        assert run.done is None
        run.finish({"curve": TABLE}, **facts)
    with opened(tmp_path) as run:
        done = run.done
        assert done == json.loads((run.path / "done.json").read_text())
        assert facts.items() <= done.items()
        assert 0 <= done["seconds"] < 30
        assert 20 < done["peak_memory_mib"] < 2**17
        assert done["versions"]["torch"] == torch.__version__.partition("+")[0]
        assert run.restore() == {"step": 1}


def test_tables_are_written_before_the_run_is_done(run, monkeypatch):
    seen, write_json = [], runs.write_json

    def look(path, content):
        seen.append((path.name, names(run.path)))
        write_json(path, content)

    monkeypatch.setattr(runs, "write_json", look)
    run.finish({"curve": TABLE, "kept": TABLE + 1})
    assert seen == [("done.json", ["curve.csv", "kept.csv", "run.json"])]
    for name, table in (("curve", TABLE), ("kept", TABLE + 1)):
        pd.testing.assert_frame_equal(pd.read_csv(run.path / f"{name}.csv"), table)


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = time.monotonic()

    monkeypatch.setattr(runs.time, "monotonic", lambda: Clock.now)
    return Clock


def test_a_checkpoint_is_due_half_a_minute_after_the_last_one(run, clock):
    assert runs.CHECKPOINT_SECONDS == 30
    began = run._saved
    for seconds, due in [(0, False), (29.9, False), (30.1, True), (3000, True)]:
        clock.now = began + seconds
        assert run.is_due() == due
    run.save((1, 0), {})
    assert not run.is_due()
    clock.now += 29.9
    assert not run.is_due()
    clock.now += 0.2
    assert run.is_due()


def test_computing_time_is_summed_over_restores(tmp_path, clock):
    for total in (10, 20, 30):
        with opened(tmp_path) as run:
            clock.now = run._began
            run.restore()
            assert run.seconds == pytest.approx(total - 10)
            clock.now += 10
            run.save((1, total), {})
            clock.now += 1000  # after the last checkpoint: lost
    with opened(tmp_path) as run:
        clock.now = run._began + 4
        run.restore()
        run.finish({})
        assert run.done["seconds"] == 34


def test_a_run_that_is_asked_to_stop_saves_and_leaves(run):
    runs.leave_if_asked()
    assert not run.is_due()
    ask_to_stop()
    assert run.is_due()
    with pytest.raises(Stopped, match=r"^Asked to stop\.$"):
        runs.leave_if_asked()
    with pytest.raises(Stopped, match=f"^{run.path.name}: saved at epoch 2, step 5.$"):
        run.save((2, 5), {"step": 5})
    assert run.restore() == {"step": 5}


def test_tables_are_computed_once_for_the_same_settings(tmp_path):
    def compute() -> dict[str, pd.DataFrame]:
        calls.append(None)
        return {"one": TABLE, "two": TABLE + 1}

    calls = []
    for settings in (SETTINGS, SETTINGS, OTHERS):
        found = runs.finished_tables(tmp_path, "small", settings, compute)
        assert {name: table.epoch.tolist() for name, table in found.items()} == {
            "one": [1, 2], "two": [2, 3],
        }  # fmt: skip
    assert len(calls) == 2


@pytest.mark.parametrize("before", [1, 2])
def test_a_run_says_how_many_threads_computed_it(tmp_path, before, monkeypatch, caplog):
    for number in (before, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda number=number: number)
        with opened(tmp_path) as run:
            run.restore()
            run.save((number, 0), {})
    with opened(tmp_path) as run:
        run.restore()
        run.finish({"table": TABLE})
        assert run.done["threads"] == ([1, 2] if before == 1 else 2)
    warned = "goes on with 2 instead of 1 threads: its numbers will differ in rounding"
    assert (warned in caplog.text) == (before == 1)
