"""Shards: each on the disk before the next, in any order, and none of other numbers."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liprune_utils.checks import InputError
from liprune_utils.shards import in_shards
from liprune_utils.streaming import on_cluster

NUMBERS = np.array([0.1, 3.0, -2.0, 1e300, 5e-324, 0.0, 1 / 3])
FACTS = {"score": "hessian", "seed": 1}


def numbers(first, stop):
    return NUMBERS[first:stop]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def interrupt(folder):
    def compute(first, stop):
        if first == 3:
            raise KeyboardInterrupt
        return numbers(first, stop)

    with pytest.raises(KeyboardInterrupt):
        in_shards(folder, FACTS, compute, 7, 3)


@given(count=st.integers(0, 40), shard_size=st.integers(1, 50), seed=st.integers(0, 9))
def test_shards_of_any_size_in_any_order_are_joined(tmp_path_factory, count, shard_size, seed):
    folder, values = tmp_path_factory.mktemp("shards"), np.random.default_rng(seed).random(count)
    calls = []

    def shuffled(compute, ranges):
        calls.extend(ranges)
        for place in np.random.default_rng(seed).permutation(len(ranges)):
            yield ranges[place], compute(*ranges[place])

    for _ in range(2):  # the second reads
        found = in_shards(folder, FACTS, lambda i, j: values[i:j], count, shard_size, shuffled)
        np.testing.assert_array_equal(found, values)
    assert len(calls) == -(-count // shard_size)


def test_what_is_on_the_disk_is_not_computed_again(tmp_path):
    interrupt(tmp_path)
    assert names(tmp_path) == ["000000000000.npy", "shards.json"]
    seen = []

    def compute(first, stop):
        seen.append((first, stop))
        return numbers(first, stop)

    np.testing.assert_array_equal(in_shards(tmp_path, FACTS, compute, 7, 3), NUMBERS)
    assert seen == [(3, 6), (6, 7)]


@pytest.mark.parametrize(
    ("facts", "count", "size", "message"),
    [
        ({"seed": 2}, 7, 3, "^seed in .*shards.json is 1; expected 2"),
        ({}, 8, 3, "^count in .* is 7; expected 8"),
        ({}, 7, 2, "^shard_size in .* is 3; expected 2"),
    ],
)
def test_shards_of_something_else_are_refused_and_stay(tmp_path, facts, count, size, message):
    interrupt(tmp_path)
    with pytest.raises(InputError, match=message):
        in_shards(tmp_path, FACTS | facts, pytest.fail, count, size)
    np.testing.assert_array_equal(in_shards(tmp_path, FACTS, numbers, 7, 3), NUMBERS)


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"other"])
def test_a_damaged_shard_is_named_with_what_to_do(tmp_path, damage):
    interrupt(tmp_path)
    shard = tmp_path / "000000000000.npy"
    shard.write_bytes(damage)
    with pytest.raises(InputError, match=r"000000000000\.npy is damaged; delete it to have it"):
        in_shards(tmp_path, FACTS, numbers, 7, 3)
    shard.unlink()
    np.testing.assert_array_equal(in_shards(tmp_path, FACTS, numbers, 7, 3), NUMBERS)


@pytest.mark.parametrize("note", ["", "[]", "{"])
def test_a_damaged_note_is_named(tmp_path, note):
    interrupt(tmp_path)
    (tmp_path / "shards.json").write_text(note)
    with pytest.raises(InputError, match=r"shards\.json"):
        in_shards(tmp_path, FACTS, numbers, 7, 3)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([1.0, np.nan, 2.0], "^The score of example 4 is nan; expected a finite number"),
        ([1.0, 2.0], r"shape \[2\]'; expected float64 of shape \[3\]"),
    ],
)
def test_bad_numbers_stop_it_before_they_are_kept(tmp_path, bad, message):
    with pytest.raises(InputError, match=message):
        in_shards(tmp_path, FACTS, lambda i, j: bad if i == 3 else numbers(i, j), 7, 3)
    assert names(tmp_path) == ["000000000000.npy", "shards.json"]


def test_a_failing_worker_keeps_what_the_others_have_finished(tmp_path):
    def compute(first, stop):
        if first == 6:
            raise InputError("Bad; expected good.")
        return numbers(first, stop)

    with ThreadPoolExecutor(1) as pool, pytest.raises(InputError, match=r"^Bad; expected good\.$"):
        in_shards(tmp_path, FACTS, compute, 7, 3, on_cluster(pool))
    assert json.loads((tmp_path / "shards.json").read_text())["count"] == 7
    np.testing.assert_array_equal(in_shards(tmp_path, FACTS, numbers, 7, 3), NUMBERS)
