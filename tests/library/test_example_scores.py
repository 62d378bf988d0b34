"""Scores of single examples against dense float64 derivatives and closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from liprune_utils.checks import InputError
from liprune_utils.curvature import hessian_norm
from liprune_utils.example_scores import (
    correct_predictions,
    el2n_scores,
    example_gauss_newton_norms,
    example_gradient_norms,
    example_hessian_norms,
    forgetting_counts,
    losses,
    negative_margins,
)
from liprune_utils.models import resnet

SCORES = (example_hessian_norms, example_gauss_newton_norms, example_gradient_norms)


pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def small_net() -> nn.Module:
    model = nn.Sequential(
        nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 4)
    ).double()
    with torch.no_grad():
        for number, p in enumerate(model.parameters()):
            p.copy_(draw(*p.shape, seed=number))
        model[1].running_mean.copy_(draw(3, seed=20))
        model[1].running_var.copy_(draw(3, seed=21).square() + 0.5)
    return model.train()  # eval mode is the scores' own affair


def data(count: int = 5) -> tuple[Tensor, Tensor]:
    return draw(count, 2, 3, 3, seed=30), torch.arange(count) % 4


# The loss and the outputs of one example as functions of all weights, and the weights.
def dense_parts(model: nn.Module, x: Tensor, y: Tensor):
    parameters = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    sizes = [p.numel() for p in parameters.values()]

    def outputs(weights: Tensor) -> Tensor:
        parts = weights.split(sizes)
        values = {
            name: part.view_as(p) for (name, p), part in zip(parameters.items(), parts, strict=True)
        }
        return functional_call(model.eval(), values, (x[None],))

    weights = torch.cat([p.reshape(-1) for p in parameters.values()])
    return lambda w: functional.cross_entropy(outputs(w), y[None]), outputs, weights


def dense_scores(model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, float, float]:
    loss, outputs, weights = dense_parts(model, x, y)
    eigenvalues = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, weights))
    jacobian = torch.autograd.functional.jacobian(outputs, weights)[0]
    p = outputs(weights)[0].softmax(dim=0)
    gauss_newton = jacobian.T @ (p.diag() - p.outer(p)) @ jacobian
    gradient = torch.autograd.functional.jacobian(loss, weights)
    largest = eigenvalues[eigenvalues.abs().argmax()]
    return largest.item(), torch.linalg.matrix_norm(gauss_newton, 2).item(), gradient.norm().item()


@pytest.mark.parametrize("chunk_size", [1, 2, 5, 100])  # 2 leaves a ragged last chunk
def test_scores_are_those_of_dense_derivatives(chunk_size):
    model, (inputs, targets) = small_net(), data()
    pairs = zip(inputs, targets, strict=True)
    expected = np.array([dense_scores(small_net(), x, y) for x, y in pairs]).T
    options = (model, functional.cross_entropy, inputs, targets)
    table = example_hessian_norms(*options, chunk_size=chunk_size, tolerance=1e-9)
    np.testing.assert_allclose(table.eigenvalue, expected[0], rtol=1e-8)
    np.testing.assert_allclose(table.norm, np.abs(expected[0]), rtol=1e-8)
    assert table.converged.all()
    found = example_gauss_newton_norms(*options, chunk_size=chunk_size)
    np.testing.assert_allclose(found, expected[1], rtol=1e-9)
    found = example_gradient_norms(*options, chunk_size=chunk_size)
    np.testing.assert_allclose(found, expected[2], rtol=1e-12)


@settings(deadline=None, max_examples=20, derandomize=True)
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
    options = (model, functional.cross_entropy, inputs, targets)
    table = example_hessian_norms(*options, tolerance=1e-8)
    np.testing.assert_allclose(table.norm, expected, rtol=1e-7)
    np.testing.assert_allclose(example_gauss_newton_norms(*options), expected, rtol=1e-9)
    error = (p - functional.one_hot(targets, num_classes)).norm(dim=1) * square.sqrt()
    np.testing.assert_allclose(example_gradient_norms(*options), error, rtol=1e-9)


def test_a_loose_tolerance_takes_fewer_products_and_its_bound_holds():
    model, (inputs, targets) = small_net(), data(8)
    options = (model, functional.cross_entropy, inputs, targets)
    exact = example_hessian_norms(*options, tolerance=1e-10).norm
    loose = example_hessian_norms(*options, tolerance=0.3)
    assert (loose.num_products >= 3).all()
    assert loose.num_products.mean() < 6
    assert (loose.norm <= exact * (1 + 1e-9)).all()  # a Rayleigh quotient
    assert (loose.error <= 0.3 * loose.norm).all()


def test_too_few_products_are_admitted():
    options = (small_net(), functional.cross_entropy, *data())
    table = example_hessian_norms(*options, tolerance=1e-9, max_products=2)
    assert not table.converged.any()
    assert (table.num_products == 2).all()


def test_a_negative_eigenvalue_keeps_its_sign():
    model = nn.Linear(2, 1, bias=False).double()

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        return (targets * outputs.square()[:, 0] / 2).mean()

    inputs, targets = draw(4, 2), torch.tensor([-3.0, 2.0, -1.0, 0.5]).double()
    expected = (targets * inputs.square().sum(dim=1)).numpy()
    table = example_hessian_norms(model, loss_fn, inputs, targets)
    np.testing.assert_allclose(table.eigenvalue, expected, rtol=1e-9)
    found = example_gauss_newton_norms(model, loss_fn, inputs, targets)
    np.testing.assert_allclose(found, np.abs(expected), rtol=1e-9)


def test_one_example_of_a_resnet_agrees_with_the_batch_engine():
    model = resnet(8, seeded()).eval()
    images = torch.randn(2, 3, 8, 8, generator=seeded(1))
    labels = torch.tensor([3, 7])
    table = example_hessian_norms(model, functional.cross_entropy, images, labels, tolerance=1e-3)
    for number in range(2):
        one = images[[number]], labels[[number]]
        alone = hessian_norm(
            model, functional.cross_entropy, *one, batch_norm="eval", tolerance=1e-3
        )
        assert table.eigenvalue[number] == pytest.approx(alone.eigenvalue, rel=2e-3)


@pytest.mark.parametrize("score", SCORES)
def test_the_model_is_as_before(score):
    model = small_net()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    score(model, functional.cross_entropy, *data())
    assert model.training
    assert model[1].training
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("score", SCORES)
def test_a_bad_loss_names_its_example(score):
    inputs, targets = data()
    inputs[3] = torch.nan
    with pytest.raises(InputError, match="loss of example 3 is nan"):
        score(small_net(), functional.cross_entropy, inputs, targets, chunk_size=2)


def test_a_loss_without_a_second_derivative_is_refused():
    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        return ((outputs - outputs.detach()).abs() ** 1.5).sum()

    with pytest.raises(InputError, match="product is not finite"):
        example_hessian_norms(small_net(), loss_fn, *data())


@pytest.mark.parametrize("score", SCORES)
def test_bad_arguments_are_refused_in_one_sentence(score):
    inputs, targets = data()
    with pytest.raises(InputError, match="number of targets is 4"):
        score(small_net(), functional.cross_entropy, inputs, targets[:4])
    with pytest.raises(InputError, match="chunk_size is 0"):
        score(small_net(), functional.cross_entropy, inputs, targets, chunk_size=0)
    with pytest.raises(InputError, match=r"precision is 'torch\.float16'"):
        score(small_net().half(), functional.cross_entropy, inputs.half(), targets)
    with pytest.raises(InputError, match="number of examples is 0"):
        score(small_net(), functional.cross_entropy, inputs[:0], targets[:0])


OUTPUT_SCORES = (losses, el2n_scores, negative_margins, correct_predictions)
COUNT = 5


def dropout_net() -> nn.Module:
    model = nn.Sequential(
        nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(12, 4)
    ).double()
    with torch.no_grad():
        for number, p in enumerate(model.parameters()):
            p.copy_(draw(*p.shape, seed=number))
        model[1].running_mean.copy_(draw(3, seed=20))
        model[1].running_var.copy_(draw(3, seed=21).square() + 0.5)
    return model.train()  # eval mode is the scores' own affair


IMAGES, LABELS = draw(COUNT, 2, 3, 3, seed=30), torch.tensor([1, 0, 3, 2, 1])


# Loss, error vector's length, negative margin and correctness of one example, by plain loops.
def by_hand(z: list[float], y: int) -> tuple[float, float, float, bool]:
    total = math.fsum(math.exp(value) for value in z)
    p = [math.exp(value) / total for value in z]
    error = math.sqrt(math.fsum((p[k] - (k == y)) ** 2 for k in range(len(z))))
    other = max(value for k, value in enumerate(z) if k != y)
    return -math.log(p[y]), error, other - z[y], z[y] > other


@pytest.mark.parametrize("chunk_size", [1, 2, 5, 100])  # 2 leaves a ragged last chunk
def test_scores_are_those_of_single_examples_in_order(chunk_size):
    model = dropout_net().eval()
    logits = [model(image[None])[0].tolist() for image in IMAGES]
    expected = zip(*map(by_hand, logits, LABELS.tolist()), strict=True)
    for score, values in zip(OUTPUT_SCORES, expected, strict=True):
        found = score(dropout_net(), IMAGES, LABELS, chunk_size=chunk_size)
        assert found.dtype == (bool if score is correct_predictions else np.float64)
        np.testing.assert_allclose(found, values, rtol=1e-12, atol=1e-15)
        assert len(set(found)) == (2 if score is correct_predictions else COUNT)


def test_a_float32_network_is_scored_in_float64():
    model = nn.Identity()
    model.weight = nn.Parameter(torch.zeros(1))
    logits, labels = torch.tensor([[20.0, 0.0], [20.0, 0.0]]), torch.tensor([0, 1])
    np.testing.assert_allclose(losses(model, logits, labels), [math.log1p(math.exp(-20)), 20])


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.integers(2, 5), st.floats(-50, 50))
def test_a_constant_added_to_the_logits_changes_nothing(seed, num_classes, constant):
    model = nn.Linear(3, num_classes).double()
    inputs, labels = draw(4, 3, seed=seed), torch.arange(4) % num_classes
    before = [score(model, inputs, labels) for score in OUTPUT_SCORES]
    with torch.no_grad():
        model.bias += constant
    for score, expected in zip(OUTPUT_SCORES, before, strict=True):
        np.testing.assert_allclose(score(model, inputs, labels), expected, atol=1e-12)


def test_wrong_examples_have_positive_negative_margins():
    arguments = dropout_net(), IMAGES, LABELS
    np.testing.assert_array_equal(negative_margins(*arguments) < 0, correct_predictions(*arguments))


def fail(*_):
    raise KeyError


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("score", OUTPUT_SCORES)
def test_the_model_and_the_generators_are_as_before(score, fails):
    model = dropout_net()
    model[3].eval()
    model[4].weight.grad = torch.ones_like(model[4].weight)
    if fails:
        model[4].register_forward_hook(fail)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    if fails:
        with pytest.raises(KeyError):
            score(model, IMAGES, LABELS)
    else:
        score(model, IMAGES, LABELS)
    assert [m.training for m in model] == [True, True, True, False, True]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(model[4].weight.grad, torch.ones_like(model[4].weight))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


BAD = IMAGES.clone()
BAD[3, 0, 0, 0] = torch.nan


@pytest.mark.parametrize("score", OUTPUT_SCORES)
@pytest.mark.parametrize(
    ("images", "labels", "chunk_size", "message"),
    [
        (IMAGES, LABELS[:4], 2, "^The number of labels is 4; expected 5"),
        (IMAGES[:0], LABELS[:0], 2, "number of examples is 0; expected at least 1"),
        (IMAGES, LABELS, 0, "^chunk_size is 0; expected at least 1"),
        (BAD, LABELS, 2, "^The logits of example 3 is .*nan.*; expected finite numbers"),
        (IMAGES, torch.tensor([0, 1, 2, -100, 4]), 2, "^The label of example 3 is -100; expected"),
        (IMAGES, torch.tensor([0, 1, 2, 3, 4]), 2, "^The label of example 4 is 4; expected 0 to 3"),
        (IMAGES, LABELS.double(), 2, r"is 'torch\.float64 of shape \[2\]'; expected torch\.int64"),
        (IMAGES, LABELS[:, None], 2, r"is 'torch\.int64 of shape \[2, 1\]'; expected torch\.int64"),
    ],
)
def test_impossible_values_are_refused_in_one_sentence(score, images, labels, chunk_size, message):
    with pytest.raises(InputError, match=message):
        score(dropout_net(), images, labels, chunk_size=chunk_size)


def test_outputs_that_are_no_logits_are_refused():
    with pytest.raises(InputError, match=r"shape is \[5, 3, 2, 2\]; expected \[5, number of"):
        losses(dropout_net()[:1], IMAGES, LABELS)
    with pytest.raises(InputError, match="number of classes is 1; expected at least 2"):
        negative_margins(nn.Linear(2, 1), torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))


def counted_by_hand(history: list[bool]) -> int:
    count, learnt = 0, False
    for epoch, right in enumerate(history):
        learnt |= right
        count += epoch > 0 and history[epoch - 1] and not right
    return count if learnt else len(history)


@settings(deadline=None, derandomize=True)
@given(st_numpy.arrays(bool, st.tuples(st.integers(1, 9), st.integers(0, 4))))
def test_forgetting_is_counted_as_by_hand(correct):
    found = forgetting_counts(correct)
    assert found.dtype == np.float64
    assert found.tolist() == [counted_by_hand(history) for history in correct.T.tolist()]
    learnt = correct.any(axis=0)
    assert (found[learnt] < len(correct)).all()  # so that the never learnt are above them


def test_forgetting_of_known_histories():
    correct = np.array([[0, 1, 1, 0, 1], [0, 1, 0, 0, 0], [0, 1, 1, 1, 1], [0, 1, 0, 1, 1]])
    assert forgetting_counts(correct.astype(bool)).tolist() == [4, 0, 2, 0, 1]


@pytest.mark.parametrize(
    ("correct", "message"),
    [
        (np.ones((2, 3)), r"'float64 of shape \[2, 3\]'; expected bool of shape"),
        (
            np.ones(3, dtype=bool),
            r"'bool of shape \[3\]'; expected bool of shape \[num_epochs, n\]",
        ),
        (np.ones((0, 3), dtype=bool), r"'bool of shape \[0, 3\]'; expected"),
    ],
)
def test_other_histories_are_refused(correct, message):
    with pytest.raises(InputError, match=message):
        forgetting_counts(correct)
