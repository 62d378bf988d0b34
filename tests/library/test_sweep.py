"""A sweep of four small runs: whatever interrupts it, the same command ends with the same table."""

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

import pandas as pd
import psutil
import pytest
import yaml
from dask.distributed import LocalCluster

from liprune_utils import clusters, runs, sweep
from liprune_utils.files import PROJECT
from liprune_utils.grid import Grid, read_grid
from liprune_utils.grid_tables import epochs_done, progress, run_name
from liprune_utils.training_run import Laboratory

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
    def lab(self) -> Laboratory:
        return sweep.Workplace(str(self.root)).laboratory()

    def main(self, *options: str) -> int:
        return sweep.main([*self.words, *options])

    def start(self, *options: str) -> subprocess.Popen:
        """The command in a process group of its own, as a shell starts it."""
        command = [sys.executable, "-m", "liprune_utils.sweep", *self.words, *options]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=PROJECT, start_new_session=True, **pipes)

    def folders(self, *, done: bool) -> list[Path]:
        folders = map(self.lab.folder, self.grid.points)
        return [folder for folder in folders if (folder / "done.json").exists() == done]

    def is_midway(self) -> None:
        """Wait until a run is at its third epoch of four at most, as its checkpoint says."""
        files = [f"checkpoint-0000{epoch}-*.pt" for epoch in (2, 3)]
        patiently(lambda: any(list(f.glob(n)) for f in self.folders(done=False) for n in files))

    def saved_amid_an_epoch(self) -> bool:
        return any(int(path.name.split("-")[2]) for path in self.root.glob("runs/*/*.pt"))

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
        assert sorted(os.listdir(self.tables)) == TABLES
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
def toy(tmp_path) -> Toy:
    return Toy(tmp_path / "toy")


def test_a_sweep_does_what_its_runs_do_one_by_one(whole, toy):
    for point in toy.grid.points[::3]:
        folder = sweep.run_point(point, toy.lab)
        for name in ("curve.csv", "kept.csv", "run.json"):
            assert (folder / name).read_text() == (whole.lab.folder(point) / name).read_text()
    assert len(whole.results()) == 4 * COMMON["num_epochs"]


def test_a_second_start_does_nothing_and_writes_the_same_table(whole, capsys, monkeypatch):
    before = {name: (whole.tables / name).read_bytes() for name in TABLES}
    for name in TABLES:
        (whole.tables / name).unlink()
    found = tree(whole.root)
    monkeypatch.setattr(clusters, "LocalCluster", None)  # none is started
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
        *(f"{toy.lab.folder(point).name}: not begun" for point in toy.grid.points),
        "0 of 4 runs are done, 0 of them recorded.",
    ]
    assert toy.main("--dry-run") == 0
    assert re.fullmatch(r"4 of 4 runs to do, about \d+\.\d hours\.\n", capsys.readouterr().out)
    assert tree(toy.file.parent) == before
    assert whole.main("--status") == 0
    assert capsys.readouterr().out.endswith("4 of 4 runs are done, 4 of them recorded.\n")
    assert whole.main("--dry-run") == 0
    assert capsys.readouterr().out == "0 of 4 runs to do, about 0.0 hours.\n"


def test_an_estimate_is_for_the_points_to_do_the_workers_and_their_threads(
    whole, toy, monkeypatch, capsys
):
    asked = []

    def estimate(points, lab, number):
        asked.append((points, lab.root, number, sweep.torch.get_num_threads()))
        return 12.34

    monkeypatch.setattr(sweep, "estimate_hours", estimate)
    monkeypatch.setattr(sweep, "CPU_COUNT", 6)
    points = list(toy.grid.points)
    for point in points[1:]:
        toy.lab.folder(point).parent.mkdir(exist_ok=True, parents=True)
        toy.lab.folder(point).symlink_to(whole.lab.folder(point))
    assert toy.main("--dry-run") == 0
    assert asked == [(points[:1], toy.root, 2, 3)]
    assert capsys.readouterr().out == "1 of 4 runs to do, about 12.3 hours.\n"


@pytest.mark.slow
def test_failures_are_listed_and_do_not_stop_the_rest(toy, whole, cluster, capsys):
    points = toy.grid.points
    blocked = [toy.lab.folder(points[0]), toy.lab.folder(points[3].before_pruning())]
    for folder in blocked:
        folder.mkdir(parents=True)
        (folder / "run.json").write_text('{"depth": 20}')
    assert toy.main("--scheduler", cluster) == 1
    errors = capsys.readouterr().err
    assert "failed=2]" in errors
    found = beside_the_bar(errors)
    failed = [toy.lab.folder(points[0]), toy.lab.folder(points[3])]
    for line, folder, cause in zip(sorted(found), failed, blocked, strict=True):
        words = (
            f"failed: {folder.name}: InputError: The run in {cause} is {{'depth': 20}}; expected"
        )
        assert line.startswith(words)
    assert toy.folders(done=False) == failed
    assert toy.recorded() == [run_name(points[1], toy.lab), run_name(points[2], toy.lab)]
    for folder in blocked:
        (folder / "run.json").unlink()
    assert toy.main("--scheduler", cluster) == 0
    pd.testing.assert_frame_equal(toy.results(), whole.results(), check_exact=True)


@pytest.mark.slow
def test_a_sweep_killed_after_a_seed_goes_on_with_the_next_without_its_folders(toy, whole):
    first = {run_name(point, toy.lab) for point in toy.grid.points if point.seed == 0}
    process = toy.start()
    patiently(lambda: first <= set(toy.recorded()))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = toy.recorded()
    shutil.rmtree(toy.root)
    assert toy.main("--status") == 0
    assert toy.main() == 0
    assert toy.recorded() == before + [name for name in whole.recorded() if name not in before]
    again = {path.name for path in toy.root.glob("runs/*seed0*")}
    assert not again
    pd.testing.assert_frame_equal(toy.results(), whole.results(), check_exact=True)


def left_elsewhere(*_: object) -> str:
    return "elsewhere"


def stopped_by_another(*_: object) -> str:
    raise runs.Stopped("Asked to stop.")


@pytest.mark.parametrize(
    ("run_in_worker", "words"),
    [
        (left_elsewhere, "The workers say that it is done; expected it in {root}."),
        (stopped_by_another, "Stopped: Asked to stop."),
    ],
)
def test_a_run_that_is_not_done_is_a_failure(
    toy, cluster, capsys, monkeypatch, run_in_worker, words
):
    monkeypatch.setattr(sweep, "run_in_worker", run_in_worker)
    assert toy.main("--scheduler", cluster) == 1
    expected = words.format(root=toy.root)
    assert sorted(beside_the_bar(capsys.readouterr().err)) == sorted(
        f"failed: {toy.lab.folder(point).name}: {expected}" for point in toy.grid.points
    )
    assert not list(toy.tables.iterdir())


def test_a_worker_that_is_asked_to_stop_begins_nothing(toy):
    runs.ask_to_stop()
    try:
        with pytest.raises(runs.Stopped):
            sweep.run_in_worker(toy.grid.points[0], sweep.Workplace(str(toy.root)))
    finally:
        runs.withdraw_stop()
    assert not toy.root.exists()


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
    assert toy.saved_amid_an_epoch()
    waiting = [point for point in toy.grid.points if progress(point, toy.lab) != "done"]
    assert len(toy.recorded()) + len(waiting) == len(toy.grid.points)
    known = sum(epochs_done(point, toy.lab) for point in waiting)
    total = sum(point.num_epochs for point in waiting)
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
def test_a_worker_that_is_closed_saves_and_another_goes_on(toy, whole):
    options = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=1, silence_logs=logging.CRITICAL, **options) as workers:
        process = toy.start("--scheduler", workers.scheduler_address)
        toy.is_midway()
        workers.scale(0)
        patiently(lambda: not workers.workers)
        assert toy.saved_amid_an_epoch()
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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, r"The grid file .*toy\.yml cannot be read: No such file or directory\."),
        ("a: [\n", r"The grid file .*toy\.yml cannot be read: .*line 2, column 1\."),
        ("[1]", r"Grid file .*toy\.yml: The content is \[1\]; expected a mapping of folder, .*"),
    ],
)
def test_a_bad_grid_is_refused_in_one_sentence(toy, capsys, content, words):
    toy.file.unlink()
    if content is not None:
        toy.file.write_text(content)
    before = tree(toy.file.parent)
    assert re.fullmatch(words, refused(toy.words, capsys))
    assert tree(toy.file.parent) == before


def test_the_command_refuses_in_one_sentence(toy):
    toy.file.write_text(toy.file.read_text().replace("num_epochs", "num_epoch"))
    process = toy.start()
    expected = "A point has no parameter 'num_epoch': did you mean 'num_epochs'?"
    assert toy.finish(process) == (1, "", [f"error: Grid file {toy.file}: {expected}"])
    assert os.listdir(toy.file.parent) == ["toy.yml"]


@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_an_impossible_number_of_workers_is_refused(toy, capsys, number):
    with pytest.raises(SystemExit, match="2"):
        toy.main("--workers", number)
    assert re.search(rf"error: .*--workers.*{number}", capsys.readouterr().err)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1", "nowhere", "a://b:1"])
def test_an_unreachable_scheduler_is_refused(toy, capsys, monkeypatch, address):
    monkeypatch.setattr(clusters, "CONNECT_SECONDS", 0.5)
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
        patiently(lambda: len(workers.scheduler.tasks) == 6)  # four points, and two before pruning
    expected = ["error: The scheduler is lost; the same command goes on."]
    assert toy.finish(process) == (1, "", expected)
