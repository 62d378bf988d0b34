"""A run that is locked, killed, stopped or out of disk goes on as if nothing had disturbed it."""

import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic
import torch

from liprune_utils import runs, selection, training
from liprune_utils.data import Dataset
from liprune_utils.runs import (
    RunError,
    Stopped,
    open_run,
    run_folder,
    stopping_at_signals,
    withdraw_stop,
)
from liprune_utils.settings import TrainingRun
from liprune_utils.training_run import Workspace, run_training

SETTINGS = {"depth": 8, "rate": 0.1}
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


def opened(root: Path, **options):
    return open_run(root, "small", SETTINGS, **options)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.pt"))


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


def test_a_second_process_may_wait_until_the_first_has_left(tmp_path):
    process, connection = begin(occupy, tmp_path, True)  # first: a fork shares the locks it has
    with opened(tmp_path):
        connection.send("begin")
        assert hear(connection) == "begun"
        assert not connection.poll(3 * runs.POLL_SECONDS)
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


STOPS = [signal.SIGTERM, signal.SIGINT]


NUM_STEPS = 100


# A run of numbers, as a training is one; sends at which step it begins, and how it ends.
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


def test_a_full_disk_is_named_and_the_checkpoints_before_stay(tmp_path):
    with opened(tmp_path) as run:
        run.save((1, 0), LARGE | {"step": 1})
        run.save((2, 0), LARGE | {"step": 2})
    before = names(run.path)
    _, connection = begin(fill_disk, tmp_path, 300_000, lambda run: run.restore())
    assert hear(connection) == "written"
    _, connection = begin(fill_disk, tmp_path, 100_000, lambda run: run.save((3, 0), LARGE))
    message, from_disk = hear(connection)
    name = message.split()[0]
    assert from_disk
    assert name.startswith("checkpoint-00003-000000-")
    assert message == FULL.format(name, run.path)
    assert names(run.path) == before
    with opened(tmp_path) as run:
        assert synthetic.same(run.restore(), LARGE | {"step": 2})


@pytest.mark.parametrize(
    ("limit", "name", "left"), [(8, "curve.csv", []), (100, "done.json", ["curve.csv"])]
)
def test_on_a_full_disk_no_run_is_done(tmp_path, limit, name, left):
    with opened(tmp_path) as run:
        run.save((1, 0), {"step": 1})
    before = names(run.path)
    act = lambda run: run.finish({"curve": TABLE})  # noqa: E731
    _, connection = begin(fill_disk, tmp_path, limit, act)
    message, from_disk = hear(connection)
    assert from_disk
    assert message == FULL.format(name, run.path)
    assert names(run.path) == sorted(before + left)
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


@pytest.mark.parametrize(("first", "second"), [STOPS, STOPS[::-1]])
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


# A whole training, interrupted at random moments


RUN = TrainingRun(
    depth=8, learning_rate=0.05, decay_epochs=(3,), num_epochs=6, num_images=12,
    num_test_images=10, batch_size=4, method="liprune", keep_fraction=0.7, prune_epoch=2,
    tolerance=0.5,
)  # fmt: skip
STOPPED = 75  # exit status


def make_workspace(root: Path) -> Workspace:
    draw = np.random.default_rng(7)
    images = [draw.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8) for n in (12, 10)]
    labels = [draw.integers(0, 10, n) for n in (12, 10)]
    split = images[0], labels[0], images[1], labels[1]
    return Workspace(Dataset(*split, "CIFAR-10", "0", tuple("abcdefghij")), root)


# Fork a process that does the run; it has begun when this returns.
def fork(workspace: Workspace) -> int:
    reader, writer = os.pipe()
    if pid := os.fork():
        assert os.read(reader, 1) == b"."
        os.close(reader)
        os.close(writer)
        return pid
    status = 1
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once it is done
    try:
        with stopping_at_signals():
            os.write(writer, b".")
            run_training(RUN, workspace)
        status = 0
    except Stopped:
        status = STOPPED
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def end(pid: int) -> int:
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, STOPPED, -signal.SIGKILL)
    return status


# Where the runs in a folder are: the run and position of the checkpoint that was written last.
def progress(root: Path) -> str:
    latest = max(root.rglob("checkpoint-*.pt"), key=lambda path: path.stat().st_mtime_ns, default=0)
    return f"{latest.parent.name} {latest.name[:23]}" if latest else "nowhere"


def slowly(take_step, *arguments) -> None:
    time.sleep(0.01)
    take_step(*arguments)


# A process of its own, since threads of pytest's arithmetic would not live in a fork: do the run
# undisturbed in the folder 0; then in 1, 2, ... until it was interrupted so many times and is done.
# Prints the number of the last folder, and where the run was at each interruption.
def interrupt_runs(root: Path, number: int, times: int) -> None:
    torch.set_num_threads(1)
    runs.CHECKPOINT_SECONDS, selection.BATCH_CHUNK = 0.0, 1  # each step and score is saved
    training.take_step = partial(slowly, training.take_step)  # or scoring takes most of the time
    workspace, draw = make_workspace(root / "0"), np.random.default_rng(number)
    training.start(RUN, workspace.images(RUN))  # what torch imports with its first optimiser
    began = time.monotonic()
    assert end(fork(workspace)) == 0
    undisturbed = time.monotonic() - began
    folder, seen, status = 0, [], 0
    while len(seen) < times or status != 0:
        folder += status == 0
        workspace = replace(workspace, root=root / str(folder))
        pid = fork(workspace)
        if len(seen) < times:
            time.sleep(draw.exponential(undisturbed / 4))
            os.kill(pid, number)
        if (status := end(pid)) != 0:
            seen.append(progress(workspace.root))
    print(json.dumps([folder, seen]))


# What is left of a run: its last state, and its tables.
def outcome(folder: Path) -> tuple[dict[str, object], dict[str, bytes]]:
    assert not list(folder.glob(".*.partial*"))
    assert (folder / "done.json").exists()
    content = torch.load(max(folder.glob("checkpoint-*.pt")), weights_only=True)
    return content["state"], {path.name: path.read_bytes() for path in folder.glob("*.csv")}


@pytest.mark.slow
@pytest.mark.parametrize(("number", "times"), [(signal.SIGKILL, 20), (signal.SIGTERM, 10)])
def test_a_run_interrupted_again_and_again_ends_as_one_undisturbed(tmp_path, number, times):
    command = [sys.executable, __file__, tmp_path, str(int(number)), str(times)]
    where = os.environ | {"PYTHONPATH": str(Path(synthetic.__file__).parent)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=where)
    assert done.returncode == 0, done.stderr
    last, seen = json.loads(done.stdout)
    assert len(seen) == times
    assert len(set(seen)) > 2  # at different moments
    for run in (RUN, RUN.before_pruning()):
        folders = [make_workspace(tmp_path / str(k)).folder(run) for k in range(last + 1)]
        state, tables = outcome(folders[0])
        assert len(state["test_errors"]) == run.num_epochs
        assert {"curve.csv", "kept.csv"} <= set(tables)
        for folder in folders[1:]:
            assert synthetic.same(outcome(folder), (state, tables))


if __name__ == "__main__":
    interrupt_runs(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
