r"""Scores of single examples: Hessian, Gauss-Newton and gradient norms by vmap, and from outputs.

The paper holds that the Hessian norm "cannot be performed for each example" (Section 3). Here each
example has weights and a vector of its own, and one vectorised Hessian product serves all. Batch
norm is in eval mode, so an example's loss depends on no other example. All functions leave the
model and torch's generators as they were.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, hessian, jacrev, vmap
from torch.nn import functional
from tqdm import tqdm

from liprune_utils.checks import InputError, require
from liprune_utils.curvature import Loss, check_arguments, scoring_mode
from liprune_utils.lanczos import lanczos_many

_ExampleLoss = Callable[[Tensor, Tensor, Tensor], Tensor]  # (weights, input, target) -> scalar


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

    def score(loss: _ExampleLoss, weights: Tensor, x: Tensor, y: Tensor) -> np.ndarray:
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
    table = pd.DataFrame(_from_losses(score, model, loss_fn, inputs, targets, chunk_size))
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
        loss_fn: Mean loss.
        inputs: Examples.
        targets: Their targets.
        chunk_size: Examples at once; memory for ``chunk_size * K * num_parameters`` numbers.

    Returns:
        Float64 array of shape ``[n]``, >= 0; the Hessian's norm where the outputs are linear in the
        weights.
    """
    outputs = _outputs_of(model)

    def small(weights: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        jacobian = jacrev(outputs)(weights, x)  # [K, num_parameters]
        curvature = hessian(lambda z: loss_fn(z[None], y[None]))(outputs(weights, x))
        return jacobian @ jacobian.T, curvature

    def score(_: _ExampleLoss, weights: Tensor, x: Tensor, y: Tensor) -> np.ndarray:
        gram, curvature = vmap(small, in_dims=(None, 0, 0))(weights, x, y)
        values, vectors = torch.linalg.eigh(gram.double())
        root = vectors * values.clamp(min=0).sqrt()[:, None]
        eigenvalues = torch.linalg.eigvalsh(root.mT @ curvature.double() @ root)
        return eigenvalues.abs().amax(dim=1).cpu().numpy()

    return _from_losses(score, model, loss_fn, inputs, targets, chunk_size)


def example_gradient_norms(
    model: nn.Module, loss_fn: Loss, inputs: Tensor, targets: Tensor, *, chunk_size: int = 128
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

    def score(loss: _ExampleLoss, weights: Tensor, x: Tensor, y: Tensor) -> np.ndarray:
        gradients = vmap(grad(loss), in_dims=(None, 0, 0))(weights, x, y)
        return gradients.double().norm(dim=1).cpu().numpy()

    return _from_losses(score, model, loss_fn, inputs, targets, chunk_size)


def example_losses(
    model: nn.Module, images: Tensor, labels: Tensor, *, chunk_size: int = 500
) -> np.ndarray:
    r"""Compute the cross-entropy of each example, :math:`-\log p_y` with p the softmax.

    Args:
        model: A classifier, float32 or float64; its outputs are logits, shape ``[B, K]``.
        images: Its inputs, shape ``[n, ...]``, on its device.
        labels: Their classes y, int64, shape ``[n]``, on its device.
        chunk_size: Examples at once, >= 1.

    Returns:
        Float64 array of shape ``[n]``, >= 0.
    """

    def score(logits: Tensor, classes: Tensor) -> Tensor:
        return functional.cross_entropy(logits, classes, reduction="none")

    return _from_logits(score, model, images, labels, chunk_size)


def el2n_scores(
    model: nn.Module, images: Tensor, labels: Tensor, *, chunk_size: int = 500
) -> np.ndarray:
    r"""Compute the length of each example's error vector, :math:`\|p - e_y\|_2`.

    p is the softmax of the logits, :math:`e_y` the one-hot label. EL2N (Paul et al., arXiv
    2107.07075) is its mean over initialisations. The arguments are those of `example_losses`.

    Returns:
        Float64 array of shape ``[n]``, from 0 to :math:`\sqrt 2`.
    """

    def score(logits: Tensor, classes: Tensor) -> Tensor:
        one_hot = functional.one_hot(classes, logits.shape[1])
        return (logits.softmax(dim=1) - one_hot).norm(dim=1)

    return _from_logits(score, model, images, labels, chunk_size)


def negative_margins(
    model: nn.Module, images: Tensor, labels: Tensor, *, chunk_size: int = 500
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


def _from_losses(
    score: Callable[[_ExampleLoss, Tensor, Tensor, Tensor], np.ndarray],
    model: nn.Module,
    loss_fn: Loss,
    inputs: Tensor,
    targets: Tensor,
    chunk_size: int,
) -> np.ndarray:
    """Return scores from each example's loss as a function of all trainable weights."""
    outputs = _outputs_of(model)

    def loss(weights: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return loss_fn(outputs(weights, x)[None], y[None])

    def score_chunk(x: Tensor, y: Tensor, first: int) -> np.ndarray:
        trainable = [p.detach().reshape(-1) for p in model.parameters() if p.requires_grad]
        weights = torch.cat(trainable)
        losses = vmap(loss, in_dims=(None, 0, 0))(weights, x, y)
        refuse_first(~losses.isfinite(), "loss", losses, first, "a finite number")
        return score(loss, weights, x, y)

    return in_chunks(score_chunk, model, inputs, targets, chunk_size)


def _outputs_of(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the outputs of one example as a function of all trainable weights, in one vector."""
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    sizes = [p.numel() for p in trainable.values()]

    def outputs(weights: Tensor, x: Tensor) -> Tensor:
        pairs = zip(trainable.items(), weights.split(sizes), strict=True)
        values = {name: part.view_as(p) for (name, p), part in pairs}
        return functional_call(model, values, (x[None],))[0]

    return outputs


def _from_logits(
    score: Callable[[Tensor, Tensor], Tensor],
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    chunk_size: int,
) -> np.ndarray:
    """Return scores from logits in float64 and labels."""

    def score_chunk(x: Tensor, y: Tensor, first: int) -> np.ndarray:
        with torch.no_grad():
            logits = model(x).double()
            _check_outputs(logits, y, first)
            return score(logits, y).cpu().numpy()

    return in_chunks(score_chunk, model, images, labels, chunk_size)


def in_chunks(
    score_chunk: Callable[[Tensor, Tensor, int], np.ndarray],
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    chunk_size: int,
) -> np.ndarray:
    """Return the joined scores of chunks: (inputs, targets, number of the first) -> scores."""
    require(chunk_size >= 1, "chunk_size", chunk_size, "at least 1")
    require(len(targets) == len(inputs), "The number of targets", len(targets), f"{len(inputs)}")
    check_arguments(model, inputs, "eval")
    chunks, scores = zip(inputs.split(chunk_size), targets.split(chunk_size), strict=True), []
    advice = _memory_advice(min(chunk_size, len(inputs)))
    bar = tqdm(total=len(inputs), desc="Examples", disable=None, leave=None)
    with scoring_mode(model, "eval"), advice, bar:
        for number, (x, y) in enumerate(chunks):
            scores.append(score_chunk(x, y, number * chunk_size))
            bar.update(len(x))
    return np.concatenate(scores)


@contextmanager
def _memory_advice(chunk_size: int) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        on_cpu = "can't allocate memory" in str(error)  # torch has no class of its own for it
        if not (on_cpu or isinstance(error, torch.OutOfMemoryError)):
            raise
        smaller = f"; try chunk_size={chunk_size // 2}"
        advice = smaller if chunk_size > 1 else ": one example does not fit"
        raise InputError(f"Out of memory with chunk_size {chunk_size}{advice}.") from error


def _check_outputs(logits: Tensor, labels: Tensor, first: int) -> None:
    fits = logits.ndim == 2 and len(logits) == len(labels)
    expected = f"[{len(labels)}, number of classes]"
    require(fits, "The outputs' shape", list(logits.shape), expected)
    fits = labels.dtype == torch.int64 and labels.ndim == 1
    kind = f"{labels.dtype} of shape {list(labels.shape)}"
    require(fits, "The chunk of labels", kind, "torch.int64 in one dimension")
    num_classes = logits.shape[1]
    # A label out of range would stop a GPU for good, and torch leaves out those that are -100.
    outside = (labels < 0) | (labels >= num_classes)
    refuse_first(outside, "label", labels, first, f"0 to {num_classes - 1}")
    refuse_first(~logits.isfinite().all(dim=1), "logits", logits, first, "finite numbers")


def refuse_first(bad: Tensor, name: str, values: Tensor, first: int, expected: str) -> None:
    """Refuse the first bad example of a chunk, whose examples are numbered from ``first``."""
    number = int(bad.int().argmax())  # the first of them
    value = values[number].tolist()
    require(not bad.any(), f"The {name} of example {first + number}", value, expected)
