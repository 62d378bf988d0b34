"""A whole training, interrupted at random moments, ends as one that nothing disturbed."""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import synthetic
import torch

from liprune_utils import runs, selection, training
from liprune_utils.runs import Stopped, stopping_at_signals
from liprune_utils.training_run import Workspace, run_training

RUN = synthetic.RUN.replace(
    num_epochs=6, num_test_images=10, method="liprune", keep_fraction=0.7, prune_epoch=2,
    tolerance=0.5,
)  # fmt: skip
STOPPED = 75  # exit status


def make_workspace(root: Path) -> Workspace:
    return Workspace(synthetic.dataset(12, 10), root)


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
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, env=where)
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
