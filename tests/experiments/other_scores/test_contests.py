"""Contests on convex problems: against exact expectations, plain loops, and by what is shared."""

import numpy as np
import pytest

from experiments.convex_is_not_enough.runs import SOURCES
from experiments.linear_model.runs import NUM_POINTS
from experiments.other_scores import contests
from experiments.other_scores.contests import (
    Tuned,
    contest,
    race,
    step_sizes,
    tune,
    unpruned_weights,
)
from experiments.other_scores.convex import (
    ENTRANTS,
    LATER,
    NEVER,
    PROBLEMS,
    RACING,
    START,
    STEPS,
    TUNING,
    Entrant,
    Field,
    kept_points,
)
from liprune_utils.problems import NOISE_SD
from liprune_utils.pruning import keep_highest
from liprune_utils.sgd import Moments, exact_moments

LINE = "the paper's line"


def at(method: str, taken: str, fraction: float) -> int:
    return ENTRANTS.index(Entrant(method, taken, fraction))


def same_size(multiple: float) -> np.ndarray:
    return np.full((len(ENTRANTS), 1), multiple)


@pytest.mark.parametrize(("method", "fraction"), [("liprune", 0.1), ("random", 0.3)])
def test_the_mean_excess_is_the_exact_expectation_on_the_papers_line(method, fraction):
    field, count = Field(LINE, RACING, 300, 5), round(NUM_POINTS * fraction)
    races = race(field, 1.0, same_size(0.7))[:, :, at(method, NEVER, fraction), 0]
    exact = []
    for number in range(field.num_sets):
        train = field.draw(number).train
        x, noise = train.x[:, 0], train.y[:, 0] - train.x[:, 0]
        shuffled = field.choice(number).permutation(NUM_POINTS)
        kept = np.argsort(-(x**2))[:count] if method == "liprune" else shuffled[:count]
        rate = 0.7 / (2 * (x[kept] ** 2).max())
        moments = Moments.of(x[kept][:, None], noise[kept][:, None])
        found = exact_moments(
            moments, batch_size=10, learning_rate=rate, num_steps=STEPS[-1], slope=1.0,
            noise_sd=NOISE_SD,
        )  # fmt: skip
        exact.append(found.square[list(STEPS), 0] * 25 / 3 / 2)
    gap = races - np.array(exact)
    error = gap.std(axis=0, ddof=1) / np.sqrt(len(gap))
    assert (np.abs(gap.mean(axis=0)) < 4 * error).all()
    assert (error < 0.15 * np.mean(exact, axis=0)).all()


@pytest.mark.parametrize("name", ["two groups, d = 2", "breast cancer"])
def test_a_race_is_a_plain_loop(name):
    field = Field(name, RACING, 3, 0)
    multiples = np.tile([0.5, 4.0], (len(ENTRANTS), 1))
    found = race(field, 2.0, multiples)
    assert found.shape == (3, len(STEPS), len(ENTRANTS), 2)
    held, number = field.draw(2), 2
    train = held.train
    later = plain(train, np.arange(len(train.x)), field, number, 2.0, contests.LATER_STEPS)[-1]
    kept = kept_points(train, later, field.choice(number))
    for entrant in (at("el2n", LATER, 0.1), at("random", NEVER, 0.3)):
        path = plain(train, kept[entrant], field, number, 4.0, STEPS[1])
        for step, steps in enumerate(STEPS[:2]):
            expected = held.excess(path[steps])
            assert found[number, step, entrant, 1] == pytest.approx(expected, rel=1e-9)


def plain(train, kept, field, number, multiple, num_steps) -> list[np.ndarray]:
    rate = multiple / (2 * train.lipschitz[kept].max())
    path = [np.zeros((train.y.shape[1], train.x.shape[1]))]
    for batch in field.positions(len(kept))[:num_steps, number]:
        path.append(path[-1] - rate * train.take(kept[batch]).gradient(path[-1]))
    return path


def test_blocks_change_nothing(monkeypatch):
    field, multiples = Field("outliers", TUNING, 5, 0), same_size(1.0)
    whole = race(field, 1.0, multiples)
    monkeypatch.setattr(contests, "BLOCK", 2)
    np.testing.assert_allclose(race(field, 1.0, multiples), whole)
    few = race(field._replace(num_sets=3), 1.0, multiples)
    np.testing.assert_allclose(few, whole[:3])


def test_at_the_start_some_rivals_of_a_classifier_are_the_same():
    losses = race(Field("breast cancer", RACING, 2, 0), 1.0, same_size(1.0))[..., 0]
    for fraction in (0.1, 0.3):
        pairs = [(("grand", START), ("liprune", NEVER)), (("el2n", START), ("random", NEVER))]
        for one, other in pairs:
            same = losses[:, :, at(*one, fraction)], losses[:, :, at(*other, fraction)]
            np.testing.assert_allclose(*same)


def test_grand_at_the_start_is_nearly_liprune_on_the_papers_line():
    train = Field(LINE, RACING, 1, 0).draw(0).train
    kept = kept_points(train, np.ones((1, 1)), np.random.default_rng(0))
    shared = np.isin(kept[at("grand", START, 0.1)], keep_highest(train.lipschitz, 0.1)).mean()
    assert shared > 0.85


def test_tuning_finds_the_lowest_mean_of_its_own_data_sets(monkeypatch):
    monkeypatch.setitem(contests.SIZES, "generated", np.array([0.1, 1.0, 1e3]))
    field = Field("uneven features, d = 5", TUNING, 4, 0)
    with np.errstate(over="ignore", invalid="ignore"):
        tuned = tune(field)
        sizes = step_sizes(field.problem)
        means = race(field, tuned.later, np.tile(sizes, (len(ENTRANTS), 1))).mean(axis=0)
    assert tuned.later == 1.0
    assert tuned.multiples.shape == tuned.excess.shape == (len(ENTRANTS), len(STEPS))
    for entrant in range(len(ENTRANTS)):
        for step in range(len(STEPS)):
            choices = means[step, entrant]
            assert tuned.excess[entrant, step] == choices.min()
            assert tuned.multiples[entrant, step] == sizes[choices.argmin()]


def test_what_is_no_number_counts_as_very_large():
    field = Field("uneven features, d = 5", TUNING, 2, 0)
    with np.errstate(over="ignore", invalid="ignore"):
        assert (race(field, 1.0, same_size(1e4))[:, -1] == contests.OVERFLOW).all()
    found = contests._finite([np.nan, np.inf, 2.0, 1e200])
    np.testing.assert_array_equal(found, [1e100, 1e100, 2.0, 1e100])


def test_each_number_of_steps_races_at_its_own_step_size(monkeypatch):
    multiples = np.arange(3.0) + 1 + np.zeros((len(ENTRANTS), 1))
    fields = []

    def tuned(field):
        fields.append(field)
        return Tuned(1.0, multiples, multiples)

    monkeypatch.setattr(contests, "tune", tuned)
    found = contest("two groups, d = 2", 6, 7)
    assert fields == [Field("two groups, d = 2", TUNING, 3, 7)]
    assert found.excess.shape == (6, len(STEPS), len(ENTRANTS))
    every = race(Field("two groups, d = 2", RACING, 6, 7), 1.0, multiples)
    for step in range(len(STEPS)):
        np.testing.assert_array_equal(found.excess[:, step], every[:, step, :, step])


def test_unpruned_weights_are_those_of_all_points():
    field = Field("diabetes", RACING, 2, 0)
    (sets, weights), *_ = unpruned_weights(field, np.array([2.0]))
    train = sets[0].train
    path = plain(train, np.arange(len(train.x)), field, 0, 2.0, contests.LATER_STEPS)
    np.testing.assert_allclose(weights[0, 0], path[-1])


def test_real_data_has_a_tenth_of_the_runs(monkeypatch):
    monkeypatch.setattr(contests, "contest", lambda name, count, seed: (count, seed))
    expected = {name: (20, 3) if name in SOURCES else (200, 3) for name in PROBLEMS}
    assert contests.run_contests(200, 3) == expected
    assert contests.run_contests(10, 3)["digits"] == (2, 3)
