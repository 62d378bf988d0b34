"""Losses to score by: the cross-entropy without cancellation, the targets that a loss can use."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from liprune_utils.checks import require

Loss = Callable[[Tensor, Tensor], Tensor]  # (outputs, targets) -> mean over the batch, a scalar

_DIGITS_KEPT = 1e3  # torch's own cross-entropy is used from this many units of rounding on
_ORDINARY = 40  # derivatives from 2^-40 to 2^40 need no scale in float32
_MOST = {torch.float32: 100, torch.float64: 1000}  # the largest exponent of a scale


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    r"""Compute the mean cross-entropy so that its derivatives keep their digits.

    Where the network is certain of some class m, torch's derivatives are differences such as
    :math:`p_m - 1` and :math:`p_m - p_m^2`, of which rounding leaves nothing. Here

    .. math:: \ell = z_m - z_y + \log\Big(1 + \sum_{k \ne m} e^{z_k - z_m}\Big)

    is differentiated in float64, where m is the likeliest class. It is used where the mean
    probability of the other classes is near the rounding of the logits, and torch's own elsewhere,
    to whose bits recorded scores belong.

    Args:
        logits: Shape ``[B, K, ...]``, float32 or float64.
        labels: Classes, int64, shape ``[B, ...]``; or probabilities, as torch takes them.

    Returns:
        The mean, a scalar.

    Example:
        >>> logits = torch.tensor([[60.0, 0.0]])
        >>> f"{cross_entropy(logits, torch.tensor([0])):.4g}"
        '8.757e-27'
    """
    usual = functional.cross_entropy(logits, labels)
    if labels.is_floating_point():
        return usual
    exact, others = _exact_cross_entropies(logits, labels)
    return torch.where(_is_certain(others.mean(), logits), exact.mean(), usual)


def cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute each example's `cross_entropy`, shape ``[B, ...]``, with its arguments."""
    usual = functional.cross_entropy(logits, labels, reduction="none")
    exact, others = _exact_cross_entropies(logits, labels)
    return torch.where(_is_certain(others, logits), exact, usual)


def accurate(loss_fn: Loss) -> Loss:
    """Return `cross_entropy` for torch's cross-entropy without options, other losses as given."""
    require(callable(loss_fn), "The loss", loss_fn, "a function of outputs and targets")
    plain = nn.CrossEntropyLoss()
    names = ("weight", "ignore_index", "reduction", "label_smoothing")
    is_plain = type(loss_fn) is nn.CrossEntropyLoss and all(
        getattr(loss_fn, name) == getattr(plain, name) for name in names
    )
    return cross_entropy if loss_fn is functional.cross_entropy or is_plain else loss_fn


def check_targets(loss_fn: Loss, outputs: Tensor, targets: Tensor) -> None:
    """Refuse what `cross_entropy` cannot use: labels as in `check_labels`, or probabilities."""
    probable = are_probabilities(targets) and targets.shape[1:] == outputs.shape[1:]
    if loss_fn is cross_entropy and not probable:
        check_labels(outputs, targets)


def are_probabilities(targets: object) -> bool:
    """Whether targets are several numbers per example, which torch takes for probabilities."""
    return isinstance(targets, Tensor) and targets.is_floating_point() and targets.ndim > 1


def check_labels(outputs: Tensor, labels: Tensor) -> None:
    """Refuse labels that are no classes of the outputs.

    Args:
        outputs: Of some examples, shape ``[B, K, ...]``.
        labels: Theirs or more examples', int64, shape ``[n, ...]``.
    """
    expected = f"[{len(outputs)}, number of classes]"
    require(outputs.ndim >= 2, "The outputs' shape", list(outputs.shape), expected)
    kind = f"{labels.dtype} of shape {list(labels.shape)}"
    rest = list(outputs.shape[2:])
    expected = f"torch.int64 {f'of shape {[len(labels), *rest]}' if rest else 'in one dimension'}"
    fits = labels.dtype == torch.int64 and list(labels.shape[1:]) == rest and labels.ndim > 0
    require(fits, "The labels' type", kind, expected)
    # A label out of range would stop a GPU for good, and torch leaves out those that are -100.
    outside = ((labels < 0) | (labels >= outputs.shape[1])).reshape(len(labels), -1).any(dim=1)
    refuse_first(outside, "label", labels, 0, f"0 to {outputs.shape[1] - 1}")


def refuse_first(bad: Tensor, name: str, values: Tensor, first: int, expected: str) -> None:
    """Refuse the first bad example of a chunk, whose examples are numbered from ``first``."""
    if bad.any():
        number = int(bad.int().argmax())  # the first of them
        value = values[number].tolist()
        require(False, f"The {name} of example {first + number}", value, expected)


def loss_scales(loss_fn: Loss, losses: Callable[[Tensor], Tensor], outputs: Tensor) -> Tensor:
    """Find powers of two by which losses are multiplied, so that float32 holds their derivatives.

    Multiplying by a power of two changes no digit. The second derivative in the outputs is brought
    near one, unless it or the first would then be too large; ordinary losses have the scale one.

    Args:
        loss_fn: From `accurate`.
        losses: Loss of the outputs: of each example, shape ``[n]``, or of the batch, a scalar.
        outputs: The outputs, shape ``[n, ...]``.

    Returns:
        The scales, float64, of the losses' shape.
    """
    in_full = loss_fn is cross_entropy  # which computes in float64 whatever the outputs are
    z = (outputs.double() if in_full else outputs).detach().requires_grad_()
    with torch.enable_grad():
        values = losses(z)
        first, second = _derivatives(values, z)
    first, second = (_exponents(d, values) for d in (first, second))
    reached = torch.where(second > -torch.inf, second, first)
    most = _MOST[torch.float64 if in_full else torch.float32]
    exponent = (-reached).minimum(_ORDINARY - first).clamp(-most, most)
    exponent[(reached.abs() <= _ORDINARY) | ~reached.isfinite()] = 0
    return exponent.exp2().view_as(values)


def _derivatives(values: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradient in the outputs, and the Hessian times a vector without a pattern."""
    zero = torch.zeros_like(z)
    if not values.requires_grad:
        return zero, zero
    (first,) = torch.autograd.grad(values.sum(), z, create_graph=True, materialize_grads=True)
    if not first.requires_grad:
        return first, zero
    probe = torch.arange(z.numel(), device=z.device).to(z).cos().view_as(z)
    try:
        (second,) = torch.autograd.grad(first, z, probe, materialize_grads=True)
    except RuntimeError:  # torch has none, which is refused where it is needed
        second = zero
    return first.detach(), second


def _exponents(derivative: Tensor, values: Tensor) -> Tensor:
    """Return each example's largest entry as a power of two, float64; of zero minus infinity."""
    sizes = derivative.double().reshape(values.numel(), -1).abs().amax(dim=1)
    return sizes.log2().floor()


def _exact_cross_entropies(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return each loss, and the probability of all classes but the likeliest, in float64."""
    z, own = logits.double(), labels[:, None]
    best = z.detach().argmax(dim=1, keepdim=True)
    top = z.gather(1, best)
    odds = (z - top).scatter(1, best, -torch.inf).exp().sum(dim=1)
    # Not a difference that happens to be zero: its derivatives 1 and -1 would swallow the others.
    lead = torch.where(best == own, 0.0, top - z.gather(1, own))[:, 0]
    return lead + odds.log1p(), (odds / (1 + odds)).detach()


def _is_certain(others: Tensor, logits: Tensor) -> Tensor:
    return others < _DIGITS_KEPT * torch.finfo(logits.dtype).eps
