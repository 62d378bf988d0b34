r"""The Hessian norm of one function: the largest :math:`|\lambda|` of a batch's loss Hessian.

Lanczos' method on exact Hessian-vector products (paper, Section 3, "Using the Hessian").
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor, nn
from torch.func import grad, jvp

from liprune_utils.batch_norm import BatchNorm
from liprune_utils.checks import InputError, require, whole_number
from liprune_utils.first_layer import Coordinates
from liprune_utils.lanczos import DominantEigenvalue, lanczos, near_one
from liprune_utils.losses import Loss, accurate, check_targets, cross_entropy, loss_scales
from liprune_utils.model_inputs import Inputs, num_examples, run, tensors
from liprune_utils.scoring import (
    Mode,
    check_inputs,
    check_model,
    check_outputs,
    check_precision,
    check_tensor,
    copied_buffers,
    fingerprint,
    require_equal_passes,
    require_tensor,
    swapped,
    trainable_places,
    untouched,
    without_hooks,
)
from liprune_utils.second_derivatives import fast_second_derivatives


def hessian_norm(
    model: nn.Module,
    loss_fn: Loss,
    inputs: Inputs,
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
    A first layer of more inputs than the batch has examples is searched in fewer coordinates, which
    hold all of its Hessian (`liprune_utils.first_layer`).

    Args:
        model: Any network whose operations can be differentiated twice, float32 or float64.
        loss_fn: Mean loss, (outputs, targets) -> scalar.
        inputs: The batch, shape ``[B, ...]``; or a tuple of such tensors, passed to the model as
            its arguments, or a dictionary, passed by name.
        targets: Its targets, shape ``[B, ...]``.
        batch_norm: "train" normalises by the batch's own statistics and differentiates through
            them, "eval" by the running ones. All other modules are in eval mode.
        seed: Seed of a random start vector.
        start: A start vector instead of a random one, shape ``[num_parameters]``. The ``guess`` of
            a similar batch or of nearby weights saves two or three products.
        tolerance: Stop when the estimated error is at most this fraction of the norm, in (0, 1);
            how often it is larger, see `liprune_utils.lanczos.DominantEigenvalue`.
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
    seed = whole_number("seed", seed, 0)
    check_problem(model, inputs, targets, batch_norm)
    problem = model, loss_fn, inputs, targets, batch_norm
    search = partial(_dominant, problem, seed, start, (tolerance, max_products, rough))
    try:
        found = search(Coordinates(_trainable(model)))
    except Exception:  # a model may do something with its weights for which it needs them all
        found = None
    return found or search(Coordinates(_trainable(model), reduced=False))


def _dominant(
    problem: tuple,
    seed: int,
    start: Tensor | None,
    limits: tuple[float, int, bool],
    coordinates: Coordinates,
) -> DominantEigenvalue | None:
    """Return the Hessian's dominant eigenvalue, or None if the coordinates do not suffice."""
    model, loss_fn, inputs, targets, batch_norm = problem
    with _engine(model, batch_norm):  # the products too, since a checkpoint runs the model again
        with coordinates.in_use():
            outputs, loss = _outputs_and_loss(model, accurate(loss_fn), inputs, targets)
        if not coordinates.suffice(loss):
            return None
        loss, scale = _scaled(loss_fn, targets, outputs, loss)
        variables = coordinates.variables
        gradient = _gradient(loss, variables, True)
        product = partial(_product, model, variables, gradient)
        found = lanczos(product, *_start(coordinates, gradient, seed, start, limits))
    values = {name: getattr(found, name) / scale for name in ("eigenvalue", "residual", "error")}
    vectors = {name: coordinates.expand(getattr(found, name)) for name in ("eigenvector", "guess")}
    return replace(found, **values, **vectors)


def _start(
    coordinates: Coordinates,
    like: Tensor,
    seed: int,
    start: Tensor | None,
    limits: tuple[float, int, bool],
) -> tuple:
    """Return the arguments of Lanczos' method: start vector, limits, what to go on with."""

    def draw() -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(like.numel(), generator=generator, dtype=torch.float64).to(like)

    if start is None:
        return draw(), *limits
    size = sum(p.numel() for p in coordinates.parameters)
    require(start.shape == (size,), "The start vector's shape", list(start.shape), f"[{size}]")
    real = start.is_floating_point()
    require(real, "The start vector's precision", start.dtype, "torch.float32 or another")
    first = coordinates.reduce(near_one(start).to(like))
    lost = not first.any() and start.any()  # the Hessian is zero along it
    return draw() if lost else first, *limits, draw


def loss_gradient(
    model: nn.Module,
    loss_fn: Loss,
    inputs: Inputs,
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
    check_problem(model, inputs, targets, batch_norm)
    with _engine(model, batch_norm):
        outputs, loss = _outputs_and_loss(model, accurate(loss_fn), inputs, targets)
        loss, scale = _scaled(loss_fn, targets, outputs, loss)
        gradient = _gradient(loss, _trainable(model), differentiable)
    return gradient if scale == 1 else gradient / scale


def hessian_product(model: nn.Module, gradient: Tensor, vector: Tensor) -> Tensor:
    """Multiply the Hessian by a vector: a second backward pass, through the gradient's graph.

    Args:
        model: The model of the gradient, its parameters unchanged since.
        gradient: From `loss_gradient` with ``differentiable=True``, shape ``[num_parameters]``.
        vector: The vector :math:`v`, shape ``[num_parameters]``.

    Returns:
        The product :math:`H v`, shape ``[num_parameters]``, in the gradient's precision.
    """
    return _product(model, _trainable(model), gradient, vector.to(gradient))


def hessian_operator(
    model: nn.Module, loss_fn: Loss, inputs: Inputs, targets: Tensor
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
    parameters, places = _trainable(model), trainable_places(model)
    sizes = [p.numel() for p in parameters]
    loss_fn = accurate(loss_fn)

    def loss(values: tuple[Tensor, ...]) -> Tensor:
        tensors = {id(p): value for p, value in zip(parameters, values, strict=True)}
        with swapped(places, tensors), copied_buffers(model):
            return loss_fn(run(model, inputs), targets)

    def product(vector: np.ndarray) -> np.ndarray:
        parts = torch.from_numpy(vector.ravel()).split(sizes)
        tangents = tuple(part.view_as(p).to(p) for part, p in zip(parts, parameters, strict=True))
        with untouched(model, "train"):
            values = tuple(p.detach() for p in parameters)
            _, image = jvp(grad(loss), (values,), (tangents,))
        return _flat(image).numpy()

    return LinearOperator((sum(sizes),) * 2, matvec=product, dtype=np.float64)


def check_arguments(model: nn.Module, inputs: Inputs, batch_norm: Mode) -> None:
    """Refuse a model or a batch whose loss has no Hessian norm in full precision."""
    require(batch_norm in ("train", "eval"), "batch_norm", batch_norm, "'train' or 'eval'")
    check_model(model)
    check_inputs(model, inputs)
    count = num_examples(inputs)
    require(count > 0, "The batch's number of examples", 0, "at least 1")
    norms = [module for module in model.modules() if isinstance(module, BatchNorm)]
    expected = "at least 2 for train-mode batch norm (one needs batch_norm='eval')"
    fits = count > 1 or batch_norm == "eval" or not norms
    require(fits, "The batch's number of examples", count, expected)


def check_differentiation(*tensors: Tensor) -> None:
    """Refuse inference mode and tensors made in it, which torch cannot differentiate."""
    on = torch.is_inference_mode_enabled() or any(t.is_inference() for t in tensors)
    require(not on, "torch.inference_mode", True, "False where scores differentiate the model")


def check_problem(model: nn.Module, inputs: Inputs, targets: Tensor, batch_norm: Mode) -> None:
    """Refuse what `loss_gradient` cannot differentiate, before any work."""
    check_arguments(model, inputs, batch_norm)
    check_tensor(model, targets, "targets")
    count = num_examples(inputs)
    require(
        len(targets) == count, "The number of targets", len(targets), f"{count}, one per example"
    )
    check_differentiation(*tensors(inputs).values(), targets, *model.parameters())


@contextmanager
def _engine(model: nn.Module, batch_norm: Mode) -> Iterator[None]:
    with untouched(model, batch_norm), fast_second_derivatives(model), torch.enable_grad():
        yield


def _scaled(loss_fn: Loss, targets: Tensor, outputs: Tensor, loss: Tensor) -> tuple[Tensor, float]:
    """Return a multiple of the loss whose gradient float32 holds, and the multiple."""
    loss_fn = accurate(loss_fn)
    scale = float(loss_scales(loss_fn, lambda z: loss_fn(z, targets), outputs))
    return loss if scale == 1 else loss * scale, scale


def _gradient(loss: Tensor, variables: Sequence[Tensor], graph: bool) -> Tensor:
    """Return the gradient to some variables; refuse a loss that depends on none."""
    gradients = [None] * len(variables)
    if loss.requires_grad:
        gradients = torch.autograd.grad(loss, variables, create_graph=graph, allow_unused=True)
    if all(g is None for g in gradients):
        raise InputError("The loss does not depend on the model's trainable parameters.")
    pairs = zip(gradients, variables, strict=True)
    return _flat([torch.zeros_like(v) if g is None else g for g, v in pairs])


def _product(
    model: nn.Module, variables: Sequence[Tensor], gradient: Tensor, vector: Tensor
) -> Tensor:
    """Multiply the Hessian by a vector, through the graph of the gradient to some variables."""
    if not gradient.requires_grad:  # the loss is linear in the variables
        return torch.zeros_like(vector)
    with without_hooks(model):
        products = torch.autograd.grad(
            gradient, variables, vector, retain_graph=True, materialize_grads=True
        )
    return _flat(products)


def _outputs_and_loss(
    model: nn.Module, loss_fn: Loss, inputs: Inputs, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Return a batch's outputs and loss; refuse those that are not a function of the batch."""

    def outputs_and_loss() -> tuple[Tensor, Tensor]:
        outputs = run(model, inputs)
        require_tensor(outputs, "model's output")
        if loss_fn is cross_entropy:
            check_outputs(outputs, num_examples(inputs))
        check_targets(loss_fn, outputs, targets)
        loss = loss_fn(outputs, targets)
        _check_loss(loss)
        return outputs, loss

    before = fingerprint(model)
    outputs, loss = outputs_and_loss()
    if fingerprint(model) != before:  # it may have drawn random numbers
        with torch.no_grad():
            again = outputs_and_loss()
        require_equal_passes(outputs.detach(), again[0], "outputs")
        require_equal_passes(loss.detach(), again[1], "loss")
    return outputs, loss


def _check_loss(loss: Tensor) -> None:
    require_tensor(loss, "loss")
    require(loss.ndim == 0, "The loss's shape", list(loss.shape), "a scalar, the batch's mean")
    check_precision("The loss's precision", {str(loss.dtype)})
    require(bool(loss.isfinite()), "The loss", loss.item(), "a finite number")


def _trainable(model: nn.Module) -> list[Tensor]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])
