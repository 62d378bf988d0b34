r"""Exact Lipschitz constants of gradients, and blind searches that try to exceed them.

Over a convex set, the Lipschitz constant of :math:`\nabla f` is the supremum of the spectral norm
of the Hessian (mean value theorem one way, differentiation the other). Over a set that is not
convex it can be larger, since a segment between two of its points may leave the set. The constants
of convex losses are in `liprune_utils.problems`; here are those of a batch and of the sine model.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from liprune_utils.checks import require
from liprune_utils.problems import SQUARED


def batch_constant(x: np.ndarray) -> np.ndarray:
    r"""Compute the constant of a batch's mean loss in the linear model.

    :math:`f(w) = \frac{1}{2B} \sum_j (w \cdot x_j - y_j)^2` has the constant Hessian
    :math:`X^\top X / B`, so that :math:`L = \sigma_{\max}(X)^2 / B`, attained by every secant
    along the top eigenvector. The trace bounds it, :math:`L \le \frac1B \sum_j \|x_j\|^2`, with
    equality if and only if all points lie on one line through 0, as in one dimension.

    Args:
        x: Batches of points, array of shape ``[..., batch_size, dim]``.

    Returns:
        Array of shape ``[...]``, >= 0.
    """
    x = np.asarray(x)
    require(x.ndim >= 2 and x.size > 0, "shape of x", list(x.shape), "[..., batch_size, dim] >= 1")
    batch_size, dim = x.shape[-2:]
    if min(batch_size, dim) == 1:
        return SQUARED.constants(x).sum(axis=-1) / batch_size
    turned = x.swapaxes(-1, -2)
    smaller = turned @ x if dim <= batch_size else x @ turned  # same non-zero eigenvalues
    return np.linalg.eigvalsh(smaller)[..., -1] / batch_size


def sine_constant(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    r"""Compute the constant over all w of :math:`f(w) = \tfrac12 (\sin(w x) - y)^2`.

    With :math:`s = \sin(w x)` the second derivative is :math:`x^2 (1 - 2 s^2 + y s)`. For s in
    [-1, 1] its least value is :math:`-x^2 (1 + |y|)`, at :math:`s = -\mathrm{sign}(y)`; its
    largest is :math:`x^2 (1 + y^2 / 8)` at :math:`s = y / 4` if :math:`|y| \le 4`, else
    :math:`x^2 (|y| - 1)`: smaller in size, but for y = 0, where both are :math:`x^2`. So
    :math:`L = x^2 (1 + |y|)`, attained at negative curvature, where the prediction is as wrong
    as it can be and the gradient is 0: at the highest tops of f.

    Args:
        x: Inputs, array.
        y: Labels, broadcast with ``x``.

    Returns:
        Array of their common shape, >= 0.
    """
    return np.asarray(x) ** 2 * (1 + np.abs(y))


def sine_loss(w: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    r"""Return :math:`\tfrac12 (\sin(w x) - y)^2` (paper, Appendix B.4, with the half), >= 0.

    Weights w, inputs x and labels y are arrays that broadcast, here and in the derivatives.
    """
    return (np.sin(w * x) - y) ** 2 / 2


def sine_gradient(w: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    r"""Return the derivative of `sine_loss` in w, :math:`x \cos(w x) (\sin(w x) - y)`."""
    return x * np.cos(w * x) * (np.sin(w * x) - y)


def sine_curvature(w: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    r"""Return the second derivative of `sine_loss` in w.

    :math:`x^2 (1 - 2 s^2 + y s)` with :math:`s = \sin(w x)`.
    """
    return x**2 * _shape(np.sin(w * x), y)


def extreme_sine_curvature(x: np.ndarray, y: np.ndarray, low: float, high: float) -> np.ndarray:
    r"""Find the second derivative of `sine_loss` that is largest in size on an interval of w.

    Its absolute value is the Lipschitz constant of the gradient there. In :math:`\theta = w x` the
    second derivative is :math:`x^2 (1 - 2 \sin^2 \theta + y \sin \theta)`, which is stationary
    where :math:`\cos \theta = 0` or :math:`\sin \theta = y / 4`: with the ends of the interval,
    six candidates, each of which counts if some :math:`\theta + 2 \pi k` lies in the interval.

    Args:
        x: Inputs, array.
        y: Labels, broadcast with ``x``.
        low: Lower end of the interval.
        high: Upper end, at least ``low``; both finite.

    Returns:
        Signed second derivatives, array of the common shape of ``x`` and ``y``.
    """
    ends = f"finite and at least the lower end, {low}"
    require(bool(-np.inf < low <= high < np.inf), "upper end of the interval", high, ends)
    x, y = np.broadcast_arrays(x, y)
    first, last = np.sort([x * low, x * high], axis=0)
    inner = np.arcsin(np.clip(y / 4, -1, 1))
    at_ends = [np.sin(first), np.sin(last)]
    at_phases = [
        np.where(_passes(first, last, phase), np.sin(phase), at_ends[0])
        for phase in (-np.pi / 2, np.pi / 2, inner, np.pi - inner)
    ]
    values = _shape(np.array(at_phases + at_ends), y)
    largest = np.abs(values).argmax(axis=0)
    return x**2 * np.take_along_axis(values, largest[None], axis=0)[0]


# The second derivative of the sine model over x^2, as a function of s = sin(w x).
def _shape(s: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 1 - 2 * s**2 + y * s


# Whether phase + 2 pi k lies in [first, last] for some whole k.
def _passes(first: np.ndarray, last: np.ndarray, phase: np.ndarray) -> np.ndarray:
    turns = np.ceil((first - phase) / (2 * np.pi))
    return phase + 2 * np.pi * turns <= last


def largest_secant(w: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Search a grid of weights on a line for the largest :math:`|f'(v) - f'(w)| / |v - w|`.

    Neighbours suffice: the secant over any two points of the grid is a weighted mean of the signed
    secants over the neighbours between them.

    Args:
        w: Weights, increasing along axis 0, array of shape ``[num_weights, ...]``, at least 2.
        gradients: Derivatives there, an array that broadcasts with ``w``.

    Returns:
        Array of shape ``[...]``: at most the Lipschitz constant on the interval, but for rounding.

    Example:
        >>> w = np.linspace(-1, 1, 1001)[:, None]
        >>> largest_secant(w, np.sin(w)).round(3)
        array([1.])
    """
    return np.abs(np.diff(gradients, axis=0) / np.diff(w, axis=0)).max(axis=0)


def search_constant(
    gradient: Callable[[np.ndarray], np.ndarray],
    shape: tuple[int, ...],
    generator: np.random.Generator,
    *,
    num_starts: int = 10,
    distance: float = 2e-4,
) -> float:
    r"""Search all centres and directions for the largest :math:`\|g(v) - g(w)\| / \|v - w\|`.

    BFGS from normal random starts, with v and w a small fixed distance apart: a secant over a
    longer segment is at most the largest over its parts.

    Args:
        gradient: The gradient g, from weights to an array of their shape.
        shape: Shape of the weights.
        generator: Source of the starts.
        num_starts: Number of starts, >= 1.
        distance: Distance of v and w; rounding adds about 1e-16 / ``distance``.

    Returns:
        The largest secant found: a lower bound of the Lipschitz constant, but for rounding.
    """

    def negative_secant(at: np.ndarray) -> float:
        centre, direction = at.reshape(2, *shape)
        step = direction * (distance / 2 / np.linalg.norm(direction))
        return -float(np.linalg.norm(gradient(centre + step) - gradient(centre - step))) / distance

    starts = generator.standard_normal((num_starts, 2 * math.prod(shape)))
    return max(-minimize(negative_secant, start, method="BFGS").fun for start in starts)
