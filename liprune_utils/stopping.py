"""Asking the runs of this process to save and leave, by a signal or a call."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

stop_requested = threading.Event()  # every run of this process saves and leaves soon after


class Stopped(Exception):  # noqa: N818 - nothing is wrong
    """A run has saved and left, as it was asked to."""


def ask_to_stop() -> None:
    """Ask all runs of this process to save and leave."""
    stop_requested.set()


def withdraw_stop() -> None:
    """Let runs of this process begin again."""
    stop_requested.clear()


def leave_if_asked() -> None:
    """Leave where nothing is to be saved.

    Raises:
        Stopped: If the runs of this process are asked to stop.
    """
    if stop_requested.is_set():
        raise Stopped("Asked to stop.")


@contextmanager
def stopping_at_signals() -> Iterator[None]:
    """Let SIGTERM and SIGINT ask runs to save and leave; a second one stops at once.

    Yields:
        Nothing; only the main thread may enter.
    """

    def ask(number: int, _frame: object) -> None:
        if stop_requested.is_set():
            raise KeyboardInterrupt
        stop_requested.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop_requested.clear()
