r"""Scores of single examples: Hessian, Gauss-Newton and gradient norms by vmap, and from outputs.

The paper holds that the Hessian norm "cannot be performed for each example" (Section 3). Here each
example has weights and a vector of its own, and one vectorised Hessian product serves all. Batch
norm is in eval mode, so an example's loss depends on no other example. All functions leave the
model and torch's generators as they were.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import grad, hessian, jacrev, vmap
from torch.nn import functional

from liprune_utils.checks import require, require_fraction, whole_number
from liprune_utils.chunks import in_chunks
from liprune_utils.curvature import check_differentiation
from liprune_utils.lanczos import lanczos_many
from liprune_utils.losses import (
    Loss,
    accurate,
    are_probabilities,
    check_labels,
    check_targets,
    cross_entropies,
    cross_entropy,
    loss_scales,
    refuse_first,
)
from liprune_utils.model_inputs import Inputs, as_batch, rows, run, tensors
from liprune_utils.scoring import (
    check_examples,
    check_model,
    check_precision,
    copied_buffers,
    require_tensor,
    swapped,
    trainable_places,
)
from liprune_utils.second_derivatives import fast_second_derivatives


class _Chunk(NamedTuple):
    """Examples that are scored together, each with its own multiple of the loss."""

    loss: Callable[..., Tensor]  #: (weights, input, target, scale) -> scalar
    weights: Tensor  #: the trainable ones, [num_parameters]
    data: tuple[Inputs, Tensor, Tensor]  #: inputs, targets, and scales, float64, [n]


def example_hessian_norms(
    model: nn.Module,
    loss_fn: Loss,
    inputs: Inputs,
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

    Converged is an estimate: on small random networks 11% of the norms to 1e-2 were more than 1%
    too small, with 30 classes 21% (`liprune_utils.lanczos.DominantEigenvalue`).

    Args:
        model: Any network that ``torch.func.vmap`` can vectorise, float32 or float64.
        loss_fn: Mean loss, (outputs, targets) -> scalar.
        inputs: Examples, shape ``[n, ...]``, on the model's device; or a tuple of such tensors,
            passed to the model as its arguments, or a dictionary, passed by name.
        targets: Their targets, shape ``[n, ...]``.
        chunk_size: Examples at once, >= 1; where memory runs out, the error names a smaller one.
        seed: Seed of the start vector, the same for all examples.
        tolerance: An example has converged when its estimated error is at most this fraction of
            its norm, in (0, 1).
        max_products: Stop after this many products per example at the latest, >= 1.

    Returns:
        One row per example, in their order: ``eigenvalue`` (signed), ``norm``, ``residual``,
        ``error``, ``num_products`` and ``converged``, as in
        `liprune_utils.lanczos.DominantEigenvalue`.

    Example:
        >>> line = nn.Linear(2, 1, bias=False)
        >>> x = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
        >>> table = example_hessian_norms(line, functional.mse_loss, x, torch.zeros(2, 1))
        >>> table.norm.round(3).tolist()  # of (w x)^2: 2 |x|^2
        [50.0, 2.0]
    """
    seed = whole_number("seed", seed, 0)
    require_fraction("tolerance", tolerance)
    max_products = whole_number("max_products", max_products, 1)

    def score(chunk: _Chunk) -> np.ndarray:
        generator = torch.Generator().manual_seed(seed)
        start = torch.randn(len(chunk.weights), generator=generator, dtype=torch.float64)
        starts = start.to(chunk.weights).expand(len(chunk.data[1]), -1)
        found = lanczos_many(partial(_products, model, chunk), starts, tolerance, max_products)
        found[:, :3] /= chunk.data[2].cpu().numpy()[:, None]
        return found

    columns = ["eigenvalue", "residual", "error", "num_products"]
    table = pd.DataFrame(_from_losses(score, model, loss_fn, inputs, targets, chunk_size))
    table = table.set_axis(columns, axis=1).astype({"num_products": int})
    table.insert(1, "norm", table.eigenvalue.abs())
    return table.assign(converged=table.error <= tolerance * table.norm)


def example_gauss_newton_norms(
    model: nn.Module, loss_fn: Loss, inputs: Inputs, targets: Tensor, *, chunk_size: int = 16
) -> np.ndarray:
    r"""Compute the norm of each example's Gauss-Newton matrix :math:`J^\top A J`, exactly.

    J is the Jacobian of the outputs, A the Hessian of the loss in the outputs. The non-zero
    eigenvalues of :math:`J^\top A J` are those of :math:`S A S` with :math:`S = (J J^\top)^{1/2}`,
    a matrix as small as the outputs.

    Args:
        model: As in `example_hessian_norms`; its outputs have K numbers per example.
        loss_fn: Mean loss.
        inputs: Examples.
        targets: Their targets.
        chunk_size: Examples at once; memory for ``chunk_size * K * num_parameters`` numbers.

    Returns:
        Float64 array of shape ``[n]``, >= 0; the Hessian's norm where the outputs are linear in the
        weights.
    """
    loss_fn, replaced = accurate(loss_fn), _replaced(model)

    def outputs(weights: Tensor, x: Inputs) -> Tensor:
        with replaced(weights):
            return run(model, as_batch(x))[0]

    def small(weights: Tensor, x: Inputs, y: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        z = outputs(weights, x)
        jacobian = jacrev(outputs)(weights, x).reshape(z.numel(), -1)  # [K, num_parameters]
        curvature = hessian(lambda z: _loss_of(loss_fn, z, y) * scale)(z)
        return jacobian @ jacobian.T, curvature.reshape(z.numel(), -1)

    def score(chunk: _Chunk) -> np.ndarray:
        gram, curvature = vmap(small, in_dims=(None, 0, 0, 0))(chunk.weights, *chunk.data)
        values, vectors = torch.linalg.eigh(gram.double())
        root = vectors * values.clamp(min=0).sqrt()[:, None]
        eigenvalues = torch.linalg.eigvalsh(root.mT @ curvature.double() @ root)
        return (eigenvalues.abs().amax(dim=1) / chunk.data[2]).cpu().numpy()

    return _from_losses(score, model, loss_fn, inputs, targets, chunk_size)


def example_gradient_norms(
    model: nn.Module, loss_fn: Loss, inputs: Inputs, targets: Tensor, *, chunk_size: int = 128
) -> np.ndarray:
    r"""Compute the norm of each example's own gradient over all weights, :math:`\|\nabla_w f_i\|`.

    GraNd (Paul et al., arXiv 2107.07075) is its mean over initialisations.

    Args:
        model: As in `example_hessian_norms`.
        loss_fn: Mean loss.
        inputs: Examples.
        targets: Their targets.
        chunk_size: Examples at once; memory for ``chunk_size * num_parameters`` numbers.

    Returns:
        Float64 array of shape ``[n]``, >= 0.
    """

    def score(chunk: _Chunk) -> np.ndarray:
        gradients = vmap(grad(chunk.loss), in_dims=(None, 0, 0, 0))(chunk.weights, *chunk.data)
        return (gradients.double().norm(dim=1) / chunk.data[2]).cpu().numpy()

    return _from_losses(score, model, loss_fn, inputs, targets, chunk_size)


def example_losses(
    model: nn.Module,
    images: Inputs,
    labels: Tensor,
    *,
    loss_fn: Loss = functional.cross_entropy,
    chunk_size: int = 500,
) -> np.ndarray:
    r"""Compute the loss of each example, :math:`-\log p_y` with p the softmax if not another.

    Args:
        model: A classifier, float32 or float64; its outputs are logits, shape ``[B, K]``.
        images: Its inputs, shape ``[n, ...]``, on its device.
        labels: Their classes y, int64, shape ``[n]``, on its device; or another loss's targets.
        loss_fn: Mean loss, (outputs, targets) -> scalar.
        chunk_size: Examples at once, >= 1.

    Returns:
        Float64 array of shape ``[n]``.
    """
    loss_fn = accurate(loss_fn)
    if loss_fn is not cross_entropy or are_probabilities(labels):
        return _other_losses(loss_fn, model, images, labels, chunk_size)
    return _from_logits(cross_entropies, model, images, labels, chunk_size)


def el2n_scores(
    model: nn.Module, images: Inputs, labels: Tensor, *, chunk_size: int = 500
) -> np.ndarray:
    r"""Compute the length of each example's error vector, :math:`\|p - e_y\|_2`.

    p is the softmax of the logits, :math:`e_y` the one-hot label. EL2N (Paul et al., arXiv
    2107.07075) is its mean over initialisations. The arguments are those of `example_losses`.

    Returns:
        Float64 array of shape ``[n]``, from 0 to :math:`\sqrt 2`.
    """

    def score(logits: Tensor, classes: Tensor) -> Tensor:
        wrong = logits.softmax(dim=1).scatter(1, classes[:, None], 0.0)
        own = wrong.sum(dim=1, keepdim=True)  # 1 - p_y, of which a difference would keep no digit
        return torch.cat([wrong, own], dim=1).norm(dim=1)

    return _from_logits(score, model, images, labels, chunk_size)


def negative_margins(
    model: nn.Module, images: Inputs, labels: Tensor, *, chunk_size: int = 500
) -> np.ndarray:
    r"""Compute minus the margin of each example, :math:`\max_{k \ne y} z_k - z_y` for logits z.

    A small margin is a hard example. The score is its negative, since every score keeps its
    largest; it is positive where the network is wrong. The arguments are those of
    `example_losses`; there are at least two classes.

    Returns:
        Float64 array of shape ``[n]``.
    """

    def score(logits: Tensor, classes: Tensor) -> Tensor:
        require(logits.shape[1] >= 2, "The number of classes", logits.shape[1], "at least 2")
        own = logits.gather(1, classes[:, None])
        return (logits.scatter(1, classes[:, None], -torch.inf) - own).amax(dim=1)

    return _from_logits(score, model, images, labels, chunk_size)


def forgetting_counts(correct: np.ndarray) -> np.ndarray:
    """Count how often each example was forgotten: right at one epoch, wrong at the next.

    Toneva et al., arXiv 1812.05159, where an example that was never right counts as infinity. Here
    it counts as the number of epochs, which no other example reaches.

    Args:
        correct: Whether each example was right at each epoch, bool, shape ``[num_epochs, n]``.

    Returns:
        Float64 array of shape ``[n]``, whole numbers from 0 to ``num_epochs``.

    Example:
        >>> forgetting_counts(np.array([[1, 1], [0, 1], [1, 1], [0, 0]], dtype=bool))
        array([2., 1.])
    """
    correct = np.asarray(correct)
    kind = f"{correct.dtype} of shape {list(correct.shape)}"
    fits = correct.dtype == bool and correct.ndim == 2 and len(correct) > 0
    require(fits, "The history of correct predictions", kind, "bool of shape [num_epochs, n]")
    counts = (correct[:-1] & ~correct[1:]).sum(axis=0)
    return np.where(correct.any(axis=0), counts, len(correct)).astype(np.float64)


def _products(model: nn.Module, chunk: _Chunk, numbers: np.ndarray) -> Callable[[Tensor], Tensor]:
    """Return what multiplies a vector for each of some examples by its Hessian."""
    stacked = chunk.weights.expand(len(numbers), -1).contiguous().requires_grad_()
    with torch.enable_grad(), fast_second_derivatives(model):
        losses = vmap(chunk.loss)(stacked, *(rows(values, numbers) for values in chunk.data))
        (gradients,) = torch.autograd.grad(losses.sum(), stacked, create_graph=True)

    def product(vectors: Tensor) -> Tensor:
        if not gradients.requires_grad:  # the losses are linear in the weights
            return torch.zeros_like(vectors)
        return torch.autograd.grad(
            gradients, stacked, vectors, retain_graph=True, materialize_grads=True
        )[0]

    return product


def _from_losses(
    score: Callable[[_Chunk], np.ndarray],
    model: nn.Module,
    loss_fn: Loss,
    inputs: Inputs,
    targets: Tensor,
    chunk_size: int,
) -> np.ndarray:
    """Return scores from each example's loss as a function of all trainable weights."""
    loss_fn, replaced = accurate(loss_fn), _replaced(model)

    def outputs_and_loss(weights: Tensor, x: Inputs, y: Tensor) -> tuple[Tensor, Tensor]:
        with replaced(weights):  # the loss too, which may have a penalty of the weights
            outputs = run(model, as_batch(x))
            return outputs[0], _loss_of(loss_fn, outputs[0], y)

    def loss(weights: Tensor, x: Inputs, y: Tensor, scale: Tensor) -> Tensor:
        return outputs_and_loss(weights, x, y)[1] * scale

    def score_chunk(x: Inputs, y: Tensor, first: int) -> np.ndarray:
        trainable = [p.detach().reshape(-1) for p in model.parameters() if p.requires_grad]
        weights = torch.cat(trainable)
        with torch.enable_grad():
            outputs, losses = vmap(outputs_and_loss, in_dims=(None, 0, 0))(weights, x, y)
            _check_losses(losses, len(y), first)
        scales = loss_scales(loss_fn, lambda z: vmap(partial(_loss_of, loss_fn))(z, y), outputs)
        return score(_Chunk(loss, weights, (x, y, scales)))

    def check(some: Inputs) -> None:
        check_differentiation(*tensors(inputs).values(), targets, *model.parameters())
        check_targets(loss_fn, check_examples(model, some), targets)

    return in_chunks(score_chunk, model, inputs, targets, chunk_size, check)


def _loss_of(loss_fn: Loss, output: Tensor, target: Tensor) -> Tensor:
    """Return the loss of one example, ``[K]`` or of another shape."""
    loss = loss_fn(output[None], target[None])
    require_tensor(loss, "loss")
    return loss


def _check_losses(losses: Tensor, count: int, first: int) -> None:
    """Refuse losses that are no finite scalars, or that reach the model's parameters unseen."""
    shape = list(losses.shape[1:])
    require(losses.shape == (count,), "The loss's shape", shape, "a scalar, the batch's mean")
    check_precision("The loss's precision", {str(losses.dtype)})
    refuse_first(~losses.isfinite(), "loss", losses, first, "a finite number")
    # Each example has weights of its own in the places of the model's, which no graph leads to.
    expected = "parameters that modules hold as attributes, in a list or in a dictionary"
    require(not losses.requires_grad, "What the loss depends on", "more", expected)


def _replaced(model: nn.Module) -> Callable[[Tensor], AbstractContextManager[None]]:
    """Return what puts a vector of all trainable weights in their places, for a block's time."""
    check_model(model)
    places = trainable_places(model)
    trainable = [p for p in model.parameters() if p.requires_grad]
    sizes = [p.numel() for p in trainable]

    @contextmanager
    def replaced(weights: Tensor) -> Iterator[None]:
        pairs = zip(trainable, weights.split(sizes), strict=True)
        values = {id(p): part.view_as(p) for p, part in pairs}
        with swapped(places, values), copied_buffers(model, unless_at=0):
            yield

    return replaced


def _from_logits(
    score: Callable[[Tensor, Tensor], Tensor],
    model: nn.Module,
    images: Inputs,
    labels: Tensor,
    chunk_size: int,
) -> np.ndarray:
    """Return scores from logits in float64 and labels."""

    def score_chunk(x: Inputs, y: Tensor, first: int) -> np.ndarray:
        with torch.no_grad():
            logits = run(model, x).double()
            refuse_first(~logits.isfinite().all(dim=1), "logits", logits, first, "finite numbers")
            return score(logits, y).cpu().numpy()

    def check(some: Inputs) -> None:
        logits = check_examples(model, some)
        expected = f"[{len(logits)}, number of classes]"
        require(logits.ndim == 2, "The outputs' shape", list(logits.shape), expected)
        check_labels(logits, labels)

    return in_chunks(score_chunk, model, images, labels, chunk_size, check)


def _other_losses(
    loss_fn: Loss, model: nn.Module, inputs: Inputs, targets: Tensor, chunk_size: int
) -> np.ndarray:
    def score_chunk(x: Inputs, y: Tensor, first: int) -> np.ndarray:
        with torch.no_grad():
            losses = torch.stack([*map(partial(_loss_of, loss_fn), run(model, x), y)])
        _check_losses(losses, len(y), first)
        return losses.double().cpu().numpy()

    def check(some: Inputs) -> None:
        check_targets(loss_fn, check_examples(model, some), targets)

    return in_chunks(score_chunk, model, inputs, targets, chunk_size, check)
