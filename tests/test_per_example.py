"""Scores of single examples against dense float64 derivatives and closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from liprune_utils.curvature import hessian_norm
from liprune_utils.models import resnet
from liprune_utils.parameters import InputError
from liprune_utils.per_example import (
    example_gauss_newton_norms,
    example_gradient_norms,
    example_hessian_norms,
)

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
