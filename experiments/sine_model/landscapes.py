r"""Loss landscapes of the sine model, for data sets and the population (paper, Eqs. 4 and 7).

:math:`f_i(w) = \tfrac12 (\sin(w x_i) - y_i)^2` with :math:`y_i = \sin(12 x_i) + 0.1 \varepsilon_i`
and standard normal :math:`x_i`, :math:`\varepsilon_i`. Without the half, every loss doubles and a
learning rate counts twice; no minimum moves.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from liprune_utils.checks import require
from liprune_utils.lipschitz import sine_constant
from liprune_utils.pruning import num_kept, rank

WEIGHT, NOISE_SD, NUM_POINTS = 12.0, 0.1, 1000  # paper, Appendix B.4
WEIGHTS = np.arange(-800, 801) / 40  # where landscapes are computed: from -20 to 20
NODE_STEP = 0.005  # inputs are spread on nodes this far apart: the loss errs by 1e-5 at most


class SineData(NamedTuple):
    """Data sets, one a row: inputs and labels, float64 arrays ``[num_runs, num_points]``."""

    x: np.ndarray
    y: np.ndarray

    def by_constant(self) -> "SineData":
        """Put the points in LiPrune's order, the largest Lipschitz constant first.

        Returns:
            The same points, row by row in that order.
        """
        order = rank(sine_constant(self.x, self.y))
        return SineData(*(np.take_along_axis(values, order, axis=-1) for values in self))

    def first(self, keep_fraction: float) -> "SineData":
        """Keep the first points of each data set.

        After `SineData.by_constant` this is LiPrune. On data as drawn it is random pruning: the
        points are independent and in no order, so that the first ones are a uniform sample.

        Args:
            keep_fraction: Fraction kept, in (0, 1].

        Returns:
            The kept points.
        """
        count = num_kept(self.x.shape[-1], keep_fraction)
        return SineData(self.x[..., :count], self.y[..., :count])


def draw_sine(generator: np.random.Generator, num_runs: int, num_points: int) -> SineData:
    """Draw data sets of the paper's Eq. (7).

    Args:
        generator: Source of randomness; the first data sets do not depend on how many follow.
        num_runs: Number of data sets, >= 1.
        num_points: Points in each, >= 1.

    Returns:
        The data sets.
    """
    x, noise = generator.standard_normal((num_runs, 2, num_points)).swapaxes(0, 1)
    return SineData(x, np.sin(WEIGHT * x) + NOISE_SD * noise)


def population_loss(w: np.ndarray) -> np.ndarray:
    r"""Compute the expected loss without pruning, in closed form.

    From :math:`E \cos(t x) = e^{-t^2 / 2}`, with a = 12 and :math:`\sigma` = 0.1:
    :math:`F(w) = \tfrac14 (1 - e^{-2 w^2}) + \tfrac14 (1 - e^{-2 a^2}) - \tfrac12 e^{-(w - a)^2/2}
    + \tfrac12 e^{-(w + a)^2/2} + \tfrac12 \sigma^2`.

    Args:
        w: Weights, array.

    Returns:
        Array of the same shape, at least :math:`\sigma^2 / 2`.
    """
    squares = -(np.expm1(-2 * np.square(w)) + np.expm1(-2 * WEIGHT**2)) / 4
    product = (np.exp(-((w - WEIGHT) ** 2) / 2) - np.exp(-((w + WEIGHT) ** 2) / 2)) / 2
    return squares - product + NOISE_SD**2 / 2


@dataclass(frozen=True)
class Population:
    r"""What is kept of infinitely many points, as a measure on inputs x > 0.

    The points x and -x, y and -y have the same loss, so that one half of the line stands for both.
    ``p``, ``py`` and ``pyy`` are density times node spacing times 1, :math:`E[y]` and
    :math:`E[y^2]` among the kept points at ``x``; the sum of ``p`` is 1.
    """

    x: np.ndarray
    p: np.ndarray
    py: np.ndarray
    pyy: np.ndarray

    def loss(self, w: np.ndarray) -> np.ndarray:
        r"""Compute the expected loss :math:`\tfrac12 E[(\sin(w x) - y)^2 \mid \text{kept}]`.

        Args:
            w: Weights, array of shape ``[n]``.

        Returns:
            Array of shape ``[n]``.
        """
        s = np.sin(np.outer(w, self.x))
        return (s**2 @ self.p - 2 * (s @ self.py) + self.pyy.sum()) / 2

    @cached_property
    def landscape(self) -> np.ndarray:
        """Losses at ``WEIGHTS``, array of shape ``[num_weights]``."""
        return self.loss(WEIGHTS)

    def slope(self, w: float) -> float:
        r"""Compute :math:`F'(w) = E[x \cos(w x) (\sin(w x) - y) \mid \text{kept}]`.

        Args:
            w: The weight.

        Returns:
            The derivative.
        """
        s, c = np.sin(w * self.x), np.cos(w * self.x)
        return float(self.x * c @ (s * self.p - self.py))

    def curvature(self, w: float) -> float:
        r"""Compute :math:`F''(w) = E[x^2 (1 - 2 \sin^2(w x) + y \sin(w x)) \mid \text{kept}]`.

        Args:
            w: The weight.

        Returns:
            The second derivative.
        """
        s = np.sin(w * self.x)
        return float(self.x**2 @ ((1 - 2 * s**2) * self.p + s * self.py))

    def gradient_sd(self, w: float) -> float:
        """Compute the standard deviation of a single point's gradient.

        Args:
            w: The weight.

        Returns:
            The standard deviation.
        """
        s, factor = np.sin(w * self.x), (self.x * np.cos(w * self.x)) ** 2
        square = factor @ (s**2 * self.p - 2 * s * self.py + self.pyy)
        return float(np.sqrt(square - self.slope(w) ** 2))


def kept_moments(x: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Integrate 1, y and y squared over the labels that LiPrune keeps at an input.

    A point is kept if :math:`x^2 (1 + |y|) > c`, that is if :math:`|y| > t = c / x^2 - 1`; y is
    normal around :math:`\sin(12 x)`, which leaves two tails of a normal density.

    Args:
        x: Inputs, not 0.
        threshold: The least constant kept, c >= 0.

    Returns:
        Three arrays of the shape of ``x``; the first is the probability of being kept.
    """
    mean, cut = np.sin(WEIGHT * x), np.maximum(threshold / x**2 - 1, 0)
    upper, lower = (cut - mean) / NOISE_SD, (cut + mean) / NOISE_SD  # of eps, and of -eps
    tails = ndtr(-upper) + ndtr(-lower)
    bells = [
        np.exp(-(np.minimum(edge, 50) ** 2) / 2) / np.sqrt(2 * np.pi) for edge in (upper, lower)
    ]
    eps = bells[0] - bells[1]
    eps_square = tails + np.minimum(upper, 50) * bells[0] + np.minimum(lower, 50) * bells[1]
    y = mean * tails + NOISE_SD * eps
    return tails, y, mean * (y + NOISE_SD * eps) + NOISE_SD**2 * eps_square


@cache
def pruned_population(keep_fraction: float, *, num_nodes: int = 7000) -> Population:
    """Find what LiPrune keeps of infinitely many points; 1 is no pruning, and random pruning.

    Args:
        keep_fraction: Fraction kept r, in (0, 1].
        num_nodes: Nodes of the midpoint rule on (0, 7).

    Returns:
        The kept population; its threshold is the (1 - r) quantile of the constants.
    """
    require(0 < keep_fraction <= 1, "keep_fraction", keep_fraction, "a fraction in (0, 1]")
    x = 7 * (np.arange(num_nodes) + 0.5) / num_nodes
    mass = np.exp(-(x**2) / 2) * np.sqrt(2 / np.pi) * 7 / num_nodes  # of x and -x together

    def surplus(threshold: float) -> float:
        return float(mass @ kept_moments(x, threshold)[0]) - keep_fraction

    threshold = brentq(surplus, 1e-12, 100, xtol=1e-12) if keep_fraction < 1 else 0.0
    moments = kept_moments(x, threshold)
    scale = mass / (mass @ moments[0])
    return Population(x, *(scale * moment for moment in moments))


def loss_sd(w: np.ndarray) -> np.ndarray:
    r"""Compute the standard deviation of one random point's loss, without pruning.

    With :math:`d = \sin(w x) - \sin(12 x)`, :math:`E f^2 = \tfrac14 E[d^4 + 6 \sigma^2 d^2 +
    3 \sigma^4]`. A data set of N points has the standard error :math:`1 / \sqrt N` times this.

    Args:
        w: Weights, array of shape ``[n]``.

    Returns:
        Array of shape ``[n]``, > 0.
    """
    everything = pruned_population(1.0)
    square = (np.sin(np.outer(w, everything.x)) - np.sin(WEIGHT * everything.x)) ** 2
    second = (square**2 + 6 * NOISE_SD**2 * square + 3 * NOISE_SD**4) @ everything.p / 4
    return np.sqrt(second - population_loss(w) ** 2)


def sampled_losses(data: SineData) -> np.ndarray:
    r"""Compute the mean loss over each data set at all of ``WEIGHTS``.

    :math:`F_N(w) = \tfrac14 - \tfrac14 \overline{\cos 2 w x} - \overline{y \sin w x} +
    \tfrac12 \overline{y^2}`: two Fourier sums, even and odd in w, computed from points spread on
    nodes.

    Args:
        data: Data sets of the same size.

    Returns:
        Array of shape ``[num_runs, num_weights]``; its error from the nodes is below 1e-5.
    """
    size = np.abs(data.x)
    nodes = NODE_STEP * np.arange(-1, int(size.max() / NODE_STEP) + 3)
    half = WEIGHTS[len(WEIGHTS) // 2 :]  # w >= 0
    cosines = spread(size, np.ones_like(size), len(nodes)) @ np.cos(2 * np.outer(nodes, half))
    odd = spread(size, data.y * np.sign(data.x), len(nodes)) @ np.sin(np.outer(nodes, half))
    even = 0.25 - cosines / 4 + (data.y**2).mean(axis=1, keepdims=True) / 2
    return np.concatenate([(even + odd)[:, :0:-1], even - odd], axis=1)


def spread(size: np.ndarray, values: np.ndarray, num_nodes: int) -> np.ndarray:
    """Spread the mean of values at points on equidistant nodes, by cubic interpolation.

    Args:
        size: Places of the points, >= 0, array of shape ``[num_runs, num_points]``.
        values: Array of the same shape.
        num_nodes: Number of nodes; the first lies one step below 0.

    Returns:
        Array of shape ``[num_runs, num_nodes]``.
    """
    cell = (size / NODE_STEP).astype(np.int64)
    t = size / NODE_STEP - cell
    cell += num_nodes * np.arange(len(size))[:, None]
    shares = (
        -t * (t - 1) * (t - 2) / 6, (t + 1) * (t - 1) * (t - 2) / 2,
        -(t + 1) * t * (t - 2) / 2, (t + 1) * t * (t - 1) / 6,
    )  # fmt: skip
    total = sum(
        np.bincount((cell + k).ravel(), (share * values).ravel(), len(size) * num_nodes)
        for k, share in enumerate(shares)
    )
    return total.reshape(len(size), num_nodes) / size.shape[1]
