"""Do the runs of a grid on all cores, GPUs or a cluster, and collect their tables.

``python -m liprune_utils.sweep experiments/grids/NAME.yml`` does what is not done yet, as Dask
futures on this machine, or with ``--scheduler ADDRESS`` on a cluster that shares the project's
folder. It may be stopped at any moment (Ctrl-C saves first) and started again; ``--status`` tells
how far it is, ``--dry-run`` how long it would take. Runs go seed by seed. Finished ones are added
to the recorded tables at once, as `liprune_utils.grid.record` does; a recorded run is not done
again, even where its folder is lost.
"""

import argparse
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from itertools import islice
from multiprocessing import resource_tracker
from pathlib import Path

import dask.config
import torch
from dask.distributed import Client, Future, LocalCluster, get_worker, wait
from dask.system import CPU_COUNT
from distributed.diagnostics.plugin import WorkerPlugin
from distributed.utils import silence_logging_cmgr
from tqdm import tqdm

from liprune_utils import data
from liprune_utils.checks import InputError, exit_status, require
from liprune_utils.files import in_project, writable_folder
from liprune_utils.grid import (
    Grid,
    epochs_done,
    read_grid,
    record,
    recordable_runs,
    show_status,
    unfinished_runs,
)
from liprune_utils.images import fixed_batches
from liprune_utils.runs import (
    RunError,
    Stopped,
    ask_to_stop,
    leave_if_asked,
    locked,
    stop_requested,
    stopping_at_signals,
    withdraw_stop,
)
from liprune_utils.settings import TrainingRun
from liprune_utils.training import start, steps
from liprune_utils.training_run import Workspace, run_training

RUNS = "reruns/sweep"
CONNECT_SECONDS, POLL_SECONDS, GRACE_SECONDS = 20.0, 1.0, 120.0
# Dask makes workers return freed memory to the system at once; asking for it again took half of a
# run's time.
ENVIRONMENT = {
    "MALLOC_TRIM_THRESHOLD_": 2**33,
    "MALLOC_MMAP_THRESHOLD_": 2**30,
    "MALLOC_ARENA_MAX": 1,
    "OMP_NUM_THREADS": 1,
}
# Cost of scoring an image, in gradients of one; rough, from page 08.
SCORE_COSTS = {
    "none": 0, "random": 0, "liprune": 8, "hessian": 100, "gauss-newton": 12, "grand": 5,
}  # fmt: skip
OTHER_COST = 0.5
TIMED_STEPS, WARM_STEPS = 8, 2


def open_workspace(root: str | Path) -> Workspace:
    """Make this process's workspace; a worker has a GPU of its own if there are enough."""
    return Workspace(_dataset(), Path(root), _device())


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


# Called when the run before the pruning, if there is one, is done.
def _run_in_worker(run: TrainingRun, root: str | Path, threads: int, _before: object = None) -> str:
    leave_if_asked()
    torch.set_num_threads(threads)
    return str(run_training(run, open_workspace(root), wait=True))


def sweep(
    runs: Sequence[TrainingRun],
    client: Client,
    root: str | Path,
    threads: int,
    save: Callable[[], object],
) -> dict[TrainingRun, str]:
    """Do all runs that are not done, the first ones first; a failure does not stop the rest.

    The workers share ``root``, and give each run's arithmetic so many ``threads``. Whenever epochs
    have been finished, ``save`` records what is finished.

    Returns:
        An error message for each run that failed; none for those that were asked to stop.
    """
    client.run(withdraw_stop, on_error="ignore")
    client.register_plugin(_SaveOnClose(), name="save-on-close")
    workspace, failures = open_workspace(root), {}

    def count_epochs() -> int:
        return sum(epochs_done(run, workspace) for run in runs)

    total = sum(run.num_epochs for run in runs)
    with tqdm(total=total, initial=count_epochs(), desc="Sweep", unit=" epochs") as bar:
        for errors in _failures(client, _submit(client, runs, root, threads)):
            failures |= {run: f"{type(e).__name__}: {e}" for run, e in errors.items()}
            if errors:
                bar.set_postfix(failed=len(failures))
            if num_new := count_epochs() - bar.n:
                bar.update(num_new)
                save()
    return failures


# Each run after the run before its pruning, and after the runs before it.
def _submit(
    client: Client, runs: Sequence[TrainingRun], root: str | Path, threads: int
) -> dict[Future, TrainingRun]:
    before, futures = {}, {}
    for number, run in enumerate(runs):
        submit, shared = partial(client.submit, pure=False, priority=-number), run.before_pruning()
        if run.prune_epoch > 1 and shared not in before:
            before[shared] = submit(_run_in_worker, shared, root, threads)
        futures[submit(_run_in_worker, run, root, threads, before.get(shared))] = run
    return futures


# Again and again, the failures of the runs that have ended since. When a stop is requested, it goes
# on until all runs have left or two minutes have passed.
def _failures(
    client: Client, futures: dict[Future, TrainingRun]
) -> Iterator[dict[TrainingRun, BaseException]]:
    pending, deadline = set(futures), float("inf")
    while pending and time.monotonic() < deadline:
        if stop_requested.is_set():  # each time, for workers that have just begun
            client.run(ask_to_stop, on_error="ignore")
            deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
        try:
            done, pending = wait(pending, timeout=POLL_SECONDS, return_when="FIRST_COMPLETED")
        except TimeoutError:
            done = set()
        except CancelledError:
            raise RunError("The scheduler is lost; the same command goes on.") from None
        errors = {futures[future]: future.exception() for future in done}
        yield {run: error for run, error in errors.items() if _is_failure(error)}


def _is_failure(error: BaseException | None) -> bool:
    asked = isinstance(error, Stopped) and stop_requested.is_set()
    return error is not None and not asked


class _SaveOnClose(WorkerPlugin):
    """Lets a worker that is closed save its run first."""

    idempotent = True  # a plugin that takes another's place would end it, and the runs with it

    def teardown(self, worker: object) -> None:
        ask_to_stop()


# To a running cluster at an address, or to one on this machine that ends with the connection.
@contextmanager
def _connected(scheduler: str | None, num_workers: int) -> Iterator[Client]:
    with ExitStack() as stack:
        # Lost workers are replaced; other losses are reported in one sentence.
        stack.enter_context(silence_logging_cmgr(logging.CRITICAL))
        address = scheduler or stack.enter_context(_local_cluster(num_workers))
        try:
            client = Client(address, timeout=CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            expected = f"the address of a running scheduler, but: {error}"
            raise InputError(f"--scheduler is {address!r}; expected {expected}.") from None
        yield stack.enter_context(client)


# A terminal sends Ctrl-C to all its processes; the workers ignore it, and the sweep stops them.
def _local_cluster(number: int) -> LocalCluster:
    resource_tracker.ensure_running()  # started later, it would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with dask.config.set({"distributed.nanny.pre-spawn-environ": ENVIRONMENT}):
            return LocalCluster(
                n_workers=number, threads_per_worker=1, memory_limit=0,
                silence_logs=logging.CRITICAL, dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
            )  # fmt: skip
    except RuntimeError as error:
        raise RunError(f"No workers could be started on this machine: {error}") from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# If all workers are as fast as this process and busy to the end.
def _estimate_hours(runs: Sequence[TrainingRun], workspace: Workspace, num_workers: int) -> float:
    kinds = {(run.depth, run.batch_size, run.precision): run for run in runs}
    pace = {kind: _seconds_per_gradient(run, workspace) for kind, run in kinds.items()}
    seconds = {}
    for run in runs:
        each = pace[run.depth, run.batch_size, run.precision]
        seconds |= {key: gradients * each for key, gradients in _work(run).items()}
    return sum(seconds.values()) / 3600 / num_workers


# Gradients of an image in training and evaluation (a third of a gradient) before and after the
# pruning, and in scoring. What runs share has the same key.
def _work(run: TrainingRun) -> dict[object, float]:
    before, tests = run.before_pruning(), run.num_test_images / 3
    kept = run.num_images * run.keep_fraction
    return {
        before: before.num_epochs * (run.num_images + tests),
        (before, run.method): SCORE_COSTS.get(run.method, OTHER_COST) * run.num_images,
        run: (run.num_epochs - before.num_epochs) * (kept + tests),
    }


# Timed over some steps, after two that warm up.
def _seconds_per_gradient(run: TrainingRun, workspace: Workspace) -> float:
    size = run.batch_size
    num_batches = min(TIMED_STEPS, run.num_images // size)
    few = run.replace(num_images=num_batches * size, num_test_images=1)
    images, times = workspace.images(few), []
    state, batches = start(few, images), fixed_batches(len(images.labels), size, few.seed)
    for _ in islice(steps(state, images, batches, few, TIMED_STEPS), TIMED_STEPS):
        state.loss_sum.item()  # waits for a GPU
        times.append(time.perf_counter())
    return (times[-1] - times[WARM_STEPS - 1]) / (TIMED_STEPS - WARM_STEPS) / size


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m liprune_utils.sweep", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "grid", type=Path, help="grid file, such as experiments/grids/reduced14.yml"
    )
    parser.add_argument("--runs", default=RUNS, help=f"folder of run folders (default: {RUNS})")
    parser.add_argument(
        "--workers", type=int, help="runs side by side (default: a core or GPU each)"
    )
    parser.add_argument("--scheduler", help="address of a running Dask scheduler")
    parser.add_argument("--status", action="store_true", help="print how far it is, and leave")
    parser.add_argument("--dry-run", action="store_true", help="estimate the time, and leave")
    options = parser.parse_args(arguments)
    if options.workers is None:
        options.workers = torch.cuda.device_count() or CPU_COUNT
    if options.workers < 1:
        parser.error(f"--workers is {options.workers}; expected at least 1")
    options.threads = max(1, CPU_COUNT // options.workers)
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run a sweep; the exit status is 0 when all is done, 1 after failures, 130 when stopped."""
    options = _parse(arguments)
    try:
        return exit_status(lambda: _main(options), RunError)
    except KeyboardInterrupt:
        return 130


def _main(options: argparse.Namespace) -> int:
    grid, workspace = read_grid(options.grid), open_workspace(in_project(options.runs))
    root = workspace.root
    require(root.is_dir() or not root.exists(), "--runs", str(root), "a folder")
    waiting = unfinished_runs(grid, workspace)
    if options.status:
        show_status(grid, workspace)
        return 0
    if options.dry_run:
        torch.set_num_threads(options.threads)
        hours = _estimate_hours(waiting, workspace, options.workers)
        print(f"{len(waiting)} of {len(grid.runs)} runs to do, about {hours:.1f} hours.")
        return 0
    for folder, name in ((grid.folder, "folder"), (root, "--runs")):
        writable_folder(folder, name)
    save = partial(_save, grid, workspace, f"python -m liprune_utils.sweep {options.grid}")
    status = _do_runs(waiting, workspace, options, save) if waiting else 0
    save()
    if not status:
        print(f"All {len(grid.runs)} runs are done; their tables are in {in_project(grid.folder)}.")
    return status


def _save(grid: Grid, workspace: Workspace, command: str) -> None:
    with locked(in_project(grid.folder), wait=True):  # another sweep adds rows to the same tables
        if runs := recordable_runs(grid, workspace):
            record(grid, workspace, runs, command)


# Returns the exit status.
def _do_runs(
    runs: list[TrainingRun],
    workspace: Workspace,
    options: argparse.Namespace,
    save: Callable[[], object],
) -> int:
    with stopping_at_signals():
        with _connected(options.scheduler, options.workers) as client:
            failures = sweep(runs, client, workspace.root, options.threads, save)
        stopped = stop_requested.is_set()
    for run in runs:
        if not stopped and run not in failures and not workspace.is_done(run):
            failures[run] = f"The worker reports that it is done; expected it in {workspace.root}."
    for run, message in failures.items():
        print(f"failed: {workspace.folder(run).name}: {message}", file=sys.stderr)
    if stopped:
        print("Stopped and saved; the same command goes on.", file=sys.stderr)
    return 130 if stopped else int(bool(failures))


if __name__ == "__main__":
    from liprune_utils import sweep as module  # workers cannot import what is in __main__

    sys.exit(module.main())
