"""Requests to stop: by signals and by calls, and back to what signals meant before."""

import signal
from contextlib import nullcontext
from itertools import product

import pytest

from liprune_utils import stopping
from liprune_utils.stopping import Stopped, stopping_at_signals

STOPS = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture(autouse=True)
def nothing_goes_on_into_the_next_test():
    yield
    stopping.withdraw_stop()


def test_where_nothing_is_to_be_saved_a_run_just_leaves():
    stopping.leave_if_asked()
    stopping.ask_to_stop()
    with pytest.raises(Stopped):
        stopping.leave_if_asked()
    stopping.withdraw_stop()
    stopping.leave_if_asked()


@pytest.mark.parametrize(("first", "second"), [*product(STOPS, STOPS)])
def test_a_second_signal_stops_at_once(first, second):
    with pytest.raises(KeyboardInterrupt), stopping_at_signals():  # noqa: PT012 - two signals
        signal.raise_signal(first)
        assert stopping.stop_requested.is_set()
        signal.raise_signal(second)
        pytest.fail("went on")
    assert not stopping.stop_requested.is_set()


@pytest.mark.parametrize("error", [None, Stopped])
def test_signals_mean_afterwards_what_they_meant_before(error):
    before = {number: signal.signal(number, signal.SIG_IGN) for number in STOPS}
    try:
        with pytest.raises(error) if error else nullcontext(), stopping_at_signals():
            signal.raise_signal(STOPS[0])
            assert stopping.stop_requested.is_set()
            if error:
                raise error
        assert not stopping.stop_requested.is_set()
        assert {signal.getsignal(number) for number in STOPS} == {signal.SIG_IGN}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
