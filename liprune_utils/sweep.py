"""Run the points of a grid on all cores, GPUs or a cluster, and collect their table.

``python -m liprune_utils.sweep experiments/grids/NAME.yml`` runs what is not done yet, as Dask
futures on this machine, or with ``--scheduler ADDRESS`` on a cluster that shares the project's
folder. It may be stopped at any moment (Ctrl-C saves first) and started again; ``--status`` says
how far it is, ``--dry-run`` how long it would take.
Runs go seed by seed. Finished ones are added to the recorded
tables at once, as `liprune_utils.grid_tables.record` says; a recorded run is not done again, even
where its folder is lost.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch
from dask.distributed import Client, Future, get_worker, wait
from dask.system import CPU_COUNT
from tqdm import tqdm

from liprune_utils import data, runs
from liprune_utils.checks import exit_status, require
from liprune_utils.clusters import SaveOnClose, connected
from liprune_utils.files import PROJECT, results_folder
from liprune_utils.grid import Grid, read_grid
from liprune_utils.grid_tables import (
    epochs_done,
    is_done,
    ready,
    record,
    recorded_points,
    show_status,
)
from liprune_utils.runs import (
    Stopped,
    ask_to_stop,
    leave_if_asked,
    stop_requested,
    stopping_at_signals,
    withdraw_stop,
)
from liprune_utils.settings import Point
from liprune_utils.training_run import Laboratory, run_point
from liprune_utils.workload import estimate_hours

RUNS = "reruns/sweep"
POLL_SECONDS, GRACE_SECONDS = 1.0, 120.0


@dataclass(frozen=True)
class Workplace:
    """How workers do runs.

    Attributes:
        root: Folder of run folders.
        threads: Threads for a run's arithmetic.
    """

    root: str
    threads: int = 1

    def laboratory(self) -> Laboratory:
        """Return this process's data, device and folders; a worker has a GPU of its own if it can.

        Returns:
            The laboratory.
        """
        return Laboratory(_dataset(), Path(self.root), _device())


# Read and checked once in each process.
@cache
def _dataset() -> data.Dataset:
    return data.load()


def _device() -> str:
    count = torch.cuda.device_count()
    try:
        number = int(get_worker().name)
    except (TypeError, ValueError):  # no worker, or one that a cluster has named
        number = 0
    return f"cuda:{number % count}" if count else "cpu"


def run_in_worker(point: Point, place: Workplace, _before: object = None) -> str:
    """Do one run on a worker.

    Args:
        point: The run.
        place: How to do it.
        _before: The run before the pruning, done.

    Returns:
        The run's folder.
    """
    leave_if_asked()
    torch.set_num_threads(place.threads)
    return str(run_point(point, place.laboratory(), wait=True))


def sweep(
    points: list[Point], client: Client, place: Workplace, save: Callable[[], object]
) -> dict[Point, str]:
    """Do all points that are not done; a failure does not stop the rest.

    Args:
        points: The points to do; the first ones are begun first.
        client: The cluster.
        place: How its workers do them.
        save: Records what is finished; called whenever a run has ended.

    Returns:
        What went wrong, for each point that failed; nothing for those that were asked to stop.
    """
    client.run(withdraw_stop, on_error="ignore")
    client.register_plugin(SaveOnClose(), name="save-on-close")
    lab, failures = place.laboratory(), {}
    known, total = _epochs_done(points, lab), sum(point.num_epochs for point in points)
    with tqdm(total=total, initial=known, desc="Sweep", unit=" epochs") as bar:
        for errors in _finished(client, _submit(client, points, place)):
            failures |= {point: f"{type(e).__name__}: {e}" for point, e in errors.items()}
            if errors:
                bar.set_postfix(failed=len(failures))
            if num_new := _epochs_done(points, lab) - bar.n:
                bar.update(num_new)
                save()
    return failures


def _epochs_done(points: list[Point], lab: Laboratory) -> int:
    return sum(epochs_done(point, lab) for point in points)


# Each point after the run before its pruning, and after the points before it.
def _submit(client: Client, points: list[Point], place: Workplace) -> dict[Future, Point]:
    before, futures = {}, {}
    for number, point in enumerate(points):
        shared = point.before_pruning()
        if point.prune_epoch > 1 and shared not in before:
            work = run_in_worker, shared, place
            before[shared] = client.submit(*work, pure=False, priority=-number)
        work = run_in_worker, point, place, before.get(shared)
        futures[client.submit(*work, pure=False, priority=-number)] = point
    return futures


# At each look, what went wrong with points that have ended since. Asked to stop, which is no error,
# it looks until all have left or two minutes have passed.
def _finished(client: Client, futures: dict[Future, Point]) -> Iterator[dict[Point, BaseException]]:
    pending, deadline = set(futures), float("inf")
    while pending and time.monotonic() < deadline:
        if stop_requested.is_set():  # said again, to workers that have just begun
            client.run(ask_to_stop, on_error="ignore")
            deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
        try:
            done, pending = wait(pending, timeout=POLL_SECONDS, return_when="FIRST_COMPLETED")
        except TimeoutError:
            done = set()
        except CancelledError:
            raise runs.RunError("The scheduler is lost; the same command goes on.") from None
        found = {futures[future]: future.exception() for future in done}
        yield {point: error for point, error in found.items() if _is_failure(error)}


def _is_failure(error: BaseException | None) -> bool:
    asked = isinstance(error, Stopped) and stop_requested.is_set()
    return error is not None and not asked


def _num_workers(options: argparse.Namespace) -> int:
    return options.workers or torch.cuda.device_count() or CPU_COUNT


def _workplace(options: argparse.Namespace) -> Workplace:
    threads = max(1, CPU_COUNT // _num_workers(options))
    return Workplace(str(PROJECT / options.runs), threads)


# The exit status of doing points that are not done.
def _run(
    waiting: list[Point], lab: Laboratory, options: argparse.Namespace, save: Callable[[], object]
) -> int:
    with stopping_at_signals():
        with connected(options.scheduler, _num_workers(options)) as client:
            failures = sweep(waiting, client, _workplace(options), save)
        stopped = stop_requested.is_set()
    for point in waiting:
        if not stopped and point not in failures and not is_done(point, lab):
            failures[point] = f"The workers say that it is done; expected it in {lab.root}."
    for point, words in failures.items():
        print(f"failed: {lab.folder(point).name}: {words}", file=sys.stderr)
    if stopped:
        print("Stopped and saved; the same command goes on.", file=sys.stderr)
    return 130 if stopped else int(bool(failures))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line.

    Args:
        arguments: The words; by default what was typed.

    Returns:
        The options.
    """
    parser = argparse.ArgumentParser(
        prog="python -m liprune_utils.sweep", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "grid", type=Path, help="grid file, such as experiments/grids/cifar10_reduced.yml"
    )
    parser.add_argument("--runs", default=RUNS, help=f"folder of run folders (default: {RUNS})")
    parser.add_argument(
        "--workers", type=int, help="runs side by side (default: a core or GPU each)"
    )
    parser.add_argument("--scheduler", help="address of a running Dask scheduler")
    parser.add_argument("--status", action="store_true", help="say how far it is, and leave")
    parser.add_argument("--dry-run", action="store_true", help="estimate the time, and leave")
    options = parser.parse_args(arguments)
    if options.workers is not None and options.workers < 1:
        parser.error(f"--workers is {options.workers}; expected at least 1")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run a sweep from the command line.

    Args:
        arguments: The words; by default what was typed.

    Returns:
        The exit status: 0 when all is done, 1 after failures, 130 when stopped.
    """
    options = parse(arguments)
    try:
        return exit_status(lambda: _main(options), runs.RunError)
    except KeyboardInterrupt:
        return 130


def _main(options: argparse.Namespace) -> int:
    grid, place = read_grid(options.grid), _workplace(options)
    lab = place.laboratory()
    require(lab.root.is_dir() or not lab.root.exists(), "--runs", str(lab.root), "a folder")
    recorded = recorded_points(grid, lab)
    waiting = [p for p in grid.points if p not in recorded and not is_done(p, lab)]
    if options.status:
        show_status(grid, lab)
        return 0
    if options.dry_run:
        torch.set_num_threads(place.threads)
        hours = estimate_hours(waiting, lab, _num_workers(options))
        print(f"{len(waiting)} of {len(grid.points)} runs to do, about {hours:.1f} hours.")
        return 0
    for folder, name in ((grid.folder, "folder"), (lab.root, "--runs")):
        results_folder(folder, name)
    save = partial(_save, grid, lab, f"python -m liprune_utils.sweep {options.grid}")
    status = _run(waiting, lab, options, save) if waiting else 0
    save()
    if not status:
        print(f"All {len(grid.points)} runs are done; their tables are in {PROJECT / grid.folder}.")
    return status


# Record what can be.
def _save(grid: Grid, lab: Laboratory, command: str) -> None:
    if points := ready(grid, lab, recorded_points(grid, lab)):
        record(grid, lab, points, command)


if __name__ == "__main__":
    from liprune_utils import sweep as module  # workers cannot import what is in __main__

    sys.exit(module.main())
