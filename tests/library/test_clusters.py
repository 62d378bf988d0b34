"""Clusters on this machine: what their workers' memory and signals are like."""

import os
import signal

from liprune_utils.clusters import ENVIRONMENT, connected


def test_workers_keep_their_memory_and_leave_ctrl_c_to_the_sweep(monkeypatch):
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with connected(None, 1) as client:
        found = [client.run(os.getenv, name).popitem()[1] for name in ENVIRONMENT]
        masks = client.run(signal.pthread_sigmask, signal.SIG_BLOCK, []).popitem()[1]
    assert found == [str(value) for value in ENVIRONMENT.values()]
    assert signal.SIGINT in masks
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
