r"""The Hessian norm of one function: the largest :math:`|\lambda|` of a batch's loss Hessian.

Lanczos' method on exact Hessian-vector products (paper, Section 3, "Using the Hessian").
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp

from liprune_utils.batch_norm import BatchNorm, fast_batch_norm
from liprune_utils.checks import InputError, require
from liprune_utils.lanczos import DominantEigenvalue, lanczos

Loss = Callable[[Tensor, Tensor], Tensor]  # (outputs, targets) -> mean over the batch, a scalar
Mode = Literal["train", "eval"]


def hessian_norm(
    model: nn.Module,
    loss_fn: Loss,
    inputs: Tensor,
    targets: Tensor,
    *,
    batch_norm: Mode = "train",
    seed: int = 0,
    start: Tensor | None = None,
    tolerance: float = 1e-2,
    max_products: int = 50,
    rough: bool = False,
) -> DominantEigenvalue:
    r"""Compute the norm of the Hessian of a batch's mean loss over the trainable parameters.

    .. math:: \Big\| \nabla_w^2 \frac1B \sum_{i=1}^B \ell(f_w(x_i), y_i) \Big\|_2

    The model is left as it was: parameters, gradients, buffers, modes; so are torch's generators.

    Args:
        model: Any network whose operations can be differentiated twice, float32 or float64.
        loss_fn: Mean loss, (outputs, targets) -> scalar.
        inputs: The batch, shape ``[B, ...]``.
        targets: Its targets, shape ``[B, ...]``.
        batch_norm: "train" normalises by the batch's own statistics and differentiates through
            them, "eval" by the running ones. All other modules are in eval mode.
        seed: Seed of a random start vector.
        start: A start vector instead of a random one, shape ``[num_parameters]``. The ``guess`` of
            a similar batch or of nearby weights saves two or three products.
        tolerance: Stop when the estimated error is at most this fraction of the norm, in (0, 1).
        max_products: Stop after this many Hessian-vector products at the latest, >= 1.
        rough: As in `liprune_utils.lanczos.lanczos`.

    Returns:
        The norm, with its eigenvector in the order of ``model.parameters()``.

    Example:
        >>> from torch.nn import functional
        >>> x = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
        >>> line = nn.Linear(2, 1, bias=False)
        >>> result = hessian_norm(line, functional.mse_loss, x, torch.zeros(2, 1))
        >>> round(result.norm, 4)  # the mean of (w x)^2 has the Hessian 2 x x' / 2, and |x| = 5
        25.0
    """
    gradient = loss_gradient(
        model, loss_fn, inputs, targets, batch_norm=batch_norm, differentiable=True
    )
    if start is None:
        generator = torch.Generator().manual_seed(seed)
        start = torch.randn(gradient.numel(), generator=generator, dtype=torch.float64)

    def product(vector: Tensor) -> Tensor:
        return hessian_product(model, gradient, vector).double()

    start = start.to(gradient.device).double()
    return lanczos(product, start, tolerance, max_products, rough)


def loss_gradient(
    model: nn.Module,
    loss_fn: Loss,
    inputs: Tensor,
    targets: Tensor,
    *,
    batch_norm: Mode = "train",
    differentiable: bool = False,
) -> Tensor:
    """Compute the gradient of a batch's mean loss, leaving the model as it was.

    The arguments are those of `hessian_norm`; ``differentiable`` keeps the graph that
    `hessian_product` needs.

    Returns:
        The gradient, shape ``[num_parameters]``, in the order of ``model.parameters()``.

    Raises:
        InputError: If train-mode batch norm has too small a batch, the precision is not float32 or
            float64, or the loss is not a finite scalar that depends on a trainable parameter.
    """
    check_arguments(model, inputs, batch_norm)
    parameters = _trainable(model)
    with scoring_mode(model, batch_norm), fast_batch_norm(model), torch.enable_grad():
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        loss = loss_fn(functional_call(model, buffers, (inputs,)), targets)
        _check_loss(loss)
        gradients = [None] * len(parameters)
        if loss.requires_grad:
            gradients = torch.autograd.grad(
                loss, parameters, create_graph=differentiable, allow_unused=True
            )
        if all(g is None for g in gradients):
            raise InputError("The loss does not depend on the model's trainable parameters.")
        pairs = zip(gradients, parameters, strict=True)
        return _flat([torch.zeros_like(p) if g is None else g for g, p in pairs])


def hessian_product(model: nn.Module, gradient: Tensor, vector: Tensor) -> Tensor:
    """Multiply the Hessian by a vector: a second backward pass, through the gradient's graph.

    Args:
        model: The model of the gradient, its parameters unchanged since.
        gradient: From `loss_gradient` with ``differentiable=True``, shape ``[num_parameters]``.
        vector: The vector :math:`v`, shape ``[num_parameters]``.

    Returns:
        The product :math:`H v`, shape ``[num_parameters]``, in the gradient's precision.
    """
    vector = vector.to(gradient)  # its precision and device
    if not gradient.requires_grad:  # the loss is linear in the parameters
        return torch.zeros_like(vector)
    products = torch.autograd.grad(
        gradient, _trainable(model), vector, retain_graph=True, materialize_grads=True
    )
    return _flat(products)


def hessian_operator(
    model: nn.Module, loss_fn: Loss, inputs: Tensor, targets: Tensor
) -> LinearOperator:
    """Wrap the Hessian for scipy, as an independent check of `hessian_norm`, with its arguments.

    Its products are by forward-over-reverse differentiation, with torch's own batch norm in train
    mode, on the CPU.

    Returns:
        The Hessian, its vectors in the order of ``model.parameters()``.

    Example:
        >>> line = nn.Linear(2, 1, bias=False).double()
        >>> x, y = torch.tensor([[3.0, 4.0], [0.0, 0.0]]).double(), torch.zeros(2, 1).double()
        >>> hessian = hessian_operator(line, lambda out, y: (out - y).square().mean(), x, y)
        >>> hessian @ np.eye(2)  # x x' for the first x
        array([[ 9., 12.],
               [12., 16.]])
    """
    parameters = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    sizes = [p.numel() for p in parameters.values()]

    def loss(values: dict[str, Tensor]) -> Tensor:
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        return loss_fn(functional_call(model, values | buffers, (inputs,)), targets)

    def product(vector: np.ndarray) -> np.ndarray:
        parts = torch.from_numpy(vector.ravel()).split(sizes)
        pairs = zip(parameters.items(), parts, strict=True)
        tangents = {name: part.view_as(p).to(p) for (name, p), part in pairs}
        with scoring_mode(model, "train"):
            _, image = jvp(grad(loss), (parameters,), (tangents,))
        return _flat([*image.values()]).numpy()

    return LinearOperator((sum(sizes),) * 2, matvec=product, dtype=np.float64)


@contextmanager
def scoring_mode(model: nn.Module, batch_norm: Mode) -> Iterator[None]:
    """Put batch norms in a mode and all else in eval; restore modes and generators afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    devices = {parameter.device for parameter in model.parameters() if parameter.is_cuda}
    with torch.random.fork_rng(devices), warnings.catch_warnings():
        deprecated = r"`torch\.jit\.script` is deprecated"  # by torch, which calls it in jvp
        warnings.filterwarnings("ignore", deprecated, FutureWarning)
        try:
            for module, _ in modes:
                module.training = batch_norm == "train" and isinstance(module, BatchNorm)
            yield
        finally:
            for module, training in modes:
                module.training = training


def check_arguments(model: nn.Module, inputs: Tensor, batch_norm: Mode) -> None:
    """Refuse a model or a batch whose loss has no Hessian norm in full precision."""
    require(batch_norm in ("train", "eval"), "batch_norm", batch_norm, "'train' or 'eval'")
    require(len(inputs) > 0, "The batch's number of examples", 0, "at least 1")
    normalises = batch_norm == "train" and any(isinstance(m, BatchNorm) for m in model.modules())
    expected = "at least 2 for train-mode batch norm (one needs batch_norm='eval')"
    require(len(inputs) > normalises, "The batch's number of examples", len(inputs), expected)
    require(bool(_trainable(model)), "The number of trainable parameters", 0, "at least 1")
    dtypes = {str(parameter.dtype) for parameter in model.parameters()}
    _check_precision("The parameters' precision", dtypes)
    device = next(model.parameters()).device.type
    require(not torch.is_autocast_enabled(device), "Autocast", True, "full precision, so False")


def _check_loss(loss: Tensor) -> None:
    require(loss.ndim == 0, "The loss's shape", list(loss.shape), "a scalar, the batch's mean")
    _check_precision("The loss's precision", {str(loss.dtype)})
    require(bool(loss.isfinite()), "The loss", loss.item(), "a finite number")


def _check_precision(name: str, dtypes: set[str]) -> None:
    precision = ", ".join(sorted(dtypes))
    known = precision in ("torch.float32", "torch.float64")
    require(known, name, precision, "torch.float32 or torch.float64 alone")


def _trainable(model: nn.Module) -> list[Tensor]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])
