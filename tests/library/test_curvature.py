"""Hessian norms against dense float64 Hessians, closed forms and planted spectra."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigsh
from torch import Tensor, nn
from torch.nn import functional

from liprune_utils.checks import InputError
from liprune_utils.curvature import (
    forward_over_reverse,
    hessian_norm,
    hessian_product,
    loss_gradient,
)
from liprune_utils.models import resnet

pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64).to(dtype)


def filled(model: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Module:
    model = model.to(dtype)
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=number))
        for number, buffer in enumerate(model.buffers()):
            if buffer.is_floating_point():
                buffer.copy_(draw(*buffer.shape, seed=100 + number).square() + 0.5)
    return model


# Batch norm by its formula, independent of torch's.
def normalise(x: Tensor, layer: nn.Module, weight: Tensor, bias: Tensor, mode: str) -> Tensor:
    axes = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    mean, variance = layer.running_mean.view(shape), layer.running_var.view(shape)
    if mode == "train":
        mean = x.mean(axes, keepdim=True)
        variance = (x - mean).square().mean(axes, keepdim=True)
    return (x - mean) / (variance + layer.eps).sqrt() * weight.view(shape) + bias.view(shape)


# The outputs of a sequence of layers as a pure function of their flat parameters.
def dense_logits(model: nn.Sequential, w: Tensor, x: Tensor, mode: str) -> Tensor:
    for layer in model:
        sizes = [parameter.numel() for parameter in layer.parameters()]
        parts = w[: sum(sizes)].split(sizes)
        parts = [a.view(b.shape) for a, b in zip(parts, layer.parameters(), strict=True)]
        w = w[sum(sizes) :]
        if isinstance(layer, nn.Linear):
            x = x @ parts[0].T + parts[1]
        elif isinstance(layer, nn.Conv2d):
            x = functional.conv2d(x, *parts)
        elif parts:
            x = normalise(x, layer, *parts, mode)
        else:
            x = layer(x)
    return x


def dense_hessian(model: nn.Sequential, x: Tensor, y: Tensor, mode: str) -> Tensor:
    flat = torch.cat([p.detach().reshape(-1) for p in model.parameters()])

    def loss(w: Tensor) -> Tensor:
        logits = dense_logits(model, w, x, mode)
        return (logits.logsumexp(1) - logits.gather(1, y[:, None])[:, 0]).mean()

    return torch.func.hessian(loss)(flat)


def largest(H: Tensor) -> float:
    values = torch.linalg.eigvalsh(H)
    return values[values.abs().argmax()].item()


def columns(model: nn.Module, gradient: Tensor) -> Tensor:
    identity = torch.eye(gradient.numel(), dtype=gradient.dtype)
    return torch.stack([hessian_product(model, gradient, e) for e in identity], dim=1)


NETWORKS = {
    "linear": lambda: nn.Sequential(nn.Linear(3, 3)),
    "perceptron": lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)),
    "normalised": lambda: nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Softplus(), nn.Linear(4, 3)
    ),
    "convolutional": lambda: nn.Sequential(
        nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)
    ),
}


def case(name: str, dtype: torch.dtype = torch.float64) -> tuple[nn.Sequential, Tensor, Tensor]:
    shape = (1, 3, 3) if name == "convolutional" else (3,)
    y = torch.randint(0, 3, (7,), generator=seeded(5))
    return filled(NETWORKS[name](), dtype), draw(7, *shape, seed=9, dtype=dtype), y


class _Potential(nn.Module):
    """A function of the parameter vector alone; its batch is ignored."""

    def __init__(self, function, start: Tensor):
        super().__init__()
        self.w = nn.Parameter(start)
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(self.w)


def potential_norm(function, start: Tensor, **options):
    nothing = torch.zeros(1, dtype=start.dtype)
    return hessian_norm(
        _Potential(function, start), lambda out, _: out, nothing, nothing, **options
    )


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", NETWORKS)
def test_products_and_norm_are_those_of_the_dense_hessian(name, mode):
    model, x, y = case(name)
    H = dense_hessian(model, x, y, mode)
    gradient = loss_gradient(
        model, functional.cross_entropy, x, y, batch_norm=mode, differentiable=True
    )
    torch.testing.assert_close(columns(model, gradient), H, rtol=1e-9, atol=1e-9)
    result = hessian_norm(
        model, functional.cross_entropy, x, y, batch_norm=mode, tolerance=1e-9, max_products=99
    )
    assert result.converged
    assert result.eigenvalue == pytest.approx(largest(H), rel=1e-9)
    v = result.eigenvector
    torch.testing.assert_close(H @ v, result.eigenvalue * v, rtol=0, atol=1e-4 * result.norm)


def test_the_two_modes_of_batch_norm_differ():
    model, x, y = case("normalised")
    train, evaluation = (
        hessian_norm(model, functional.cross_entropy, x, y, batch_norm=mode).norm
        for mode in ("train", "eval")
    )
    assert abs(train - evaluation) > 0.1 * evaluation


@pytest.mark.parametrize("name", NETWORKS)
def test_single_precision_agrees_with_double(name):
    results = [
        hessian_norm(*(m, functional.cross_entropy, x, y), tolerance=1e-4)
        for m, x, y in (case(name, torch.float32), case(name))
    ]
    assert results[0].converged
    assert results[0].eigenvalue == pytest.approx(results[1].eigenvalue, rel=1e-4)


def test_residual_in_single_precision_is_that_of_the_products():
    model, x, y = case("convolutional", torch.float32)
    gradient = loss_gradient(model, functional.cross_entropy, x, y, differentiable=True)
    result = hessian_norm(model, functional.cross_entropy, x, y, tolerance=0.1)
    v = result.eigenvector
    error = hessian_product(model, gradient, v).double() - result.eigenvalue * v
    assert result.residual == pytest.approx(error.norm().item(), rel=1e-3)


def test_product_on_a_resnet_is_the_derivative_of_its_gradient():
    model = resnet(8, seeded()).double()
    x, y = draw(6, 3, 8, 8), torch.arange(6)
    batch = (model, functional.cross_entropy, x, y)
    gradient = loss_gradient(*batch, differentiable=True)
    v = functional.normalize(draw(gradient.numel()), dim=0)
    product = hessian_product(model, gradient, v)
    w = nn.utils.parameters_to_vector(model.parameters()).detach()
    ends = []
    for step in (1e-5, -1e-5):
        nn.utils.vector_to_parameters(w + step * v, model.parameters())
        ends.append(loss_gradient(*batch))
    difference = (ends[0] - ends[1]) / 2e-5
    torch.testing.assert_close(product, difference, rtol=0, atol=1e-4 * product.norm().item())


@pytest.mark.parametrize("function", [torch.sum, lambda w: w.square().sum()])
def test_product_has_the_precision_of_the_gradient(function):
    model, nothing = _Potential(function, torch.ones(3)), torch.zeros(1)
    gradient = loss_gradient(model, lambda out, _: out, nothing, nothing, differentiable=True)
    assert hessian_product(model, gradient, draw(3)).dtype == torch.float32


def test_memory_format_does_not_matter():
    model, x, y = case("convolutional")
    contiguous = hessian_norm(model, functional.cross_entropy, x, y)
    last = torch.channels_last
    model, x = model.to(memory_format=last), x.contiguous(memory_format=last)
    strided = hessian_norm(model, functional.cross_entropy, x, y)
    assert strided.eigenvalue == pytest.approx(contiguous.eigenvalue, rel=1e-10)


def test_linear_regression_has_the_norm_of_its_gram_matrix():
    X = draw(11, 5)
    model = filled(nn.Linear(5, 1, bias=False))
    result = hessian_norm(
        model, lambda out, y: (out - y).square().mean() / 2, X, draw(11, 1, seed=1)
    )
    assert result.eigenvalue == pytest.approx(torch.linalg.norm(X, 2).item() ** 2 / 11, rel=1e-2)


def test_logistic_regression_has_its_closed_form():
    X, y = draw(11, 5), torch.rand(11, 1, generator=seeded(), dtype=torch.float64).round()
    model = filled(nn.Linear(5, 1, bias=False))
    p = torch.sigmoid(X @ model.weight.detach().T)
    expected = torch.linalg.norm(X.T @ (p * (1 - p) * X) / 11, 2).item()
    loss = functional.binary_cross_entropy_with_logits
    assert hessian_norm(model, loss, X, y, tolerance=1e-9).norm == pytest.approx(expected)


def test_dominant_negative_eigenvalue_keeps_its_sign():
    scales = torch.tensor([-3.0, 1.0, 2.0, 0.5], dtype=torch.float64)
    result = potential_norm(lambda w: (scales * w.square()).sum(), draw(4), tolerance=1e-9)
    assert result.eigenvalue == pytest.approx(-6)
    assert result.norm == pytest.approx(6)
    assert result.eigenvector.abs()[0] == pytest.approx(1)


@pytest.mark.parametrize(
    "function", [torch.sum, lambda w: 0 * w.square().sum()], ids=["linear", "flat"]
)
def test_zero_hessian_has_norm_zero(function):
    result = potential_norm(function, draw(4))
    assert (result.norm, result.residual, result.num_products) == (0, 0, 1)
    assert result.converged


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_order_and_duplication_leave_the_norm_unchanged(mode):
    model, x, y = case("normalised")
    options = {"batch_norm": mode, "tolerance": 1e-6}
    norms = [
        hessian_norm(model, functional.cross_entropy, x[rows], y[rows], **options).norm
        for rows in (list(range(7)), [3, 0, 6, 1, 5, 2, 4], list(range(7)) * 2)
    ]
    assert norms[1:] == pytest.approx([norms[0]] * 2, rel=1e-10)


def test_norm_scales_with_the_loss():
    model, x, y = case("perceptron")
    norm = hessian_norm(model, functional.cross_entropy, x, y).norm
    scaled = hessian_norm(model, lambda *pair: 1e-9 * functional.cross_entropy(*pair), x, y).norm
    assert scaled == pytest.approx(1e-9 * norm)


def test_seed_fixes_the_result_and_does_not_decide_it():
    batch = case("convolutional")
    first, again, other = (
        hessian_norm(batch[0], functional.cross_entropy, *batch[1:], seed=s, tolerance=1e-6)
        for s in (1, 1, 2)
    )
    assert first == again
    assert torch.equal(first.eigenvector, again.eigenvector)
    assert first.residual != other.residual
    assert first.norm == pytest.approx(other.norm, rel=1e-6)


def test_a_good_start_saves_products_and_changes_nothing_else():
    batch = case("linear")
    options = {"tolerance": 1e-8}
    cold = hessian_norm(batch[0], functional.cross_entropy, *batch[1:], **options)
    warm = hessian_norm(batch[0], functional.cross_entropy, *batch[1:], start=cold.guess, **options)
    assert warm.norm == pytest.approx(cold.norm, rel=1e-7)
    assert warm.num_products < cold.num_products


def test_frozen_parameters_are_constants():
    model, x, y = case("perceptron")
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    H = dense_hessian(model, x, y, "train")[16:, 16:]
    result = hessian_norm(model, functional.cross_entropy, x, y, tolerance=1e-9)
    assert result.eigenvector.shape == (15,)
    assert result.eigenvalue == pytest.approx(largest(H))


def test_unused_parameters_add_zeros():
    model, x, y = case("perceptron")
    norm = hessian_norm(model, functional.cross_entropy, x, y, tolerance=1e-9).norm
    model.register_parameter("unused", nn.Parameter(draw(2)))
    result = hessian_norm(model, functional.cross_entropy, x, y, tolerance=1e-9)
    assert result.norm == pytest.approx(norm)
    assert result.eigenvector.shape == (33,)


def test_shared_parameter_counts_once():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)).double()
    model[1].weight = model[0].weight
    nn.init.constant_(model[0].weight, 3.0)
    one = torch.ones(1, 1, dtype=torch.float64)
    result = hessian_norm(model, lambda out, _: out.mean(), one, one)  # w^2 has curvature 2
    assert result.eigenvalue == pytest.approx(2)


def test_weight_decay_within_the_loss_shifts_the_spectrum():
    model, x, y = case("perceptron")

    def decayed(out: Tensor, targets: Tensor) -> Tensor:
        penalty = sum(parameter.square().sum() for parameter in model.parameters())
        return functional.cross_entropy(out, targets) + 5 * penalty

    expected = largest(dense_hessian(model, x, y, "train") + 10 * torch.eye(31))
    result = hessian_norm(model, decayed, x, y, tolerance=1e-9)
    assert result.eigenvalue == pytest.approx(expected)


def test_dropout_is_off_and_gradients_are_on():
    model, x, y = case("perceptron")
    norm = hessian_norm(model, functional.cross_entropy, x, y).norm
    model.insert(1, nn.Dropout(0.5))
    with torch.no_grad():
        assert hessian_norm(model, functional.cross_entropy, x, y).norm == norm


# Draws from torch's global generator, and may fail in the middle.
def restless(fail: bool):
    def loss(out: Tensor, targets: Tensor) -> Tensor:
        noise = torch.rand(()) * torch.rand((), dtype=torch.float64)
        if fail:
            raise RuntimeError("stop")
        return functional.cross_entropy(out * (1 + noise), targets)

    return loss


def snapshot(model: nn.Module) -> tuple[list, list]:
    tensors = [*model.parameters(), *model.buffers(), *(p.grad for p in model.parameters())]
    flags = [module.training for module in model.modules()]
    flags += [parameter.requires_grad for parameter in model.parameters()]
    flags += [tensor if tensor is None else tensor._version for tensor in tensors]
    return flags, [
        None if t is None else t.detach().clone() for t in [*tensors, torch.get_rng_state()]
    ]


# A network with modes, gradients and flags unlike those of a new one.
def lived_in() -> tuple[nn.Sequential, Tensor, Tensor]:
    model, x, y = case("convolutional")
    model.train()
    model[1].eval()
    model[4].weight.grad = draw(3, 8)
    model[4].bias.requires_grad_(False)
    return model, x, y


def assert_unchanged(before: tuple[list, list], after: tuple[list, list]) -> None:
    assert before[0] == after[0]
    assert all(a is b or torch.equal(a, b) for a, b in zip(before[1], after[1], strict=True))


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("fail", [False, True])
def test_model_and_generator_are_left_as_they_were(mode, fail):
    model, x, y = lived_in()
    before = snapshot(model)
    try:
        hessian_norm(model, restless(fail), x, y, batch_norm=mode)
    except RuntimeError:
        assert fail
    assert_unchanged(before, snapshot(model))


@pytest.mark.parametrize("fail", [False, True])
def test_forward_over_reverse_leaves_model_and_generator_as_they_were(fail):
    model, x, y = lived_in()
    before = snapshot(model)
    hessian = forward_over_reverse(model, restless(fail), x, y)
    try:
        hessian @ np.ones(hessian.shape[1])
    except RuntimeError:
        assert fail
    assert_unchanged(before, snapshot(model))


@pytest.mark.parametrize("name", NETWORKS)
def test_forward_over_reverse_is_the_dense_hessian(name):
    model, x, y = case(name)
    H = dense_hessian(model, x, y, "train").numpy()
    hessian = forward_over_reverse(model, functional.cross_entropy, x, y)
    assert hessian.shape == H.shape
    np.testing.assert_allclose(hessian @ np.eye(len(H)), H, rtol=1e-9, atol=1e-9)


def test_forward_over_reverse_holds_frozen_parameters_constant():
    model, x, y = case("perceptron")
    H = dense_hessian(model, x, y, "train")[16:, 16:]
    model[0].requires_grad_(False)
    hessian = forward_over_reverse(model, functional.cross_entropy, x, y)
    np.testing.assert_allclose(hessian @ np.eye(15), H, rtol=1e-9, atol=1e-9)


def test_both_routes_agree_on_a_resnet():
    model, y = resnet(8, seeded()).double(), torch.arange(6)
    batch = (model, functional.cross_entropy, draw(6, 3, 8, 8), y)
    hessian = forward_over_reverse(*batch)
    start = draw(hessian.shape[0], seed=3).numpy()
    value = eigsh(hessian, k=1, which="LM", v0=start, tol=1e-6, return_eigenvectors=False)
    assert hessian_norm(*batch, tolerance=1e-8).eigenvalue == pytest.approx(value[0], rel=1e-6)


FRESH = """
import numpy as np, torch
from liprune_utils.curvature import forward_over_reverse
model = torch.nn.Linear(2, 2)
hessian = forward_over_reverse(
    model, torch.nn.functional.cross_entropy, torch.ones(1, 2), torch.zeros(1, dtype=int)
)
print((hessian @ np.ones(6)).shape)
"""


def test_no_warning_escapes_forward_over_reverse():
    # in a new process, since torch warns on first use alone
    command = [sys.executable, "-W", "error::FutureWarning", "-c", FRESH]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "(6,)\n", "")


def test_gradient_is_that_of_backward():
    model, x, y = case("convolutional")
    gradient = loss_gradient(model, functional.cross_entropy, x, y)
    assert not gradient.requires_grad
    functional.cross_entropy(model.train()(x), y).backward()
    expected = torch.cat([parameter.grad.reshape(-1) for parameter in model.parameters()])
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_loss_that_is_not_finite_is_refused(value):
    with pytest.raises(InputError, match=f"^The loss is {value}; expected a finite number"):
        potential_norm(lambda w: w.sum() * value, torch.ones(2))


def test_product_that_is_not_finite_is_refused():
    with pytest.raises(InputError, match=r"^A Hessian-vector product is not finite"):
        potential_norm(lambda w: w.abs().pow(1.5).sum(), torch.zeros(2))


@pytest.mark.parametrize("extra", [0.0, draw(1).requires_grad_()], ids=["constant", "foreign"])
def test_loss_that_does_not_depend_on_the_parameters_is_refused(extra):
    with pytest.raises(InputError, match=r"^The loss does not depend on the model's trainable"):
        potential_norm(lambda w: w.detach().sum() + torch.as_tensor(extra).sum(), draw(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, x, y: (m.requires_grad_(False), x, y), "trainable parameters is 0; expected"),
        (lambda m, x, y: (m, x[:0], y[:0]), "examples is 0; expected at least 1"),
        (lambda m, x, y: (m, x[:1], y[:1]), "examples is 1; expected at least 2 for train-mode"),
        (lambda m, x, y: (m.half(), x.half(), y), "'torch.float16'; expected torch.float32 or"),
        (lambda m, x, y: (m.bfloat16(), x.bfloat16(), y), "precision is 'torch.bfloat16'"),
        (lambda m, x, y: (m[1].float() and m, x, y), "'torch.float32, torch.float64'; expected"),
    ],
    ids=["frozen", "empty", "single", "half", "bfloat16", "mixed"],
)
def test_batch_or_model_that_cannot_be_scored_is_refused(change, message):
    model, x, y = change(*case("normalised"))
    with pytest.raises(InputError, match=message):
        hessian_norm(model, functional.cross_entropy, x, y)


def test_single_example_is_scored_in_eval_mode():
    model, x, y = case("normalised")
    H = dense_hessian(model, x[:1], y[:1], "eval")
    result = hessian_norm(model, functional.cross_entropy, x[:1], y[:1], batch_norm="eval")
    assert result.eigenvalue == pytest.approx(largest(H), rel=1e-2)


def test_half_precision_by_autocast_is_refused():
    model, x, y = case("perceptron", torch.float32)
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(InputError, match=r"^Autocast is True; expected full precision"),
    ):
        hessian_norm(model, functional.cross_entropy, x, y)


@pytest.mark.parametrize(
    ("loss_fn", "message"),
    [
        (lambda out, y: functional.cross_entropy(out, y, reduction="none"), r"shape is \[7\]"),
        (
            lambda out, y: functional.cross_entropy(out, y).half(),
            "loss's precision is 'torch.float16'",
        ),
    ],
)
def test_loss_that_is_no_full_precision_mean_is_refused(loss_fn, message):
    with pytest.raises(InputError, match=message):
        hessian_norm(case("linear")[0], loss_fn, *case("linear")[1:])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("tolerance", 0),
        ("tolerance", 1.0),
        ("tolerance", math.nan),
        ("max_products", 0),
        ("batch_norm", "test"),
    ],
)
def test_options_out_of_range_are_refused(option, value):
    model, x, y = case("linear")
    with pytest.raises(InputError, match=f"^{option} is {value!r}; expected"):
        hessian_norm(model, functional.cross_entropy, x, y, **{option: value})
