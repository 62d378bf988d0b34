"""Hessian norms against dense float64 Hessians, closed forms and planted spectra."""

import copy
import math
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from networks import draw, filled, lived_in, seeded, small_net, unchanged
from scipy.sparse.linalg import eigsh
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from liprune_utils.checks import InputError
from liprune_utils.curvature import hessian_norm, hessian_operator, hessian_product, loss_gradient
from liprune_utils.models import resnet

pytestmark = pytest.mark.usefixtures("one_thread")
loss_fn = functional.cross_entropy

NETWORKS = {
    "linear": (nn.Linear(3, 3),),
    "perceptron": (nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)),
    "normalised": (nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Softplus(), nn.Linear(4, 3)),
    "convolutional": (
        nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3),
    ),
}  # fmt: skip


def case(name: str) -> tuple[nn.Sequential, Tensor, Tensor]:
    shape = (1, 3, 3) if name == "convolutional" else (3,)
    y = torch.randint(0, 3, (7,), generator=seeded(5))
    return filled(nn.Sequential(*copy.deepcopy(NETWORKS[name]))), draw(7, *shape, seed=9), y


def normalise(x: Tensor, layer: nn.Module, weight: Tensor, bias: Tensor, mode: str) -> Tensor:
    """Batch norm by its formula, independent of torch's."""
    axes = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    mean, variance = layer.running_mean.view(shape), layer.running_var.view(shape)
    if mode == "train":
        mean = x.mean(axes, keepdim=True)
        variance = (x - mean).square().mean(axes, keepdim=True)
    return (x - mean) / (variance + layer.eps).sqrt() * weight.view(shape) + bias.view(shape)


def dense_logits(model: nn.Sequential, w: Tensor, x: Tensor, mode: str) -> Tensor:
    """The outputs of a sequence of layers as a pure function of their flat parameters."""
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


def dense_hessian(model: nn.Sequential, x: Tensor, y: Tensor, mode: str = "train") -> Tensor:
    flat = torch.cat([p.detach().reshape(-1) for p in model.parameters()])

    def loss(w: Tensor) -> Tensor:
        logits = dense_logits(model, w, x, mode)
        return (logits.logsumexp(1) - logits.gather(1, y[:, None])[:, 0]).mean()

    return torch.func.hessian(loss)(flat)


def largest(H: Tensor) -> float:
    values = torch.linalg.eigvalsh(H)
    return values[values.abs().argmax()].item()


class Potential(nn.Module):
    """A function of the parameter vector alone; its batch is ignored."""

    def __init__(self, function, start: Tensor):
        super().__init__()
        self.w = nn.Parameter(start)
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(self.w)


def potential_norm(function, start: Tensor, **options):
    nothing = torch.zeros(1, dtype=start.dtype)
    model = Potential(function, start)
    return hessian_norm(model, lambda out, _: out, nothing, nothing, **options)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", NETWORKS)
def test_products_and_norm_are_those_of_the_dense_hessian(name, mode):
    model, x, y = case(name)
    H = dense_hessian(model, x, y, mode)
    gradient = loss_gradient(model, loss_fn, x, y, batch_norm=mode, differentiable=True)
    identity = torch.eye(len(H), dtype=torch.float64)
    columns = torch.stack([hessian_product(model, gradient, e) for e in identity], dim=1)
    torch.testing.assert_close(columns, H, rtol=1e-9, atol=1e-9)
    result = hessian_norm(model, loss_fn, x, y, batch_norm=mode, tolerance=1e-9, max_products=99)
    assert result.converged
    assert result.eigenvalue == pytest.approx(largest(H), rel=1e-9)
    v = result.eigenvector
    torch.testing.assert_close(H @ v, result.eigenvalue * v, rtol=0, atol=1e-4 * result.norm)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_operator_is_the_dense_hessian_of_the_trainable_parameters(name, frozen):
    model, x, y = case(name)
    H = dense_hessian(model, x, y)
    if frozen and name != "linear":
        H = H[model[0].weight.numel() :, model[0].weight.numel() :]
        model[0].weight.requires_grad_(False)
    operator = hessian_operator(model, loss_fn, x, y)
    assert operator.shape == H.shape
    np.testing.assert_allclose(operator @ np.eye(len(H)), H, rtol=1e-9, atol=1e-9)
    result = hessian_norm(model, loss_fn, x, y, tolerance=1e-9)
    assert result.eigenvector.shape == (len(H),)
    assert result.eigenvalue == pytest.approx(largest(H))


def test_both_routes_agree_on_a_resnet():
    batch = resnet(8, seeded()).double(), loss_fn, draw(6, 3, 8, 8), torch.arange(6)
    operator = hessian_operator(*batch)
    start = draw(operator.shape[0], seed=3).numpy()
    value = eigsh(operator, k=1, which="LM", v0=start, tol=1e-6, return_eigenvectors=False)
    assert hessian_norm(*batch, tolerance=1e-8).eigenvalue == pytest.approx(value[0], rel=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_single_precision_agrees_with_double(name):
    model, x, y = case(name)
    double = hessian_norm(model, loss_fn, x, y, tolerance=1e-4)
    single = hessian_norm(model.float(), loss_fn, x.float(), y, tolerance=1e-4)
    assert single.converged
    assert single.eigenvalue == pytest.approx(double.eigenvalue, rel=1e-4)


def test_memory_format_does_not_matter():
    model, x, y = case("convolutional")
    contiguous = hessian_norm(model, loss_fn, x, y)
    last = torch.channels_last
    model, x = model.to(memory_format=last), x.contiguous(memory_format=last)
    strided = hessian_norm(model, loss_fn, x, y)
    assert strided.eigenvalue == pytest.approx(contiguous.eigenvalue, rel=1e-10)


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "function", [torch.sum, lambda w: 0 * w.square().sum()], ids=["linear", "flat"]
)
def test_zero_hessian_has_norm_zero(function, dtype):
    result = potential_norm(function, draw(4).to(dtype))
    assert (result.norm, result.residual, result.num_products) == (0, 0, 1)
    assert result.converged


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_order_and_duplication_leave_the_norm_unchanged(mode):
    model, x, y = case("normalised")
    options = {"batch_norm": mode, "tolerance": 1e-6}
    norms = [
        hessian_norm(model, loss_fn, x[rows], y[rows], **options).norm
        for rows in (list(range(7)), [3, 0, 6, 1, 5, 2, 4], list(range(7)) * 2)
    ]
    assert norms[1:] == pytest.approx([norms[0]] * 2, rel=1e-10)


def test_norm_scales_with_the_loss():
    model, x, y = case("perceptron")
    norm = hessian_norm(model, loss_fn, x, y).norm
    scaled = hessian_norm(model, lambda *pair: 1e-9 * loss_fn(*pair), x, y).norm
    assert scaled == pytest.approx(1e-9 * norm)


def test_seed_fixes_the_result_and_does_not_decide_it():
    model, x, y = case("convolutional")
    first, again, other = (
        hessian_norm(model, loss_fn, x, y, seed=seed, tolerance=1e-6) for seed in (1, 1, 2)
    )
    assert first == again
    assert torch.equal(first.eigenvector, again.eigenvector)
    assert first.residual != other.residual
    assert first.norm == pytest.approx(other.norm, rel=1e-6)


def test_a_good_start_saves_products_and_changes_nothing_else():
    model, x, y = case("linear")
    cold = hessian_norm(model, loss_fn, x, y, tolerance=1e-8)
    warm = hessian_norm(model, loss_fn, x, y, tolerance=1e-8, start=cold.guess)
    assert warm.norm == pytest.approx(cold.norm, rel=1e-7)
    assert warm.num_products < cold.num_products


def test_unused_parameters_add_zeros():
    model, x, y = case("perceptron")
    norm = hessian_norm(model, loss_fn, x, y, tolerance=1e-9).norm
    model.register_parameter("unused", nn.Parameter(draw(2)))
    result = hessian_norm(model, loss_fn, x, y, tolerance=1e-9)
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
        return loss_fn(out, targets) + 5 * penalty

    expected = largest(dense_hessian(model, x, y) + 10 * torch.eye(31))
    result = hessian_norm(model, decayed, x, y, tolerance=1e-9)
    assert result.eigenvalue == pytest.approx(expected)


def test_dropout_is_off_and_gradients_are_on():
    model, x, y = case("perceptron")
    norm = hessian_norm(model, loss_fn, x, y).norm
    model.insert(1, nn.Dropout(0.5))
    with torch.no_grad():
        assert hessian_norm(model, loss_fn, x, y).norm == norm


def operate(*arguments) -> np.ndarray:
    operator = hessian_operator(*arguments)
    return operator @ np.ones(operator.shape[1])


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("batch_norm", ["train", "eval", "operator"])
def test_model_and_generator_are_left_as_they_were(batch_norm, fails):
    def restless(out: Tensor, targets: Tensor) -> Tensor:
        noise = torch.rand(()) * torch.rand((), dtype=torch.float64)
        if fails:
            raise KeyError
        return loss_fn(out + 0 * noise, targets)

    model, batch = lived_in(), (draw(5, 2, 3, 3), torch.arange(5) % 4)
    with unchanged(model), pytest.raises(KeyError) if fails else nullcontext():
        if batch_norm == "operator":
            operate(model, restless, *batch)
        else:
            hessian_norm(model, restless, *batch, batch_norm=batch_norm)


FRESH = """
import numpy as np, torch
from liprune_utils.curvature import hessian_operator
model = torch.nn.Linear(2, 2)
hessian = hessian_operator(
    model, torch.nn.functional.cross_entropy, torch.ones(1, 2), torch.zeros(1, dtype=int)
)
print((hessian @ np.ones(6)).shape)
"""


def test_no_warning_escapes_the_operator():
    # in a new process, since torch warns on first use alone
    command = [sys.executable, "-W", "error::FutureWarning", "-c", FRESH]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "(6,)\n", "")


def test_gradient_is_that_of_backward():
    model, x, y = case("convolutional")
    gradient = loss_gradient(model, loss_fn, x, y)
    assert not gradient.requires_grad
    loss_fn(model.train()(x), y).backward()
    expected = torch.cat([parameter.grad.reshape(-1) for parameter in model.parameters()])
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize(
    ("function", "start", "message"),
    [
        (lambda w: w.sum() * math.nan, torch.ones(2), "^The loss is nan; expected a finite number"),
        (lambda w: w.sum() * math.inf, torch.ones(2), "^The loss is inf; expected a finite number"),
        (lambda w: w.abs().pow(1.5).sum(), torch.zeros(2), "^A Hessian-vector product is not fini"),
        (lambda w: w.detach().sum(), draw(2), "^The loss does not depend on the model's trainable"),
        (lambda w: draw(1).requires_grad_().sum(), draw(2), "^The loss does not depend on the mod"),
        (lambda w: w, draw(2), r"^The loss's shape is \[2\]; expected a scalar"),
        (lambda w: w.sum().half(), draw(2), "^The loss's precision is 'torch.float16'; expected"),
    ],
)
def test_losses_without_a_hessian_norm_are_refused(function, start, message):
    with pytest.raises(InputError, match=message):
        potential_norm(function, start)


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
        hessian_norm(model, loss_fn, x, y)


def test_single_example_is_scored_in_eval_mode():
    model, x, y = case("normalised")
    H = dense_hessian(model, x[:1], y[:1], "eval")
    result = hessian_norm(model, loss_fn, x[:1], y[:1], batch_norm="eval")
    assert result.eigenvalue == pytest.approx(largest(H), rel=1e-2)


def test_half_precision_by_autocast_is_refused():
    model, x, y = case("perceptron")
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(InputError, match=r"^Autocast is True; expected full precision"),
    ):
        hessian_norm(model.float(), loss_fn, x.float(), y)


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
    with pytest.raises(InputError, match=f"^{option} is {value!r}; expected"):
        hessian_norm(small_net(), loss_fn, draw(4, 2, 3, 3), torch.arange(4), **{option: value})


def test_a_checkpoint_that_cannot_run_as_before_is_refused():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))

    class Recomputed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(self.layer, x, use_reentrant=False)

    with pytest.raises(InputError, match="score the model without it"):
        hessian_norm(Recomputed(), loss_fn, draw(4, 3).float(), torch.arange(4) % 3)
