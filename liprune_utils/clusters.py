"""Dask clusters for training runs: on this machine, or wherever an address says."""

import logging
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker

import dask.config
from dask.distributed import Client, LocalCluster
from distributed.diagnostics.plugin import WorkerPlugin
from distributed.utils import silence_logging_cmgr

from liprune_utils import runs
from liprune_utils.checks import InputError
from liprune_utils.runs import ask_to_stop

CONNECT_SECONDS = 20.0
# Dask has workers give memory back at once; asking for it again took a run half of its time.
ENVIRONMENT = {
    "MALLOC_TRIM_THRESHOLD_": 2**33,
    "MALLOC_MMAP_THRESHOLD_": 2**30,
    "MALLOC_ARENA_MAX": 1,
    "OMP_NUM_THREADS": 1,
}


class SaveOnClose(WorkerPlugin):
    """Lets a worker that is closed save its run first."""

    idempotent = True  # a plugin that takes another's place would end it, and the runs with it

    def teardown(self, worker: object) -> None:
        """Ask the runs of this process to save and leave.

        Args:
            worker: The worker.
        """
        ask_to_stop()


@contextmanager
def connected(scheduler: str | None, num_workers: int) -> Iterator[Client]:
    """Connect to a running cluster, or to one on this machine that ends with the connection.

    Args:
        scheduler: The running cluster's address; None for one on this machine.
        num_workers: Processes of one on this machine, >= 1, with one thread for runs each.

    Yields:
        The client.

    Raises:
        InputError: If there is no scheduler at the address.
        RunError: If no workers can be started on this machine.
    """
    with ExitStack() as stack:
        stack.enter_context(silence_logging_cmgr(logging.CRITICAL))  # losses are made good or told
        address = scheduler or stack.enter_context(_local_cluster(num_workers))
        try:
            client = Client(address, timeout=CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            expected = f"the address of a running scheduler, but: {error}"
            raise InputError(f"--scheduler is {address!r}; expected {expected}.") from None
        yield stack.enter_context(client)


# Ctrl-C, which a terminal sends to all its processes, is for the sweep alone to hear.
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
        raise runs.RunError(f"No workers could be started on this machine: {error}") from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
