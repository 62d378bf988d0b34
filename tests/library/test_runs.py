"""Run folders: a run that is killed, stopped, damaged or out of disk goes on to the same result."""

import hashlib
import io
import json
import multiprocessing
import os
import pickle
import re
import resource
import shutil
import signal
import time
from contextlib import nullcontext
from functools import partial
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
import torch

from liprune_utils import runs
from liprune_utils.checks import InputError
from liprune_utils.runs import (
    RunError,
    Stopped,
    ask_to_stop,
    open_run,
    run_folder,
    stopping_at_signals,
    withdraw_stop,
)

SETTINGS = {"depth": 8, "rate": 0.1, "decay": [2, 3]}
OTHERS = SETTINGS | {"rate": 0.2}
FORK = multiprocessing.get_context("fork")
STARTED = []  # processes of the test
PATIENCE = 30  # seconds for another process to answer
TABLE = pd.DataFrame({"epoch": [1, 2]})


@pytest.fixture(autouse=True)
def nothing_goes_on_into_the_next_test():
    yield
    withdraw_stop()
    while STARTED:
        process = STARTED.pop()
        process.kill()
        process.join()


@pytest.fixture
def run(tmp_path):
    with opened(tmp_path) as run:
        yield run


def opened(root: Path, settings=SETTINGS, **options):
    return open_run(root, "small", settings, **options)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.pt"))


def save_two(run: runs.Run) -> None:
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


def test_a_new_run_has_nothing_to_restore(run):
    assert run.restore() is None


def test_the_two_latest_checkpoints_are_kept_and_nothing_beside_them(run):
    for step in range(1, 6):
        run.save((1, step), {"step": step})
    found = [path.name[:23] for path in checkpoints(run.folder)]
    assert found == ["checkpoint-00001-000004", "checkpoint-00001-000005"]
    assert names(run.folder) == [*[path.name for path in checkpoints(run.folder)], "run.json"]


def test_a_checkpoint_is_named_after_the_hash_of_its_content(run):
    run.save((1, 0), {"step": 1})
    (path,) = checkpoints(run.folder)
    assert path.stem.split("-")[-1] == hashlib.sha256(path.read_bytes()).hexdigest()[:16]


POSITIONS = [
    ((1, 7), (2, 0)),
    ((9, 400), (10, 0)),
    ((99, 0), (100, 0)),
    ((3, 9), (3, 10)),
    ((3, 999), (3, 1000)),
]


@pytest.mark.parametrize(("earlier", "later"), POSITIONS)
@pytest.mark.parametrize("order", [1, -1])
def test_the_latest_is_the_one_of_the_latest_epoch_and_step(run, earlier, later, order):
    for position in [earlier, later][::order]:
        run.save(position, {"position": list(position)})
    assert run.restore() == {"position": list(later)}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


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
    before, latest = checkpoints(run.folder)
    damage(latest)
    content = latest.read_bytes()
    assert run.restore() == {"step": 1}
    assert_refused([latest], [content], caplog, "The SHA-256 of ")
    caplog.clear()
    assert run.restore() == {"step": 1}
    assert not caplog.records
    assert checkpoints(run.folder) == [before]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_run_whose_checkpoints_are_all_damaged_begins_anew(run, damage, caplog):
    save_two(run)
    paths = checkpoints(run.folder)[::-1]
    for path in paths:
        damage(path)
    contents = [path.read_bytes() for path in paths]
    assert run.restore() is None
    assert_refused(paths, contents, caplog, "The SHA-256 of ")


def test_a_run_goes_on_after_a_refusal(run):
    save_two(run)
    flip(checkpoints(run.folder)[-1])
    run.restore()
    run.save((2, 0), {"step": 3})
    assert run.restore() == {"step": 3}
    assert len(checkpoints(run.folder)) == 2


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_checkpoint_before_may_be_damaged(run, damage, caplog):
    save_two(run)
    damage(checkpoints(run.folder)[0])
    assert run.restore() == {"step": 2}
    assert not caplog.records


def test_a_checkpoint_of_another_run_is_refused_by_name(run, tmp_path, caplog):
    run.save((1, 0), {"step": 1})
    with opened(tmp_path, OTHERS) as other:
        other.save((9, 0), {"step": 9})
        (foreign,) = checkpoints(other.folder)
    path = Path(shutil.copy(foreign, run.folder))
    assert run.restore() == {"step": 1}
    assert_refused([path], [foreign.read_bytes()], caplog, f"is {OTHERS!r}; expected the settings")
    assert str(path) in caplog.text.partition("is {")[0]


# A later checkpoint with any content under the name that belongs to it.
def plant(run: runs.Run, content: bytes) -> Path:
    digest = hashlib.sha256(content).hexdigest()[:16]
    path = run.folder / f"checkpoint-00009-000000-{digest}.pt"
    path.write_bytes(content)
    return path


def packed(content: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


UNREADABLE = {
    "nothing": b"",
    "text": b"no checkpoint",
    "half a checkpoint": packed({"settings": SETTINGS, "state": {}, "seconds": 0.0})[:-99],
    "a list": packed([1, 2]),
    "a number": packed(1),
    "no settings": packed({"state": {}, "seconds": 0.0}),
    "no state": packed({"settings": SETTINGS, "seconds": 0.0}),
    "no seconds": packed({"settings": SETTINGS, "state": {}}),
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


@pytest.mark.parametrize("pack", [packed, partial(pickle.dumps, protocol=2)])
def test_code_in_a_checkpoint_is_not_executed(run, pack, tmp_path, caplog):
    run.save((1, 0), {"step": 1})
    made = tmp_path / "made"
    content = pack({"settings": SETTINGS, "state": Executes(made), "seconds": 0.0})
    path = plant(run, content)
    assert run.restore() == {"step": 1}
    assert not made.exists()
    assert_refused([path], [content], caplog, "; expected a checkpoint")


def test_the_code_of_the_test_before_is_alive(tmp_path):
    pickle.loads(pickle.dumps(Executes(tmp_path / "one")))
    torch.load(io.BytesIO(packed(Executes(tmp_path / "other"))), weights_only=False)
    assert names(tmp_path) == ["one", "other"]


def test_a_folder_is_named_after_all_its_settings():
    folder = run_folder("root", "small", SETTINGS)
    assert folder.parent == Path("root")
    assert folder.name.startswith("small-")
    assert folder == run_folder("root", "small", dict(reversed(SETTINGS.items())))
    assert len({folder, *(run_folder("root", "small", SETTINGS | {k: 7}) for k in SETTINGS)}) == 4


def test_a_run_says_what_it_is_a_run_of(run):
    assert run.folder.name.startswith("small-")
    assert json.loads((run.folder / "run.json").read_text()) == SETTINGS


def test_a_folder_of_other_settings_is_refused(tmp_path):
    with opened(tmp_path) as run:
        pass
    (run.folder / "run.json").write_text(json.dumps(OTHERS))
    with pytest.raises(InputError) as caught, opened(tmp_path):
        pytest.fail("opened")
    assert str(caught.value) == f"The run in {run.folder} is {OTHERS!r}; expected {SETTINGS!r}."
    assert json.loads((run.folder / "run.json").read_text()) == OTHERS


@pytest.mark.parametrize("name", ["run.json", "done.json"])
def test_a_damaged_note_is_named(tmp_path, name):
    with opened(tmp_path) as run:
        run.finish({})
    path = run.folder / name
    path.write_bytes(path.read_bytes()[:-3] + b"\xff")
    expected = f"{path} is damaged; expected JSON."
    with pytest.raises(InputError, match=re.escape(expected)), opened(tmp_path) as run:
        print(run.done)


# Begin a function in another process; what it sends and what is sent to it goes by the connection.
def begin(function, *arguments):
    here, there = FORK.Pipe()
    process = FORK.Process(target=function, args=(there, *arguments), daemon=True)
    process.start()
    STARTED.append(process)
    there.close()
    return process, here


def hear(connection) -> object:
    assert connection.poll(PATIENCE)
    return connection.recv()


# In another process: have the run from the first message to the next, and say what happened.
def occupy(connection, root: Path, wait: bool) -> None:
    connection.recv()
    try:
        with stopping_at_signals():
            connection.send("begun")
            with opened(root, wait=wait):
                connection.send("in")
                connection.recv()
    except (RunError, Stopped) as error:
        connection.send((type(error).__name__, str(error)))


def occupied(root: Path):
    process, connection = begin(occupy, root, False)
    connection.send("begin")
    assert hear(connection) == "begun"
    return process, connection


def test_a_second_process_is_refused_in_one_sentence(tmp_path):
    _, first = occupied(tmp_path)
    assert hear(first) == "in"
    _, second = occupied(tmp_path)
    folder = run_folder(tmp_path, "small", SETTINGS)
    message = f"{folder} is in use by another process; expected to be alone."
    assert hear(second) == ("RunError", message)


def test_a_run_beside_another_is_not_refused(tmp_path):
    _, other = occupied(tmp_path)
    assert hear(other) == "in"
    with opened(tmp_path, OTHERS) as run:
        assert run.restore() is None


def test_a_second_process_may_wait_until_the_first_has_left(tmp_path):
    process, connection = begin(occupy, tmp_path, True)  # first: a fork shares the locks it has
    with opened(tmp_path):
        connection.send("begin")
        assert hear(connection) == "begun"
        assert not connection.poll(3 * runs.WAIT_SECONDS)
    assert hear(connection) == "in"
    connection.send("leave")
    process.join(PATIENCE)
    assert process.exitcode == 0


def test_a_process_that_waits_leaves_when_it_is_asked_to(tmp_path):
    process, connection = begin(occupy, tmp_path, True)
    with opened(tmp_path):
        connection.send("begin")
        assert hear(connection) == "begun"
        os.kill(process.pid, signal.SIGTERM)
        assert hear(connection) == ("Stopped", "Asked to stop.")


def test_a_killed_process_has_no_lock(tmp_path):
    process, first = occupied(tmp_path)
    assert hear(first) == "in"
    process.kill()
    process.join(PATIENCE)
    _, second = occupied(tmp_path)
    assert hear(second) == "in"


# In another process: die at the count-th call of a function of the disk while saving three times.
def die(_connection, root: Path, where: object, name: str, count: int) -> None:
    original, remaining = getattr(where, name), iter(range(count - 1))

    def deadly(*arguments, **options):
        if next(remaining, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(where, name, deadly)
    with opened(root) as run:
        for step in (1, 2, 3):
            run.save((1, step), {"step": step})
        run.finish({"curve": TABLE})


# The latest step that is saved when the process dies at a call of each; 0 is none. The first call
# is for run.json, three for the checkpoints, two for the table and done.json; the fifth of unlink
# deletes the first checkpoint.
SAVED = {
    (os, "fsync"): (0, 0, 1, 2, 3, 3),
    (Path, "replace"): (0, 0, 1, 2, 3, 3),
    (Path, "unlink"): (0, 1, 2, 3, 3, 3),
}
MOMENTS = [
    (*where, count, step) for where, saved in SAVED.items() for count, step in enumerate(saved, 1)
]


@pytest.mark.parametrize(("where", "name", "count", "step"), MOMENTS)
def test_a_run_killed_while_it_saves_has_what_it_saved_before(tmp_path, where, name, count, step):
    process, _ = begin(die, tmp_path, where, name, count)
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL
    folder = run_folder(tmp_path, "small", SETTINGS)
    assert any(".partial" in name for name in names(folder)) == (name != "unlink")
    with opened(tmp_path) as run:
        assert run.restore() == ({"step": step} if step else None)
        assert run.done is None
        assert not any(".partial" in name for name in names(folder))
        run.save((1, 4), {"step": 4})
        assert len(checkpoints(folder)) == min(step + 1, 2)


def test_a_run_is_done_when_it_has_finished(tmp_path):
    facts = {"device": "cpu", "threads": 2}
    with opened(tmp_path) as run:
        assert run.done is None
        run.save((1, 0), {"step": 1})
        assert run.done is None
        run.finish({"curve": TABLE}, **facts)
    with opened(tmp_path) as run:
        done = run.done
        assert done == json.loads((run.folder / "done.json").read_text())
        assert facts.items() <= done.items()
        assert 0 <= done["seconds"] < PATIENCE
        assert 20 < done["peak_memory_mib"] < 2**17
        assert done["versions"]["torch"] == torch.__version__.partition("+")[0]
        assert run.restore() == {"step": 1}


def test_tables_are_written_before_the_run_is_done(run, monkeypatch):
    seen, write_json = [], runs.write_json

    def look(path, content):
        seen.append((path.name, names(run.folder)))
        write_json(path, content)

    monkeypatch.setattr(runs, "write_json", look)
    run.finish({"curve": TABLE, "kept": TABLE + 1})
    assert seen == [("done.json", ["curve.csv", "kept.csv", "run.json"])]
    for name, table in (("curve", TABLE), ("kept", TABLE + 1)):
        pd.testing.assert_frame_equal(pd.read_csv(run.folder / f"{name}.csv"), table)


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


def test_a_checkpoint_is_due_when_the_run_is_asked_to_stop(run):
    assert not run.is_due()
    ask_to_stop()
    assert run.is_due()
    withdraw_stop()
    assert not run.is_due()


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
    ask_to_stop()
    with pytest.raises(Stopped, match=f"^{run.folder.name}: saved at epoch 2, step 5.$"):
        run.save((2, 5), {"step": 5})
    assert run.restore() == {"step": 5}


STOPS = [signal.SIGTERM, signal.SIGINT]


NUM_STEPS = 100


# A run as `train_on` has it, of numbers; says at which step it begins, and how it ends.
def count(connection, root: Path, seconds: float = 0.0) -> None:
    with stopping_at_signals(), opened(root) as run:
        state = run.restore() or {"step": 0, "value": 1}
        connection.send(state["step"])
        try:
            while state["step"] < NUM_STEPS:
                time.sleep(seconds)
                value = state["value"] * 16807 % (2**31 - 1)
                state = {"step": state["step"] + 1, "value": value}
                if state["step"] == NUM_STEPS or run.is_due():
                    run.save((1, state["step"]), state)
        except Stopped as error:
            connection.send(str(error))
        else:
            connection.send(state["value"])


@pytest.mark.parametrize("number", STOPS)
def test_a_run_that_gets_a_signal_saves_leaves_and_goes_on_later(tmp_path, number):
    folder = run_folder(tmp_path, "small", SETTINGS)
    process, connection = begin(count, tmp_path, 0.02)
    assert hear(connection) == 0
    assert not connection.poll(0.1)
    os.kill(process.pid, number)
    message = hear(connection)
    process.join(PATIENCE)
    assert process.exitcode == 0
    (saved,) = checkpoints(folder)
    step = int(saved.name.split("-")[2])
    assert 0 < step < NUM_STEPS
    assert message == f"{folder.name}: saved at epoch 1, step {step}."
    _, connection = begin(count, tmp_path)
    assert hear(connection) == step
    assert hear(connection) == pow(16807, NUM_STEPS, 2**31 - 1)


# In another process: do something where no file may be longer than so many bytes; say what happens.
def fill_disk(connection, root: Path, limit: int, act) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        with opened(root) as run:
            act(run)
    except RunError as error:
        connection.send((str(error), isinstance(error.__cause__, OSError)))
    else:
        connection.send("written")


LARGE = {"weights": torch.ones(50_000)}
FULL = (
    "{} cannot be written to {}: File too large; "
    "started again, the run goes on from its checkpoint before."
)


def test_a_checkpoint_that_fits_is_written(tmp_path):
    _, connection = begin(fill_disk, tmp_path, 300_000, lambda run: run.save((1, 0), LARGE))
    assert hear(connection) == "written"


def test_a_full_disk_is_named_and_the_checkpoints_before_stay(tmp_path):
    with opened(tmp_path) as run:
        run.save((1, 0), LARGE | {"step": 1})
        run.save((2, 0), LARGE | {"step": 2})
    before = names(run.folder)
    _, connection = begin(fill_disk, tmp_path, 100_000, lambda run: run.save((3, 0), LARGE))
    message, from_disk = hear(connection)
    name = message.split()[0]
    assert from_disk
    assert name.startswith("checkpoint-00003-000000-")
    assert message == FULL.format(name, run.folder)
    assert names(run.folder) == before
    with opened(tmp_path) as run:
        assert same(run.restore(), LARGE | {"step": 2})


@pytest.mark.parametrize(
    ("limit", "name", "left"), [(8, "curve.csv", []), (100, "done.json", ["curve.csv"])]
)
def test_on_a_full_disk_no_run_is_done(tmp_path, limit, name, left):
    with opened(tmp_path) as run:
        run.save((1, 0), {"step": 1})
    before = names(run.folder)
    act = lambda run: run.finish({"curve": TABLE})  # noqa: E731
    _, connection = begin(fill_disk, tmp_path, limit, act)
    message, from_disk = hear(connection)
    assert from_disk
    assert message == FULL.format(name, run.folder)
    assert names(run.folder) == sorted(before + left)
    with opened(tmp_path) as run:
        assert run.done is None
        assert run.restore() == {"step": 1}
        run.finish({"curve": TABLE})
        assert run.done


def test_on_a_full_disk_no_run_begins(tmp_path):
    folder = run_folder(tmp_path, "small", SETTINGS)
    _, connection = begin(fill_disk, tmp_path, 8, lambda _: None)
    message, from_disk = hear(connection)
    assert from_disk
    assert message == FULL.format("run.json", folder)
    assert names(folder) == []


def test_where_nothing_is_to_be_saved_a_run_just_leaves():
    runs.leave_if_asked()
    runs.ask_to_stop()
    with pytest.raises(Stopped):
        runs.leave_if_asked()
    runs.withdraw_stop()
    runs.leave_if_asked()


@pytest.mark.parametrize(("first", "second"), [*product(STOPS, STOPS)])
def test_a_second_signal_stops_at_once(first, second):
    with pytest.raises(KeyboardInterrupt), stopping_at_signals():  # noqa: PT012 - two signals
        signal.raise_signal(first)
        assert runs.stop_requested.is_set()
        signal.raise_signal(second)
        pytest.fail("went on")
    assert not runs.stop_requested.is_set()


@pytest.mark.parametrize("error", [None, Stopped])
def test_signals_mean_afterwards_what_they_meant_before(error):
    before = {number: signal.signal(number, signal.SIG_IGN) for number in STOPS}
    try:
        with pytest.raises(error) if error else nullcontext(), stopping_at_signals():
            signal.raise_signal(STOPS[0])
            assert runs.stop_requested.is_set()
            if error:
                raise error
        assert not runs.stop_requested.is_set()
        assert {signal.getsignal(number) for number in STOPS} == {signal.SIG_IGN}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
