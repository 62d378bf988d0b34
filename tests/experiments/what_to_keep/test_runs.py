"""The parameters and the lists of contests of page 12."""

import pytest

from experiments.what_to_keep import runs
from experiments.what_to_keep.problems import Population
from experiments.what_to_keep.races import Problem
from experiments.what_to_keep.runs import WhatToKeepParameters
from liprune_utils.checks import InputError

PARAMETERS = WhatToKeepParameters(results_dir="x", num_runs=200, seed=0)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("num_runs", 39, "a whole number from 40 to 10000"),
        ("num_runs", 10_001, "a whole number from 40 to 10000"),
        ("seed", -1, "a whole number from 0 to 2^63 - 1"),
        ("seed", 2**63, "a whole number from 0 to 2^63 - 1"),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence(name, value, expected):
    with pytest.raises(InputError) as caught:
        PARAMETERS.replace(**{name: value})
    assert str(caught.value) == f"{name} is {value!r}; expected {expected}."


@pytest.fixture
def held(monkeypatch):
    """What is asked of every contest, instead of holding it."""
    monkeypatch.setattr(runs, "with_weighted", lambda found, seed: ("weighted", *found))
    monkeypatch.setattr(runs, "contest", lambda *asked: asked)


def test_races_tune_on_a_quarter_and_logistic_ones_have_a_weighted_design(held):
    found = runs.run_races(200, 7)
    assert len(found) == 9
    for labels in ("noise 0.5", "even signal"):
        for dim in (1, 10, 50):
            assert (Problem(Population(dim, "uneven"), labels), runs.RACED, 50, 200, 7) in found
    weighted = [asked[1] for asked in found if asked[0] == "weighted"]
    assert weighted == [Problem(Population(dim, "uneven"), "logistic") for dim in (1, 10, 50)]


def test_the_atlas_leaves_out_what_does_not_differ(held):
    found = runs.run_atlas(200, 7)
    populations = {problem.population for problem, *_ in found}
    assert len(found) == 4 * len(populations) == 4 * 14
    assert Population(1, "uneven") not in populations
    assert Population(1, "heavy-tailed") in populations
    counts = {problem.population.dim: asked for problem, _, *asked in found}
    assert counts == {1: [100, 200, 7], 2: [50, 100, 7], 10: [15, 30, 7], 50: [10, 20, 7]}


def test_the_smallest_runs_have_an_interval_and_some_tuning(held):
    for _, _, num_tuning, num_sets, _ in runs.run_atlas(40, 0):
        assert (num_tuning, num_sets) >= (2, 4)
