r"""Scores of single examples, many at once by vmap: Hessian, Gauss-Newton and gradient norms.

The paper holds that the Hessian norm "cannot be performed for each example" (Section 3). Here each
example has weights and a vector of its own, and one vectorised Hessian product serves all. Batch
norm is in eval mode: an example's loss then depends on no other example.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, hessian, jacrev, vmap
from tqdm import tqdm

from liprune_utils.curvature import Loss, check_arguments, undisturbed
from liprune_utils.lanczos import lanczos_many
from liprune_utils.parameters import InputError, require

ExampleLoss = Callable[[Tensor, Tensor, Tensor], Tensor]  # (weights, input, target) -> scalar


def example_hessian_norms(
    model: nn.Module,
    loss_fn: Loss,
    inputs: Tensor,
    targets: Tensor,
    *,
    chunk_size: int = 32,
    seed: int = 0,
    tolerance: float = 1e-2,
    max_products: int = 30,
) -> pd.DataFrame:
    r"""Compute the norm of the Hessian of each example's own loss, :math:`\|\nabla_w^2 f_i\|_2`.

    Lanczos' method for all examples of a chunk in step, with full reorthogonalisation, until each
    has converged. Memory: about ``chunk_size * num_parameters * (max_products + 10)`` numbers.

    Args:
        model: Any network that ``torch.func.vmap`` can vectorise, float32 or float64.
        loss_fn: Mean loss, (outputs, targets) -> scalar.
        inputs: Examples, shape ``[n, ...]``, on the model's device.
        targets: Their targets, shape ``[n, ...]``.
        chunk_size: Examples at once, >= 1.
        seed: Seed of the start vector, the same for all examples.
        tolerance: An example has converged when its estimated error is at most this fraction of
            its norm.
        max_products: Stop at the latest after so many products for each example.

    Returns:
        One row an example, in their order: ``eigenvalue`` (signed), ``norm``, ``residual``,
        ``error``, ``num_products`` and ``converged``, as in
        `liprune_utils.lanczos.DominantEigenvalue`.
    """

    def score(loss: ExampleLoss, weights: Tensor, x: Tensor, y: Tensor) -> np.ndarray:
        stacked = weights.expand(len(x), -1).contiguous().requires_grad_()
        with torch.enable_grad():
            losses = vmap(loss)(stacked, x, y)
            (gradients,) = torch.autograd.grad(losses.sum(), stacked, create_graph=True)

        def product(vectors: Tensor) -> Tensor:
            if not gradients.requires_grad:  # the losses are linear in the weights
                return torch.zeros_like(vectors)
            return torch.autograd.grad(
                gradients, stacked, vectors, retain_graph=True, materialize_grads=True
            )[0]

        generator = torch.Generator().manual_seed(seed)
        start = torch.randn(len(weights), generator=generator, dtype=torch.float64).to(weights)
        return lanczos_many(product, start.expand(len(x), -1), tolerance, max_products)

    columns = ["eigenvalue", "residual", "error", "num_products"]
    table = pd.DataFrame(_in_chunks(score, model, loss_fn, inputs, targets, chunk_size))
    table = table.set_axis(columns, axis=1).astype({"num_products": int})
    table.insert(1, "norm", table.eigenvalue.abs())
    return table.assign(converged=table.error <= tolerance * table.norm)


def example_gauss_newton_norms(
    model: nn.Module, loss_fn: Loss, inputs: Tensor, targets: Tensor, *, chunk_size: int = 16
) -> np.ndarray:
    r"""Compute the norm of each example's Gauss-Newton matrix :math:`J^\top A J`, exactly.

    J is the Jacobian of the outputs, A the Hessian of the loss in the outputs. The non-zero
    eigenvalues of :math:`J^\top A J` are those of :math:`S A S` with :math:`S = (J J^\top)^{1/2}`,
    a matrix as small as the outputs.

    Args:
        model: As in `example_hessian_norms`; its outputs have shape ``[B, K]``.
        loss_fn: As in `example_hessian_norms`.
        inputs: As in `example_hessian_norms`.
        targets: As in `example_hessian_norms`.
        chunk_size: Examples at once; memory for ``chunk_size * K * num_parameters`` numbers.

    Returns:
        Array of shape ``[n]``, >= 0; the Hessian's norm where the outputs are linear in the
        weights.
    """
    outputs = _outputs_of(model)

    def small(weights: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        jacobian = jacrev(outputs)(weights, x)  # [K, num_parameters]
        curvature = hessian(lambda z: loss_fn(z[None], y[None]))(outputs(weights, x))
        return jacobian @ jacobian.T, curvature

    def score(_: ExampleLoss, weights: Tensor, x: Tensor, y: Tensor) -> np.ndarray:
        gram, curvature = vmap(small, in_dims=(None, 0, 0))(weights, x, y)
        values, vectors = torch.linalg.eigh(gram.double())
        root = vectors * values.clamp(min=0).sqrt()[:, None]
        return _norms(root.mT @ curvature.double() @ root)

    return _in_chunks(score, model, loss_fn, inputs, targets, chunk_size)


def example_gradient_norms(
    model: nn.Module, loss_fn: Loss, inputs: Tensor, targets: Tensor, *, chunk_size: int = 128
) -> np.ndarray:
    r"""Compute the norm of each example's own gradient over all weights, :math:`\|\nabla_w f_i\|`.

    GraNd (Paul et al., arXiv 2107.07075) is its mean over initialisations.

    Args:
        model: As in `example_hessian_norms`.
        loss_fn: As in `example_hessian_norms`.
        inputs: As in `example_hessian_norms`.
        targets: As in `example_hessian_norms`.
        chunk_size: Examples at once; memory for ``chunk_size * num_parameters`` numbers.

    Returns:
        Array of shape ``[n]``, >= 0.
    """

    def score(loss: ExampleLoss, weights: Tensor, x: Tensor, y: Tensor) -> np.ndarray:
        gradients = vmap(grad(loss), in_dims=(None, 0, 0))(weights, x, y)
        return gradients.double().norm(dim=1).cpu().numpy()

    return _in_chunks(score, model, loss_fn, inputs, targets, chunk_size)


@contextmanager
def memory_advice(chunk_size: int) -> Iterator[None]:
    """Say in one sentence that memory ran out, on the CPU or a GPU, and what to try.

    Args:
        chunk_size: Examples at once, >= 1.

    Yields:
        Nothing.

    Raises:
        InputError: If memory runs out meanwhile.
        RuntimeError: If torch raises it for another reason.
    """
    try:
        yield
    except RuntimeError as error:
        on_cpu = "can't allocate memory" in str(error)
        if not (on_cpu or isinstance(error, torch.OutOfMemoryError)):
            raise
        smaller = f"; try chunk_size={chunk_size // 2}"
        advice = smaller if chunk_size > 1 else ": one example does not fit"
        raise InputError(f"Out of memory with chunk_size {chunk_size}{advice}.") from error


# The outputs of one example as a function of the trainable weights, one after the other.
def _outputs_of(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    sizes = [p.numel() for p in trainable.values()]

    def outputs(weights: Tensor, x: Tensor) -> Tensor:
        pairs = zip(trainable.items(), weights.split(sizes), strict=True)
        values = {name: part.view_as(p) for (name, p), part in pairs}
        return functional_call(model, values, (x[None],))[0]

    return outputs


# Score chunk after chunk with the model in eval mode, and join what was found.
def _in_chunks(
    score: Callable[[ExampleLoss, Tensor, Tensor, Tensor], np.ndarray],
    model: nn.Module,
    loss_fn: Loss,
    inputs: Tensor,
    targets: Tensor,
    chunk_size: int,
) -> np.ndarray:
    require(chunk_size >= 1, "chunk_size", chunk_size, "at least 1")
    require(len(targets) == len(inputs), "The number of targets", len(targets), f"{len(inputs)}")
    check_arguments(model, inputs, "eval")
    outputs = _outputs_of(model)

    def loss(weights: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return loss_fn(outputs(weights, x)[None], y[None])

    trainable = [p.detach().reshape(-1) for p in model.parameters() if p.requires_grad]
    weights, found = torch.cat(trainable), []
    chunks = zip(inputs.split(chunk_size), targets.split(chunk_size), strict=True)
    advice = memory_advice(min(chunk_size, len(inputs)))
    bar = tqdm(total=len(inputs), desc="Examples", disable=None, leave=None)
    with undisturbed(model, "eval"), advice, bar:
        for number, (x, y) in enumerate(chunks):
            losses = vmap(loss, in_dims=(None, 0, 0))(weights, x, y)
            _check_losses(losses, first=number * chunk_size)
            found.append(score(loss, weights, x, y))
            bar.update(len(x))
    return np.concatenate(found)


def _check_losses(losses: Tensor, first: int) -> None:
    bad = (~losses.isfinite()).nonzero().flatten()
    if len(bad):
        value, number = losses[bad[0]].item(), first + bad[0].item()
        raise InputError(f"The loss of example {number} is {value}; expected a finite number.")


def _norms(matrices: Tensor) -> np.ndarray:
    return torch.linalg.eigvalsh(matrices).abs().amax(dim=1).cpu().numpy()
