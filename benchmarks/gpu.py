"""Use a GPU for some minutes: test the library on it, time it, and do runs of some grids.

    python benchmarks/gpu.py --archive cifar10-jpeg.tar.xz --output results --minutes 12

Needs PyTorch and what the training imports; no Dask, no book, no installation. Where the project is
copied without its history, set ``LIPRUNE_COMMIT``. Each step has its own files in ``--output``, and
the next step runs even if one fails:

1. ``packages.txt``: what is installed, and the GPU.
2. The data: ``--archive``, if given, is unpacked to ``data/``.
3. ``tests.txt``: the tests that need a GPU.
4. ``throughput.csv``: images per second of common code and of this library, eager and with CUDA
   graphs, by the number of processes that share the GPU.
5. ``agreement.csv``: runs on the GPU beside the same runs on CPUs, and what both keep.
6. Runs of ``--grids``, one grid after the other, until the time is up. Finished runs are recorded
   as by a sweep, and the tables packed as ``tables.tar``; unfinished ones are packed as
   ``runs-0.tar`` and so on, for ``--resume``.
"""

import argparse
import multiprocessing
import os
import signal
import subprocess
import sys
import tarfile
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from functools import cache, partial
from importlib.metadata import distributions
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from training import common_epoch

from liprune_utils import data
from liprune_utils.checks import exit_status, require
from liprune_utils.files import PROJECT, write_table
from liprune_utils.grid import (
    Grid,
    read_grid,
    record,
    recordable_runs,
    recorded_runs,
    unfinished_runs,
)
from liprune_utils.images import fixed_batches, make_images
from liprune_utils.intervals import mean_interval
from liprune_utils.runs import Stopped, ask_to_stop
from liprune_utils.settings import Recipe, TrainingRun
from liprune_utils.training import plan_epoch, start, steps, take_step
from liprune_utils.training_run import Workspace, run_training

SPEED = Recipe(num_images=12_800, num_test_images=128, learning_rate=0.1, precision="bfloat16")
AGREEMENT = TrainingRun(
    num_images=5120, num_test_images=2000, learning_rate=0.1, num_epochs=8, decay_epochs=(6,),
    precision="bfloat16",
)  # fmt: skip
SEEDS = (0, 1, 2, 3)
WINDOW = 4.0  # seconds in which steps are counted
CLOSING_SECONDS = 40.0  # for saving, recording and packing at the end
PART_BYTES, NUM_PARTS = 14 * 2**20, 3  # of the archives of unfinished runs


@cache
def dataset() -> data.Dataset:
    """Return this process's data, read once."""
    return data.load()


def list_packages(options: argparse.Namespace) -> None:
    """Write what is installed, and the GPU."""
    names = sorted({f"{d.metadata['Name']}=={d.version}" for d in distributions()}, key=str.lower)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    cpus = f"{os.cpu_count()} CPUs, {torch.backends.cpu.get_cpu_capability()}"
    (options.output / "packages.txt").write_text("\n".join([gpu, cpus, *names]) + "\n")
    print(f"{gpu}; {cpus}; torch {torch.__version__}; {len(names)} packages")


def prepare_data(options: argparse.Namespace) -> None:
    """Unpack the archive of images, and unfinished runs of an earlier time."""
    if options.archive and not (PROJECT / "data" / "cifar10-jpeg").exists():
        with tarfile.open(options.archive) as archive:
            archive.extractall(PROJECT / "data" / "cifar10-jpeg", filter="data")
    for path in options.resume:
        with tarfile.open(path) as archive:
            archive.extractall(options.work, filter="data")
    print(data.prepare().source)


def run_tests(options: argparse.Namespace) -> None:
    """Run the tests that need a GPU."""
    pytest = "-m pytest -q -p no:cacheprovider --noconftest tests/library/test_gpu.py"
    command = [sys.executable, *pytest.split()]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    (options.output / "tests.txt").write_text(result.stdout + result.stderr)
    print(result.stdout.splitlines()[-1])


def measure_throughput(options: argparse.Namespace) -> None:
    """Time training alone and with several processes on one GPU."""
    methods = ["common", "eager"] + ["graphs"] * (options.device != "cpu")
    rows = []
    with pool(max(options.processes)) as executor:
        for method in methods:
            counts = (1,) if method == "common" else options.processes
            measure = partial(total_rate, executor, method, options.device)
            measure(max(counts), wait=25.0 if method == "eager" else 8.0)  # warms up
            rows += [(method, count, measure(count, wait=1.0)) for count in counts]
    table = pd.DataFrame(rows, columns=["method", "processes", "images_per_second"])
    common = table[table.method == "common"].images_per_second.item()
    table = table.assign(times_common=table.images_per_second / common)
    write_table(options.output, "throughput", table)
    print(table.round(1).to_string(index=False))


def total_rate(
    executor: Executor, method: str, device: str, num_processes: int, wait: float
) -> float:
    """Count the images that processes side by side train on in a second."""
    work = partial(rate, method, device, time.time() + wait)
    return sum(executor.map(work, range(num_processes)))


def rate(method: str, device: str, begin: float, _number: int) -> float:
    """Count the images that one process trains on in a second, from a common moment on."""
    step = stepper(method, device)
    for _ in range(1 if method == "common" else 5):
        step()
    synchronise(device)
    time.sleep(max(0.0, begin - time.time()))
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < WINDOW:
        count += step()
    synchronise(device)
    return count / (time.perf_counter() - began)


@cache
def stepper(method: str, device: str) -> Callable[[], int]:
    """Return a function that trains a little and returns on how many images."""
    torch.set_num_threads(1)
    if method == "common":
        # On few images the start of its loader's workers would take most of the time.
        whole = SPEED.replace(num_images=50_000, num_test_images=1)
        epoch = common_epoch(dataset(), whole, device)
        return lambda: epoch() or whole.num_images
    images = make_images(dataset(), SPEED.num_images, SPEED.num_test_images, device=device)
    batches, state = fixed_batches(SPEED.num_images, SPEED.batch_size, 0), start(SPEED, images)
    if method == "graphs":
        endless = steps(state, images, batches, SPEED, 10**9)
        return lambda: next(endless) and SPEED.batch_size
    plan = cycle(plan_epoch(batches, SPEED, 1, images.inputs.device))

    def step() -> int:
        take_step(state, images, *next(plan), SPEED.precision)
        return SPEED.batch_size

    return step


def synchronise(device: str) -> None:
    """Wait until the GPU has finished its work."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def compare_devices(options: argparse.Namespace) -> None:
    """Train and prune on the GPU and on CPUs from the same seeds."""
    pruned = {"keep_fraction": 0.2, "prune_epoch": 2}
    runs = [
        run
        for seed in SEEDS
        for run in (
            AGREEMENT.replace(seed=seed),
            AGREEMENT.replace(seed=seed, method="liprune", **pruned),
        )
    ]
    with pool(len(runs)) as executor:
        results = [
            list(executor.map(partial(do_run, options.work / "agreement", device), runs))
            for device in (options.device, "cpu")
        ]
    rows = []
    for run, *folders in zip(runs, *results, strict=True):
        curves, kept = (
            [pd.read_csv(folder / f"{name}.csv") for folder in folders]
            for name in ("curve", "kept")
        )
        errors = [curve.test_error.iloc[-1] for curve in curves]
        same = np.isin(*(table.image for table in kept)).mean()
        rows.append((run.method, run.seed, *errors, errors[0] - errors[1], same))
    columns = ["method", "seed", "error_gpu", "error_cpu", "difference", "same_images_kept"]
    table = pd.DataFrame(rows, columns=columns)
    write_table(options.output, "agreement", table)
    print(table.round(3).to_string(index=False))
    for method, rows in table.groupby("method"):
        gap = mean_interval(rows.difference.to_numpy(), 0.99)
        print(f"{method}: GPU minus CPU {gap.value:.2f} [{gap.low:.2f}, {gap.high:.2f}] points,")
        print(f"  between seeds {rows.error_cpu.std():.2f} points (standard deviation)")


def do_run(root: Path, device: str, run: TrainingRun) -> Path:
    """Do one run on a device, in a folder for that kind of device."""
    torch.set_num_threads(1)
    kind = device.split(":")[0]
    return run_training(run, Workspace(dataset(), root / kind, device), wait=True)


def record_grids(options: argparse.Namespace) -> None:
    """Do runs of the grids until the time is up, record them and pack the rest."""
    grids = [read_grid(path) for path in options.grids]
    workspace = Workspace(dataset(), options.work / "grid", options.device)
    waiting = [run for grid in grids for run in unfinished_runs(grid, workspace)]
    do_in_time(waiting, workspace, options)
    with tarfile.open(options.output / "tables.tar", "w") as archive:
        for path, grid in zip(options.grids, grids, strict=True):
            if finished := recordable_runs(grid, workspace):
                record(grid, workspace, finished, f"python benchmarks/gpu.py --grids {path}")
            num_recorded = len(recorded_runs(grid, workspace))
            print(f"{grid.name}: {num_recorded} of {len(grid.runs)} runs are recorded.")
            for table in (PROJECT / grid.folder).glob(f"{grid.name}_*"):
                archive.add(table, table.relative_to(PROJECT))
    pack([run for grid in grids for run in unrecorded(grid, workspace)], workspace, options)


def unrecorded(grid: Grid, workspace: Workspace) -> list[TrainingRun]:
    """List the runs that the grid's tables lack."""
    recorded = recorded_runs(grid, workspace)
    return [run for run in grid.runs if run not in recorded]


def do_in_time(
    waiting: list[TrainingRun], workspace: Workspace, options: argparse.Namespace
) -> None:
    """Do runs side by side, and have those that are under way at the end save and leave."""
    end = options.deadline - CLOSING_SECONDS
    with pool(max(options.processes)) as executor:
        where = workspace.root, workspace.device
        futures = [executor.submit(do_until_asked, *where, run) for run in waiting]
        try:
            for future in as_completed(futures, timeout=max(1.0, end - time.time())):
                print(future.result(), flush=True)
        except TimeoutError:
            print("The time is up: runs are saved.")
        processes = list(executor._processes)
        executor.shutdown(wait=False, cancel_futures=True)
        for number in processes:
            os.kill(number, signal.SIGTERM)


def do_until_asked(root: Path, device: str, run: TrainingRun) -> str:
    """Do one run, or save it when the process is asked to stop, and say how it went."""
    torch.set_num_threads(1)
    began = time.monotonic()
    try:
        run_training(run, Workspace(dataset(), root, device), wait=True)
    except Exception as error:  # the other runs go on
        if not isinstance(error, Stopped):
            traceback.print_exc()
        return f"{run.label}: {type(error).__name__}: {error}"
    return f"{run.label}: {time.monotonic() - began:.0f} s"


def pack(waiting: list[TrainingRun], workspace: Workspace, options: argparse.Namespace) -> None:
    """Pack the folders of runs that are not recorded, with their latest checkpoints only."""
    folders = {workspace.folder(r) for run in waiting for r in (run.before_pruning(), run)}
    parts, room = [[]], PART_BYTES
    for folder in sorted(folders):
        files = [path for path in folder.glob("*.*") if path.suffix != ".pt"]
        files += sorted(folder.glob("checkpoint-*.pt"))[-1:]
        size = sum(path.stat().st_size for path in files)
        if size > room:
            parts, room = [*parts, []], PART_BYTES
        parts[-1] += files
        room -= size
    for number, files in enumerate(filter(None, parts[:NUM_PARTS])):
        with tarfile.open(options.output / f"runs-{number}.tar", "w") as archive:
            for path in files:
                archive.add(path, path.relative_to(options.work))


def pool(number: int) -> ProcessPoolExecutor:
    """Start processes that save their run when they are asked to stop."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(number, spawn, initializer=listen)


def listen() -> None:
    """Let SIGTERM ask this process's run to save and leave."""
    signal.signal(signal.SIGTERM, lambda *_: ask_to_stop())


STEPS = {
    "packages": list_packages, "data": prepare_data, "tests": run_tests,
    "throughput": measure_throughput, "agreement": compare_devices, "runs": record_grids,
}  # fmt: skip


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=12.0, help="for everything")
    parser.add_argument("--output", type=Path, default=PROJECT / "reruns" / "gpu-output")
    parser.add_argument("--work", type=Path, default=PROJECT / "reruns" / "gpu", help="run folders")
    parser.add_argument("--archive", type=Path, help="the JPEG tree of CIFAR-10, as .tar.xz")
    parser.add_argument("--resume", type=Path, nargs="*", default=[], help="runs-0.tar and so on")
    parser.add_argument(
        "--grids", type=Path, nargs="+", default=[PROJECT / "experiments" / "grids" / "paper.yml"]
    )
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 4, 8, 12])
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    options = parser.parse_args()
    options.deadline = time.time() + 60 * options.minutes
    return options


def check(options: argparse.Namespace) -> None:
    """Refuse options that no step could use."""
    for path in options.grids:
        read_grid(path)
    for number in options.processes:
        require(number >= 1, "--processes", number, "at least 1")
    for path in [options.archive, *options.resume]:
        require(path is None or path.is_file(), "The archive", str(path), "a file")


def main() -> int:
    """Run the steps one after another; the exit status counts those that failed."""
    options, failed = parse(), 0
    check(options)
    os.environ |= {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    options.output.mkdir(parents=True, exist_ok=True)
    options.work.mkdir(parents=True, exist_ok=True)
    for name in options.steps:
        began = time.time()
        print(f"== {name}", flush=True)
        try:
            STEPS[name](options)
        except Exception:  # the next step may succeed
            failed += 1
            traceback.print_exc()
        left = options.deadline - time.time()
        print(f"== {name}: {time.time() - began:.0f} s, {left:.0f} s left", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(exit_status(main))
