"""Streams differ by seed, purpose and keys, and by nothing else."""

from itertools import product

import pytest

from liprune_utils.streams import StreamFamily

STREAM = StreamFamily({"data": 0, "batches": 1})


@pytest.mark.parametrize("num_keys", [0, 1, 2])
def test_streams_differ_by_seed_purpose_and_keys(num_keys):
    calls = list(product((0, 1), STREAM.purposes, *[(0, 1, 2)] * num_keys))
    draws = {STREAM(*call).random() for call in calls}
    assert len(draws) == len(calls)


def test_a_stream_starts_anew_each_time():
    assert STREAM(3, "data", 5).random() == STREAM(3, "data", 5).random()


def test_an_unknown_purpose_is_refused():
    with pytest.raises(KeyError, match="date"):
        STREAM(0, "date")
