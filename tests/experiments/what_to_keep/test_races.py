"""Races on generated problems: against exact expectations and plain loops."""

import numpy as np
import pytest
from scipy.special import expit

from experiments.what_to_keep import races
from experiments.what_to_keep.problems import NUM_POINTS, RACING, TUNING, Population
from experiments.what_to_keep.races import (
    KEEP_FRACTIONS,
    NONE,
    SIZES,
    STEPS,
    WEIGHTED,
    Entrant,
    Field,
    Problem,
    Tuned,
    better,
    choose,
    contest,
    kept_by_inputs,
    weighted_design,
    with_weighted,
)
from liprune_utils.designs import leverages, optimal_design
from liprune_utils.sgd import Moments, exact_moments

FIELD = Field(Population(3, "uneven"), RACING, 5)
PROBLEM = Problem(FIELD.population, "logistic")
METHODS = ("random", "liprune", "A")


def plain(train, rows, rate) -> list[np.ndarray]:
    """SGD in a plain loop on the rows of points, with the gradient of one point at a time."""
    path = [np.zeros(train.x.shape[1])]
    for batch in rows:
        slopes = [
            (train.loss.mean(train.x[i] @ path[-1]) - train.y[i, 0]) * train.x[i] for i in batch
        ]
        path.append(path[-1] - rate * np.mean(slopes, axis=0))
    return path


@pytest.mark.parametrize("method", ["random", "liprune"])
def test_the_mean_excess_is_the_exact_expectation_on_a_line(method):
    problem, entrant, count = Problem(Population(1, "even"), "noise 0.5"), Entrant(method, 0.1), 300
    race = problem.race(RACING, count, 3)
    found = race.run([entrant], np.array([[1.5]]))[:, 0, :, 0]
    exact = []
    for number in range(count):
        train = race.field.draw(number, "noise 0.5").train
        kept = race.kept(number, train, entrant)
        slope = np.sign((train.x * train.y).sum())
        x, noise = train.x[kept], (train.y - slope * train.x)[kept]
        moments = exact_moments(
            Moments.of(x, noise), batch_size=10, learning_rate=1.5 / (2 * (x**2).mean()),
            num_steps=STEPS[-1], slope=1.0, noise_sd=0.5,
        )  # fmt: skip
        exact.append(moments.square[list(STEPS), 0] / 2)
    gap = found - np.array(exact)
    error = gap.std(axis=0, ddof=1) / np.sqrt(count)
    assert (np.abs(gap.mean(axis=0)) < 4 * error).all()
    assert (error < 0.15 * np.mean(exact, axis=0)).all()


@pytest.mark.parametrize("labels", ["noise 3", "logistic"])
def test_a_race_is_a_plain_loop(labels):
    race = Problem(FIELD.population, labels).race(RACING, 12, 5)
    entrants = [Entrant("A", 0.1), Entrant("grand", 0.3), NONE]
    found = race.run(entrants, np.tile([0.5, 2.0], (3, 1)))
    assert found.shape == (12, 3, len(STEPS), 2)
    held, number = FIELD.draw(11, labels), 11
    for at, entrant in enumerate(entrants):
        kept = race.kept(number, held.train, entrant)
        rows = kept[FIELD.positions(len(kept), 12)[number]]
        constants = held.train.lipschitz[kept]
        path = plain(held.train, rows, 2.0 / (2 * constants.mean()))
        expected = [held.excess(path[step]) for step in STEPS]
        np.testing.assert_allclose(found[number, at, :, 1], expected, rtol=1e-7)


def test_the_weighted_run_is_its_own_pilot():
    race = PROBLEM.race(RACING, 2, 5)
    found = race.run_weighted(0.1, 1.5, np.array([1.5]))
    unpruned = race.run([NONE], np.array([[1.5]]))[:, 0]
    np.testing.assert_allclose(found[:, :2], unpruned[:, :2])
    held = FIELD.draw(1, "logistic")
    train, everything = held.train, FIELD.positions(NUM_POINTS, 2)[1]
    rate = 1.5 / (2 * train.lipschitz.mean())
    pilot = plain(train, everything[:100], rate)[-1]
    kept = weighted_design(train.x, pilot, 0.1)
    later = kept[FIELD.positions(100, 2)[1]][100:]
    path = plain(train, np.concatenate([everything[:100], later]), rate)
    assert found[1, 2, 0] == pytest.approx(held.excess(path[300]), rel=1e-7)


def test_the_weighted_design_is_that_of_the_hessian():
    x, weights = FIELD.x(0), np.array([1.0, -2.0, 0.5])
    kept = weighted_design(x, weights, 0.3)
    hessians = [expit(x[i] @ weights) * expit(-x[i] @ weights) * np.outer(x[i], x[i]) for i in kept]
    found = np.trace(np.linalg.inv(np.mean(hessians, axis=0)))
    for other in (optimal_design(x, 0.3, "A").kept, np.arange(300)):
        chance = expit(x[other] @ weights)
        root = np.sqrt(chance * (1 - chance))[:, None] * x[other]
        assert found < np.trace(np.linalg.inv(root.T @ root / 300))


def test_every_rule_keeps_what_it_says():
    x = FIELD.x(4)
    sizes, leverage = (x**2).sum(axis=1), leverages(x)
    for name, score in (("liprune", sizes), ("leverage", leverage)):
        kept = kept_by_inputs(FIELD, 4, Entrant(name, 0.3))
        assert set(kept) == set(np.argsort(-score)[:300])
    for name in "ADV":
        kept = kept_by_inputs(FIELD, 4, Entrant(name, 0.1))
        np.testing.assert_array_equal(kept, optimal_design(x, 0.1, name).kept)
    extremes = kept_by_inputs(FIELD, 4, Entrant("IBOSS", 0.1))
    assert {int(x[:, 0].argmin()), int(x[:, 0].argmax())} <= set(extremes)
    train = FIELD.draw(4, "noise 3").train
    kept = PROBLEM.race(RACING, 5, 5).kept(4, train, Entrant("grand", 0.1))
    assert set(kept) == set(np.argsort(-np.abs(train.y[:, 0]) * np.sqrt(sizes))[:100])


def test_random_pruning_keeps_all_points_equally_often():
    kept = [kept_by_inputs(FIELD, n, Entrant("random", 0.3)) for n in range(200)]
    counts = np.bincount(np.concatenate(kept), minlength=NUM_POINTS)
    assert counts.sum() == 60_000
    assert abs(counts - 60).max() < 5 * np.sqrt(200 * 0.3 * 0.7)
    few = kept_by_inputs(FIELD, 7, Entrant("random", 0.1))
    assert set(few) < set(kept[7])


def test_positions_are_distinct_and_stay_when_more_sets_race():
    found = FIELD.positions(100, 3)
    assert found.shape == (3, STEPS[-1], 10)
    assert all(len(set(batch)) == 10 for batch in found.reshape(-1, 10))
    assert (found.min(), found.max()) == (0, 99)
    np.testing.assert_array_equal(FIELD.positions(100, 5)[:3], found)


def test_data_sets_share_inputs_between_labels_and_nothing_between_purposes():
    one, other = (FIELD.draw(0, name).train for name in ("noise 0.5", "noise 3"))
    np.testing.assert_array_equal(one.x, other.x)
    signal = (6 * one.y - other.y) / 5  # the noise of one is a sixth of the other's
    assert np.linalg.lstsq(one.x, signal)[1] == pytest.approx(0, abs=1e-20)
    for field in (FIELD._replace(purpose=TUNING), FIELD._replace(seed=6)):
        assert (field.x(0) != one.x).any()


def test_blocks_change_nothing(monkeypatch):
    entrants, multiples = [Entrant("random", 0.1)], np.array([[1.0]])
    whole = PROBLEM.race(RACING, 5, 5).run(entrants, multiples)
    monkeypatch.setattr(races, "BLOCK", 2)
    np.testing.assert_allclose(PROBLEM.race(RACING, 5, 5).run(entrants, multiples), whole)


def test_what_is_no_number_counts_as_very_large():
    race = Problem(FIELD.population, "noise 0.5").race(RACING, 2, 5)
    assert (race.run([NONE], np.array([[1e5]]))[..., -1, :] == races.OVERFLOW).all()


def test_the_step_size_with_the_lowest_mean_is_chosen():
    excess = np.random.default_rng(0).uniform(1, 2, (6, len(STEPS), len(SIZES)))
    excess[:, 1, 4] = 0.5
    found = choose(excess)
    for step in range(len(STEPS)):
        best = excess[:, step].mean(axis=0).argmin()
        assert found.multiples[step] == SIZES[best]
        np.testing.assert_array_equal(found.excess[:, step], excess[:, step, best])
    assert found.multiples[1] == SIZES[4]


def test_a_contest_tunes_apart_and_races_each_step_at_its_own_size():
    held = contest(PROBLEM, METHODS, 2, 3, 5)
    assert set(held.tuned) == set(held.excess)
    assert len(held.tuned) == 2 * len(METHODS) + 1
    race, tuning = PROBLEM.race(RACING, 3, 5), PROBLEM.race(TUNING, 2, 5)
    for entrant in (Entrant("liprune", 0.3), NONE):
        tuned = choose(tuning.run([entrant], SIZES[None])[:, 0])
        np.testing.assert_array_equal(held.tuned[entrant].multiples, tuned.multiples)
        for step, multiple in enumerate(tuned.multiples):
            expected = race.run([entrant], np.array([[multiple]]))[:, 0, step, 0]
            np.testing.assert_allclose(held.excess[entrant][:, step], expected)


def test_the_weighted_design_races_only_where_it_tuned_better(monkeypatch):
    tuned = {e: Tuned(np.ones(3), np.ones((2, 3))) for e in (NONE, Entrant("A", 0.1))}
    tuned[Entrant("A", 0.3)] = Tuned(np.ones(3), np.full((2, 3), 1e-9))
    excess = dict.fromkeys(tuned, np.full((3, 3), 0.7))
    seen = []

    def run(self, fraction, pilot, multiples):
        seen.append((self.field.purpose, fraction, pilot, len(multiples)))
        return np.full((self.num_sets, 3, len(multiples)), 0.2)

    monkeypatch.setattr(races.Race, "run_weighted", run)
    held = with_weighted(races.Contest(PROBLEM, tuned, excess), 5)
    first, *_ = SIZES
    runs = [(TUNING, 0.1, 1.0, len(SIZES)), (RACING, 0.1, first, 1), (TUNING, 0.3, 1.0, len(SIZES))]
    assert seen == runs
    for fraction, last in zip(KEEP_FRACTIONS, (0.2, np.nan), strict=True):
        expected = np.tile([0.7, 0.7, last], (3, 1))
        np.testing.assert_array_equal(held.excess[Entrant(WEIGHTED, fraction)], expected)
    assert better(held.tuned, Entrant(WEIGHTED, 0.1), Entrant("A", 0.1)).all()
    assert (excess[NONE] == 0.7).all()
