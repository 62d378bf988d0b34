"""A sweep of four small runs: whatever interrupts it, the same command ends with the same table."""

import itertools
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import yaml
from dask.distributed import LocalCluster

from liprune_utils import runs, sweep, training
from liprune_utils.files import PROJECT
from liprune_utils.grid import Grid, epochs_done, progress, read_grid, run_name
from liprune_utils.training_run import Workspace

pytestmark = pytest.mark.usefixtures("one_thread")
COMMON = {
    "depth": 8, "num_images": 256, "num_test_images": 20, "batch_size": 16, "num_epochs": 4,
    "decay_epochs": [4],
}  # fmt: skip
BLOCKS = [
    {"method": ["none"], "seed": [0, 1]},
    {"method": ["random"], "keep_fraction": [0.5], "prune_epoch": [2], "seed": [0, 1]},
]
TABLES = ["toy_curves.csv", "toy_provenance.json", "toy_runs.csv"]
PATIENCE = 120.0  # seconds; other work may go on beside these tests


def patiently(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Toy:
    """The toy grid in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file, self.root, self.tables = folder / "toy.yml", folder / "runs", folder / "tables"
        content = {"folder": str(self.tables), "name": "toy", "common": COMMON, "blocks": BLOCKS}
        self.file.write_text(yaml.safe_dump(content, sort_keys=False))
        self.words = [str(self.file), "--runs", str(self.root), "--workers", "2"]

    @cached_property
    def grid(self) -> Grid:
        return read_grid(self.file)

    @cached_property
    def workspace(self) -> Workspace:
        return sweep.open_workspace(self.root)

    def main(self, *options: str) -> int:
        return sweep.main([*self.words, *options])

    def start(self, *options: str) -> subprocess.Popen:
        """The command in a process group of its own, as a shell starts it."""
        command = [sys.executable, "-m", "liprune_utils.sweep", *self.words, *options]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=PROJECT, start_new_session=True, **pipes)

    def folders(self, *, done: bool) -> list[Path]:
        folders = map(self.workspace.folder, self.grid.runs)
        return [folder for folder in folders if (folder / "done.json").exists() == done]

    def is_midway(self) -> None:
        """Wait until a run is at its third epoch of four at most, as its checkpoint says."""
        files = [f"checkpoint-0000{epoch}-*.pt" for epoch in (2, 3)]
        patiently(lambda: any(list(f.glob(n)) for f in self.folders(done=False) for n in files))

    def finish(self, process: subprocess.Popen) -> tuple[int, str, list[str]]:
        """Exit status, output, and the lines of the error stream that are not the bar."""
        try:
            output, errors = process.communicate(timeout=PATIENCE)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        return process.returncode, output, beside_the_bar(errors)

    def recorded(self) -> list[str]:
        """The names of the runs that stand in the table."""
        path = self.tables / "toy_runs.csv"
        return pd.read_csv(path, dtype=str).run_id.tolist() if path.exists() else []

    def results(self) -> pd.DataFrame:
        """The curves, without rounding."""
        assert sorted(path.name for path in self.tables.glob("[!.]*")) == TABLES
        return pd.read_csv(self.tables / TABLES[0])


def beside_the_bar(errors: str) -> list[str]:
    return [line for line in re.split(r"[\r\n]+", errors) if line and not line.startswith("Sweep:")]


def tree(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster in this process, where it starts at once, with Dask's usual port."""
    options = {"processes": False, "protocol": "tcp://", "threads_per_worker": 1}
    with LocalCluster(n_workers=2, **options) as workers:
        yield workers.scheduler_address
    runs.withdraw_stop()  # its workers' last words, in this process


@pytest.fixture(scope="module")
def whole(tmp_path_factory, cluster) -> Toy:
    """A sweep that nothing disturbs."""
    toy = Toy(tmp_path_factory.mktemp("whole"))
    assert toy.main("--scheduler", cluster) == 0
    return toy


@pytest.fixture
def toy(tmp_path) -> Iterator[Toy]:
    yield Toy(tmp_path / "toy")
    runs.withdraw_stop()


def test_a_sweep_does_what_its_runs_do_one_by_one(whole, toy):
    for run in toy.grid.runs[::3]:
        folder = sweep.run_training(run, toy.workspace)
        for name in ("curve.csv", "kept.csv", "run.json"):
            assert (folder / name).read_text() == (whole.workspace.folder(run) / name).read_text()
    assert len(whole.results()) == 4 * COMMON["num_epochs"]


def test_a_second_start_does_nothing_and_writes_the_same_table(whole, capsys, monkeypatch):
    before = {name: (whole.tables / name).read_bytes() for name in TABLES}
    for name in TABLES:
        (whole.tables / name).unlink()
    found = tree(whole.root)
    monkeypatch.setattr(sweep, "LocalCluster", None)  # none is started
    assert whole.main() == 0
    assert capsys.readouterr().out == (
        f"All 4 runs are done; their tables are in {whole.tables}.\n"
    )
    assert {name: (whole.tables / name).read_bytes() for name in TABLES} == before
    assert tree(whole.root) == found


def test_status_and_dry_run_write_nothing(toy, whole, capsys):
    before = tree(toy.file.parent)
    assert toy.main("--status") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        *(f"{toy.workspace.folder(run).name}: not begun" for run in toy.grid.runs),
        "0 of 4 runs are done, 0 of them recorded.",
    ]
    assert toy.main("--dry-run") == 0
    assert re.fullmatch(r"4 of 4 runs to do, about \d+\.\d hours\.\n", capsys.readouterr().out)
    assert tree(toy.file.parent) == before
    assert whole.main("--status") == 0
    assert capsys.readouterr().out.endswith("4 of 4 runs are done, 4 of them recorded.\n")
    assert whole.main("--dry-run") == 0
    assert capsys.readouterr().out == "0 of 4 runs to do, about 0.0 hours.\n"


def test_an_estimate_is_for_the_runs_to_do_the_workers_and_their_threads(
    whole, toy, monkeypatch, capsys
):
    asked = []

    def estimate(waiting, workspace, number):
        asked.append((waiting, workspace.root, number, sweep.torch.get_num_threads()))
        return 12.34

    monkeypatch.setattr(sweep, "_estimate_hours", estimate)
    monkeypatch.setattr(sweep, "CPU_COUNT", 6)
    first, *others = toy.grid.runs
    for run in others:
        toy.workspace.folder(run).parent.mkdir(exist_ok=True, parents=True)
        toy.workspace.folder(run).symlink_to(whole.workspace.folder(run))
    assert toy.main("--dry-run") == 0
    assert asked == [([first], toy.root, 2, 3)]
    assert capsys.readouterr().out == "1 of 4 runs to do, about 12.3 hours.\n"


@pytest.mark.slow
def test_failures_are_listed_and_do_not_stop_the_rest(toy, whole, cluster, capsys):
    first, second, third, last = toy.grid.runs
    blocked = [toy.workspace.folder(first), toy.workspace.folder(last.before_pruning())]
    for folder in blocked:
        folder.mkdir(parents=True)
        (folder / "run.json").write_text('{"depth": 20}')
    assert toy.main("--scheduler", cluster) == 1
    errors = capsys.readouterr().err
    assert "failed=2]" in errors
    found = beside_the_bar(errors)
    failed = [toy.workspace.folder(first), toy.workspace.folder(last)]
    for line, folder, cause in zip(sorted(found), failed, blocked, strict=True):
        words = (
            f"failed: {folder.name}: InputError: The run in {cause} is {{'depth': 20}}; expected"
        )
        assert line.startswith(words)
    assert toy.folders(done=False) == failed
    assert toy.recorded() == [run_name(second, toy.workspace), run_name(third, toy.workspace)]
    for folder in blocked:
        (folder / "run.json").unlink()
    assert toy.main("--scheduler", cluster) == 0
    pd.testing.assert_frame_equal(toy.results(), whole.results(), check_exact=True)


@pytest.mark.slow
def test_a_sweep_killed_again_and_again_ends_as_one_undisturbed(toy, whole):
    draw = np.random.default_rng(0)
    for seconds in draw.uniform(1, 9, size=20):
        process = toy.start()
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert toy.main() == 0
    pd.testing.assert_frame_equal(toy.results(), whole.results(), check_exact=True)


@pytest.mark.slow
def test_a_sweep_killed_after_a_seed_goes_on_with_the_next_without_its_folders(toy, whole):
    first = {run_name(run, toy.workspace) for run in toy.grid.runs if run.seed == 0}
    process = toy.start()
    patiently(lambda: first <= set(toy.recorded()))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = toy.recorded()  # on a busy machine also runs of the next seed, in any order
    shutil.rmtree(toy.root)
    assert toy.main("--status") == 0
    assert toy.main() == 0
    assert toy.recorded() == whole.recorded()
    done_again = [run for run in toy.grid.runs if toy.workspace.folder(run).exists()]
    assert not {run_name(run, toy.workspace) for run in done_again} & set(before)
    pd.testing.assert_frame_equal(toy.results(), whole.results(), check_exact=True)


def left_elsewhere(*_: object) -> str:
    return "elsewhere"


def stopped_by_another(*_: object) -> str:
    raise runs.Stopped("Asked to stop.")


@pytest.mark.parametrize(
    ("_run_in_worker", "words"),
    [
        (left_elsewhere, "The worker reports that it is done; expected it in {root}."),
        (stopped_by_another, "Stopped: Asked to stop."),
    ],
)
def test_a_run_that_is_not_done_is_a_failure(
    toy, cluster, capsys, monkeypatch, _run_in_worker, words
):
    monkeypatch.setattr(sweep, "_run_in_worker", _run_in_worker)
    assert toy.main("--scheduler", cluster) == 1
    expected = words.format(root=toy.root)
    assert sorted(beside_the_bar(capsys.readouterr().err)) == sorted(
        f"failed: {toy.workspace.folder(run).name}: {expected}" for run in toy.grid.runs
    )
    assert not list(toy.tables.glob("[!.]*"))


@pytest.mark.parametrize("ask", [runs.ask_to_stop, lambda: sweep._SaveOnClose().teardown(None)])
def test_a_worker_that_is_asked_to_stop_saves_and_begins_nothing(toy, whole, monkeypatch, ask):
    def take_step(*arguments: object) -> None:
        take(*arguments)
        if next(steps) == 5:
            ask()

    take, steps, (run, other, *_) = training.take_step, itertools.count(1), toy.grid.runs
    monkeypatch.setattr(training, "take_step", take_step)
    for each in (run, other):
        with pytest.raises(runs.Stopped):
            sweep._run_in_worker(each, toy.root, 1)
    runs.withdraw_stop()
    (saved,) = toy.root.glob("runs/*/checkpoint-*.pt")
    assert saved.match(f"{toy.workspace.folder(run).name}/checkpoint-00001-000005-*")
    sweep._run_in_worker(run, toy.root, 1)
    assert next(steps) == 1 + 4 * 256 / 16  # none was done again
    curves = [(it.workspace.folder(run) / "curve.csv").read_text() for it in (toy, whole)]
    assert curves[0] == curves[1]


# To all processes, as a terminal does, or to the sweep's own alone, as a batch system may.
@pytest.mark.slow
@pytest.mark.parametrize("by", ["ctrl-c", "sigterm"])
def test_a_stopped_sweep_goes_on_to_the_same_table(toy, whole, cluster, capsys, by):
    process = toy.start(*([] if by == "ctrl-c" else ["--scheduler", cluster]))
    toy.is_midway()
    if by == "ctrl-c":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    began = time.monotonic()
    assert toy.finish(process) == (130, "", ["Stopped and saved; the same command goes on."])
    assert time.monotonic() - began < sweep.GRACE_SECONDS  # all have left by themselves
    waiting = [run for run in toy.grid.runs if progress(run, toy.workspace) != "done"]
    assert len(toy.recorded()) + len(waiting) == len(toy.grid.runs)
    known = sum(epochs_done(run, toy.workspace) for run in waiting)
    total = sum(run.num_epochs for run in waiting)
    assert toy.main("--scheduler", cluster) == 0
    counts = re.findall(r"(\d+)/(\d+) \[", capsys.readouterr().err)
    assert (counts[0], counts[-1]) == ((f"{known}", f"{total}"), (f"{total}", f"{total}"))
    pd.testing.assert_frame_equal(toy.results(), whole.results(), check_exact=True)


@pytest.mark.slow
def test_a_killed_worker_is_replaced(toy, whole, capfd, monkeypatch):
    def kill() -> None:
        toy.is_midway()
        children = psutil.Process().children()
        killed.extend(child for child in children if "spawn_main" in str(child.cmdline()))
        for worker in killed:
            worker.kill()

    killed, killer = [], threading.Thread(target=kill)
    killer.start()
    monkeypatch.setattr(sweep, "CPU_COUNT", sweep.CPU_COUNT // 2)  # threads as with two workers
    assert toy.main("--workers", "1") == 0
    killer.join()
    assert len(killed) == 1  # as many as were asked for
    assert beside_the_bar(capfd.readouterr().err) == []
    pd.testing.assert_frame_equal(toy.results(), whole.results(), check_exact=True)


@pytest.mark.slow
def test_where_a_worker_is_closed_another_goes_on(toy, whole):
    options = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=1, silence_logs=logging.CRITICAL, **options) as workers:
        process = toy.start("--scheduler", workers.scheduler_address)
        toy.is_midway()
        workers.scale(0)
        patiently(lambda: not workers.workers)
        workers.scale(1)
        status, output, errors = toy.finish(process)
    assert (status, errors) == (0, [])
    assert output == f"All 4 runs are done; their tables are in {toy.tables}.\n"
    pd.testing.assert_frame_equal(toy.results(), whole.results(), check_exact=True)


def refused(words: list[str], capsys) -> str:
    """The one line in which a sweep refuses its input."""
    assert sweep.main(words) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    assert re.fullmatch(r"error: .*\n", errors)
    return errors.removeprefix("error: ").rstrip("\n")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1", "nowhere", "a://b:1"])
def test_an_unreachable_scheduler_is_refused(toy, capsys, monkeypatch, address):
    monkeypatch.setattr(sweep, "CONNECT_SECONDS", 0.5)
    found = refused([*toy.words, "--scheduler", address], capsys)
    expected = f"--scheduler is '{address}'; expected the address of a running scheduler, but: "
    assert found.startswith(expected)


def test_folders_that_cannot_be_written_are_refused_before_anything_runs(toy, capsys):
    toy.tables.write_text("")
    assert str(toy.tables) in refused(toy.words, capsys)
    toy.tables.unlink()
    toy.root.write_text("")
    assert str(toy.root) in refused(toy.words, capsys)


def test_a_lost_scheduler_is_one_sentence(toy):
    options = {"processes": False, "protocol": "tcp://", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=0, **options) as workers:
        process = toy.start("--scheduler", workers.scheduler_address)
        patiently(lambda: len(workers.scheduler.tasks) == 6)  # four runs, and two before pruning
    expected = ["error: The scheduler is lost; the same command goes on."]
    assert toy.finish(process) == (1, "", expected)


def test_workers_keep_their_memory_and_leave_ctrl_c_to_the_sweep(monkeypatch):
    for name in sweep.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with sweep._connected(None, 1) as client:
        found = [client.run(os.getenv, name).popitem()[1] for name in sweep.ENVIRONMENT]
        masks = client.run(signal.pthread_sigmask, signal.SIG_BLOCK, []).popitem()[1]
    assert found == [str(value) for value in sweep.ENVIRONMENT.values()]
    assert signal.SIGINT in masks
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
