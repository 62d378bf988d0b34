"""The convex head: its features and constants, what is kept and drawn, SGD as a plain loop."""

from functools import cache

import numpy as np
import pytest
import torch
from draws import seeded
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from synthetic import images
from torch.autograd.functional import hessian
from torch.nn import functional

from experiments.convex_is_not_enough import convex_head
from experiments.convex_is_not_enough.convex_head import (
    ARMS,
    PRUNED,
    UNPRUNED,
    Arm,
    batch_constants,
    cut,
    draw_steps,
    features,
    head,
    kept_batches,
    measure,
    predicted,
    race,
    recorded_steps,
)
from liprune_utils.models import resnet

ROOT = (5, 0, 3)
BATCHES, POINTS = (Arm(unit, "liprune", 0.2) for unit in ("batches", "points"))


def toy(num: int = 160, dim: int = 3, seed: int = 0):
    """A head on a few features with three classes, in batches of 8."""
    draw = seeded(seed)
    labels = draw.integers(0, 3, num)
    z = np.abs(draw.normal(labels[:, None] * [1.0, -1.0, 0.5], 1.0, (num, dim)))
    return head(np.column_stack([z, np.ones(num)]), labels, num_classes=3)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(convex_head, "BATCH_SIZE", 8)


@cache
def train():
    return toy()


def test_features_are_what_the_classifier_sees_in_eval_mode():
    model, inputs = resnet(8, torch.Generator().manual_seed(0)), images().test_inputs
    model(inputs)  # so that the running statistics are not those of the start
    torch.nn.init.ones_(model.classifier.bias)
    found = features(model, inputs)
    assert model.training
    assert found.shape == (40, 65)
    classifier = model.classifier
    weights = torch.cat([classifier.weight, classifier.bias[:, None]], dim=1)
    with torch.no_grad():
        logits = model.eval()(inputs)
    np.testing.assert_allclose(found @ weights.detach().double().numpy().T, logits, atol=1e-4)


def hessian_norm(z: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    z, labels = torch.tensor(z), torch.tensor(labels)

    def loss(flat: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(z @ flat.reshape(weights.shape).T, labels)

    return torch.linalg.matrix_norm(hessian(loss, torch.tensor(weights.ravel())), 2).item()


def test_constants_bound_the_hessian_norm_and_are_approached():
    objective, batch = train(), np.arange(8)
    z, labels = objective.x[batch], objective.y[batch].argmax(axis=1)
    constant, draw = batch_constants(objective, batch[None])[0], seeded(1)
    # At zero weights all three classes are equally likely, and diag(p) - pp' has the norm 1/3.
    at_zero = hessian_norm(z, labels, np.zeros((3, 4)))
    assert at_zero == pytest.approx(constant * 2 / 3)
    weights = [draw.normal(0, scale, (3, 4)) for scale in (0.1, 1, 3) for _ in range(10)]
    assert max(hessian_norm(z, labels, w) for w in weights) <= constant * (1 + 1e-9)
    two_classes = np.zeros((3, 4))
    two_classes[2, -1] = -40  # through the bias: the third class vanishes for all points
    assert hessian_norm(z, labels, two_classes) == pytest.approx(constant, rel=1e-9)
    point = hessian_norm(z[:1], labels[:1], two_classes)
    assert point == pytest.approx(objective.lipschitz[0], rel=1e-9)
    assert objective.lipschitz[0] == pytest.approx(0.5 * (z[0] ** 2).sum())


def test_the_least_loss_is_scikit_learns():
    objective = train()
    labels = objective.y.argmax(axis=1)
    solver = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-9, max_iter=5000)
    solver.fit(objective.x, labels)
    theirs = log_loss(labels, solver.predict_proba(objective.x))
    assert objective.value(solver.coef_) == pytest.approx(theirs, rel=1e-9)
    assert objective.ends == pytest.approx([np.log(3), theirs], rel=1e-6)


def test_all_batches_are_whole_and_have_each_point_once():
    found = cut(np.arange(100, 125), ROOT)
    assert found.shape == (3, 8)
    assert len(set(found.ravel())) == 24
    assert set(found.ravel()) < set(range(100, 125))
    assert not np.array_equal(found, cut(np.arange(100, 125), (5, 0, 4)))


def test_liprune_keeps_the_batches_with_the_largest_constants():
    everything = kept_batches(train(), UNPRUNED, ROOT)
    kept = kept_batches(train(), BATCHES, ROOT)
    assert (len(everything), len(kept)) == (20, 4)
    constants = batch_constants(train(), everything)
    largest = everything[constants >= np.sort(constants)[-4]]
    assert set(map(tuple, kept)) == set(map(tuple, largest))
    random = kept_batches(train(), BATCHES._replace(method="random"), ROOT)
    assert set(map(tuple, random)) < set(map(tuple, everything))
    assert set(map(tuple, random)) != set(map(tuple, kept))


def test_liprune_keeps_the_largest_points_of_every_seed():
    kept = [set(kept_batches(train(), POINTS, (5, 0, seed)).ravel()) for seed in (0, 1)]
    assert kept[0] == kept[1]
    assert len(kept[0]) == 32
    others = sorted(set(range(160)) - kept[0])
    assert train().lipschitz[list(kept[0])].min() >= train().lipschitz[others].max()


def test_predictions_are_ratios_of_mean_constants():
    gain, spread = predicted(train(), BATCHES, ROOT)
    everything, kept = (kept_batches(train(), arm, ROOT) for arm in (UNPRUNED, BATCHES))
    constants = batch_constants(train(), everything)
    assert gain == pytest.approx(batch_constants(train(), kept).mean() / constants.mean())
    assert spread == pytest.approx(constants.std(ddof=1) / constants.mean())
    points, spread = predicted(train(), POINTS, ROOT)
    norms = (train().x ** 2).sum(axis=1)
    assert points == pytest.approx(np.sort(norms)[-32:].mean() / norms.mean())
    assert spread == pytest.approx(norms.std(ddof=1) / norms.mean())
    assert 1 < gain < points


def test_each_pass_takes_all_kept_batches_in_the_same_order_for_all_arms():
    arms = [BATCHES, BATCHES._replace(method="random"), UNPRUNED]
    kept = [kept_batches(train(), arm, ROOT) for arm in arms]
    points, factors = draw_steps(kept, ROOT, 11)
    assert points.shape == (11, 3, 8)
    assert (factors == 1).all()
    first, second = points[:4], points[4:8]
    assert set(map(tuple, first[:, 0])) == set(map(tuple, kept[0]))
    assert set(map(tuple, second[:, 0])) == set(map(tuple, kept[0]))
    assert not np.array_equal(first[:, 0], second[:, 0])
    places = [
        [int(np.flatnonzero((batches == row).all(axis=1))[0]) for row in rows]
        for batches, rows in ((kept[0], points[:, 0]), (kept[1], points[:, 1]))
    ]
    assert places[0] == places[1]
    assert len(set(map(tuple, points[:, 2]))) == 11


def test_a_race_is_a_plain_loop_with_automatic_gradients():
    test = toy(40, seed=1)
    sizes = np.tile([0.1, 0.4], (len(ARMS), 1))
    losses, errors = race(train(), (train(), test), ROOT, sizes, num_steps=7, steps=(3, 7))
    assert losses.shape == errors.shape == (2, 2, len(ARMS), 2)
    at = PRUNED.index(POINTS)
    batches = draw_steps([kept_batches(train(), POINTS, ROOT)], ROOT, 7).points[:, 0]
    weights = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
    for batch in batches:
        z, y = torch.tensor(train().x[batch]), torch.tensor(train().y[batch].argmax(axis=1))
        (gradient,) = torch.autograd.grad(functional.cross_entropy(z @ weights.T, y), weights)
        weights = (weights - 0.4 * gradient).detach().requires_grad_()
    scores = torch.tensor(test.x) @ weights.T
    labels = torch.tensor(test.y.argmax(axis=1))
    expected = functional.cross_entropy(scores, labels).item()
    assert losses[1, 1, at, 1] == pytest.approx(expected, rel=1e-9)
    wrong = (scores.argmax(dim=1) != labels).double().mean().item()
    assert errors[1, 1, at, 1] == pytest.approx(100 * wrong)
    assert losses[1, 0, at, 1] == pytest.approx(train().value(weights.detach().numpy()))
    assert losses[0, 1, at, 1] != losses[1, 1, at, 1]


def test_errors_are_measured_for_each_step_size():
    weights = np.stack([np.zeros((3, 4)), np.eye(3, 4)])
    losses, errors = measure(train(), weights)
    assert losses == pytest.approx([np.log(3), train().value(weights[1])])
    assert errors[0] == pytest.approx(100 * (train().y[:, 0] == 0).mean())  # argmax of zeros is 0


def test_recorded_steps_begin_with_the_first_and_end_with_the_last():
    steps = recorded_steps(1170)
    assert steps[:10].tolist() == list(range(1, 11))
    assert steps[-1] == 1170
    assert (steps[10:] / steps[9:-1]).max() < 1.16
