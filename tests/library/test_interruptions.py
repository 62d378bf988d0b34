"""A run that is locked, killed, stopped or out of disk goes on as if nothing had disturbed it."""

import multiprocessing
import os
import resource
import signal
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import synthetic
import torch
from small_runs import SETTINGS, TABLE, checkpoints, die_at, names, opened

from liprune_utils import runs
from liprune_utils.runs import (
    RunError,
    Stopped,
    run_folder,
    stopping_at_signals,
    withdraw_stop,
)

FORK = multiprocessing.get_context("fork")
STARTED = []  # processes of the test
PATIENCE = 120  # seconds for another process to answer


@pytest.fixture(autouse=True)
def nothing_goes_on_into_the_next_test():
    yield
    withdraw_stop()
    while STARTED:
        process = STARTED.pop()
        process.kill()
        process.join()


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
    die_at(where, name, count)
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
