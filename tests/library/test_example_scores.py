"""Scores of single examples against dense float64 derivatives and closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from networks import draw, examples, seeded, small_net
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from liprune_utils.checks import InputError
from liprune_utils.curvature import hessian_norm
from liprune_utils.example_scores import (
    el2n_scores,
    example_gauss_newton_norms,
    example_gradient_norms,
    example_hessian_norms,
    example_losses,
    forgetting_counts,
    negative_margins,
)
from liprune_utils.models import resnet

pytestmark = pytest.mark.usefixtures("one_thread")
loss_fn = functional.cross_entropy
FROM_LOSSES = (example_hessian_norms, example_gauss_newton_norms, example_gradient_norms)
FROM_LOGITS = (el2n_scores, example_losses, negative_margins)


def dense_scores(model: nn.Module, x: Tensor, y: Tensor) -> list[float]:
    """An example's signed Hessian norm, Gauss-Newton norm and gradient norm by dense matrices."""
    parameters = {name: p.detach() for name, p in model.eval().named_parameters()}
    sizes = [p.numel() for p in parameters.values()]

    def outputs(w: Tensor) -> Tensor:
        pairs = zip(parameters.items(), w.split(sizes), strict=True)
        return functional_call(model, {k: v.view_as(p) for (k, p), v in pairs}, (x[None],))

    def loss(w: Tensor) -> Tensor:
        return loss_fn(outputs(w), y[None])

    weights = torch.cat([p.reshape(-1) for p in parameters.values()])
    eigenvalues = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, weights))
    jacobian = torch.autograd.functional.jacobian(outputs, weights)[0]
    p = outputs(weights)[0].softmax(dim=0)
    gauss_newton = jacobian.T @ (p.diag() - p.outer(p)) @ jacobian
    gradient = torch.autograd.functional.jacobian(loss, weights)
    largest = eigenvalues[eigenvalues.abs().argmax()]
    return [
        largest.item(),
        torch.linalg.matrix_norm(gauss_newton, 2).item(),
        gradient.norm().item(),
    ]


@pytest.mark.parametrize("chunk_size", [1, 2, 5, 100])  # 2 leaves a ragged last chunk
def test_scores_from_losses_are_those_of_dense_derivatives(chunk_size):
    model, (inputs, targets) = small_net(), examples()
    pairs = zip(inputs, targets, strict=True)
    expected = np.array([dense_scores(small_net(), x, y) for x, y in pairs]).T
    arguments = model, loss_fn, inputs, targets
    table = example_hessian_norms(*arguments, chunk_size=chunk_size, tolerance=1e-9)
    np.testing.assert_allclose(table.eigenvalue, expected[0], rtol=1e-8)
    np.testing.assert_allclose(table.norm, np.abs(expected[0]), rtol=1e-8)
    assert table.converged.all()
    values = example_gauss_newton_norms(*arguments, chunk_size=chunk_size)
    np.testing.assert_allclose(values, expected[1], rtol=1e-9)
    values = example_gradient_norms(*arguments, chunk_size=chunk_size)
    np.testing.assert_allclose(values, expected[2], rtol=1e-12)


@settings(max_examples=20)
@given(st.integers(1, 6), st.integers(2, 4), st.integers(0, 1000))
def test_of_a_linear_classifier_all_is_known(count, num_classes, seed):
    model = nn.Linear(3, num_classes).double()
    inputs = draw(count, 3, seed=seed)
    targets = torch.arange(count) % num_classes
    extended = torch.cat([inputs, torch.ones(count, 1, dtype=torch.float64)], dim=1)
    p = model(inputs).softmax(dim=1).detach()
    square = extended.square().sum(dim=1)  # both derivatives are products with (x, 1)
    A = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    expected = (torch.linalg.eigvalsh(A)[:, -1] * square).numpy()
    arguments = model, loss_fn, inputs, targets
    table = example_hessian_norms(*arguments, tolerance=1e-8)
    np.testing.assert_allclose(table.norm, expected, rtol=1e-7)
    np.testing.assert_allclose(example_gauss_newton_norms(*arguments), expected, rtol=1e-9)
    error = (p - functional.one_hot(targets, num_classes)).norm(dim=1)
    np.testing.assert_allclose(el2n_scores(model, inputs, targets), error, rtol=1e-9)
    gradients = example_gradient_norms(*arguments)
    np.testing.assert_allclose(gradients, error * square.sqrt(), rtol=1e-9)


def test_a_loose_tolerance_takes_fewer_products_and_its_bound_holds():
    arguments = small_net(), loss_fn, *examples(8)
    exact = example_hessian_norms(*arguments, tolerance=1e-10).norm
    loose = example_hessian_norms(*arguments, tolerance=0.3)
    assert (loose.num_products >= 3).all()
    assert loose.num_products.mean() < 6
    assert (loose.norm <= exact * (1 + 1e-9)).all()  # a Rayleigh quotient
    assert (loose.error <= 0.3 * loose.norm).all()
    few = example_hessian_norms(*arguments, tolerance=1e-9, max_products=2)
    assert not few.converged.any()
    assert (few.num_products == 2).all()


def test_a_negative_eigenvalue_keeps_its_sign():
    def curved(outputs: Tensor, targets: Tensor) -> Tensor:
        return (targets * outputs.square()[:, 0] / 2).mean()

    inputs, targets = draw(4, 2), torch.tensor([-3.0, 2.0, -1.0, 0.5]).double()
    arguments = nn.Linear(2, 1, bias=False).double(), curved, inputs, targets
    expected = (targets * inputs.square().sum(dim=1)).numpy()
    np.testing.assert_allclose(example_hessian_norms(*arguments).eigenvalue, expected, rtol=1e-9)
    values = example_gauss_newton_norms(*arguments)
    np.testing.assert_allclose(values, np.abs(expected), rtol=1e-9)


def test_one_example_of_a_resnet_agrees_with_the_batch_engine():
    model = resnet(8, seeded()).eval()
    images, labels = draw(2, 3, 8, 8).float(), torch.tensor([3, 7])
    table = example_hessian_norms(model, loss_fn, images, labels, tolerance=1e-3)
    for number in range(2):
        pair = images[[number]], labels[[number]]
        alone = hessian_norm(model, loss_fn, *pair, batch_norm="eval", tolerance=1e-3)
        assert table.eigenvalue[number] == pytest.approx(alone.eigenvalue, rel=2e-3)


def test_a_loss_without_a_second_derivative_is_refused():
    def cusp(outputs: Tensor, targets: Tensor) -> Tensor:
        return ((outputs - outputs.detach()).abs() ** 1.5).sum()

    with pytest.raises(InputError, match="product is not finite"):
        example_hessian_norms(small_net(), cusp, *examples())


@pytest.mark.parametrize("score", FROM_LOSSES)
def test_what_has_no_score_from_losses_is_refused_in_one_sentence(score):
    inputs, targets = examples()
    with pytest.raises(InputError, match="number of targets is 4"):
        score(small_net(), loss_fn, inputs, targets[:4])
    with pytest.raises(InputError, match="chunk_size is 0"):
        score(small_net(), loss_fn, inputs, targets, chunk_size=0)
    with pytest.raises(InputError, match=r"precision is 'torch\.float16'"):
        score(small_net().half(), loss_fn, inputs.half(), targets)
    with pytest.raises(InputError, match="number of examples is 0"):
        score(small_net(), loss_fn, inputs[:0], targets[:0])
    with pytest.raises(InputError, match="trainable parameters is 0"):
        score(small_net().requires_grad_(False), loss_fn, inputs, targets)
    inputs[3] = torch.nan
    with pytest.raises(InputError, match="loss of example 3 is nan"):
        score(small_net(), loss_fn, inputs, targets, chunk_size=2)


IMAGES, LABELS = examples()


def by_hand(z: list[float], y: int) -> tuple[float, float, float]:
    """The scores of one example from its logits, by plain loops, in the order of FROM_LOGITS."""
    total = math.fsum(math.exp(value) for value in z)
    p = [math.exp(value) / total for value in z]
    error = math.sqrt(math.fsum((p[k] - (k == y)) ** 2 for k in range(len(z))))
    return error, -math.log(p[y]), max(value for k, value in enumerate(z) if k != y) - z[y]


@pytest.mark.parametrize("chunk_size", [1, 2, 5, 100])  # 2 leaves a ragged last chunk
def test_scores_from_logits_are_those_of_single_examples_in_order(chunk_size):
    model = small_net().eval()
    logits = [model(image[None])[0].tolist() for image in IMAGES]
    expected = zip(*map(by_hand, logits, LABELS.tolist()), strict=True)
    for score, values in zip(FROM_LOGITS, expected, strict=True):
        scores = score(small_net(), IMAGES, LABELS, chunk_size=chunk_size)
        assert scores.dtype == np.float64
        np.testing.assert_allclose(scores, values, rtol=1e-12, atol=1e-15)
        assert len(set(scores)) == len(LABELS)


def test_logits_of_a_float32_network_are_scored_in_float64():
    model = nn.Identity()
    model.weight = nn.Parameter(torch.zeros(1))
    logits, labels = torch.tensor([[20.0, 0.0], [20.0, 0.0]]), torch.tensor([0, 1])
    expected = [math.log1p(math.exp(-20)), 20]
    np.testing.assert_allclose(example_losses(model, logits, labels), expected)


@given(st.integers(0, 1000), st.integers(2, 5), st.floats(-50, 50))
def test_a_constant_added_to_the_logits_changes_nothing(seed, num_classes, constant):
    model = nn.Linear(3, num_classes).double()
    inputs, labels = draw(4, 3, seed=seed), torch.arange(4) % num_classes
    before = [score(model, inputs, labels) for score in FROM_LOGITS]
    with torch.no_grad():
        model.bias += constant
    for score, expected in zip(FROM_LOGITS, before, strict=True):
        np.testing.assert_allclose(score(model, inputs, labels), expected, atol=1e-12)


BAD = IMAGES.clone()
BAD[3, 0, 0, 0] = torch.nan


@pytest.mark.parametrize("score", FROM_LOGITS)
@pytest.mark.parametrize(
    ("images", "labels", "chunk_size", "message"),
    [
        (IMAGES, LABELS[:4], 2, "^The number of targets is 4; expected 5"),
        (IMAGES[:0], LABELS[:0], 2, "number of examples is 0; expected at least 1"),
        (IMAGES, LABELS, 0, "^chunk_size is 0; expected at least 1"),
        (BAD, LABELS, 2, "^The logits of example 3 is .*nan.*; expected finite numbers"),
        (IMAGES, torch.tensor([0, 1, 2, -100, 4]), 2, "^The label of example 3 is -100; expected"),
        (IMAGES, torch.tensor([0, 1, 2, 3, 4]), 2, "^The label of example 4 is 4; expected 0 to 3"),
        (IMAGES, LABELS.double(), 2, r"is 'torch\.float64 of shape \[5\]'; expected torch\.int64"),
        (IMAGES, LABELS[:, None], 2, r"is 'torch\.int64 of shape \[5, 1\]'; expected torch\.int64"),
    ],
)
def test_what_has_no_score_from_logits_is_refused(score, images, labels, chunk_size, message):
    with pytest.raises(InputError, match=message):
        score(small_net(), images, labels, chunk_size=chunk_size)


def test_outputs_that_are_no_logits_are_refused():
    with pytest.raises(InputError, match=r"shape is \[5, 3, 2, 2\]; expected \[5, number of"):
        example_losses(small_net()[:1], IMAGES, LABELS)
    with pytest.raises(InputError, match="number of classes is 1; expected at least 2"):
        negative_margins(nn.Linear(2, 1), torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))


def counted_by_hand(history: list[bool]) -> int:
    count, learnt = 0, False
    for epoch, right in enumerate(history):
        learnt |= right
        count += epoch > 0 and history[epoch - 1] and not right
    return count if learnt else len(history)


@given(st_numpy.arrays(bool, st.tuples(st.integers(1, 9), st.integers(0, 4))))
def test_forgetting_is_counted_as_by_hand(correct):
    counts = forgetting_counts(correct)
    assert counts.dtype == np.float64
    assert counts.tolist() == [counted_by_hand(history) for history in correct.T.tolist()]
    learnt = correct.any(axis=0)
    assert (counts[learnt] < len(correct)).all()  # so that the never learnt are above them


@pytest.mark.parametrize(
    ("correct", "message"),
    [
        (np.ones((2, 3)), r"'float64 of shape \[2, 3\]'; expected bool of shape"),
        (np.ones(3, dtype=bool), r"'bool of shape \[3\]'; expected bool of shape \[num_epochs, n"),
        (np.ones((0, 3), dtype=bool), r"'bool of shape \[0, 3\]'; expected"),
    ],
)
def test_other_histories_are_refused(correct, message):
    with pytest.raises(InputError, match=message):
        forgetting_counts(correct)
