"""Run the points of a grid on all cores, GPUs or a cluster, and collect their table.

``python -m liprune_utils.sweep grids/NAME.yml`` runs what is not done yet, as Dask futures on this
machine, or with ``--scheduler ADDRESS`` on a cluster that shares the project's folder. It may be
stopped at any moment (Ctrl-C saves first) and started again; ``--status`` says how far it is,
``--dry-run`` how long it would take. When all points are done it writes ``NAME_curves.csv`` (a row
a run and epoch), ``NAME_runs.csv`` (a row a run) and ``NAME_provenance.json``.
"""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import torch
from dask.distributed import Client, Future, LocalCluster, get_worker, wait
from distributed.diagnostics.plugin import WorkerPlugin
from tqdm import tqdm

from liprune_utils import data, runs
from liprune_utils.experiment import Laboratory, run_point
from liprune_utils.grid_tables import collect, progress, show_status
from liprune_utils.grids import read_grid
from liprune_utils.parameters import InputError
from liprune_utils.points import Point
from liprune_utils.records import PROJECT
from liprune_utils.workload import estimate_hours

RUNS = "reruns/sweep"
POLL_SECONDS, GRACE_SECONDS = 1.0, 120.0


class SaveOnClose(WorkerPlugin):
    """Lets a worker that is closed save its run first, and leaves Ctrl-C to the sweep's process."""

    def setup(self, worker: object) -> None:
        """Ignore SIGINT, which a terminal sends to workers on this machine too.

        Args:
            worker: The worker.
        """
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def teardown(self, worker: object) -> None:
        """Ask the runs of this process to save and leave.

        Args:
            worker: The worker.
        """
        runs.ask_to_stop()


@cache
def laboratory(root: str) -> Laboratory:
    """Return this process's data, device and folders; a worker has a GPU of its own if it can.

    Args:
        root: Folder of run folders.

    Returns:
        The laboratory.
    """
    return Laboratory(data.load(), Path(root), own_device())


def own_device() -> str:
    """Choose the device of this process.

    Returns:
        "cpu", or a GPU by the worker's number.
    """
    count = torch.cuda.device_count()
    try:
        number = int(get_worker().name)
    except (TypeError, ValueError):  # no worker, or one that a cluster has named
        number = 0
    return f"cuda:{number % count}" if count else "cpu"


def run_in_worker(point: Point, root: str, threads: int, _before: object = None) -> str:
    """Do one run on a worker.

    Args:
        point: The run.
        root: Folder of run folders.
        threads: Threads for the run's arithmetic.
        _before: The run before the pruning, done.

    Returns:
        The run's folder.
    """
    runs.leave_if_asked()
    torch.set_num_threads(threads)
    return str(run_point(point, laboratory(root), wait=True))


def submit(client: Client, points: list[Point], root: str, threads: int) -> dict[Future, Point]:
    """Submit points, each after the run before its pruning.

    Args:
        client: The cluster.
        points: The points to do.
        root: Folder of run folders.
        threads: Threads of each run.

    Returns:
        The point of each future.
    """
    needed = [point.before_pruning() for point in points if point.prune_epoch > 1]
    options = {"pure": False, "workers": None}
    before = {
        point: client.submit(run_in_worker, point, root, threads, priority=1, **options)
        for point in dict.fromkeys(needed)
    }
    return {
        client.submit(
            run_in_worker, point, root, threads, before.get(point.before_pruning()), **options
        ): point
        for point in points
    }


def finished(client: Client, futures: dict[Future, Point]) -> Iterator[Future]:
    """Wait for futures; when this process is asked to stop, so are the workers' runs.

    Args:
        client: The cluster.
        futures: What was submitted.

    Yields:
        Each future that has finished, as it does; after a request to stop those that have saved and
        left within two minutes.
    """
    pending, deadline = set(futures), None
    while pending and (deadline is None or time.monotonic() < deadline):
        if runs.stop_requested.is_set() and deadline is None:
            client.run(runs.ask_to_stop)
            deadline = time.monotonic() + GRACE_SECONDS
        try:
            done, pending = wait(pending, timeout=POLL_SECONDS, return_when="FIRST_COMPLETED")
        except TimeoutError:
            continue
        yield from done


def sweep(points: list[Point], client: Client, root: str, threads: int) -> dict[Point, str]:
    """Do all points that are not done; a failure does not stop the rest.

    Args:
        points: The points to do.
        client: The cluster.
        root: Folder of run folders.
        threads: Threads of each run.

    Returns:
        What went wrong, for each point that failed; nothing for those that were asked to stop.
    """
    client.run(runs.withdraw_stop)
    client.register_plugin(SaveOnClose(), name="save-on-close")
    futures, failures = submit(client, points, root, threads), {}
    with tqdm(total=len(points), desc="Sweep", unit=" runs") as bar:
        for future in finished(client, futures):
            error = future.exception()
            if error and not isinstance(error, runs.Stopped):
                failures[futures[future]] = f"{type(error).__name__}: {error}"
                bar.set_postfix(failed=len(failures))
            bar.update()
    return failures


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
    parser.add_argument("grid", type=Path, help="grid file, such as grids/cifar10_reduced.yml")
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


def run_on_cluster(points: list[Point], root: str, options: argparse.Namespace) -> dict[Point, str]:
    """Run points on the cluster that the options name, or on this machine.

    Args:
        points: The points to do.
        root: Folder of run folders.
        options: From `parse`.

    Returns:
        As `sweep`.
    """
    number = num_workers(options)
    threads = max(1, (os.cpu_count() or 1) // number)
    with ExitStack() as stack:
        address = options.scheduler or stack.enter_context(
            LocalCluster(number, threads_per_worker=1, dashboard_address=None, memory_limit=0)
        )
        client = stack.enter_context(Client(address, timeout=20))
        return sweep(points, client, root, threads)


def num_workers(options: argparse.Namespace) -> int:
    """Count the runs that go side by side.

    Args:
        options: From `parse`.

    Returns:
        What was asked for; else one for each GPU; else one for each core.
    """
    return options.workers or torch.cuda.device_count() or os.cpu_count() or 1


def main(arguments: list[str] | None = None) -> int:
    """Run a sweep from the command line.

    Args:
        arguments: The words; by default what was typed.

    Returns:
        The exit status: 0 when all is done, 1 after failures, 130 when stopped.
    """
    options = parse(arguments)
    grid, root = read_grid(options.grid), str(PROJECT / options.runs)
    lab = laboratory(root)
    if options.status:
        show_status(grid.points, lab)
        return 0
    waiting = [point for point in grid.points if progress(point, lab) != "done"]
    if options.dry_run:
        hours = estimate_hours(waiting, lab, num_workers(options))
        print(f"{len(waiting)} of {len(grid.points)} runs to do, about {hours:.1f} hours.")
        return 0
    with runs.stopping_at_signals():
        failures = run_on_cluster(waiting, root, options) if waiting else {}
        if runs.stop_requested.is_set():
            print("Stopped and saved; the same command goes on.", file=sys.stderr)
            return 130
    if failures:
        for point, words in failures.items():
            print(f"failed: {lab.folder(point).name}: {words}", file=sys.stderr)
        return 1
    folder = collect(grid, lab, f"python -m liprune_utils.sweep {options.grid}")
    print(f"All {len(grid.points)} runs are done; their tables are in {folder}.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"error: {error}")
