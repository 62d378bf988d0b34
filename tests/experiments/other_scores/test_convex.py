"""Convex problems, scores and SGD: against automatic differentiation and plain loops."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from experiments.convex_is_not_enough.counterexamples import PROBLEMS as GENERATED
from experiments.convex_is_not_enough.runs import SOURCES, Draws, Split, sgd_iterates
from experiments.other_scores import convex
from experiments.other_scores.convex import (
    ENTRANTS,
    LATER,
    NEVER,
    PROBLEMS,
    RACING,
    START,
    TUNING,
    Entrant,
    Field,
    descend,
    join,
    kept_points,
    least_loss,
    point_scores,
)
from liprune_utils.problems import LOGISTIC, MULTINOMIAL, SQUARED, Objective
from liprune_utils.pruning import keep_highest, num_kept

POINT_LOSSES = {
    SQUARED: lambda z, y: functional.mse_loss(z, y) / 2,
    LOGISTIC: functional.binary_cross_entropy_with_logits,
    MULTINOMIAL: functional.cross_entropy,
}
EVERY_LOSS = pytest.mark.parametrize("loss", POINT_LOSSES, ids=("squared", "logistic", "softmax"))


def objective(loss, num_points: int = 40, num_classes: int = 3, seed: int = 3) -> Objective:
    draw = np.random.default_rng(seed)
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


def test_the_problems_are_those_of_pages_04_and_06_each_once():
    assert list(PROBLEMS) == [*GENERATED, *SOURCES]
    assert len(set(PROBLEMS)) == 11
    train = Field("the paper's line", RACING, 1, 0).draw(0).train
    assert train.x.shape == (1000, 1)
    assert (train.y - train.x).std() == pytest.approx(0.2, rel=0.1)
    np.testing.assert_array_equal(train.lipschitz, train.x[:, 0] ** 2)


@pytest.mark.parametrize("name", ["two groups, d = 2", "bent line"])
def test_the_excess_of_a_generated_problem_is_that_of_new_points(name):
    held = Field(name, RACING, 1, 0).draw(0)
    fresh = Objective(SQUARED, *_many_points(name), 0.0)
    tried = np.array([[[0.3] * fresh.x.shape[1]], [[1.4] * fresh.x.shape[1]]])
    expected = fresh.value(tried) - fresh.value(np.linalg.lstsq(fresh.x, fresh.y)[0].T)
    np.testing.assert_allclose(held.excess(tried), expected, rtol=0.03)


def _many_points(name: str) -> tuple[np.ndarray, np.ndarray]:
    sets = [Field(name, TUNING, 1, 9).draw(number).train for number in range(200)]
    joined = join(sets)
    return joined.x, joined.y


def test_no_weights_beat_the_least_test_loss_of_least_squares():
    problem = objective(SQUARED)
    test = Objective(SQUARED, problem.x, problem.y, 0.0)
    assert least_loss(test) == pytest.approx(float(test.value(test.minimiser)), abs=1e-9)
    excess = convex._real(Split(problem, test)).excess
    assert excess(test.minimiser) == pytest.approx(0, abs=1e-9)
    assert excess(weights(problem)) == pytest.approx(
        float(test.value(weights(problem)) - test.value(test.minimiser))
    )


@pytest.mark.parametrize("name", ["breast cancer", "digits"])
def test_test_points_of_classes_are_separable(name, monkeypatch):
    """Each point's loss below log 2 puts its class first: scaled up, the loss goes to zero."""
    splits = []
    monkeypatch.setattr(convex, "_real", splits.append)
    for number in range(2):
        Field(name, RACING, 2, 0).draw(number)
    for split in splits:
        test = split.test
        gentle = Objective(test.loss, test.x, test.y, 1e-6)
        losses = test.loss.value(gentle.minimiser @ test.x.T, test.y.T)
        assert losses.max() < np.log(2)
        assert least_loss(test) == 0


def test_data_sets_differ_by_number_purpose_and_seed_alone():
    for name in ("outliers", "diabetes"):
        one = Field(name, RACING, 4, 0).draw(1).train.y
        np.testing.assert_array_equal(Field(name, RACING, 9, 0).draw(1).train.y, one)
        others = [Field(name, RACING, 4, 0).draw(2), Field(name, TUNING, 4, 0).draw(1)]
        for other in [*others, Field(name, RACING, 4, 1).draw(1)]:
            assert (other.train.y != one).any()


@EVERY_LOSS
def test_scores_are_those_of_automatic_differentiation(loss):
    problem = objective(loss)
    found = point_scores(problem, weights(problem))
    for number, (x, y) in enumerate(zip(problem.x, problem.y, strict=True)):
        w = torch.tensor(weights(problem), requires_grad=True)
        outputs = (w @ torch.tensor(x)).detach().requires_grad_()
        value = POINT_LOSSES[loss](w @ torch.tensor(x), torch.tensor(y))
        gradient = torch.autograd.grad(value + problem.ridge / 2 * (w**2).sum(), w)[0]
        error = torch.autograd.grad(POINT_LOSSES[loss](outputs, torch.tensor(y)), outputs)[0]
        assert found["loss"][number] == pytest.approx(value.item(), abs=1e-10)
        assert found["grand"][number] == pytest.approx(gradient.norm().item(), abs=1e-10)
        assert found["el2n"][number] == pytest.approx(error.norm().item(), abs=1e-10)


@pytest.mark.parametrize("loss", [LOGISTIC, MULTINOMIAL], ids=("logistic", "softmax"))
def test_at_zero_a_classifiers_errors_tie_and_grand_ranks_as_liprune(loss):
    problem = objective(loss, 300, num_classes=10)
    found = point_scores(problem, 0 * weights(problem))
    assert len(np.unique(found["el2n"])) == len(np.unique(found["loss"])) == 1
    assert (np.argsort(found["grand"]) == np.argsort(problem.lipschitz)).all()


def test_every_entrant_keeps_what_its_score_says():
    problem = objective(SQUARED, 60)
    later = weights(problem)
    kept = kept_points(problem, later, np.random.default_rng(5))
    scores = {(name, LATER): s for name, s in point_scores(problem, later).items()}
    scores |= {(name, START): s for name, s in point_scores(problem, 0 * later).items()}
    scores["liprune", NEVER] = problem.lipschitz
    shuffled = np.random.default_rng(5).permutation(60)
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
    kept = kept_points(problem, weights(problem), np.random.default_rng(5))
    for fraction in convex.KEEP_FRACTIONS:
        random = kept[at("random", NEVER, fraction)]
        for name in ("el2n", "loss"):
            np.testing.assert_array_equal(kept[at(name, START, fraction)], random)


def test_positions_are_distinct_and_do_not_depend_on_how_many_sets():
    many = Field("outliers", RACING, 3, 0).positions(12)
    assert many.shape == (300, 3, 10)
    assert (np.sort(many)[..., 1:] > np.sort(many)[..., :-1]).all()
    assert (many.min(), many.max()) == (0, 11)
    np.testing.assert_array_equal(Field("outliers", RACING, 1, 0).positions(12)[:, 0], many[:, 0])
    assert (Field("bent line", RACING, 3, 0).positions(12) != many).any()


@EVERY_LOSS
def test_sgd_is_a_plain_loop_and_page_06s(loss):
    one, other = objective(loss), objective(loss, seed=8)
    joined, sizes = join([one, other]), np.array([[0.01, 0.03], [0.02, 0.2]])
    points = np.random.default_rng(6).integers(0, 40, (5, 2, 10))
    joint = points + np.array([[0], [40]])  # the second problem's points follow the first's
    found = list(descend(joined, joint, sizes))
    for place, problem in enumerate((one, other)):
        for column, rate in enumerate(sizes[place]):
            w = 0 * weights(problem)
            for step, batch in enumerate(points[:, place]):
                w = w - rate * problem.take(batch).gradient(w)
                np.testing.assert_allclose(found[step][place, column], w)
    draws = Draws(joint, np.ones(points.shape))
    *_, last = sgd_iterates(joined, draws, sizes)
    np.testing.assert_allclose(found[-1], last)
