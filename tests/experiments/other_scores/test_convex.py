"""Contests of scores: against automatic differentiation, plain loops, and page 06's own tuning."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from experiments.convex_is_not_enough.runs import NONE, SETTINGS, STREAMS
from experiments.convex_is_not_enough.tables import _best_multiples, tune
from experiments.other_scores import convex
from experiments.other_scores.convex import (
    ENTRANTS,
    LATER,
    LINEAR,
    LINEAR_RATES,
    NEVER,
    PROBLEMS,
    RACING,
    START,
    THEOREM,
    TUNED,
    Entrant,
    _point_scores,
    _train_on,
    _tuned_multiple,
    common_rates,
    compared_steps,
    contest,
    draw_split,
    kept_points,
    positions,
)
from liprune_utils.problems import LOGISTIC, MULTINOMIAL, SQUARED, Objective
from liprune_utils.pruning import keep_highest, num_kept

ROOT = (0, RACING, 0)
POINT_LOSSES = {
    SQUARED: lambda z, y: functional.mse_loss(z, y) / 2,
    LOGISTIC: functional.binary_cross_entropy_with_logits,
    MULTINOMIAL: functional.cross_entropy,
}


def objective(loss, num_points: int = 40, num_classes: int = 3) -> Objective:
    draw = np.random.default_rng(3)
    x = draw.normal(size=(num_points, 4)) * np.exp(draw.normal(size=(num_points, 1)))
    if loss is MULTINOMIAL:
        y = np.eye(num_classes)[draw.integers(0, num_classes, num_points)]
    else:
        y = draw.integers(0, 2, (num_points, 1)).astype(float)
    return Objective(loss, x, y, ridge=0.05)


def weights(problem: Objective) -> np.ndarray:
    return np.random.default_rng(4).normal(size=(problem.y.shape[1], problem.x.shape[1]))


def at(method: str, taken: str, fraction: float) -> int:
    return ENTRANTS.index(Entrant(method, taken, fraction))


@pytest.mark.parametrize("loss", POINT_LOSSES, ids=("squared", "logistic", "multinomial"))
def test_scores_are_those_of_automatic_differentiation(loss):
    problem = objective(loss)
    found = _point_scores(problem, weights(problem))
    for number, (x, y) in enumerate(zip(problem.x, problem.y, strict=True)):
        w = torch.tensor(weights(problem), requires_grad=True)
        outputs = (w @ torch.tensor(x)).detach().requires_grad_()
        value = POINT_LOSSES[loss](w @ torch.tensor(x), torch.tensor(y))
        gradient = torch.autograd.grad(value + problem.ridge / 2 * (w**2).sum(), w)[0]
        error = torch.autograd.grad(POINT_LOSSES[loss](outputs, torch.tensor(y)), outputs)[0]
        assert found["loss"][number] == pytest.approx(value.item(), abs=1e-10)
        assert found["grand"][number] == pytest.approx(gradient.norm().item(), abs=1e-10)
        assert found["el2n"][number] == pytest.approx(error.norm().item(), abs=1e-10)


@pytest.mark.parametrize("loss", [LOGISTIC, MULTINOMIAL], ids=("logistic", "multinomial"))
def test_at_zero_a_classifiers_errors_tie_and_grand_ranks_as_liprune(loss):
    problem = objective(loss, 300, num_classes=10)
    found = _point_scores(problem, 0 * weights(problem))
    assert len(np.unique(found["el2n"])) == len(np.unique(found["loss"])) == 1
    assert (np.argsort(found["grand"]) == np.argsort(problem.lipschitz)).all()


def test_the_linear_model_is_the_papers():
    train, test = draw_split(LINEAR, ROOT)
    assert (train.x.shape, test.x.shape) == ((1000, 1), (400, 1))
    assert 4.9 < np.abs(train.x).max() < 5
    assert (train.y - train.x).std() == pytest.approx(0.2, rel=0.1)
    np.testing.assert_array_equal(train.lipschitz, train.x[:, 0] ** 2)
    again, other = draw_split(LINEAR, ROOT).train, draw_split(LINEAR, (0, RACING, 1)).train
    assert (again.y == train.y).all()
    assert (other.y != train.y).all()
    assert train.ridge == test.ridge == 0


def test_every_entrant_keeps_what_its_score_says():
    problem = objective(SQUARED, 60)
    later = weights(problem)
    kept = kept_points(problem, later, ROOT)
    scores = {(name, LATER): s for name, s in _point_scores(problem, later).items()}
    scores |= {(name, START): s for name, s in _point_scores(problem, 0 * later).items()}
    scores["liprune", NEVER] = problem.lipschitz
    shuffled = np.random.default_rng([*ROOT, STREAMS["choice"]]).permutation(60)
    for entrant, points in zip(ENTRANTS, kept, strict=True):
        count = num_kept(60, entrant.keep_fraction)
        if entrant.method == "random":
            np.testing.assert_array_equal(points, shuffled[:count])
            continue
        score = scores[entrant[:2]]
        assert (np.diff(score[points]) <= 0).all()
        if len(np.unique(score)) == 60:
            expected = keep_highest(score, entrant.keep_fraction)
            np.testing.assert_array_equal(np.sort(points), expected)
        assert len(set(points)) == count


def test_a_constant_score_is_random_pruning():
    problem = objective(LOGISTIC, 60)
    kept = kept_points(problem, weights(problem), ROOT)
    for fraction in convex.KEEP_FRACTIONS:
        random = kept[at("random", NEVER, fraction)]
        for name in ("el2n", "loss"):
            np.testing.assert_array_equal(kept[at(name, START, fraction)], random)


@pytest.mark.parametrize("loss", POINT_LOSSES, ids=("squared", "logistic", "multinomial"))
def test_training_is_a_plain_loop(loss):
    problem, rates, steps = objective(loss), np.array([0.01, 0.03]), [2, 5]
    chosen = [np.arange(20), np.arange(39, 19, -1), np.arange(30)]
    found = _train_on(problem, chosen, ROOT, rates, steps)
    assert len(found) == 2
    for number, points in enumerate(chosen):
        order = positions(len(points), ROOT, 5)
        for size, rate in enumerate(rates):
            w = 0 * weights(problem)
            for step, batch in enumerate(order, start=1):
                w = w - rate * problem.take(points[batch]).gradient(w)
                if step in steps:
                    np.testing.assert_allclose(found[steps.index(step)][number, size], w)


def test_losses_are_compared_at_the_papers_steps():
    assert compared_steps(LINEAR) == [5, 10, 20, 30]
    assert compared_steps("digits") == [50, 100, 200, 300]


def test_tuning_is_that_of_the_races():
    chosen = _best_multiples(tune("diabetes", 2, seed=5))[SETTINGS.index(NONE)]
    assert _tuned_multiple("diabetes", 5, num_tuning=2) == chosen[1] == chosen[2]


def test_rates_are_common_and_counted_once(monkeypatch):
    assert common_rates(LINEAR, 0) == LINEAR_RATES
    monkeypatch.setattr(convex, "_tuned_multiple", lambda name, seed: 1.0)
    assert common_rates("diabetes", 0) == {THEOREM: 1.0}
    monkeypatch.setattr(convex, "_tuned_multiple", lambda name, seed: 8.0)
    assert common_rates("diabetes", 0) == {THEOREM: 1.0, TUNED: 8.0}


def test_a_contest_on_the_linear_model():
    found = contest(LINEAR, ROOT, 0.01)
    assert found.test_loss.shape == (4, len(ENTRANTS))
    train, test = draw_split(LINEAR, ROOT)
    w, kept = 0.0, np.argsort(-train.lipschitz)[:100]
    for batch in positions(100, ROOT, 30):
        x, y = train.x[kept[batch], 0], train.y[kept[batch], 0]
        w -= 0.01 * (x * (w * x - y)).mean()
    expected = ((test.x[:, 0] * w - test.y[:, 0]) ** 2).mean() / 2
    assert found.test_loss[-1, at("liprune", NEVER, 0.1)] == pytest.approx(expected)
    for fraction in convex.KEEP_FRACTIONS:
        assert found.shared[at("liprune", NEVER, fraction)] == 1
        assert found.shared[at("random", NEVER, fraction)] == pytest.approx(fraction, abs=0.12)
        assert found.shared[at("grand", START, fraction)] > 0.85


def test_later_scores_are_taken_after_a_third_of_the_steps():
    found = contest("diabetes", ROOT, 1.0)
    train = draw_split("diabetes", ROOT).train
    rate = 1 / (2 * train.lipschitz.max())
    (w,) = _train_on(train, [np.arange(len(train.x))], ROOT, np.array([rate]), [100])
    points = kept_points(train, w[0, 0], ROOT)[at("grand", LATER, 0.3)]
    ours = keep_highest(train.lipschitz, 0.3)
    assert found.shared[at("grand", LATER, 0.3)] == np.isin(points, ours).mean()


def test_at_the_start_some_rivals_are_the_same():
    losses = contest("breast cancer", ROOT, 1.0).test_loss
    for fraction in convex.KEEP_FRACTIONS:
        pairs = [(("grand", START), ("liprune", NEVER)), (("el2n", START), ("random", NEVER))]
        for one, other in pairs:
            same = losses[:, at(*one, fraction)], losses[:, at(*other, fraction)]
            np.testing.assert_allclose(*same)
    assert len(PROBLEMS) == 4
