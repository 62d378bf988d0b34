r"""The Hessian norm of one function: the largest :math:`|\lambda|` of a batch's loss Hessian.

Lanczos' method on exact Hessian-vector products (paper, Section 3, "Using the Hessian").
"""

import warnings
from collections.abc import Callable, Iterator
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
PRECISIONS = ("torch.float32", "torch.float64")


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
    What cannot be scored is refused by `loss_gradient` and `liprune_utils.lanczos.lanczos`.

    Args:
        model: Any network whose operations can be differentiated twice, float32 or float64.
        loss_fn: Mean loss, (outputs, targets) -> scalar.
        inputs: The batch, shape ``[B, ...]``.
        targets: Its targets, shape ``[B, ...]``.
        batch_norm: "train" normalises by the batch's own statistics and differentiates through
            them, "eval" by the running ones. All other modules are in eval mode.
        seed: Seed of a random start vector.
        start: A guess at the eigenvector, shape ``[num_parameters]``, instead of a random start:
            that of a similar batch or of nearby weights saves two or three products.
        tolerance: Stop when the estimated error is at most this fraction of the norm, in (0, 1).
        max_products: Stop at the latest after so many Hessian-vector products, >= 1.
        rough: As in `liprune_utils.lanczos.lanczos`.

    Returns:
        The norm, with its eigenvector in the order of ``model.parameters()``.

    Example:
        >>> from torch.nn import functional
        >>> x = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
        >>> line = nn.Linear(2, 1, bias=False)
        >>> found = hessian_norm(line, functional.mse_loss, x, torch.zeros(2, 1))
        >>> round(found.norm, 4)  # of the mean of (w x)^2: 2 |x|^2 / 2
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

    Args:
        model: As in `hessian_norm`.
        loss_fn: As in `hessian_norm`.
        inputs: As in `hessian_norm`.
        targets: As in `hessian_norm`.
        batch_norm: As in `hessian_norm`.
        differentiable: Whether to keep the graph that `hessian_product` needs.

    Returns:
        The gradient, shape ``[num_parameters]``, in the order of ``model.parameters()``.

    Raises:
        InputError: If the batch, the precision or the loss is not as described, or if the loss does
            not depend on a parameter that requires a gradient.
    """
    check_arguments(model, inputs, batch_norm)
    parameters = _trainable(model)
    with undisturbed(model, batch_norm), fast_batch_norm(model), torch.enable_grad():
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        loss = loss_fn(functional_call(model, buffers, (inputs,)), targets)
        _check_loss(loss)
        parts = [None]
        if loss.requires_grad:
            parts = torch.autograd.grad(
                loss, parameters, create_graph=differentiable, allow_unused=True
            )
        if all(part is None for part in parts):
            raise InputError("The loss does not depend on the model's trainable parameters.")
        pairs = zip(parts, parameters, strict=True)
        return _flat([torch.zeros_like(p) if part is None else part for part, p in pairs])


def hessian_product(model: nn.Module, gradient: Tensor, vector: Tensor) -> Tensor:
    """Multiply a vector by the Hessian: a second backward pass, through the gradient's graph.

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
    parts = torch.autograd.grad(
        gradient, _trainable(model), vector, retain_graph=True, materialize_grads=True
    )
    return _flat(parts)


def forward_over_reverse(
    model: nn.Module, loss_fn: Loss, inputs: Tensor, targets: Tensor
) -> LinearOperator:
    """Wrap the Hessian by another route, to check `hessian_norm`: derivatives of the gradient.

    Train-mode batch norm, on the CPU.

    Args:
        model: As in `hessian_norm`.
        loss_fn: As in `hessian_norm`.
        inputs: As in `hessian_norm`.
        targets: As in `hessian_norm`.

    Returns:
        The Hessian as a scipy operator, its vectors in the order of ``model.parameters()``.
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
        with undisturbed(model, "train"):
            _, image = jvp(grad(loss), (parameters,), (tangents,))
        return _flat(list(image.values())).numpy()

    return LinearOperator((sum(sizes),) * 2, matvec=product, dtype=np.float64)


def _trainable(model: nn.Module) -> list[Tensor]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _flat(parts: list[Tensor]) -> Tensor:
    return torch.cat([part.reshape(-1) for part in parts])


@contextmanager
def undisturbed(model: nn.Module, batch_norm: Mode) -> Iterator[None]:
    """Set the modes of a model's modules, and restore them and torch's generators afterwards.

    Args:
        model: The model.
        batch_norm: The mode of its batch norms; all other modules are in eval mode.

    Yields:
        Nothing.
    """
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
    """Refuse what has no Hessian norm to speak of.

    Args:
        model: The model.
        inputs: The batch.
        batch_norm: The mode of the batch norms.
    """
    require(batch_norm in ("train", "eval"), "batch_norm", batch_norm, "'train' or 'eval'")
    require(len(inputs) > 0, "The batch's number of examples", 0, "at least 1")
    normalises = batch_norm == "train" and any(isinstance(m, BatchNorm) for m in model.modules())
    need = "at least 2 for train-mode batch norm (one needs batch_norm='eval')"
    require(len(inputs) > normalises, "The batch's number of examples", len(inputs), need)
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
    found = ", ".join(sorted(dtypes))
    require(found in PRECISIONS, name, found, "torch.float32 or torch.float64 alone")
